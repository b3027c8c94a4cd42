"""One frame of the live view: a report at a moment, as a small document of bounded size. No widget here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..events import Phase
from ..report import Line, Report, State
from ..wording import change, doing, elapsed, phase, seconds, title
from .grid import SYMBOLS
from .history import History, counts
from .markup import Html, joined, tag
from .settings import options

TONES = {
    State.WAITING: "off", State.RUNNING: "busy", State.BOOTED: "good", State.DONE: "good", State.FAILED: "bad",
    State.UNTOUCHED: "mind",
}  # fmt: skip
STEPS = tuple(one for one in Phase if one not in (Phase.UNDO, Phase.DONE))
_FIRST = {
    State.FAILED: 0, State.RUNNING: 1, State.UNTOUCHED: 2, State.WAITING: 3, State.BOOTED: 4, State.DONE: 4,
}  # fmt: skip
LOG = 12

Frame = dict[str, Any]
"""title, count, clock, tone, value, of, status, table (HTML), log (text): everything that a view draws."""


def frame(history: History, heading: str) -> Frame:
    """The frame of now. ``heading`` is what stands there until the run says what it is."""
    report, now = history.report, history.now()
    found = counts(report)
    over = len(report.lines) - found[State.WAITING] - found[State.RUNNING]
    return {
        "kind": "live", "title": title(report) if report.lines else heading, "clock": seconds(now) if now else "",
        "count": counted(report), "batch": batch(report), "tone": tone(report), "value": over,
        "of": max(1, len(report.lines)), "status": status(report), "table": rows_html(report, now),
        "log": "\n".join(history.tail(LOG)),
    }  # fmt: skip


def counted(report: Report) -> str:
    """How many hosts are where: ``3 of 8 done · 2 running · 1 failed``."""
    found = counts(report)
    good = found[State.BOOTED] + found[State.DONE]
    parts = [f"{good} of {len(report.lines)} done"] if report.lines else []
    for state, word in ((State.RUNNING, "running"), (State.FAILED, "failed"), (State.UNTOUCHED, "not usable")):
        parts += [f"{found[state]} {word}"] if found[state] else []
    return " · ".join(parts)


def batch(report: Report) -> str:
    """Which batch, where there are several."""
    return f"batch {report.batch.number} of {report.batch.of}" if report.batch and report.batch.of > 1 else ""


def status(report: Report) -> str:
    """What a screen reader is told: milestones, not every step."""
    if report.finished is not None:
        return report.finished.sentence
    parts = ["stopping: hosts before their switch undo, hosts past it finish"] if report.cancelling else []
    parts += [f"{failure.host} failed" for failure in report.failures[-3:]]
    found = counts(report)
    parts.append(f"{found[State.BOOTED] + found[State.DONE]} of {len(report.lines)} hosts done" if report.lines else "")
    return ". ".join(filter(None, parts))


def tone(report: Report) -> str:
    """What the whole means: busy, good, bad or mind."""
    if report.finished is not None:
        return "good" if report.ok else "mind" if report.cancelling else "bad"
    return "bad" if report.failures else "busy"


def rows_html(report: Report, now: float) -> Html:
    """The hosts, the busy ones first where there are many, and a word on the rest."""
    chosen = busiest(report.lines, options.hosts)
    if not chosen:
        return joined("")
    heads = [tag("th", word, scope="col") for word in ("host", "role", "state", "time", "version", "now")]
    body = [_row(line, now) for line in chosen]
    rest = len(report.lines) - len(chosen)
    more = tag("p", f"and {rest} more hosts; {counted(report)}", class_="kn-soft") if rest else ""
    caption = tag("caption", "Each host and role, and what happens there now", class_="kn-hidden")
    table = tag("table", caption, tag("thead", tag("tr", *heads)), tag("tbody", *body), class_="kn-t")
    return joined(tag("div", table, class_="kn-wide kn-live"), more)


def busiest(lines: Sequence[Line], most: int) -> list[Line]:
    """At most ``most`` lines: failures first, then what runs, in the order of the plan."""
    if len(lines) <= most:
        return list(lines)
    chosen = sorted(range(len(lines)), key=lambda number: (_FIRST[lines[number].state], number))[:most]
    return [lines[number] for number in sorted(chosen)]


def _row(line: Line, now: float) -> Html:
    meant = TONES[line.state]
    symbol = tag("span", SYMBOLS[meant], class_=f"kn-mark kn-{meant}", aria_hidden="true")
    return tag(
        "tr", tag("th", symbol, line.host, scope="row"), tag("td", line.role),
        tag("td", _strip(line), phase(line)), tag("td", elapsed(line, now), class_="kn-n"), tag("td", change(line)),
        tag("td", doing(line), class_="kn-long"), class_="kn-dim" if line.state is State.WAITING else None,
    )  # fmt: skip


def _strip(line: Line) -> Html:
    """How far a boot has come: one square for each phase; the word after it says the same."""
    here = STEPS.index(line.phase) if line.phase in STEPS else len(STEPS) if line.phase is Phase.DONE else -1
    lost = line.state in (State.FAILED, State.UNTOUCHED)
    kinds = (
        "kn-past" if number < here else ("kn-lost" if lost else "kn-here") if number == here else None
        for number in range(len(STEPS))
    )
    return tag("span", *(tag("i", class_=kind) for kind in kinds), class_="kn-steps", aria_hidden="true")


def frame_html(shown: Frame) -> Html:
    """A frame as HTML, for places without the live widget."""
    words = [shown["count"], shown["batch"], shown["clock"]]
    top = tag("div", tag("span", shown["title"], class_="kn-title"), *(tag("span", word) for word in words if word),
              class_="kn-top")  # fmt: skip
    bar = tag("progress", max=shown["of"], value=shown["value"], aria_label=shown["title"],
              class_=f"kn-is-{shown['tone']}")  # fmt: skip
    told = tag("details", tag("summary", "log"), tag("pre", shown["log"], class_="kn-log")) if shown["log"] else ""
    return joined(top, bar, tag("div", shown["status"], role="status", class_="kn-hidden"), shown["table"], told)
