"""The open connections to one target: one, or as many as its sshd's ``MaxSessions`` asks for.

Their owner sees to it that one thread at a time is here.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from .door import Door
from .hold import SshHold
from .wire import Connection

SESSIONS = 8
"""Scripts at once: sshd's MaxSessions is 10, and it frees a slot later than it says."""

HOLDS = 2
"""Sessions beyond those that one connection is thought to take, for locks: until sshd says no."""


@dataclass(slots=True, eq=False)
class Line:
    """One connection, and the sessions that are open on it, or about to be."""

    connection: Connection
    door: Door
    busy: int = 0
    had: int = 0
    """Sessions that were let in."""
    shut: bool = False
    """It let sessions in, and lets in no other though none of ours is open there."""
    holds: weakref.WeakSet[SshHold] = field(default_factory=weakref.WeakSet)

    @property
    def sessions(self) -> int:
        """How many there are."""
        return self.busy + sum(hold.held for hold in self.holds)

    @property
    def alive(self) -> bool:
        """Whether it is connected, as far as is known."""
        return bool(self.connection.is_connected)


class Lines:
    """Connections, the first of which everything goes over while it has room."""

    def __init__(self) -> None:
        self._all: list[Line] = []
        self._room = SESSIONS + HOLDS
        """Sessions that one connection takes; sshd said so where it is less."""

    @property
    def first(self) -> Line | None:
        """The one that others may go through, too."""
        return self._all[0] if self._all else None

    @property
    def held(self) -> bool:
        """Whether a lock hangs on one of them."""
        return any(hold.held for line in self._all for hold in line.holds)

    def put_first(self, line: Line) -> Line:
        """Adds it, and lets those go that are dead, or of no use any more."""
        self.let_go(lambda one: not one.alive or not one.sessions)
        self._all.insert(0, line)
        return line

    def add(self, line: Line) -> Line:
        """Adds it behind the others."""
        self._all.append(line)
        return line

    def roomy(self) -> Line | None:
        """One that has room for a session more."""
        fit = (line for line in self._all if line.alive and not line.shut and line.sessions < self._room)
        return next(fit, None)

    def narrow(self, line: Line) -> bool:
        """sshd refused one session more on ``line``: none gets more than it has without that one.

        False where sshd let no session in at all.
        """
        others = line.sessions - 1
        if others:
            self._room = min(self._room, others)
        line.shut = not others
        return bool(others or line.had)

    def let_go(self, which: Callable[[Line], bool]) -> None:
        """Closes some; what runs over them is cut off."""
        for line in [line for line in self._all if which(line)]:
            self._all.remove(line)
            line.connection.abort()
            line.door.close()
