"""The run of a soak: round after round under one load, a line for each, and what came of it all."""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..lab import find
from ..load import Profile, RunningLoad, Tally, running_load
from ..machine import Say
from .ground import HOST_HEADER, Ground, Meanwhile, Ran, disturbing, ground_of, stopping
from .rounds import OUTAGES, Fault, Kind, Round, Story
from .watch import Watch, settled

FIRST = "v1"
LOCKED = 75
FREE_WITHIN = 10.0
"""Seconds in which a dead deployer's lock must be free, with some for a busy machine."""
BY_ITSELF = 30.0
"""Seconds in which a host ends what a dead deployer began."""
USUAL = 8.0
"""Seconds of a run until the first has been timed."""
CALM = Profile(
    new=15, keepalive=20, post=10, slow=2, slow_seconds=1.5, websockets=0, max_requests=10_000_000, max_seconds=86_400
)
"""An open WebSocket would hold every drain to its limit, and an app that is rude drops it without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A round that is over. ``violations`` are those that were seen in it, ``lost`` requests that nobody declared."""

    number: int
    round: Round
    seconds: float
    exits: tuple[int, ...]
    violations: tuple[str, ...]
    lost: int

    def __str__(self) -> str:
        ends = " then ".join(map(str, self.exits))
        well = "ok" if not (self.violations or self.lost) else f"WRONG, lost {self.lost}"
        serves = f"{self.round.serves} serves; {self.seconds:.1f} s; {well}"
        told = f"{self.number:>4}  {self.round.sentence} → {ends}; {serves}"
        return "\n".join([told, *(f"        {each}" for each in self.violations)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What came of it all."""

    seed: int
    rows: tuple[Row, ...]
    tally: Tally
    lost: int
    excused: int
    """Lost requests that fell into a declared outage."""
    samples: int
    violations: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing that must hold was broken, and no request was lost, doubled or answered by an older version."""
        orders = self.tally.orders
        faults = self.lost + orders.doubled_count + orders.missing_count + self.tally.mixed
        return not (faults or self.violations) and self.tally.requests > 0

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(row.round.kind for row in self.rows).items())
        faults = Counter(row.round.fault for row in self.rows if row.round.fault is not Fault.NONE)
        told = ", ".join(f"{count} {fault}" for fault, count in faults.items()) or "none"
        return (
            f"{len(self.rows)} rounds ({kinds}; faults: {told}), {self.samples:,} samples, "
            f"{len(self.violations)} violations, {self.tally.requests:,} requests, lost {self.lost}, "
            f"{self.excused} more in declared outages, mixed {self.tally.mixed}, {self.tally.orders.sentence}; "
            f"seed {self.seed}"
        )


def run(
    say: Say = print, directory: Path = Path(".lab"), *, minutes: float = 0, rounds: int = 0, seed: int = 0
) -> Soaked:
    """Plays ``rounds`` rounds, or as many as begin within ``minutes`` (5, where neither is given).

    All that is chosen comes from ``seed``; 0 takes one from the clock. LabError where there is no lab, or nothing can
    be begun on it.
    """
    seed = seed or int(time.time())
    end = time.monotonic() + 60 * (minutes or (1e6 if rounds else 5))
    lab = find(directory)
    urls = {host.name: host.proxy_url for host in lab.hosts}
    with ground_of(lab) as ground:
        ground.must("traefik.boot")
        ground.must("boot", f"--version={FIRST}")
        say(f"seed {seed}, {len(urls)} hosts, {FIRST} serves")
        with running_load(urls, CALM, HOST_HEADER) as load, Watch(ground, load).watching() as watch:
            soak = Soak(ground, load, watch, Story(seed, [FIRST], len(urls)))
            while time.monotonic() < end and (not rounds or len(soak.rows) < rounds):
                say(str(soak.play()))
            load.stop()
            tally = load.compare_orders(ground.orders())
        lost, excused = watch.lost()
        for each in lost[:20]:
            at = each.start - load.load.book.began
            say(f"lost: {at:.2f} s  {each.host} {each.kind}: {each.outcome} {each.reason}")
    soaked = Soaked(
        seed=seed, rows=tuple(soak.rows), tally=tally, lost=len(lost), excused=excused, samples=watch.samples,
        violations=tuple(watch.violations),
    )  # fmt: skip
    say(str(soaked))
    return soaked


@dataclass
class Soak:
    """The rounds as they are played."""

    ground: Ground
    load: RunningLoad
    watch: Watch
    story: Story
    rows: list[Row] = field(default_factory=list)
    usual: float = USUAL

    def play(self) -> Row:
        """Plays the next one."""
        chosen, number = self.story.next(), len(self.rows) + 1
        seen, lost = len(self.watch.violations), len(self.watch.lost()[0])
        self.watch.label = f"round {number}"
        began = time.monotonic()
        if chosen.fault in OUTAGES:
            self._outage(chosen)
        self.load.stage(f"round {number}", _order(chosen))
        exits = self._commands(chosen)
        wrong = settled(self.ground, chosen.serves, BY_ITSELF if chosen.disturbed else 0.0)
        self.watch.violations += [f"round {number}: {each}" for each in wrong]
        row = Row(
            number=number, round=chosen, seconds=time.monotonic() - began, exits=tuple(exits),
            violations=tuple(self.watch.violations[seen:]), lost=len(self.watch.lost()[0]) - lost,
        )  # fmt: skip
        self.rows.append(row)
        return row

    def _commands(self, chosen: Round) -> list[int]:
        first = self.ground.invoke(*chosen.words, meanwhile=self._meanwhile(chosen))
        if not chosen.disturbed:
            if not chosen.fails:
                self.usual = (self.usual + first.seconds) / 2
            self._expect(first, fails=chosen.fails)
            return [first.exited]
        if first.exited == 0 and not chosen.fails:
            return [0]
        second = self._as_soon_as_free(chosen)
        self._expect(second, fails=False)
        return [first.exited, second.exited]

    def _meanwhile(self, chosen: Round) -> Meanwhile:
        host, moment = self.ground.hosts[chosen.host], chosen.moment * self.usual
        if chosen.fault is Fault.RELOAD:
            self.ground.reload_docker(host)
        if chosen.stopped:
            return stopping(moment, signal.SIGINT if chosen.kind is Kind.INTERRUPTED else signal.SIGKILL)
        if chosen.fault is Fault.SESSIONS:
            return disturbing(moment, lambda: self.ground.kill_sessions(host))
        return lambda process: None

    def _as_soon_as_free(self, chosen: Round) -> Ran:
        """The second command; the lock of the dead one may be held for a moment still."""
        end = time.monotonic() + FREE_WITHIN
        while True:
            done = self.ground.invoke(*chosen.again)
            if done.exited != LOCKED or time.monotonic() > end:
                return done

    def _expect(self, done: Ran, *, fails: bool) -> None:
        if (done.exited == 0) == fails:
            what = f"{self.watch.label}: “{' '.join(done.words)}” ended with {done.exited}"
            self.watch.violations.append(f"{what}:\n{done.said[-1500:]}")

    def _outage(self, chosen: Round) -> None:
        with self.watch.outage():
            if chosen.fault is Fault.PROXY:
                self._expect(self.ground.invoke("traefik.restart"), fails=False)
            else:
                self.ground.lab.restart_docker(self.ground.hosts[chosen.host])


def _order(chosen: Round) -> tuple[str, ...]:
    return (chosen.before, chosen.serves) if chosen.before != chosen.serves else ()
