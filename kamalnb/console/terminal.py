"""The terminal that a person types into, while a table lives on it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any


class Terminal:
    """Keeps what is typed, ``^C`` too, from being echoed into the table.

    Does nothing where standard input is no terminal of ours.
    """

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    def quieten(self) -> None:
        """Echoes nothing any more. Shells set it right themselves should this program be killed."""
        try:
            import termios
        except ImportError:
            return
        with contextlib.suppress(OSError, ValueError, termios.error):
            if os.tcgetpgrp(sys.stdin.fileno()) != os.getpgrp():
                return  # in the background, setting it would stop us
            self._before = termios.tcgetattr(sys.stdin)
            changed = [*self._before]
            changed[3] &= ~(termios.ECHO | termios.ECHOCTL)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, changed)

    def restore(self) -> None:
        """Echoes as before."""
        if self._before is None:
            return
        import termios

        with contextlib.suppress(OSError, ValueError, termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)
        self._before = None
