"""The result of a run as a Markdown table, for the page that a CI shows of a job (``$GITHUB_STEP_SUMMARY``)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping

from ..events import HostFailed
from ..report import Line, Report, State
from ..wording import Called, clean, elapsed, short, title

VARIABLE = "GITHUB_STEP_SUMMARY"
"""Names the file, in GitHub Actions, Gitea and Forgejo."""
_MARKS = {State.BOOTED: "✅", State.DONE: "✅", State.FAILED: "❌", State.UNTOUCHED: "⚪", State.WAITING: "⚪"}
_INVOKE = Called()
_ROWS = 500
_LOG_LINES = 20
_LONGEST = 400
_CELL = 100
_LARGEST = 500_000


def write_summary(report: Report, environ: Mapping[str, str], called: Called = _INVOKE) -> str:
    """Appends ``report`` to the file that ``$GITHUB_STEP_SUMMARY`` names, if it does.

    A run does not fail for it: gives a sentence where it could not be written, else ``""``.
    """
    path = environ.get(VARIABLE, "").strip()
    if not path:
        return ""
    try:
        with open(path, "a", encoding="utf-8", errors="replace") as file:
            file.write(summary(report, called))
    except OSError as error:
        return f"the summary could not be written to {VARIABLE}: {error.strerror}."
    return ""


def summary(report: Report, called: Called = _INVOKE) -> str:
    """``report`` in Markdown: what it was, how it ended, a row for each role on each host, every failure's reason."""
    lines = [f"### {'✅' if report.ok else '❌'} {_text(title(report))}", ""]
    if report.finished is not None:
        lines += [_text(called.spelled(report.finished.sentence)), ""]
    if report.lines:
        lines += ["| | host | role | version | result | time |", "|---|---|---|---|---|---:|"]
        lines += [_row(line, report.at) for line in report.lines[:_ROWS]]
        if len(report.lines) > _ROWS:
            lines.append(f"| | and {len(report.lines) - _ROWS} more | | | | |")
        lines.append("")
    lines += _told(report, called)
    return "\n".join(lines).rstrip() + "\n\n"


def _told(report: Report, called: Called) -> Iterator[str]:
    """Every warning and every failure, as far as a page takes them (GitHub: 1 MiB)."""
    warnings = [note.text for note in report.notes if note.warning]
    warnings += [f"{line.host} {line.role}: {text}" for line in report.lines for text in line.warnings]
    number, room = len(warnings) + len(report.failures), _LARGEST
    for block in _blocks(warnings, report.failures, called):
        room -= len(block.encode(errors="replace"))
        if room < 0:
            yield f"And {number} more: the job's log has them."
            return
        number -= 1
        yield block


def _blocks(warnings: list[str], failures: tuple[HostFailed, ...], called: Called) -> Iterator[str]:
    for text in warnings:
        yield f"- ⚠️ {_text(text)}\n"
    for failure in failures:
        yield "\n".join((*_failure(failure, called), ""))


def _row(line: Line, now: float) -> str:
    version = short(line.serving or line.version) if line.state is State.BOOTED else short(line.version)
    before = f"{short(line.replaced)} → " if line.replaced else ""
    cells = (_MARKS.get(line.state, "▶"), line.host, line.role, before + version, _result(line), elapsed(line, now))
    return "| " + " | ".join(_text(cell, _CELL) for cell in cells) + " |"


def _result(line: Line) -> str:
    match line.state:
        case State.BOOTED:
            return "serves"
        case State.DONE:
            return line.doing or "done"
        case State.FAILED:
            failure = line.failure
            return f"failed in {failure.phase}" if failure and failure.phase else "failed"
        case State.UNTOUCHED:
            return "not changed"
        case State.RUNNING:
            return f"left in {line.phase}"
        case _:
            return "not begun"


def _failure(failure: HostFailed, called: Called) -> Iterator[str]:
    said, *more = failure.error.splitlines() or [""]
    who = " on ".join(filter(None, (failure.role, failure.host)))
    yield f"**{_text(who)}**: {_text(called.spelled(said.removeprefix(f'{failure.host}: ')))}"
    for text in (failure.serving, failure.hint):
        if text:
            yield f"{_text(called.spelled(text))}"
    log = [line for text in (*more, *failure.log, *failure.health) for line in text.splitlines() if line.strip()]
    if log:
        # As HTML: a fence of Markdown could be closed by the log itself.
        words = "\n".join(html.escape(clean(line.strip()[:_LONGEST])) for line in log[-_LOG_LINES:])
        yield f"\n<details><summary>its last words</summary>\n\n<pre>{words}</pre>\n\n</details>"


def _text(text: str, longest: int = _LONGEST) -> str:
    """``text`` as Markdown shows it unchanged, on one line: hosts print what they like."""
    line = clean(" ".join(text[: 2 * longest].split()))
    line = line if len(line) <= longest else f"{line[:longest]}…"
    # Entities, since a backslash would be shown inside of code, and a pipe ends a cell even there.
    return re.sub(r"[&<>|`*_\[\]~@#!\\$:]", lambda found: f"&#{ord(found[0])};", line)
