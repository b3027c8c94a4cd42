"""What one host shows of a service: its containers in any state, images, cords, Traefik. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from . import traefik
from .commands import app, cord, proxy, server
from .config.model import Config, Role
from .cutover import Situation, belongs
from .docker import Container, Image
from .errors import BootError
from .flow import Flow, ask_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One host. ``containers`` are all that run there, and the service's in any state; ``images`` the service's."""

    host: str
    home: str = ""
    host_tool: str | None = None
    containers: tuple[Container, ...] = ()
    images: tuple[Image, ...] = ()
    cords: Mapping[str, str] = field(default_factory=dict)
    journals: int = 0
    """Those of scripts that have ended: a run that died left them."""

    def of(self, role: Role) -> tuple[Container, ...]:
        """The containers of ``role``, in any state."""
        return tuple(container for container in self.containers if belongs(container, role))

    def loose_cords(self, roles: Sequence[Role]) -> tuple[str, ...]:
        """Cords of ``roles`` that no container has."""
        return cord.loose(self.cords, self.containers, [role.name_prefix for role in roles])

    def image(self, reference: str) -> Image | None:
        """The image called ``reference``. Docker leaves its own registry out of the names that it shows."""
        return next((one for one in self.images if any(_same(tag, reference) for tag in one.tags)), None)

    def situation(self, role: Role, reference: str = "") -> Situation:
        """What of it is about ``role``. Raises ``BootError`` where a newer kamalnb was there."""
        ours, found = self.of(role), proxy.among(self.containers)
        newer = [c.name for c in ours if traefik.number(c.labels, traefik.FORMAT_LABEL) > traefik.FORMAT]
        if newer:
            raise BootError(
                f"{newer[0]} was started by a newer kamalnb.", hint="Upgrade kamalnb here: pip install -U kamalnb."
            )
        return Situation(
            home=self.home,
            containers=ours,
            neighbours=tuple(c for c in self.containers if c.running and not belongs(c, role)),
            proxy=traefik.proxy(found) if found is not None and found.status == "running" else None,
            cords=self.cords,
            image=self.image(reference) if reference else None,
            host_tool=self.host_tool,
        )


def look(config: Config, host: str) -> Flow[Shown]:
    """Asks one host everything that the ways back are decided from, in one round trip; changes nothing."""
    home, tool, containers, images, cords, journals = yield from ask_all(
        server.home(),
        server.tool(),
        app.census(config.service),
        app.images(config.repository),
        cord.all_of(config.run_directory),
        server.ended(f"{config.run_directory}/runs"),
    )
    return Shown(
        host=host, home=home, host_tool=tool, containers=containers, images=images, cords=cords, journals=journals
    )


def _same(tag: str, reference: str) -> bool:
    return tag == reference or reference.endswith(f"/{tag}")
