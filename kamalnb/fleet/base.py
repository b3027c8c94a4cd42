"""Which part of which fleet, and how its hosts are reached: what every verb begins with."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..config.model import Config
from ..engine import Clock, Engine
from ..errors import UsageError
from ..events import Event
from ..executor import Executor
from ..plan import Selection, select
from ..rollout import Job, Outcome
from ..runs.survey import side_by_side

if TYPE_CHECKING:
    from ..project import Project
    from ..tags import Listed

SomeFleet = TypeVar("SomeFleet", bound="Base")


@dataclass(frozen=True, kw_only=True)
class Base:
    """A ``deploy.yml`` and the part of its hosts that is meant. Nothing is read or reached before a verb needs it."""

    config_file: str | Path | None = None
    destination: str | None = None
    roles: Sequence[str] = ()
    hosts: Sequence[str] = ()
    primary: bool = False
    environ: Mapping[str, str] | None = None
    connect: Callable[[Project], Executor] | None = None
    load: Callable[[], Project] | None = None
    """Gives the project in place of a file: pretend fleets have none."""
    listing: Callable[[Project], Listed] | None = None
    """Says which tags the registry has, in place of asking it: pretend fleets have their own."""
    clock: Clock | None = None
    """Whose seconds the runs are told in; the machine's own by default."""

    def __getitem__(self: SomeFleet, words: str | Sequence[str]) -> SomeFleet:
        """The part of it that role or host names (or wildcards) choose: ``fleet["web"]``, ``fleet["web-1*"]``.

        Raises ``UsageError`` for a word that names neither.
        """
        given = (words,) if isinstance(words, str) else tuple(words)
        config = self._project().config
        names = [role.name for role in config.roles]
        roles = [word for word in given if any(fnmatch.fnmatchcase(name, word) for name in names)]
        hosts = [word for word in given if word not in roles]
        unknown = [word for word in hosts if not any(fnmatch.fnmatchcase(host, word) for host in config.hosts)]
        if unknown:
            there = f"Roles: {', '.join(names)}; hosts: {', '.join(config.hosts)}."
            raise UsageError(f"No role or host is called “{unknown[0]}”. {there}")
        return self.where(roles=roles or self.roles, hosts=hosts or self.hosts)

    def where(
        self: SomeFleet, *, roles: Sequence[str] | str = (), hosts: Sequence[str] | str = (), primary: bool = False
    ) -> SomeFleet:
        """The part of it that ``roles`` and ``hosts`` choose."""
        chosen_roles = (roles,) if isinstance(roles, str) else tuple(roles)
        chosen_hosts = (hosts,) if isinstance(hosts, str) else tuple(hosts)
        return replace(self, roles=chosen_roles, hosts=chosen_hosts, primary=primary or self.primary)

    @property
    def config(self) -> Config:
        """The file as it is understood now."""
        return self._project().config

    @property
    def names(self) -> tuple[str, ...]:
        """The chosen hosts, in the file's order."""
        return self._select(self.config).hosts

    @property
    def asks(self) -> bool:
        """Whether the file asks a person to confirm every change (``confirm: true``)."""
        return self._project().config.confirm

    def _project(self) -> Project:
        if self.load is not None:
            return self.load()
        from ..project import load

        return load(self.config_file, self.destination, environ=self.environ)

    def _select(self, config: Config) -> Selection:
        return select(config, self.roles, self.hosts, self.primary)

    def _executor(self, project: Project) -> Executor:
        if self.connect is not None:
            return self.connect(project)
        from ..ssh import SshExecutor

        return SshExecutor(project.config.ssh, secrets=project.secret, directory=project.root)

    def _each(self, project: Project, jobs: tuple[Job, ...]) -> tuple[Outcome, ...]:
        """Runs jobs on several hosts at once, without lock or report."""
        executor = self._executor(project)
        try:
            return _value_of(Engine(executor, self.clock).drive(side_by_side(jobs)))
        finally:
            executor.close()


def _value_of(stream: Generator[Event, None, tuple[Outcome, ...]]) -> tuple[Outcome, ...]:
    while True:
        try:
            next(stream)
        except StopIteration as stop:
            return tuple(stop.value)
