"""A session that is kept open: what holds a lock on a host. Heartbeats go in, its end is the end of the lock."""

from __future__ import annotations

import contextlib
import threading
import time

import paramiko

PATIENCE = 20.0
"""Seconds until the host must have said whether it gives the lock."""

BEAT = b".\n"


class SshHold:
    """One kept session. A thread feeds it; no heartbeat means that the host lets go by itself.

    ``channel`` is a session that reads ``script`` first and leaves what comes after it to the script.
    """

    def __init__(self, channel: paramiko.Channel, script: str, heartbeat: float) -> None:
        self._channel = channel
        self._heartbeat = heartbeat
        self._printed = ""
        self._ended = threading.Event()
        channel.settimeout(0.2)
        channel.set_combine_stderr(True)
        with contextlib.suppress(OSError, EOFError):
            channel.sendall(script.encode())
        self._await_answer()
        if self.held:
            threading.Thread(target=self._beat, name="kamalnb-lock", daemon=True).start()

    @property
    def held(self) -> bool:
        """It printed ``held`` and is still there."""
        return self._printed.startswith("held") and not self._channel.exit_status_ready() and not self._channel.closed

    @property
    def printed(self) -> str:
        """What it printed, on both streams."""
        return self._printed

    @property
    def exited(self) -> int | None:
        """Its exit code; None while it runs, or where the connection ended it."""
        code = self._channel.exit_status if self._channel.exit_status_ready() else -1
        return None if code == -1 else code  # paramiko says -1 where the channel was closed without one

    def release(self) -> None:
        """Ends it by closing its stdin, and waits a moment: the next run may follow at once."""
        self._ended.set()
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()
            self._channel.status_event.wait(3.0)
        self._channel.close()

    def _await_answer(self) -> None:
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError, EOFError):
            self._channel.sendall(BEAT)
        while time.monotonic() < until and "held\n" not in self._printed:
            piece = self._piece()
            self._printed += piece
            if not piece and self._channel.exit_status_ready():
                self._printed += self._piece()
                return

    def _piece(self) -> str:
        with contextlib.suppress(TimeoutError):
            return self._channel.recv(65536).decode(errors="replace")
        return ""

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat):
            try:
                self._channel.sendall(BEAT)
            except (OSError, EOFError):
                return
