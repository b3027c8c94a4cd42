"""Where a run calls the project's hooks, and what comes of one that fails."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from ..engine import Engine
from ..errors import KamalnbError
from ..events import Event
from ..rollout import Local
from .telling import note

if TYPE_CHECKING:
    from ..project import Project


class Hooks:
    """The hooks of one run. ``failure`` is the sentence of one that failed between batches."""

    def __init__(self, project: Project, verb: str, run_id: str, *, skip: bool) -> None:
        self._project = project
        self._verb = verb
        self._run_id = run_id
        self._skip = skip
        self.version = ""
        self.failure = ""

    def any(self, *names: str) -> bool:
        """Whether one of these is there and is to run."""
        return any(self._there(name) for name in names)

    def run(self, engine: Engine, name: str, hosts: Sequence[str]) -> Generator[Event, None, None]:
        """Runs it, if it is there. Raises ``HookFailed``."""
        if self._there(name):
            yield note(engine, f"hook {name}")

    def local(self, engine: Engine, effect: Local) -> Generator[Event, None, bool]:
        """A hook between batches: whether the run may go on."""
        try:
            yield from self.run(engine, effect.name, effect.hosts)
        except KamalnbError as error:
            self.failure = str(error)
            return False
        return True

    def _there(self, name: str) -> bool:
        if self._skip:
            return False
        return (self._project.root / self._project.config.hooks_path / name).is_file()
