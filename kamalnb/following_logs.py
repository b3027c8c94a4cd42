"""Follows the logs of many hosts as one stream of lines: over boots, restarts and lost connections.

One long session a host, each in a thread of its own; whoever iterates is the only one who sees lines. A slow listener
slows the hosts down, so nothing piles up here.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .commands import logs
from .commands.log_options import LogOptions
from .config.model import Config, Role
from .errors import HostUnreachable, KamalnbError, UsageError
from .executor import Executor
from .live import Lines
from .plan import Selection
from .reads.logs import bad_pattern, version_of

WAITING_LINES = 2_000
"""Lines that may wait for the listener before hosts have to wait."""
TOGETHER = 0.1
"""Seconds in which lines of several hosts are put in order."""
WINDOW = 5_000
"""Lines of a container that are remembered, to pass over what is told twice."""
OVERLAP = 2.0
"""Seconds of a container's log that are asked for again after a reconnect."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0
FAREWELL = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a container's log, or (``kind``) what is to be said about following it.

    ``at`` is Docker's time there in seconds since 1970, None where it told none.
    """

    host: str
    role: str = ""
    version: str = ""
    container: str = ""
    at: float | None = None
    message: str = ""
    kind: Literal["line", "note", "problem"] = "line"


class Following:
    """The lines as they come: iterate, and ``close`` when it is enough, from any thread (leaving the loop does, too).

    ``problems`` maps hosts that could not be followed to why; where none can be, iterating raises the first.
    """

    def __init__(self, executor: Executor, config: Config, selection: Selection, options: LogOptions) -> None:
        self.problems: dict[str, KamalnbError] = {}
        self._lines: queue.Queue[LogLine | None] = queue.Queue(WAITING_LINES)
        self._stopped = threading.Event()
        roles = {host: tuple(role for one, role in selection.pairs if one == host) for host in selection.hosts}
        self._hosts = [_Host(self, executor, host, roles[host], options) for host in selection.hosts]
        self._threads: list[threading.Thread] = []
        self._failing = threading.Lock()
        self._hopeless = False
        """No host could be followed at one moment: that ends it, also where one is reached just then."""

    def __iter__(self) -> Iterator[LogLine]:
        self._start()
        try:
            while not self.stopped and (batch := self._batch()) is not None:
                yield from batch
            if self._hopeless:
                raise next(iter(self.problems.values()))
        finally:
            self.close()

    def close(self) -> None:
        """Ends it. The hosts end what runs there; no more than a moment is waited for that."""
        self._stopped.set()
        until = time.monotonic() + FAREWELL
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def stopped(self) -> bool:
        """Nobody listens any more."""
        return self._stopped.is_set()

    def put(self, line: LogLine | None) -> None:
        """Hands on a line, as soon as there is room for it."""
        while not self.stopped:
            with contextlib.suppress(queue.Full):
                self._lines.put(line, timeout=0.2)
                return

    def wait(self, seconds: float) -> None:
        """Returns after that time, or when nobody listens any more."""
        self._stopped.wait(seconds)

    def failed(self, host: str, error: KamalnbError) -> bool:
        """Notes that a host could not be followed; whether none can be."""
        with self._failing:
            self.problems[host] = error
            self._hopeless = self._hopeless or len(self.problems) == len(self._hosts)
            return self._hopeless

    def reached(self, host: str) -> bool:
        """Notes that a host is followed; whether that was a problem before."""
        with self._failing:
            return not self._hopeless and self.problems.pop(host, None) is not None

    def _start(self) -> None:
        for host in self._hosts:
            thread = threading.Thread(target=host.run, name=f"kamalnb-logs-{host.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _batch(self) -> list[LogLine] | None:
        """The next lines in order; none after a moment without any; None at the end."""
        found: list[LogLine] = []
        with contextlib.suppress(queue.Empty):
            # With a limit: a main thread that waits without one would not see Ctrl-C.
            item = self._lines.get(timeout=0.2)
            until = time.monotonic() + TOGETHER
            while item is not None and len(found) < WAITING_LINES:
                found.append(item)
                item = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            if item is None and not found:
                return None
            if item is None:
                self._lines.put(None)
            else:
                found.append(item)
        return in_order(found)


def follow(executor: Executor, config: Config, selection: Selection, options: LogOptions) -> Following:
    """The logs of the chosen roles' containers on all chosen hosts, as they are written."""
    return Following(executor, config, selection, options)


def in_order(lines: list[LogLine]) -> list[LogLine]:
    """Lines by time, those of one container in the order in which they came."""
    latest: dict[tuple[str, str], float] = {}
    keyed = []
    for line in lines:
        who = (line.host, line.container)
        at = max(line.at or 0.0, latest.get(who, 0.0))
        latest[who] = at
        keyed.append((at, line))
    return [line for _at, line in sorted(keyed, key=lambda pair: pair[0])]


class _Window:
    """The last lines of a container: what comes a second time is passed over."""

    def __init__(self, version: str, whole_id: str, role: str) -> None:
        self.version = version
        self.whole_id = whole_id
        self.role = role
        self._lines: deque[tuple[str, float, int]] = deque()
        self._known: set[tuple[str, int]] = set()

    def is_new(self, printed: logs.Printed) -> bool:
        """Whether it was not told yet; a line without a time always counts as new."""
        at = printed.at
        if at is None:
            return True
        key = (printed.stamp, hash(printed.message))
        if key in self._known:
            return False
        self._known.add(key)
        self._lines.append((printed.stamp, at, key[1]))
        if len(self._lines) > WINDOW:
            stamp, _at, digest = self._lines.popleft()
            self._known.discard((stamp, digest))
        return True

    @property
    def since(self) -> str | None:
        """The time from which its lines are wanted again; None where there was none."""
        if not self._lines:
            return None
        newest = max(at for _stamp, at, _digest in self._lines)
        return min(stamp for stamp, at, _digest in self._lines if at >= newest - OVERLAP)


class _Host:
    """One host: its session, again and again."""

    def __init__(
        self, following: Following, executor: Executor, name: str, roles: tuple[Role, ...], options: LogOptions
    ) -> None:
        self.name = name
        self._following = following
        self._executor = executor
        self._roles = roles
        self._options = options
        self._windows: dict[str, _Window] = {}
        self._away: str | None = None
        self._connected = False
        self._clock = self._since = self._heard = 0.0
        self._lines = Lines()
        self._complaint = ""
        self._pause = FIRST_WAIT

    def run(self) -> None:
        """Follows until nobody listens, or nothing can be followed anywhere."""
        try:
            while not self._following.stopped and self._once():
                self._following.wait(self._pause)
                self._pause = min(2 * self._pause, LONGEST_WAIT)
        except Exception as error:  # a defect of ours: said, never a host that is silently left out
            self._problem(KamalnbError(f"{self.name}: a defect of kamalnb: {error!r}. Please report it."), last=True)

    def _once(self) -> bool:
        """One session; whether another one is to be tried."""
        known = {one.whole_id: one.since for one in self._windows.values() if one.since}
        command = logs.follow(self._roles, self._options, known, self._away)
        self._lines, self._complaint = Lines(), ""
        was_connected, self._connected = self._away is not None, False
        try:
            result = self._executor.stream(self.name, command, self._take, lambda: self._following.stopped)
        except HostUnreachable as error:
            return self._problem(error) if not was_connected else True
        if self._following.stopped:
            return False
        if result.exited == logs.BAD_PATTERN:
            refused = bad_pattern(self.name, self._complaint)
            return self._problem(UsageError(refused), last=True)
        why = self._why(result.exited, result.stderr)
        if self._connected:
            self._away = f"{self._clock + self._heard - self._since - OVERLAP:.3f}"
            self._say("note", f"{why}; connecting again")
        elif not was_connected:
            return self._problem(KamalnbError(f"{self.name}: {why}."))
        return True

    def _why(self, exited: int | None, note: str) -> str:
        if exited == logs.NO_DOCKER:
            said = (self._complaint.strip().splitlines() or [""])[-1]
            return f"Docker does not answer there ({said})" if said else "Docker does not answer there"
        return note or f"the session ended (exit code {exited})"

    def _problem(self, error: KamalnbError, last: bool = False) -> bool:
        """Says it, once; whether to try again."""
        first = self.name not in self._following.problems
        none_left = self._following.failed(self.name, error)
        if first:
            self._say("problem", str(error).removeprefix(f"{self.name}: "))
        if none_left:
            self._following.put(None)
        return not (last or none_left)

    def _take(self, error: bool, data: bytes) -> None:
        self._heard = time.monotonic()
        if error:
            self._complaint = (self._complaint + data.decode(errors="replace"))[-2000:]
            return
        for line in self._lines.feed(data):
            self._told(line)

    def _told(self, line: str) -> None:
        match logs.spoken(line):
            case logs.Clock(now=now):
                self._greet(float(now))
            case logs.Opened() as opened:
                role = next((role for role in self._roles if role.name == opened.role), self._roles[0])
                self._windows.setdefault(opened.id, _Window(version_of(opened, role), opened.whole_id, role.name))
            case logs.Printed() as printed:
                window = self._windows.get(printed.id)
                if window is not None and window.is_new(printed):
                    self._put(printed, window)
            case logs.Failed(id=identifier, why=why) if identifier in self._windows:
                self._say("problem", f"Docker shows no log of {identifier}: {why}", self._windows[identifier].role)
            case _:
                pass

    def _greet(self, now: float) -> None:
        if self._following.reached(self.name) or self._away is not None:
            self._say("note", "connected again" if self._away is not None else "connected")
        self._connected, self._clock, self._since = True, now, time.monotonic()
        self._pause = FIRST_WAIT

    def _put(self, printed: logs.Printed, window: _Window) -> None:
        self._following.put(
            LogLine(
                host=self.name, role=window.role, version=window.version, container=printed.id, at=printed.at,
                message=printed.message,
            )
        )  # fmt: skip

    def _say(self, kind: Literal["note", "problem"], message: str, role: str = "") -> None:
        self._following.put(LogLine(host=self.name, role=role, at=time.time(), message=message, kind=kind))
