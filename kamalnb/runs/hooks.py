"""Where a run calls the project's hooks, and what comes of one that fails."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..engine import Engine
from ..errors import KamalnbError
from ..events import Event
from ..hooks import Details, hook_path, inherited_lock, run_hook
from ..rollout import Local
from .telling import note

if TYPE_CHECKING:
    from ..project import Project

APP = frozenset(
    {
        *("boot", "start", "stop", "stale-containers"),
        *("remove", "remove-container", "remove-containers", "remove-images"),
    }
)
"""Verbs that are subcommands of ``app`` in Kamal."""


@dataclass(slots=True)
class Hooks:
    """The hooks of one run. ``failure`` is the sentence of one that failed between batches."""

    project: Project
    verb: str
    run_id: str
    skip: bool = False
    version: str = ""
    roles: tuple[str, ...] = ()
    failure: str = ""

    def any(self, *names: str) -> bool:
        """Whether one of these is there and is to run."""
        return any(self._there(name) for name in names)

    def run(
        self, engine: Engine, name: str, hosts: Sequence[str], more: Details | None = None, truth: str | None = None
    ) -> Generator[Event, None, None]:
        """Runs it, if it is there. Raises ``HookFailed``, saying ``truth`` of what is true then."""
        if not self._there(name):
            return
        yield note(engine, f"hook {name}")
        details = self._details(more or Details(), hosts)

        def abort() -> bool:
            # What tells the team that a run was stopped must not be stopped with it; it has a limit of its own.
            return engine.cancelled and name != "deploy-failed"

        result = yield from engine.aside(
            f"hook {name}",
            lambda on_line: run_hook(self.project, name, details, on_line, truth=truth, abort=abort),
        )
        if result.warning:
            yield note(engine, result.warning, warning=True)

    def before_connecting(self, engine: Engine, hosts: Sequence[str]) -> Generator[Event, None, None]:
        """``pre-connect``, unless a hook called us: the run outside has called it, and it would call itself."""
        if not inherited_lock(self.project.environ):
            yield from self.run(engine, "pre-connect", hosts)

    def local(self, engine: Engine, effect: Local) -> Generator[Event, None, bool]:
        """A hook between batches: whether the run may go on."""
        try:
            yield from self.run(engine, effect.name, effect.hosts)
        except KamalnbError as error:
            self.failure = str(error)
            return False
        return True

    def _details(self, more: Details, hosts: Sequence[str]) -> Details:
        command, subcommand = kamals(self.verb)
        return replace(
            more, version=self.version, hosts=tuple(hosts), roles=self.roles, command=command, subcommand=subcommand,
            lock=self.run_id,
        )  # fmt: skip

    def _there(self, name: str) -> bool:
        return not self.skip and hook_path(self.project, name).exists()


def kamals(verb: str) -> tuple[str, str]:
    """A verb of ours in Kamal's words, for KAMAL_COMMAND and KAMAL_SUBCOMMAND."""
    group, _, name = verb.partition(".")
    return ("app", verb) if verb in APP else (group, name)
