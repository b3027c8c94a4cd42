"""Where the record of a run is left."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from runbooks import write

from kamalnb.runbook import catalogue, record


@pytest.fixture
def book(tmp_path: Path) -> catalogue.Runbook:
    write(tmp_path, "rollout", "1")
    return catalogue.find("rollout", tmp_path)


def test_runs_of_one_moment_leave_a_record_each(tmp_path: Path, book: catalogue.Runbook) -> None:
    with ExitStack() as runs:
        begun = [runs.enter_context(record.place("", book, tmp_path, tmp_path)) for _ in range(3)]
        assert len(set(begun)) == 3


def test_a_run_that_does_not_begin_leaves_no_empty_record(tmp_path: Path, book: catalogue.Runbook) -> None:
    with pytest.raises(OSError, match="full"), record.place("", book, tmp_path, tmp_path):
        raise OSError("the disk is full")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_record_that_was_saved_stays(tmp_path: Path, book: catalogue.Runbook) -> None:
    with record.place("", book, tmp_path, tmp_path) as path:
        path.write_text("{}")
    assert path.read_text() == "{}"
