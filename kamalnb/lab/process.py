"""A program run once and measured: how long, how much memory, what it said."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError

LOOK_EVERY = 0.02
MOST_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a program went. ``peak`` is the most memory it had at once, in bytes; None where the system does not tell."""

    seconds: float
    exited: int
    peak: int | None
    output: str
    errors: str

    @property
    def last_lines(self) -> str:
        """The end of what it said, for a message."""
        return "\n".join((self.errors or self.output).strip().splitlines()[-8:])


def ran(words: Sequence[str], directory: Path) -> Ran:
    """Runs ``words`` in ``directory``, without a terminal and without input. LabError after five minutes."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(words, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        peak = _watched(process, words)
        seconds = time.monotonic() - began
        told = []
        for stream in (output, errors):
            stream.seek(0)
            told.append(stream.read().decode(errors="replace"))
    return Ran(seconds=seconds, exited=process.returncode, peak=peak, output=told[0], errors=told[1])


def _watched(process: subprocess.Popen[bytes], words: Sequence[str]) -> int | None:
    """Waits for its end, and reads its peak memory meanwhile.

    (``ru_maxrss`` of a child cannot be used: at exec Linux carries the parent's own peak over to it.)
    """
    peak, status, deadline = None, Path(f"/proc/{process.pid}/status"), time.monotonic() + MOST_SECONDS
    while True:
        with suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            peak = int(found[1]) * 1024 if found else peak
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY)
            return peak
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise LabError(f"“{' '.join(words)}” did not end within {MOST_SECONDS:g} seconds. Run it by hand and look.")
