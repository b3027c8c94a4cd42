"""The lock and its fence as a pure model: controllers, hosts with lock sessions, and a world that breaks them.

Its rules are those of ``kamalnb/locks.py`` (primary host first, then the others in any order, all or none), of
``kamalnb/commands/lock.py`` (a session holds a kernel lock; its orderly end empties the file, its violent end does not;
who is given the lock had the work file for itself) and of ``kamalnb/script.py`` (a changing script takes the work file,
shared, compares the lock file's first line, and keeps the work file until it ends, whatever became of its controller).
``World`` is told each thing that happens on a host, so that pretend hosts and real shells can be led through the same
story and must answer as the model does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

HOSTS = ("one", "two", "three")
CONTROLLERS = ("a", "b", "c")
Action = tuple[str, ...]


class World(Protocol):
    """What a host does, to be held against the model."""

    def take(self, host: str, run: str, primary: bool) -> bool:
        """A session is begun; whether it got the lock."""

    def ends(self, host: str, run: str) -> None:
        """Its stdin ended, or its lease did: it goes in order."""

    def late(self, host: str, run: str) -> None:
        """No heartbeat came for the length of a lease."""

    def killed(self, host: str, run: str) -> None:
        """It was killed on the host."""

    def write(self, host: str, run: str) -> bool:
        """A changing script of ``run`` begins; whether the host runs it."""

    def done(self, host: str, run: str) -> None:
        """A script of ``run`` ends, the one that began first."""


@dataclass
class Host:
    file: str = ""
    session: str = ""
    """The run whose session holds the kernel's lock."""
    at_work: list[str] = field(default_factory=list)
    """The run of each script that has begun and has not ended."""


@dataclass
class Controller:
    run: str = ""
    wanted: tuple[str, ...] = ()
    taken: list[str] = field(default_factory=list)
    alive: bool = True
    stopped: bool = False
    cut: set[str] = field(default_factory=set)

    @property
    def holding(self) -> bool:
        """It believes that it has all that it wants: it goes on to change hosts."""
        return bool(self.run) and len(self.taken) == len(self.wanted)

    def reaches(self, host: str) -> bool:
        return self.alive and not self.stopped and host not in self.cut


class Model:
    """Everything that can happen, one thing at a time. Raises AssertionError where a promise is broken."""

    def __init__(self, world: World | None = None, *, fenced: bool = True, held: bool = True) -> None:
        self.hosts = {name: Host() for name in HOSTS}
        self.controllers = {name: Controller() for name in CONTROLLERS}
        self.runs = 0
        self.refused = 0
        self.wrote = 0
        self.waited = 0
        self._world = world
        self._fenced = fenced
        self._held = held

    def possible(self) -> Iterator[Action]:
        """What may happen next."""
        for name, one in self.controllers.items():
            if not one.alive:
                yield ("start anew", name)
                continue
            yield ("resume" if one.stopped else "stop", name)
            yield ("kill", name)
            if one.stopped:
                continue
            if not one.run:
                yield from (("begin", name, *wanted) for wanted in ((), ("two",), ("three",), ("two", "three")))
                continue
            for host in HOSTS:
                yield ("mend" if host in one.cut else "cut", name, host)
            if one.holding:
                yield from (("write", name, host) for host in one.wanted if one.reaches(host))
                yield ("release", name)
            else:
                yield from (("take", name, host) for host in self._next(one) if one.reaches(host))
        yield ("a lease passes",)
        yield from (("kill session", name) for name, host in self.hosts.items() if host.session)
        yield from (("script ends", name) for name, host in self.hosts.items() if host.at_work)

    def do(self, action: Action) -> None:
        """It happens, and every promise is looked at."""
        what, *words = action
        getattr(self, "_" + what.replace(" ", "_"))(*words)
        self.check()

    def check(self) -> None:
        """No host is held by two, no one believes to hold what another one's living session holds."""
        for name, host in self.hosts.items():
            owners = [who for who, one in self.controllers.items() if one.run and one.run == host.session]
            assert len(owners) <= 1, f"{name} is held by {owners}"
            assert not host.session or host.file == host.session, f"{name} says {host.file}, {host.session} holds it"
            writers = {run for run in (host.session, *host.at_work) if run}
            assert len(writers) <= 1 or not host.at_work, (
                f"{name} is written to by {host.at_work}, {host.session} holds it"
            )

    # -- controllers -----------------------------------------------------------------------------------------------

    def _begin(self, name: str, *others: str) -> None:
        self.runs += 1
        one = self.controllers[name]
        one.run, one.wanted, one.taken = f"run-{self.runs}", ("one", *others), []

    def _next(self, one: Controller) -> tuple[str, ...]:
        """The primary host is asked alone; the rest at once, so in any order."""
        return ("one",) if not one.taken else tuple(host for host in one.wanted if host not in one.taken)

    def _take(self, name: str, host: str) -> None:
        one, there = self.controllers[name], self.hosts[host]
        free = not there.session and not (there.at_work and self._held)
        self.waited += not free and not there.session
        if self._world is not None:
            assert self._world.take(host, one.run, host == "one") == free, f"taking {host} for {one.run}"
        if not free:
            self._release(name)
            return
        there.session = there.file = one.run
        one.taken.append(host)

    def _release(self, name: str) -> None:
        one = self.controllers[name]
        for host in one.taken:
            if host not in one.cut:
                self._end(host, one.run)
        # A session behind a cut cable ends by its lease: nobody's run any more, until then.
        one.run, one.taken = "", []

    def _write(self, name: str, host: str) -> None:
        one, there = self.controllers[name], self.hosts[host]
        lets = there.file == one.run or not self._fenced
        if self._world is not None:
            assert self._world.write(host, one.run) == lets, f"{one.run} writes on {host}"
        if not lets:
            self.refused += 1
            return
        self.wrote += 1
        there.at_work.append(one.run)
        assert there.session in ("", one.run), f"{one.run} writes on {host}, which {there.session} holds"

    def _script_ends(self, host: str) -> None:
        run = self.hosts[host].at_work.pop(0)
        if self._world is not None:
            self._world.done(host, run)

    # -- what breaks -----------------------------------------------------------------------------------------------

    def _stop(self, name: str) -> None:
        self.controllers[name].stopped = True

    def _resume(self, name: str) -> None:
        self.controllers[name].stopped = False

    def _kill(self, name: str) -> None:
        """SIGKILL: its connections end, so its sessions read the end of their stdin; not those behind a cut cable."""
        one = self.controllers[name]
        for host in one.taken:
            if host not in one.cut:
                self._end(host, one.run)
        self.controllers[name] = Controller(alive=False)

    def _start_anew(self, name: str) -> None:
        self.controllers[name] = Controller()

    def _cut(self, name: str, host: str) -> None:
        self.controllers[name].cut.add(host)

    def _mend(self, name: str, host: str) -> None:
        self.controllers[name].cut.discard(host)

    def _a_lease_passes(self) -> None:
        beating = {
            (host, one.run) for one in self.controllers.values() for host in one.taken if one.run and one.reaches(host)
        }
        for name, host in self.hosts.items():
            if host.session and (name, host.session) not in beating:
                if self._world is not None:
                    self._world.late(name, host.session)
                self._gone(name)
        assert all(not host.session or (name, host.session) in beating for name, host in self.hosts.items())

    def _kill_session(self, host: str) -> None:
        if self._world is not None:
            self._world.killed(host, self.hosts[host].session)
        self.hosts[host].session = ""  # its file still has its id: no trap ran

    def _end(self, host: str, run: str) -> None:
        if self.hosts[host].session != run:
            return
        if self._world is not None:
            self._world.ends(host, run)
        self._gone(host)

    def _gone(self, host: str) -> None:
        self.hosts[host].session = self.hosts[host].file = ""


WEIGHTS = {"take": 8, "write": 6, "script ends": 6, "begin": 3, "resume": 4, "start anew": 4, "a lease passes": 2}


def story(seed: int, steps: int, world: World | None = None, **more: bool) -> Model:
    """A random interleaving, the same one for a seed; what brings runs forward is likelier."""
    chance = random.Random(seed)
    model = Model(world, **more)
    for _ in range(steps):
        actions = list(model.possible())
        (action,) = chance.choices(actions, [WEIGHTS.get(action[0], 1) for action in actions])
        model.do(action)
    return model
