"""The fastest way to bring a version back on one host: decided from what the host shows. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from . import history
from .commands import app
from .config.model import Role
from .cutover import (
    CUT,
    CutOver,
    Direction,
    Old,
    Situation,
    as_it_is,
    cord_of,
    decide,
    height,
    olds,
    returning,
    version_of,
    without,
)
from .docker import Container
from .errors import BootError, KamalnbError, UsageError
from .naming import misnamed
from .shown import Shown
from .steps import CONFIG_LABEL


class Way(StrEnum):
    """How a version comes back, the quickest first."""

    NOTHING = "nothing"
    FINISH = "finish"
    SWITCH_BACK = "switch back"
    START = "start"
    BOOT = "boot"
    PULL = "pull"
    REFUSED = "refused"


DOES = {
    Way.NOTHING: "serves already",
    Way.FINISH: "serves already; what else still runs is stopped",
    Way.SWITCH_BACK: "still runs: its cord is switched",
    Way.START: "is started from its stopped container, checked, and switched to",
    Way.BOOT: "is booted from its image",
    Way.PULL: "is pulled and booted",
    Way.REFUSED: "cannot be had",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """How ``version`` comes back to one role on one host.

    ``container`` is the one that will serve (nothing, finish, switch back, start), ``replaces`` the version that
    serves until then. ``reason`` says why there is no quicker way, or why there is none at all; ``hint`` what to do.
    """

    host: str
    role: str
    version: str
    way: Way
    container: Container | None = None
    replaces: str | None = None
    reason: str = ""
    hint: str = ""

    @property
    def sentence(self) -> str:
        """It in words."""
        text = f"{self.version} {DOES[self.way]}"
        return f"{text}: {self.reason}" if self.reason else f"{text}."

    @property
    def row(self) -> dict[str, object]:
        """It for tables and programs."""
        return {
            "host": self.host, "role": self.role, "from": self.replaces, "to": self.version, "way": str(self.way),
            "container": self.container.name if self.container else None, "note": self.reason,
        }  # fmt: skip


def way_back(host: str, role: Role, version: str, situation: Situation) -> WayBack:
    """The fastest way to have ``version`` serve. ``situation.image`` is its image, None where it is not there.

    Refused is only what cannot be had.
    """
    serving, _ = olds(role, situation)
    now = history.current(role, situation)
    replaces = version_of(now, role) if now is not None and now.running else None
    found = WayBack(host=host, role=role.name, version=version, way=Way.BOOT, replaces=replaces)
    if role.traefik and situation.proxy is None:
        return replace(found, way=Way.REFUSED, reason="no Traefik runs there.", hint="Start it: invoke traefik.boot.")
    mine = sorted((c for c in situation.containers if version_of(c, role) == version), key=_handiest, reverse=True)
    top = max((height(old) for old in serving if old.container.routable), default=0)
    on_top = {old.container.id for old in serving if old.container.routable and height(old) == top}
    serves = next((c for c in mine if c.id in on_top), None)
    if serves is not None:
        alone = not any(c.running and c.id != serves.id for c in situation.containers)
        well = alone and not misnamed(serves, role)
        return replace(found, way=Way.NOTHING if well else Way.FINISH, container=serves)
    reasons = []
    for container in _alike(mine, role, situation):
        try:
            fits(role, situation, container)
        except KamalnbError as error:
            reasons.append(error.why if isinstance(error, BootError) else str(error))
            continue
        return replace(found, way=Way.SWITCH_BACK if container.running else Way.START, container=container)
    return _booted(replace(found, reason=reasons[0] if reasons else ""), role, situation)


def ways_back(
    shown: Sequence[Shown], pairs: Sequence[tuple[str, Role]], versions: Mapping[tuple[str, str], str], repository: str
) -> tuple[WayBack, ...]:
    """The way of every pair of host and role that has a version in ``versions`` (by host and role name)."""
    by_host = {one.host: one for one in shown}
    found = []
    for host, role in pairs:
        version = versions.get((host, role.name))
        if version is None or host not in by_host:
            continue
        try:
            situation = by_host[host].situation(role, f"{repository}:{version}")
            found.append(way_back(host, role, version, situation))
        except KamalnbError as error:
            why, hint = (error.why, error.hint) if isinstance(error, BootError) else (str(error), "")
            found.append(
                WayBack(host=host, role=role.name, version=version, way=Way.REFUSED, reason=why, hint=hint)
            )  # fmt: skip
    return tuple(found)


def undone(shown: Sequence[Shown], pairs: Sequence[tuple[str, Role]]) -> dict[tuple[str, str], str]:
    """To which version each host and role goes back, by host and role name: undo takes the last version away.

    Only who has that version goes back, to what served before it there: a host that a broken-off rollout never reached
    stays as it is. Raises ``UsageError`` where nothing served before, naming every such host.
    """
    by_host = {one.host: one for one in shown}
    had = {
        (host, role.name): (history.served(role, by_host[host].of(role), by_host[host].cords), role)
        for host, role in pairs
        if host in by_host
    }
    now = {
        pair: history.current(role, by_host[pair[0]].situation(role)) for pair, (versions, role) in had.items()
    }  # fmt: skip
    last = max((c for c in now.values() if c is not None), key=lambda c: history.moment(c.started), default=None)
    if last is None:
        raise UsageError("Nothing serves on the chosen hosts, so there is nothing to undo. Boot: invoke boot.")
    newest = next(versions[0] for pair, (versions, _) in had.items() if now[pair] is last)
    chosen = {pair: versions for pair, (versions, _) in had.items() if versions[:1] == (newest,)}
    without_any = [f"{role} on {host}" for (host, role), versions in chosen.items() if len(versions) < 2]
    if without_any:
        raise UsageError(
            f"nothing served before {newest} for {', '.join(without_any)}. "
            "Name a version that can be booted: invoke rollback --version=VERSION."
        )
    return {pair: versions[1] for pair, versions in chosen.items()}


def fits(role: Role, situation: Situation, container: Container) -> CutOver | None:
    """The cut-over that brings ``container`` back as it is, None for a role without a proxy.

    Raises ``BootError`` where it cannot come back as it is: why.
    """
    name = container.name
    if container.running and (container.status != "running" or container.restarts):
        raise BootError(f"{name} is {container.status} and was restarted {container.restarts} times.")
    if not container.running and container.status != "exited":
        raise BootError(f"{name} is {container.status}.")
    tied = situation.cords.get(cord_of(container, role, situation) or "")
    if container.running and tied not in CUT and not container.routable:
        raise BootError(f"{name} runs but is not well.")
    if not role.traefik:
        return None
    found = returning(role, situation, container)
    if tied not in ("tied", *CUT) and not (container.routable and found.direction is Direction.DOWN):
        raise BootError(f"the cord of {name} is gone.")
    return found


def alone(role: Role, situation: Situation, container: Container) -> CutOver:
    """The cut-over of one that serves already: everything else that runs is left over."""
    others = without(situation, container).containers
    leftovers = tuple(Old(container=c, cord=cord_of(c, role, situation)) for c in others if c.running)
    return as_it_is(role, container, Direction.UP, (), leftovers)


def _booted(found: WayBack, role: Role, situation: Situation) -> WayBack:
    """A boot of its image, where a boot would find a way to switch."""
    if role.traefik:
        try:
            decide(role, situation, "0" * 32, app.labels(role))
        except KamalnbError as error:
            why, hint = (error.why, error.hint) if isinstance(error, BootError) else (str(error), "")
            return replace(found, way=Way.REFUSED, reason=why, hint=hint)
    return replace(found, way=Way.PULL if situation.image is None else Way.BOOT)


def _alike(found: Sequence[Container], role: Role, situation: Situation) -> list[Container]:
    """Those of one version that are as the one of them that served last: one that stepped aside for a newer image, or
    for other settings, is not what people go back to."""
    last = next((c for c in found if not history.dark(c, role, situation.cords)), found[0] if found else None)
    return [c for c in found if last and _made_from(c) == _made_from(last)]


def _made_from(container: Container) -> tuple[str, str | None]:
    return container.image_id, container.labels.get(CONFIG_LABEL)


def _handiest(container: Container) -> tuple[bool, bool, float]:
    """What runs well comes first, then what ran last."""
    return container.routable, container.running, history.moment(container.started)
