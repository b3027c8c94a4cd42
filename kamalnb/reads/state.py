"""Everything that one host shows of a service, asked in one script: containers, cords, routes, lock, switches.

Several tables are made from it. Nothing here may do I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import history, traefik
from ..commands import app, cord, lock, proxy, server
from ..commands.lock import Lock
from ..config.model import Config, Role
from ..cutover import CUT, belongs, version_of
from ..docker import Container
from ..flow import Flow, ask_all
from ..shell import Question
from ..steps import serving
from . import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """What a host shows. ``servers`` maps Traefik's services to their servers, None where its API cannot be asked."""

    containers: tuple[Container, ...]
    cords: Mapping[str, str]
    servers: Mapping[str, tuple[str, ...]] | None
    lock: Lock
    switching: int
    """Switches that this host is finishing by itself now."""
    now: float
    """Seconds since 1970 by its own clock, as are all times that it shows."""

    def of(self, role: Role) -> tuple[Container, ...]:
        """The role's containers, the newest first."""
        mine = (one for one in self.containers if belongs(one, role))
        return tuple(sorted(mine, key=lambda one: one.created, reverse=True))

    def routed(self, container: Container) -> bool | None:
        """Whether Traefik lists it as a server; None where that cannot be known."""
        if not container.running or container.labels.get("traefik.enable", "true").lower() == "false":
            return False
        if self.servers is None:
            return None
        addresses = {f"//{address}:" for address in container.networks.values() if address}
        names = {f"{name}@docker" for name in traefik.services(container.labels)}
        urls = [url for name in names for url in self.servers.get(name, ())]
        return any(address in url for url in urls for address in addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One container of a role, and what it is there for.

    ``mark`` is ``serves``, ``stale`` (runs, and should not), ``dark`` (runs, cord cut, never served or was cut),
    ``broken`` (runs, unhealthy with its cord tied), ``previous`` (stopped, the one to go back to) or ``old``.
    """

    container: Container
    role: Role
    version: str
    mark: str
    routed: bool | None


def look(scene: Scene) -> Flow[HostState]:
    """Asks one host, once."""
    return told((yield from ask_all(*questions(scene.config))))


def questions(config: Config) -> tuple[Question[Any], ...]:
    """What is asked; ``told`` reads the answers. For tables that ask for more in the same round trip."""
    return (
        app.containers(config.service),
        cord.all_of(config.run_directory),
        proxy.servers(),
        lock.state(config),
        server.switching(f"{config.run_directory}/runs"),
        server.clock(),
    )


def told(answers: Sequence[Any]) -> HostState:
    """The answers to ``questions``, in their order."""
    containers, cords, servers, held, switching, now = answers
    return HostState(containers=containers, cords=cords, servers=servers, lock=held, switching=switching, now=now)


def standings(state: HostState, role: Role) -> Iterator[Standing]:
    """The role's containers with what each is there for: the serving one first, then the newest."""
    mine = state.of(role)
    serves = serving(role, mine)
    served = history.served(role, mine, state.cords)
    wanted = served[1:2] if serves is not None else served[:1]
    stopped = [one for one in mine if not one.running and version_of(one, role) in wanted]
    before = max(stopped, key=lambda one: one.started, default=None)
    for one in sorted(mine, key=lambda one: one is not serves):
        yield Standing(
            container=one,
            role=role,
            version=version_of(one, role),
            mark=_mark(one, serves, before, state, role),
            routed=state.routed(one),
        )


def _mark(one: Container, serves: Container | None, before: Container | None, state: HostState, role: Role) -> str:
    if one is serves:
        return "serves"
    if not one.running:
        return "previous" if one is before else "old"
    source = one.source_of(role.healthcheck.cord or "/tmp/kamal-cord")  # noqa: S108
    if state.cords.get(source or "") in CUT:
        return "dark"
    return "stale" if one.routable or serves is not None else "broken"
