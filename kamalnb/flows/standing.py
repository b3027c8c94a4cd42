"""Who stands how on a host: a container with its cord, who requests reach first, by which router. No I/O here."""

from __future__ import annotations

from .. import traefik
from ..config.model import Role
from ..cutover import Old, Situation, cord_of, height
from ..docker import Container
from ..traefik import Router


def old_of(container: Container, role: Role, situation: Situation) -> Old:
    """A container of the role with its cord on the host."""
    return Old(container=container, cord=cord_of(container, role, situation))


def standing_first(containers: tuple[Container, ...]) -> tuple[Container, ...]:
    """``containers`` with the one that requests reach first: routable before not, then by priority, then the newest."""
    return tuple(sorted(containers, key=_standing, reverse=True))


def main_router(container: Container) -> Router:
    """The router by which requests reach a container; one without a rule where it has none."""
    found = traefik.routers(container.labels, container.name)
    mine = [router for router in found if router.protocol == "http" and not router.for_acknowledging]
    return mine[0] if mine else Router(name="-")


def _standing(container: Container) -> tuple[bool, int, str]:
    return container.routable, height(Old(container=container, cord=None)), container.created
