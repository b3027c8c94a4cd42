"""Watches a machine as a thief of secrets would: process lists, files and their modes, many times a second.

``watching.pl`` does it, with the perl that every Debian has: on the lab's hosts, and on this machine.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from uuid import uuid4

PROGRAM = Path(__file__).with_suffix(".pl")
Runs = Callable[[list[str], str], "subprocess.CompletedProcess[str]"]
"""Runs words with a text on stdin."""


@dataclass(frozen=True)
class Seen:
    """One state of a file."""

    path: str
    mode: int
    owner: int
    content: bytes

    def __str__(self) -> str:
        return f"{self.path} {self.mode:04o} of {self.owner}: {self.content.decode(errors='replace')}"


@dataclass
class Watching:
    """A context: what is seen in it is in ``words`` and ``files`` afterwards."""

    run: Runs
    directories: tuple[str, ...]
    pause: int = 3
    """Milliseconds between two looks."""
    rounds: int = 0
    words: list[str] = field(default_factory=list)
    files: list[Seen] = field(default_factory=list)
    _printed: str = ""

    def __enter__(self) -> Watching:
        self._stop = f"/tmp/kamalnb-watching-{uuid4().hex}"
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(["touch", self._stop], "")
        self._thread.join()
        self.run(["rm", "-f", self._stop], "")
        for line in self._printed.splitlines():
            what, _, rest = line.partition(" ")
            if what == "rounds":
                self.rounds = int(rest)
            elif what == "words":
                self.words.append(bytes.fromhex(rest).replace(b"\0", b" ").decode(errors="replace"))
            else:
                mode, owner, path, *content = rest.split(" ")
                text = bytes.fromhex(content[0]) if content else b""
                self.files.append(Seen(bytes.fromhex(path).decode(errors="replace"), int(mode, 8), int(owner), text))

    def _watch(self) -> None:
        done = self.run(["perl", "-", self._stop, str(self.pause), *self.directories], PROGRAM.read_text())
        assert done.returncode == 0, done.stderr
        self._printed = done.stdout


def here(words: list[str], text: str) -> subprocess.CompletedProcess[str]:
    """Runs words on this machine."""
    return subprocess.run(words, input=text, capture_output=True, text=True, check=False)
