"""What stays in a cell when a rollout has ended: a static record, true without a kernel and without scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from .. import exits
from ..report import Line, Report, State
from ..wording import change, clean, counted, doing, elapsed, ending, phase, seconds, title
from .frame import TONES, busiest, tone
from .grid import SYMBOLS, moment_text
from .history import History
from .markup import Html, joined, tag
from .settings import options
from .style import styled
from .tables import badge, say

MIME = "application/vnd.kamalnb.rollout+json"
"""A few facts for programs beside the record: whether it went well, and the exit code for it."""
MILESTONES = 120
_WORDS = {"good": "done", "bad": "failed", "mind": "stopped", "busy": "running"}


@dataclass(frozen=True, kw_only=True)
class About:
    """What a record says besides what happened: who did it, by which plan, what was typed."""

    verb: str
    target: str
    plan_id: str = ""
    by: str = ""


def bundle(history: History, about: About) -> dict[str, Any]:
    """The record in every form."""
    report = history.report
    facts = {
        "verb": about.verb, "target": about.target, "plan": about.plan_id, "run": report.run_id,
        "version": report.version, "ok": report.ok, "exit_code": exits.of(report),
        "sentence": report.finished.sentence if report.finished else "",
    }  # fmt: skip
    return {"text/html": str(html(history, about)), "text/plain": text(history, about), MIME: facts}


def html(history: History, about: About) -> Html:
    """The record as HTML."""
    report = history.report
    meant = tone(report)
    word = badge(_WORDS[meant], meant)
    top = tag("div", tag("span", title(report) if report.lines else about.target, class_="kn-title"), word,
              tag("span", _when(history), class_="kn-soft"), class_="kn-top")  # fmt: skip
    sentence = report.finished.sentence if report.finished else "It has not ended."
    happened = "\n".join([*history.milestones(MILESTONES), "", *_phases(history)])
    details = tag("details", tag("summary", "What happened"), tag("pre", happened, class_="kn-log"))
    body = (top, say(sentence, meant), *_failures(report), _lines(history), details if report.lines else "")
    return styled(tag("div", *body, tag("p", _who(history, about), class_="kn-soft"), class_="kn-card"))


def text(history: History, about: About) -> str:
    """The record as plain text."""
    return "\n".join(_text(history, about))


def _text(history: History, about: About) -> Iterator[str]:
    report = history.report
    yield f"{title(report) if report.lines else about.target}: {_WORDS[tone(report)]}"
    chosen = busiest(report.lines, 60)
    wide = max((len(line.host) for line in chosen), default=0)
    for line in chosen:
        word, what = _outcome(report, line)
        yield (
            f"  {SYMBOLS[TONES[line.state]]} {line.host:<{wide}}  {line.role}  {word:<9}  "
            f"{elapsed(line, history.now()):>8}  {_change(report, line)}  {what}"
        ).rstrip()
    if len(report.lines) > len(chosen):
        yield f"  and {len(report.lines) - len(chosen)} more"
    yield from (told.text for told in ending(report))
    yield _who(history, about)


def _when(history: History) -> str:
    from ..tables import moment

    zone = options.timezone or "UTC"
    at = f"{moment_text(moment(history.began))} {zone}, " if history.began else ""
    return f"{at}{seconds(history.report.at)}"


def _who(history: History, about: About) -> str:
    parts = [f"by {about.by}" if about.by else "", f"plan {about.plan_id}" if about.plan_id else ""]
    parts += [f"run {history.report.run_id}" if history.report.run_id else ""]
    return " · ".join(filter(None, parts)) or about.verb


def _failures(report: Report) -> Iterator[Html]:
    """Why each failed, what serves there and what to do next; what hosts printed, folded."""
    told = [one.text for one in list(ending(report))[:-1]] if report.finished else []
    starts = [number for number, text in enumerate(told) if text.startswith("✗")]
    for start, end in list(pairwise([*starts, len(told)]))[:FAILURES]:
        mine = told[start:end]
        cut = next((number for number, text in enumerate(mine) if text.strip() in _PRINTED), len(mine))
        lines = joined(*(tag("div", text.strip()) for text in mine[:cut]))
        logs = tag("pre", "\n".join(_counted(mine[cut:])), class_="kn-log", tabindex="0")
        more = tag("details", tag("summary", "what the host printed"), logs) if mine[cut:] else ""
        yield tag("div", lines, more, class_="kn-say kn-is-bad")
    if len(starts) > FAILURES:
        yield say(f"and {len(starts) - FAILURES} more failures; the table names them.", "bad")


FAILURES = 12
_PRINTED = ("the new container's last words:", "its health log:")


def _counted(lines: Sequence[str]) -> Iterator[str]:
    """Lines in a row that are the same, once."""
    for line, same in groupby(lines):
        many = len(list(same))
        yield f"{line} ({many} times)" if many > 1 else line


def _phases(history: History) -> Iterator[str]:
    for line in busiest(history.report.lines, 40):
        spans = history.spans(line.host, line.role)
        told = ", ".join(
            f"{span.phase} {span.end - span.start:.1f} s" for span in spans if span.end - span.start >= 0.05
        )
        if told:
            yield f"{line.host} {line.role}: {told}"


def _lines(history: History) -> Html:
    report = history.report
    if not report.lines:
        return joined("")
    words = ("host", "role", "outcome", "took", "version", "what came of it")
    heads = tag("tr", *(tag("th", word, scope="col", class_="kn-n" if word == "took" else None) for word in words))
    chosen = busiest(report.lines, options.rows)
    body = (_line(history, line) for line in chosen)
    rest = len(report.lines) - len(chosen)
    more = tag("p", f"and {rest} more, all {_rest(report, chosen)}", class_="kn-soft") if rest else ""
    many = counted(len(report.lines), "role on its host") if len(report.lines) == 1 else f"{len(report.lines)} lines"
    caption = tag("caption", f"Each role on each host: {many}", class_="kn-hidden")
    table = tag("table", caption, tag("thead", heads), tag("tbody", *body), class_="kn-t")
    return joined(tag("div", table, class_="kn-wide"), more)


def _line(history: History, line: Line) -> Html:
    warned = joined(*(tag("div", f"warning: {text}") for text in line.warnings[:5]))
    word, what = _outcome(history.report, line)
    return tag(
        "tr", tag("th", line.host, scope="row"), tag("td", line.role), tag("td", badge(word, TONES[line.state])),
        tag("td", elapsed(line, history.now()), class_="kn-n"), tag("td", _change(history.report, line)),
        tag("td", what, warned, class_="kn-long"),
    )  # fmt: skip


def _outcome(report: Report, line: Line) -> tuple[str, str]:
    """What came of it. Nobody waits any more when a run is over: who was left out or passed over was not touched."""
    if not _untouched(report, line):
        return phase(line), doing(line)
    named = (f"{line.host}: ", f"{line.host} is left out", f"{line.role} on {line.host} ")
    why = next((fact.text for fact in report.notes if fact.text.startswith(named)), "")
    return "not touched", clean(why.removeprefix(f"{line.host}: "))


def _change(report: Report, line: Line) -> str:
    return "" if _untouched(report, line) else change(line)


def _untouched(report: Report, line: Line) -> bool:
    return report.finished is not None and line.state is State.WAITING


def _rest(report: Report, chosen: list[Line]) -> str:
    names = {(line.host, line.role) for line in chosen}
    states = dict.fromkeys(str(line.state) for line in report.lines if (line.host, line.role) not in names)
    return " or ".join(states) or str(State.WAITING)
