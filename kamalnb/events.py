"""What happened. Nothing here may do I/O.

One stream of events goes to the console, to widgets, to DataFrames and to tests; ``report`` folds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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
        # What serves already is passed over.
        Phase.OBSERVE: frozenset({Phase.PREPARE, Phase.DONE}),
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
    """One role on one host did not boot, or was not changed. ``serving`` says what serves there now.

    ``begun``: something may have been changed there, though there are no phases to tell how much.
    """

    phase: Phase | None
    error: str
    kind: str
    serving: str = ""
    hint: str = ""
    log: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    kept: str = ""
    begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Event):
    """A person asked the run to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """Always the last event. ``exit_code`` is what a task or a runbook ends with.

    ``cancelled`` says that a person had asked it to stop, also where ``CancelRequested`` came too late to be told.
    """

    ok: bool
    sentence: str
    exit_code: int = 0
    cancelled: bool = False
