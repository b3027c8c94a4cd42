"""The table on a CI's page: what it says, and that nothing a host prints can change how it looks."""

from __future__ import annotations

import re
from pathlib import Path

from console_events import WEB_1, WEB_2, booted, failed, note, phase, started

from kamalnb import events
from kamalnb.console.summary import summary, write_summary
from kamalnb.events import Event, Phase
from kamalnb.report import Report
from kamalnb.wording import Called


def report(*told: Event) -> Report:
    found = Report()
    for event in told:
        found = found.after(event)
    return found


def finished(ok: bool, sentence: str, seconds: float = 9.0) -> Event:
    return events.RunFinished(at=seconds, ok=ok, sentence=sentence, exit_code=0 if ok else 1)


def plain(text: str) -> str:
    """As a reader sees it: entities read."""
    return re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), text)


GOOD = report(
    started(),
    phase(1.0, WEB_1, Phase.OBSERVE),
    phase(1.0, WEB_2, Phase.OBSERVE),
    booted(6.5, WEB_1),
    booted(7.0, WEB_2),
    finished(True, "v2 serves on web-1, web-2 instead of v1, in 9.0 s."),
)


def test_a_boot_that_went_well_is_a_table() -> None:
    assert plain(summary(GOOD)) == (
        "### ✅ boot app v2 on 2 hosts\n"
        "\n"
        "v2 serves on web-1, web-2 instead of v1, in 9.0 s.\n"
        "\n"
        "| | host | role | version | result | time |\n"
        "|---|---|---|---|---|---:|\n"
        "| ✅ | web-1 | web | v1 → v2 | serves | 5.5 s |\n"
        "| ✅ | web-2 | web | v1 → v2 | serves | 6.0 s |\n"
        "\n"
    )


def test_a_failure_has_its_reason_what_serves_what_to_do_and_the_last_words() -> None:
    one = report(
        started(),
        note(0.5, "web-3 is left out", warning=True),
        phase(1.0, WEB_1, Phase.VERIFY),
        failed(4.0, WEB_1),
        failed(4.0, WEB_2, phase=None, error="web-2: no connection. Run `invoke check`.", hint="", log=(), health=()),
        finished(False, "v2 did not boot."),
    )
    text = plain(summary(one, Called("kamalnb", ("-d", "staging"))))
    assert "### ❌ boot" in text
    assert "| ❌ | web-1 | web | v2 | failed in verify | 3.0 s |" in text
    assert "| ⚪ | web-2 | web | v2 | not changed |" in text
    assert (
        "**web on web-1**: The app did not become healthy within 30 s.\nv1 serves, as before.\nLook at its log" in text
    )
    assert "<pre>listening on 3000\ncannot reach the database\ncurl: (22)" in text
    assert "**web on web-2**: no connection. Run `kamalnb check -d staging`." in text
    assert "- ⚠️ web-3 is left out" in text


def test_nothing_that_a_host_says_is_markdown_or_html() -> None:
    evil = "a|b <img src=x> **bold** [x](https://evil.example) `code` \x1b[31m\n| new | row |"
    one = report(
        started(("web|1", "we<b>")),
        failed(
            1.0, ("web|1", "we<b>"), error=evil, serving=evil, hint=evil, log=("</pre><script>alert(1)</script>", "```")
        ),
        finished(False, evil),
    )
    text = summary(one)
    for sign in ("<img", "**bold", "[x]", "`code`", "https:", "\x1b", "<script", "</pre><", "web|1", "<b>"):
        assert sign not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.count("|") for line in rows] == [7, 7, 7]


def test_a_host_that_was_left_is_told_as_that() -> None:
    one = report(started(), phase(1.0, WEB_1, Phase.DRAIN))
    assert "| ▶ | web-1 | web | v2 | left in drain |" in plain(summary(one))
    assert "| ⚪ | web-2 | web | v2 | not begun |" in plain(summary(one))


def test_a_great_fleet_stays_below_what_a_page_takes() -> None:
    many = [(f"web-{number}", "web") for number in range(600)]
    bad = [failed(2.0, who, error="x" * 9000, log=("y" * 9000,) * 50) for who in many]
    text = summary(report(started(*many), *bad, finished(False, "no")))
    assert len(text.encode()) < 1024 * 1024
    assert "| | and 100 more |" in text
    assert "more: the job's log has them." in text


def test_it_is_added_to_the_file_that_is_named_and_to_none_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("before\n")
    assert write_summary(GOOD, {"GITHUB_STEP_SUMMARY": str(path)}) == ""
    assert write_summary(GOOD, {}) == ""
    assert path.read_text() == "before\n" + summary(GOOD)


def test_a_file_that_cannot_be_written_fails_no_run(tmp_path: Path) -> None:
    said = write_summary(GOOD, {"GITHUB_STEP_SUMMARY": str(tmp_path)})
    assert said == "the summary could not be written to GITHUB_STEP_SUMMARY: Is a directory."
