"""Secrets read before a run changes anything, so that all that are missing are told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..commands import server
from ..config.model import Role, SecretSource
from ..errors import ConfigError
from ..plan import Selection
from ..shell import Secret

if TYPE_CHECKING:
    from ..project import Project

T = TypeVar("T")


class Reading:
    """Reads secrets and keeps what is wrong with them, until ``done`` tells it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._problems: list[tuple[str, str]] = []

    def tried(self, read: Callable[[], T]) -> T | None:
        """What ``read`` gives; None, and its problems kept, where a secret cannot be had."""
        try:
            return read()
        except ConfigError as error:
            self._problems += error.problems
            return None

    def values(self, sources: Mapping[str, SecretSource]) -> dict[str, Secret]:
        """Those that can be had, each fit for an env file."""
        found = {key: self.tried(partial(self._project.line_of_env, source)) for key, source in sources.items()}
        return {key: value for key, value in found.items() if value is not None}

    def done(self) -> None:
        """Raises ``ConfigError`` with every secret that could not be had."""
        if self._problems:
            raise ConfigError(tuple(dict.fromkeys(self._problems)), str(self._project.sources[0]))


class EnvFiles:
    """The secret environment of each role on each host; read once, before anything is changed."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._values: dict[tuple[str, str], dict[str, Secret]] = {}

    def read(self, selection: Selection, reading: Reading | None = None) -> None:
        """Raises ``ConfigError`` with every secret that cannot be had, unless ``reading`` tells them later."""
        mine = reading or Reading(self._project)
        for host, role in selection.pairs:
            self._values[host, role.name] = mine.values(role.env_on(host).secret)
        if reading is None:
            mine.done()

    def values(self, role: Role, host: str) -> Mapping[str, Secret]:
        """The secrets of a role on a host by name."""
        return self._values.get((host, role.name), {})

    def __call__(self, role: Role, host: str) -> Secret | None:
        """The same as the text of an env file; None where there is no secret."""
        values = self._values.get((host, role.name))
        return server.env_text(values) if values else None
