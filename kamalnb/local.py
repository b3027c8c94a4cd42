"""A program on this machine, run to its end: its lines as they come, a time limit, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LAST_LINES = 20
_LONGEST = 16 * 1024
_GRACE = 5.0
_STEP = 0.2


class Failed(Exception):
    """How it failed, as the rest of a sentence that begins with its name."""


@dataclass(slots=True, kw_only=True)
class Local:
    """One program, in a session of its own: what it has started is ended with it, and no terminal is its.

    ``last`` holds its last lines, standard error among them. ``abort`` is asked a few times a second; True ends it.
    """

    path: Path
    cwd: Path
    environ: Mapping[str, str] = field(repr=False)
    on_line: Callable[[str], None]
    limit: float
    abort: Callable[[], bool]
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    _rest: bytes = b""

    def run(self) -> None:
        """Runs it. Raises Failed unless it ends with 0."""
        due = time.monotonic() + self.limit
        process = self._start()
        try:
            self._read(process, due)
            code = process.wait()
        finally:
            _end(process)
        if code < 0:
            raise Failed(f"was ended by {_signal(-code)}")
        if code:
            raise Failed(f"ended with exit code {code}")

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return self._popen([str(self.path)])
        except OSError as error:
            if error.errno == errno.ENOEXEC:  # no #! line: a shell script, as execvp and every shell take it
                return self._popen(["sh", str(self.path)])
            raise Failed(f"does not start: {error.strerror} (look at its first line)") from None

    def _popen(self, argv: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv, cwd=self.cwd, env=dict(self.environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def _read(self, process: subprocess.Popen[bytes], due: float) -> None:
        """Until it has ended and nothing more comes: what it left in the background may keep its output open."""
        with selectors.DefaultSelector() as selector:
            if process.stdout is not None:
                selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                ended = process.poll() is not None  # asked first: what it printed at the very end is read after
                left = due - time.monotonic()
                if left <= 0:
                    raise Failed(f"took more than {self.limit:g} s and was ended")
                if self.abort():
                    raise Failed("was ended, since the run was stopped")
                if not self._piece(process, selector, 0 if ended else min(_STEP, left)) and ended:
                    break
        self._say(self._rest)

    def _piece(self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector, patience: float) -> bytes:
        """What it has printed meanwhile, told line by line. Where its output is closed, waits for its end."""
        if not selector.get_map():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
            return b""
        for key, _events in selector.select(patience):
            piece = os.read(key.fd, 64 * 1024)
            self._take(piece)
            if not piece:
                selector.unregister(key.fileobj)
            return piece
        return b""

    def _take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._say(line, blank=True)
        if len(self._rest) > _LONGEST:
            self._say(self._rest)
            self._rest = b""

    def _say(self, line: bytes, blank: bool = False) -> None:
        if line or blank:
            text = line.decode(errors="replace").removesuffix("\r")
            self.last.append(text)
            self.on_line(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends it where it still runs, with what it started: SIGTERM, then SIGKILL. An ended one's children live on."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(patience)
    if process.stdout is not None:
        process.stdout.close()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
