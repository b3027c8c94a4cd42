"""The seam: how a script reaches a host. Real (``ssh.py``), pretend (``testing.py``) and dry (here) are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .script import Script
from .shell import Result

OnResult = Callable[[int, Result], None]
OnLine = Callable[[int, str], None]
Abort = Callable[[], bool]
"""Asked a few times a second while a script runs; True ends it now, with ``exited=None`` for the step at hand."""


def never() -> bool:
    """Not to be aborted."""
    return False


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

    def close(self) -> None:
        """Lets every connection go. The next ``run`` connects again."""
        ...
