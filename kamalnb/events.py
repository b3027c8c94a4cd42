"""What happened, and the summary that every presenter reads. Nothing here may do I/O.

One stream of events goes to the console, to widgets, to DataFrames and to tests; ``Report.after`` folds it.
No presenter works out a state by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Phase(StrEnum):
    """Where a boot of one role on one host is, in this order; ``undo`` is the way back."""

    OBSERVE = "observe"
    PREPARE = "prepare"
    START = "start"
    VERIFY = "verify"
    READY = "ready"
    SWITCH = "switch"
    SOAK = "soak"
    COMMIT = "commit"
    DRAIN = "drain"
    STOP = "stop"
    DONE = "done"
    UNDO = "undo"


NEXT: Mapping[Phase | None, frozenset[Phase]] = MappingProxyType(
    {
        None: frozenset({Phase.OBSERVE}),
        Phase.OBSERVE: frozenset({Phase.PREPARE}),
        # Once to pull, once more to prepare; a stop-first role stops the old one from here.
        Phase.PREPARE: frozenset({Phase.PREPARE, Phase.START, Phase.STOP, Phase.UNDO}),
        Phase.START: frozenset({Phase.VERIFY, Phase.UNDO}),
        Phase.VERIFY: frozenset({Phase.READY, Phase.STOP, Phase.DONE, Phase.UNDO}),
        Phase.READY: frozenset({Phase.SWITCH, Phase.UNDO}),
        Phase.SWITCH: frozenset({Phase.SOAK, Phase.COMMIT, Phase.DRAIN, Phase.STOP, Phase.DONE, Phase.UNDO}),
        Phase.SOAK: frozenset({Phase.COMMIT, Phase.DRAIN, Phase.STOP, Phase.DONE, Phase.UNDO}),
        Phase.COMMIT: frozenset({Phase.DRAIN, Phase.STOP, Phase.DONE, Phase.UNDO}),
        # A new one that dies while the old one drains gives way to it once more.
        Phase.DRAIN: frozenset({Phase.STOP, Phase.DONE, Phase.UNDO}),
        Phase.STOP: frozenset({Phase.START, Phase.DONE, Phase.UNDO}),
        Phase.DONE: frozenset(),
        Phase.UNDO: frozenset(),
    }
)
"""Which phase may follow which; the tests hold every boot to it."""


class State(StrEnum):
    """How a role on a host stands, for people and for exit codes."""

    WAITING = "waiting"
    RUNNING = "running"
    BOOTED = "booted"
    DONE = "done"
    FAILED = "failed"
    UNTOUCHED = "untouched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something a flow found out that people should know: ``kind`` for programs, ``text`` for people."""

    kind: str
    text: str
    warning: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """``at`` is seconds since the run began. ``host`` and ``role`` are empty for the run as a whole."""

    at: float
    host: str = ""
    role: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The event for ``--json``: its name, then its fields."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """The run begins: what, and where. ``targets`` are (host, role) pairs."""

    run_id: str
    verb: str
    service: str
    version: str
    targets: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStarted(Event):
    """Hosts that are booted side by side from now on."""

    number: int
    of: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEntered(Event):
    """A boot came to ``phase``."""

    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """A command ended. ``line`` has no secret in it."""

    name: str
    line: str
    exited: int | None
    seconds: float
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSkipped(Event):
    """A dry run: this command would run now. ``uses`` are the shell functions that it calls."""

    name: str
    line: str
    changes: bool = True
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePrinted(Event):
    """A line of a running command."""

    name: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactLearned(Event):
    """A flow tells something."""

    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """Nothing is done for ``seconds``, and why."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBooted(Event):
    """One role on one host serves its new version."""

    version: str
    replaced: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDone(Event):
    """A change other than a boot went well there; ``sentence`` says what was done."""

    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFailed(Event):
    """One role on one host did not boot. ``serving`` says what serves there now."""

    phase: Phase | None
    error: str
    kind: str
    serving: str = ""
    hint: str = ""
    log: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    kept: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Event):
    """A person asked the run to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """Always the last event. ``exit_code`` is what a task or a runbook ends with."""

    ok: bool
    sentence: str
    exit_code: int = 0


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
        return next((line for line in self.lines if (line.host, line.role) == (host, role)), None)

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
                )
            case BatchStarted():
                return replace(report, batch=event)
            case CancelRequested():
                return replace(report, cancelling=True)
            case RunFinished():
                return replace(report, finished=event)
            case FactLearned(fact=fact) if not event.role:
                return _with_version(replace(report, notes=(*report.notes, fact)), fact)
            case _:
                return replace(report, lines=tuple(_changed(line, event) for line in report.lines))


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
            untouched = event.phase is None
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
