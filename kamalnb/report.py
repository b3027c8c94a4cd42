"""The summary of a run that every presenter reads: ``Report.after`` folds the events. Nothing here may do I/O.

No presenter works out a state by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from .events import (
    BatchStarted,
    CancelRequested,
    Event,
    Fact,
    FactLearned,
    HostBooted,
    HostDone,
    HostFailed,
    LinePrinted,
    Phase,
    PhaseEntered,
    RunFinished,
    RunStarted,
    Waiting,
)


class State(StrEnum):
    """How a role on a host stands, for people and for exit codes."""

    WAITING = "waiting"
    RUNNING = "running"
    BOOTED = "booted"
    DONE = "done"
    FAILED = "failed"
    UNTOUCHED = "untouched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One role on one host in a report. ``since`` and ``ended`` are seconds since the run began."""

    host: str
    role: str
    state: State = State.WAITING
    phase: Phase | None = None
    since: float = 0.0
    started: float | None = None
    ended: float | None = None
    version: str = ""
    replaced: str | None = None
    serving: str = ""
    doing: str = ""
    failures: tuple[HostFailed, ...] = ()
    """Why it failed; several where the looks before a run found several things."""
    warnings: tuple[str, ...] = ()

    @property
    def failure(self) -> HostFailed | None:
        """Why it failed, the last thing said; None where it did not."""
        return self.failures[-1] if self.failures else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The run so far: one line per host and role, and how it ended."""

    verb: str = ""
    service: str = ""
    version: str = ""
    run_id: str = ""
    lines: tuple[Line, ...] = ()
    batch: BatchStarted | None = None
    notes: tuple[Fact, ...] = ()
    at: float = 0.0
    cancelling: bool = False
    finished: RunFinished | None = None
    _places: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)
    """Where each host's lines are: a thousand hosts tell tens of thousands of events."""

    @property
    def ok(self) -> bool:
        """It ended, and every host serves what it should."""
        return self.finished is not None and self.finished.ok

    @property
    def failures(self) -> tuple[HostFailed, ...]:
        """Everything that failed, in the order of the lines."""
        return tuple(failure for line in self.lines for failure in line.failures)

    def count(self, *states: State) -> int:
        """How many lines are in one of ``states``."""
        return sum(line.state in states for line in self.lines)

    def line(self, host: str, role: str) -> Line | None:
        """The line of ``role`` on ``host``."""
        mine = (self.lines[number] for number in (self._places or _places(self.lines)).get(host, ()))
        return next((line for line in mine if line.role == role), None)

    def after(self, event: Event) -> Report:
        """The report once ``event`` has happened."""
        report = replace(self, at=event.at)
        match event:
            case RunStarted():
                lines = tuple(Line(host=host, role=role, version=event.version) for host, role in event.targets)
                return replace(
                    report,
                    verb=event.verb,
                    service=event.service,
                    version=event.version,
                    run_id=event.run_id,
                    lines=lines,
                    _places=_places(lines),
                )
            case BatchStarted():
                return replace(report, batch=event)
            case CancelRequested():
                return replace(report, cancelling=True)
            case RunFinished():
                return replace(report, finished=event, cancelling=report.cancelling or event.cancelled)
            case FactLearned(fact=fact) if not event.role:
                return _with_version(replace(report, notes=(*report.notes, fact)), fact)
            case _:
                places = self._places or _places(self.lines)
                changed = list(report.lines)
                for number in places.get(event.host, ()):
                    changed[number] = _changed(changed[number], event)
                return replace(report, lines=tuple(changed), _places=places)


def _places(lines: tuple[Line, ...]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for number, line in enumerate(lines):
        found[line.host] = (*found.get(line.host, ()), number)
    return found


def _with_version(report: Report, fact: Fact) -> Report:
    """Which version ``latest``, ``current`` and ``previous`` are is known only after the looks."""
    version = fact.data.get("version")
    if fact.kind != "version" or not version:
        return report
    return replace(report, version=version, lines=tuple(replace(line, version=version) for line in report.lines))


def _changed(line: Line, event: Event) -> Line:
    if event.host != line.host or event.role not in ("", line.role):
        return line
    match event:
        case PhaseEntered(phase=phase):
            started = line.started if line.started is not None else event.at
            return replace(line, state=State.RUNNING, phase=phase, since=event.at, started=started, doing="")
        case HostBooted():
            return replace(
                line,
                state=State.BOOTED,
                phase=Phase.DONE,
                version=event.version,
                replaced=event.replaced,
                serving=event.version,
                ended=event.at,
                doing="",
            )
        case HostDone():
            return replace(line, state=State.DONE, phase=Phase.DONE, ended=event.at, doing=event.sentence)
        case HostFailed():
            untouched = event.phase is None and not event.begun
            return replace(
                line,
                state=State.UNTOUCHED if untouched else State.FAILED,
                failures=(*line.failures, event),
                serving=event.serving,
                ended=event.at,
                doing="",
            )
        case FactLearned(fact=fact) if fact.warning:
            return replace(line, warnings=(*line.warnings, fact.text))
        case FactLearned(fact=fact):
            return replace(line, doing=fact.text, replaced=fact.data.get("from", line.replaced))
        case Waiting():
            return replace(line, doing=event.why)
        case LinePrinted():
            return replace(line, doing=event.line[:200])
        case _:
            return line
