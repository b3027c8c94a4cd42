"""An event as one line of text, for logs and for what is printed above the live table."""

from __future__ import annotations

from dataclasses import dataclass

from .. import events
from ..events import Event
from ..report import Report
from ..wording import LEAVE, PHASES, STOPPING, clean, seconds, short, spoken, title


@dataclass(frozen=True, slots=True)
class Said:
    """``tone`` is step, note, warning, problem, command or ok; ``phase`` is empty where the whole run speaks."""

    tone: str
    text: str
    phase: str = ""


def said(event: Event, report: Report) -> Said | None:
    """What ``event`` is worth saying; None for what would only be noise."""
    line = report.line(event.host, event.role)
    phase = str(line.phase) if line is not None and line.phase is not None else ""
    return _of_run(event, report) or _of_host(event, phase) or _said_on_the_way(event, report, phase)


def _of_run(event: Event, report: Report) -> Said | None:
    match event:
        case events.RunStarted():
            where = ", ".join(dict.fromkeys(host for host, _role in event.targets))
            return Said("note", f"{title(report)}: {where}")
        case events.BatchStarted() if event.of > 1:
            return Said("note", f"batch {event.number} of {event.of}: {', '.join(event.hosts)}")
        case events.CancelRequested():
            return Said("warning", f"{STOPPING} ({LEAVE})")
        case _:
            return None


def _of_host(event: Event, phase: str) -> Said | None:
    match event:
        case events.PhaseEntered() if event.phase is not events.Phase.DONE:
            return Said("step", PHASES[event.phase], str(event.phase))
        case events.HostBooted():
            before = f" instead of {short(event.replaced)}" if event.replaced else ""
            return Said("ok", f"{short(event.version)} serves{before}", "done")
        case events.HostDone():
            return Said("ok", clean(event.sentence), "done")
        case events.HostFailed():
            where = f"failed in {event.phase}" if event.phase else "failed" if event.begun else "cannot be used"
            why = event.error.removeprefix(f"{event.host}: ").splitlines() or [""]
            return Said("problem", f"{where}: {clean(why[0])}", phase or "failed")
        case _:
            return None


def _said_on_the_way(event: Event, report: Report, phase: str) -> Said | None:
    match event:
        case events.FactLearned(fact=fact):
            if fact.text == f"version {report.version}":
                return None  # it was asked for by that name
            return Said("warning" if fact.warning else "note", clean(fact.text), phase)
        case events.Waiting():
            return Said("note", f"waiting {seconds(event.seconds)} {clean(event.why)}", phase)
        case events.LinePrinted() if text := spoken(event.line):
            return Said("step", text, phase)
        case _:
            return _command(event, phase)


def _command(event: Event, phase: str) -> Said | None:
    match event:
        case events.StepFinished():
            how = "no exit code" if event.exited is None else f"exit {event.exited}"
            text = f"{event.name} ({how}, {event.seconds:.2f} s): {_one_line(event.line)}"
        case events.StepSkipped():
            text = f"{event.name} (would run): {_one_line(event.line)}"
        case _:
            return None
    return Said("command", text, phase)


def _one_line(text: str) -> str:
    return clean(text.replace("\n", "\\n"))
