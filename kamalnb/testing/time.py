"""Virtual time: processes that wait for seconds which pass at once. No clock of this machine is asked."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Any

Process = Generator[float, None, Any]
"""Yields how many seconds it wants to wait."""


class Task:
    """A process that was started. ``value`` is what it returned, once it is ``done``."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.done = False
        self.value: Any = None

    def advance(self) -> float | None:
        """Runs it up to its next wait; None when it has ended."""
        if self.done:
            return None
        try:
            return max(0.0, next(self._process))
        except StopIteration as stop:
            self.done, self.value = True, stop.value
            return None

    def kill(self) -> None:
        """Ends it where it stands."""
        if not self.done:
            self.done = True
            self._process.close()


class VirtualTime:
    """Seconds that pass only when somebody waits. ``pace`` is told of every stretch, and may make it last."""

    def __init__(self, pace: Callable[[float], None] | None = None) -> None:
        self.now = 0.0
        self.pace = pace
        self._waiting: list[tuple[float, int, Task]] = []
        self._count = 0

    def spawn(self, process: Process) -> Task:
        """Starts a process; its first step happens before any time passes."""
        task = Task(process)
        self._put(0.0, task)
        return task

    def step(self) -> bool:
        """Lets the next process go on, and time pass up to it. False where nothing waits."""
        if not self._waiting:
            return False
        at, _, task = heapq.heappop(self._waiting)
        if at > self.now:
            if self.pace is not None:
                self.pace(at - self.now)
            self.now = at
        seconds = task.advance()
        if seconds is not None:
            self._put(seconds, task)
        return True

    def pass_by(self, seconds: float) -> None:
        """Lets ``seconds`` pass, with everything that happens in them."""
        until = self.now + seconds
        while self._waiting and self._waiting[0][0] <= until:
            self.step()
        if self.pace is not None and until > self.now:
            self.pace(until - self.now)
        self.now = max(self.now, until)

    def finish(self, task: Task) -> Any:
        """Lets time pass until ``task`` has ended; its value."""
        while not task.done and self.step():
            pass
        return task.value

    def _put(self, seconds: float, task: Task) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (self.now + seconds, self._count, task))
