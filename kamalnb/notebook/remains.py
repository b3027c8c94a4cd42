"""Runs of this machine whose kernel died: a small file for each run that goes on, taken away at its end.

Only told to people, in the card of a fleet. What is decided is decided from what the hosts show.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ..wording import seconds

if TYPE_CHECKING:
    from ..project import Project

_OLD = 7 * 86_400.0
"""Seconds after which nobody wants to hear of it any more."""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A run that did not come to its end."""

    what: str
    version: str
    by: str
    ago: str


def begun(project: Project, what: str, version: str, by: str) -> Path | None:
    """Notes a run that begins; the file to be taken away at its end. None where nothing can be noted."""
    if not project.sources[0].is_absolute():
        return None  # pretend fleets end with their process
    try:
        directory = _directory(project)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = directory / f"{os.getpid()}-{time.time_ns()}.json"
        told = {"pid": os.getpid(), "at": time.time(), "what": what, "version": version, "by": by}
        file.write_text(json.dumps(told))
    except OSError:
        return None
    return file


def ended(file: Path | None) -> None:
    """Takes the note of a run away."""
    if file is not None:
        with contextlib.suppress(OSError):
            file.unlink()


def unfinished(project: Project) -> Iterator[Unfinished]:
    """The runs of this project whose process is gone."""
    if not project.sources[0].is_absolute():
        return
    for file in sorted(_directory(project).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(file.read_text())
            ago = time.time() - float(told["at"])
            if ago > _OLD:
                file.unlink()
            elif not _alive(int(told["pid"])):
                yield Unfinished(
                    what=str(told["what"]), version=str(told["version"]), by=str(told["by"]), ago=seconds(ago)
                )


def forget(project: Project) -> None:
    """Takes away what is told of dead runs, once a run went well."""
    if not project.sources[0].is_absolute():
        return
    for file in _directory(project).glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if not _alive(int(json.loads(file.read_text())["pid"])):
                file.unlink()


def _directory(project: Project) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    named = sha256(f"{project.sources[0]}\0{project.config.destination or ''}".encode()).hexdigest()[:16]
    return Path(state) / "kamalnb" / "runs" / named


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
