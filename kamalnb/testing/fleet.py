"""A pretend fleet: an executor over pretend hosts, the clock that goes with it, and ``pretend`` for people."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import HostUnreachable, KamalnbError
from ..executor import Abort, Hold, OnLine, OnResult, never
from ..flow import Cancelled, Flow, Run
from ..live import OnPiece
from ..script import Script, work_file
from ..shell import Command, Result
from . import streams
from .running import Running
from .scripted import Driven, drive

if TYPE_CHECKING:
    from ..fleet import Fleet
    from .host import PretendHost

LOST = "the connection was lost"


class PretendFleet:
    """An ``Executor`` over pretend hosts. Each has a time of its own, which passes while something waits for it."""

    def __init__(self, hosts: Iterable[PretendHost]) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.clock = FakeClock(self)
        self._here = threading.local()

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        """See ``Executor.run``."""
        here = self.hosts.get(host)
        self._here.host = here
        if here is None or here.unreachable:
            raise HostUnreachable(host, "connect", f"nothing answers at {host}. Try `ssh {host}`.")
        with here.lock:
            running = here.begin(script)
        watch = _Watched(here, running, on_result, on_line)
        while not running.done:
            if abort() or watch.lost():
                return watch.left("aborted" if abort() else LOST)
            watch.step()
        watch.tell()
        return running.all()

    def hold(self, host: str, command: Command, heartbeat: float) -> Hold:
        """See ``Executor.hold``: a session that holds a lock file, or the answer that somebody else does."""
        here = self.hosts.get(host)
        if here is None or here.unreachable:
            raise HostUnreachable(host, "connect", f"nothing answers at {host}. Try `ssh {host}`.")
        path, run_id, line = (str(command.words[number]) for number in (5, 6, 11))
        with here.lock:
            person = here.files.get(here.path(str(command.words[12])), "")
            return PretendHold(here, here.path(path), f"{run_id}\n{line}\n", person)

    def stream(
        self,
        host: str,
        command: Command,
        on_piece: OnPiece,
        abort: Abort = never,
        *,
        over: Command | None = None,
        limit: float = float("inf"),
    ) -> Result:
        """See ``Executor.stream``."""
        here = self.hosts.get(host)
        if here is None or here.unreachable:
            raise HostUnreachable(host, "connect", f"nothing answers at {host}. Try `ssh {host}`.")
        return streams.play(here, command, on_piece, abort, over)

    def close(self) -> None:
        """There is nothing to let go."""

    def pass_by(self, seconds: float) -> None:
        """Time passes: where this thread worked last, else everywhere."""
        here = getattr(self._here, "host", None)
        for host in [here] if here is not None else self.hosts.values():
            with host.lock:
                host.time.pass_by(seconds)

    def is_on_host(self) -> bool:
        """Whether this thread works for one host."""
        return getattr(self._here, "host", None) is not None

    def now(self) -> float:
        """The time of the host that is furthest on."""
        return max((host.time.now for host in self.hosts.values()), default=0.0)


class PretendHold:
    """A lock session on a pretend host."""

    def __init__(self, host: PretendHost, path: str, claim: str, person: str = "") -> None:
        self._host = host
        self._path = path
        ours, work = host.files.get(path, ""), host.at_work(path)
        kind = "person" if person else "ours" if ours else "work" if work else "held"
        self.held = kind == "held"
        self.printed = f"{kind}\n{person or ours or (host.files.get(work_file(path), '') if work else '')}"
        self.exited = None if self.held else 75
        if self.held:
            host.files[path] = host.files[work_file(path)] = claim

    def release(self) -> None:
        """Frees the lock, if it was ours."""
        if self.held:
            self._host.files[self._path] = ""
            self.held = False


def drive_on(
    host: PretendHost,
    flow: Flow[Any],
    stop: Callable[[Run], bool] = lambda run: False,
    alter: Callable[[Script], Script] = lambda script: script,
) -> Driven:
    """Drives ``flow`` on one pretend host, without an engine or threads.

    ``stop`` says before which run a person cancels. ``alter`` may break scripts, to see that a test notices.
    """
    fleet = PretendFleet([host])
    ran: list[Command] = []

    def answered(run: Run) -> tuple[Result, ...] | KamalnbError:
        if stop(run):
            return Cancelled()
        try:
            script = alter(run.script)
            commands = script.commands
            return fleet.run(
                host.name, script, lambda number, _: ran.append(commands[number]), lambda number, line: None
            )
        except HostUnreachable as error:
            return error

    driven = drive(flow, answered, pause=fleet.pass_by)
    driven.ran = ran
    return driven


class _Watched:
    """One connection that follows a script."""

    def __init__(self, host: PretendHost, running: Running, on_result: OnResult, on_line: OnLine) -> None:
        self._host = host
        self._running = running
        self._on_result = on_result
        self._on_line = on_line
        self._results = 0
        self._lines = 0
        self._until = host.time.now + running.script.limit

    def step(self) -> None:
        """One thing happens on the host, and is told."""
        with self._host.lock:
            if not self._running.done:
                self._host.time.step()
        self.tell()

    def tell(self) -> None:
        """Tells what is new."""
        results, lines = list(self._running.results.items()), list(self._running.lines)
        for number, line in lines[self._lines :]:
            self._on_line(number, line)
        for number, result in results[self._results :]:
            self._on_result(number, result)
        self._results, self._lines = len(results), len(lines)

    def lost(self) -> bool:
        """Whether the connection ends now: it was ordered, or the time is up."""
        name = self._running.current.name
        if self._host.losing.get(name, 0):
            self._host.losing[name] -= 1
            return True
        return self._host.time.now > self._until

    def left(self, why: str) -> tuple[Result, ...]:
        """What is known; a script that is not detached does not get further than its command at hand."""
        results = self._running.partly(why)
        if self._running.script.journal is None:
            self._running.cut = True
        return results


FAILURES: Mapping[str, str] = {
    "unreachable": "nothing answers at its address",
    "no docker": "Docker does not answer there",
    "disk full": "the disk is full",
    "never healthy": "what is booted there never becomes healthy",
    "exits": "what is booted there ends at once",
    "dies": "what is booted there dies after the switch",
    "loopback": "what is booted there listens on the loopback address only",
    "no traefik": "no Traefik runs there",
}
"""What may be wrong with a pretend host, for ``pretend(fail=…)``."""


def pretend(
    hosts: int | Sequence[str] = 3,
    *,
    fail: Mapping[str, str] | None = None,
    serving: str | None = "v1",
    speed: float | None = None,
    file: str = "",
) -> Fleet:
    """A whole fleet that exists nowhere: boot it, break it, look at it. No host, no Docker, no SSH, no file.

    ``hosts`` is how many, or their names (``web-1`` …). ``fail`` says what is wrong where:
    ``{"web-3": "never healthy"}``; see ``FAILURES``. ``serving`` is the version that runs at first; ``v1`` to ``v4``
    are good ones. ``speed`` lets virtual seconds last: 1.0 is real time, 10.0 ten times as quick, None takes none.
    ``file`` is more text for its ``deploy.yml``. Raises UsageError for a failure or host that there is none of.
    """
    from .practice import fleet_of

    names = tuple(f"web-{number}" for number in range(1, hosts + 1)) if isinstance(hosts, int) else tuple(hosts)
    return fleet_of(names, dict(fail or {}), serving, speed, file)


class FakeClock:
    """An engine's clock over pretend hosts: waiting lets their time pass."""

    def __init__(self, fleet: PretendFleet) -> None:
        self._fleet = fleet

    def now(self) -> float:
        """Virtual seconds."""
        return self._fleet.now()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Returns at once, ``seconds`` later."""
        if not stop.is_set():
            self._fleet.pass_by(seconds)
