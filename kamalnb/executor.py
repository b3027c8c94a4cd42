"""The seam: how a script reaches a host. Real (``ssh.py``), pretend (``testing.py``) and dry (here) are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .live import OnPiece
from .script import Script
from .shell import Command, Result

OnResult = Callable[[int, Result], None]
OnLine = Callable[[int, str], None]
Abort = Callable[[], bool]
"""Asked a few times a second while a script runs; True ends it now, with ``exited=None`` for the step at hand."""


def never() -> bool:
    """Not to be aborted."""
    return False


class Hold(Protocol):
    """A session that is kept open on a host; its end is the end of what it holds."""

    @property
    def held(self) -> bool:
        """It printed ``held`` and is still there."""
        ...

    @property
    def printed(self) -> str:
        """What it printed."""
        ...

    @property
    def exited(self) -> int | None:
        """Its exit code, None while it runs or where none came back."""
        ...

    def release(self) -> None:
        """Ends it, and waits a moment until the host has noticed."""
        ...


class Executor(Protocol):
    """Runs scripts on hosts. Safe to call from several threads, for one host too."""

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        """Runs ``script`` on ``host`` within its limit.

        Returns one ``Result`` per step that ran; the last one has ``exited=None`` where the connection or the
        time limit ended it. ``on_result`` and ``on_line`` are told while it runs, by the number of the command in
        ``script.commands``. Raises ``HostUnreachable`` when nothing was sent at all.
        """
        ...

    def hold(self, host: str, command: Command, heartbeat: float) -> Hold:
        """Starts ``command`` in a session of its own and feeds it a line every ``heartbeat`` seconds.

        Returns when it has printed ``held`` or has ended. Raises ``HostUnreachable``.
        """
        ...

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
        """Runs ``command`` in a session of its own and hands on what it prints, as it comes, until it ends.

        The host ends it, and runs ``over``, when the connection is gone; so does ``abort``, and ``limit`` seconds.
        The result holds no output; ``exited`` is None where it did not end by itself, and ``stderr`` then says why.
        Raises ``HostUnreachable`` when nothing was sent at all.
        """
        ...

    def close(self) -> None:
        """Lets every connection go. The next ``run`` connects again."""
        ...
