"""What a lab remembers between commands: one JSON file in its directory, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..errors import LabError
from .engine import Engine
from .network import Before
from .plan import LabPlan

FORMAT = 1
FILE = "lab.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything made for a lab: enough to find it again, and to remove it."""

    plan: LabPlan
    engine_host: str
    engine_id: str = ""
    before: Before = field(default_factory=Before)
    pulls_base: bool = False
    """The upstream image was not in an ordinary engine before the lab, and goes with it."""
    pulls_newest: bool = False
    """The same of the one that hosts with the newest Docker start from."""
    agent_pid: int = 0
    access: tuple[str, ...] = ()
    """The flags under which containers may run an engine of their own here, once found out."""
    containers: dict[str, str] = field(default_factory=dict)
    """Full container IDs by name."""

    @property
    def engine(self) -> Engine:
        """The engine the lab is in."""
        return Engine(host=self.engine_host, id=self.engine_id)

    def save(self, directory: Path) -> State:
        """Writes it; a reader sees the old file or the new one. Returns itself."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"
        temporary = directory / f"{FILE}.new"
        temporary.write_text(text)
        temporary.replace(directory / FILE)
        return self

    def changed(self, directory: Path, **changes: object) -> State:
        """A copy with other values, saved."""
        return replace(self, **changes).save(directory)  # type: ignore[arg-type]


def read(directory: Path) -> State | None:
    """The state of the lab in that directory; None where there is none. LabError for one of a later kamalnb."""
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text())
        number = data.pop("format")
        if number > FORMAT:
            raise LabError(f"{path} was written by a later kamalnb (format {number}). Upgrade kamalnb.")
        data["plan"] = LabPlan(**data["plan"])
        data["before"] = Before(**data["before"])
        data["access"] = tuple(data["access"])
        return State(**data)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LabError(f"{path} cannot be read as a lab's state. Move it away and run lab.up again.") from None


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps other lab commands away from the same directory; LabError if one is at work there now."""
    import fcntl

    path = directory / "lock"
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LabError(f"Another lab command is at work in {directory}. Wait until it is done.") from None
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
