"""The counting behind ``invoke test``: nothing that failed may look like a pass."""

from __future__ import annotations

from pathlib import Path

from kamalnb.lab.suite import Count, counted

REPORT = (
    '<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10" time="1">'
    "</testsuite></testsuites>"
)


def test_errors_count_as_failures_and_skipped_ones_as_neither() -> None:
    assert counted(REPORT) == Count(passed=4, failed=3, skipped=3)


def test_parts_add_up_to_one_closing_line() -> None:
    assert str(Count(passed=4, failed=1) + Count(passed=2, skipped=1)) == "6 passed, 1 failed, 1 skipped"
    assert str(Count(passed=4)) == "4 passed, 0 failed"


def test_a_report_without_tests_counts_nothing() -> None:
    assert counted("<testsuites></testsuites>") == Count()


def test_no_two_test_files_have_one_name() -> None:
    # pytest would refuse to collect the second one, and every part with it.
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
