"""What the rounds of a soak are: chosen by a seed alone, each with who must serve after it. Nothing here does I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TypeVar

_T = TypeVar("_T")

GOOD = ("v1", "v2", "v3", "v4", "rude-1", "rude-2")
BAD = ("never-healthy", "exits", "loopback", "wrong-port", "no-probe", "no-sh", "not-there")
"""Each fails before its switch, so that nobody should notice. ``not-there`` is in no registry."""


class Kind(StrEnum):
    """What a round does."""

    BOOT = "boot"
    SAME = "same version again"
    UNDO = "undo"
    ROLLBACK = "rollback"
    FAILING = "failing boot"
    KILLED = "boot, killed"
    KILLED_FAILING = "failing boot, killed"
    KILLED_UNDO = "undo, killed"
    INTERRUPTED = "boot, interrupted"
    PRUNE = "prune"


class Fault(StrEnum):
    """What happens to a host meanwhile, or (the last two) to all hosts just before, as a declared outage."""

    NONE = "none"
    SESSIONS = "ssh sessions killed"
    RELOAD = "docker reloaded"
    PROXY = "traefik restarted"
    DOCKER = "docker restarted"


OUTAGES = (Fault.PROXY, Fault.DOCKER)
WEIGHTS = {
    Kind.BOOT: 6, Kind.SAME: 1, Kind.UNDO: 4, Kind.ROLLBACK: 2, Kind.FAILING: 5, Kind.KILLED: 8,
    Kind.KILLED_FAILING: 2, Kind.KILLED_UNDO: 2, Kind.INTERRUPTED: 2, Kind.PRUNE: 1,
}  # fmt: skip
FAULTS = {Fault.NONE: 12, Fault.SESSIONS: 4, Fault.RELOAD: 2, Fault.PROXY: 2, Fault.DOCKER: 1}
STOPPED = (Kind.KILLED, Kind.KILLED_FAILING, Kind.KILLED_UNDO, Kind.INTERRUPTED)
FAILS = (Kind.FAILING, Kind.KILLED_FAILING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round. ``moment`` (0 to 1) of the usual length of a run is when it is stopped, or when the fault comes."""

    kind: Kind
    fault: Fault
    words: tuple[str, ...]
    again: tuple[str, ...]
    """What brings the hosts to ``serves`` where ``words`` were stopped or disturbed."""
    before: str
    serves: str
    moment: float
    host: int
    """The number of the host that the fault is for."""

    @property
    def stopped(self) -> bool:
        """Its controller is killed or interrupted."""
        return self.kind in STOPPED

    @property
    def fails(self) -> bool:
        """Its first command must end with something else than 0."""
        return self.kind in FAILS

    @property
    def disturbed(self) -> bool:
        """Its first command may end any way, and ``again`` follows where it is not 0."""
        return self.stopped or self.fault is Fault.SESSIONS

    @property
    def sentence(self) -> str:
        """“boot, killed at 42 %: invoke boot --version=v2 (docker reloaded)”."""
        when = f" at {self.moment:.0%}" if self.stopped else ""
        fault = "" if self.fault is Fault.NONE else f" ({self.fault})"
        return f"{self.kind}{when}: {' '.join(self.words)}{fault}"


@dataclass
class Story:
    """The rounds of one seed, and what has served so far, the one that serves first."""

    seed: int
    served: list[str] = field(default_factory=lambda: ["v1"])
    hosts: int = 2
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311  (a seed is for saying it again)

    def next(self) -> Round:
        """Chooses a round and takes it as well done."""
        kind = self._choose(WEIGHTS)
        fault = self._choose(FAULTS)
        if kind in (Kind.UNDO, Kind.ROLLBACK, Kind.KILLED_UNDO) and len(self.served) < 2:
            kind = Kind.BOOT
        if kind in STOPPED and fault is Fault.SESSIONS:
            fault = Fault.NONE  # one death a round
        now, target = self.served[0], self._target(kind)
        words, again = _words(kind, target, now, self._random)
        moment, host = self._random.random(), self._random.randrange(self.hosts)
        serves = now if target == "" else target
        if serves in self.served:
            self.served.remove(serves)
        self.served.insert(0, serves)
        return Round(
            kind=kind, fault=fault, words=words, again=again, before=now, serves=serves, moment=moment, host=host
        )

    def _choose(self, weights: dict[_T, int]) -> _T:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _target(self, kind: Kind) -> str:
        if kind in (Kind.UNDO, Kind.KILLED_UNDO):
            return self.served[1]
        if kind is Kind.ROLLBACK:
            return self._random.choice(self.served[1:3])
        if kind in (Kind.BOOT, Kind.KILLED, Kind.INTERRUPTED):
            return self._random.choice([version for version in GOOD if version != self.served[0]])
        return ""


def _words(kind: Kind, target: str, now: str, random: Random) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The command, and the one after it: the same again, but for those that would go somewhere else then."""
    if kind is Kind.PRUNE:
        return ("prune.all",), ("prune.all",)
    if kind in FAILS:
        return ("boot", f"--version={random.choice(BAD)}"), ("boot", f"--version={now}")
    if kind in (Kind.UNDO, Kind.KILLED_UNDO):
        return ("undo",), ("rollback", f"--version={target}")
    verb = "rollback" if kind is Kind.ROLLBACK else "boot"
    words = (verb, f"--version={target or now}", *(("--force",) if kind is Kind.SAME else ()))
    return words, words
