"""One try to boot a role on a host: what its steps share, and what is derived from it. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from . import switch, traefik
from .commands import app, cord, server
from .cutover import CutOver, Old, Situation, cord_of, version_of
from .docker import Container
from .events import Fact
from .plan import BootPlan
from .shell import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the steps of one boot share; it grows as they go on."""

    plan: BootPlan
    situation: Situation
    cutover: CutOver | None = None
    new: Container | None = None
    returned: Container | None = None
    """The container that is brought back, as it was found; None where a new one is booted."""

    @property
    def directory(self) -> str:
        """Kamal's directory on the host."""
        return app.run_directory(self.plan, self.situation.home)

    @property
    def cord(self) -> str | None:
        """The new container's cord directory."""
        if self.returned is not None:
            return cord_of(self.returned, self.plan.role, self.situation) if self.plan.role.uses_cord else None
        return cord.directory(self.plan, self.directory) if self.plan.role.uses_cord else None

    @property
    def loose_cords(self) -> tuple[str, ...]:
        """Cord directories of this role that no container of it has: a boot died between the two."""
        return cord.loose(self.situation.cords, self.situation.containers, (self.plan.role.name_prefix,))

    @property
    def namesake(self) -> Container | None:
        """A container that has the new one's name already."""
        return next((c for c in self.situation.containers if c.name == self.plan.container_name), None)

    @property
    def olds(self) -> tuple[Old, ...]:
        """The running containers that the new one replaces."""
        if self.cutover is not None:
            return self.cutover.serving
        return tuple(Old(container=c, cord=None) for c in self.situation.containers if c.running)

    @property
    def old_version(self) -> str | None:
        """The version that serves until the switch."""
        routable = [old for old in self.olds if old.container.routable]
        return version_of(routable[0].container, self.plan.role) if routable else None

    @property
    def as_before(self) -> str:
        """Who serves while nothing was switched."""
        if self.old_version is not None:
            return f"{self.old_version} serves, as before."
        return "Nothing serves there, as before."

    @property
    def stage(self) -> switch.Stage:
        """What the steps around the switch are made from: once there is a cut-over and a new container."""
        assert self.cutover is not None and self.new is not None  # noqa: S101, PT018
        nonce = self.plan.nonce if self.returned is None else self.returned.labels.get(traefik.NONCE_LABEL)
        return switch.Stage(
            plan=self.plan, situation=self.situation, cutover=self.cutover, new=self.new, cord=self.cord, nonce=nonce
        )

    def found_again(self, found: tuple[Container, ...]) -> Attempt:
        """The same with the addresses of now: Traefik or dockerd may have restarted since the host was looked at.

        Who served then stays who served; one that is gone keeps the addresses it had.
        """
        now = {one.id: one for one in found}
        proxy = next((traefik.proxy(one) for one in found if one.name == "traefik" and one.running), None)
        cutover = self.cutover
        if cutover is not None:
            cutover = replace(cutover, serving=tuple(_where_it_is(old, now) for old in cutover.serving))
        return replace(
            self, cutover=cutover, new=now.get(self.new.id, self.new) if self.new else None,
            situation=replace(self.situation, proxy=proxy or self.situation.proxy),
        )  # fmt: skip

    @property
    def own_labels(self) -> dict[str, str]:
        """What marks the container as this boot's."""
        return {
            traefik.VERSION_LABEL: self.plan.version,
            traefik.NONCE_LABEL: self.plan.nonce,
            traefik.FORMAT_LABEL: str(traefik.FORMAT),
            **dict(self.plan.marks),
        }

    @property
    def described(self) -> Fact:
        """The cut-over that was decided."""
        assert self.cutover is not None  # noqa: S101
        cutover, old = self.cutover, self.old_version
        into = f" into {cutover.slot}, level {cutover.level:+d}" if cutover.slot else ""
        way = f"{cutover.direction}-switch{into}"
        data = {"direction": str(cutover.direction), "slot": cutover.slot, "level": cutover.level, "from": old}
        return Fact(kind="cutover", text=f"{old or 'nothing'} → {self.plan.version}: {way}", data=data)

    def audit(self, text: str) -> Command:
        """A line in the host's audit log about this role."""
        plan = self.plan
        path = server.audit_path(plan.role.service, plan.role.destination, self.directory)
        return server.audit(path, (plan.performer, plan.role.destination or "", plan.role.name), text)


def _where_it_is(old: Old, now: Mapping[str, Container]) -> Old:
    found = now.get(old.container.id, old.container)
    moved = replace(old.container, pid=found.pid, networks=found.networks, gateways=found.gateways)
    return replace(old, container=moved)
