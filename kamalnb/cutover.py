"""Which slot, which priority, which cord switches: the decisions of a cut-over. Nothing here may do I/O.

Two slots stand at two fixed levels, *base* and base + 1, for every router of a role; a boot takes the slot that does
not serve. New above old is an *up*-switch (tie the new one), new below old a *down*-switch (cut the old one).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from . import traefik
from .config.model import Role
from .docker import Container, Image
from .errors import BootError
from .traefik import Proxy, Router


class Direction(StrEnum):
    """Which cord switches: ``up`` ties the new one above the old, ``down`` cuts the old one above the new."""

    UP = "up"
    DOWN = "down"


CUT = ("cut", "dark")
"""States of a cord that lets nobody in; ``dark`` is that of a container to which no switch ever went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What one host shows of one role. ``cords`` maps cord directories to ``tied``, one of ``CUT``, or ``empty``."""

    home: str
    containers: tuple[Container, ...] = ()
    neighbours: tuple[Container, ...] = ()
    """Every other running container of the host."""
    proxy: Proxy | None = None
    cords: Mapping[str, str] = field(default_factory=dict)
    image: Image | None = None
    host_tool: str | None = None
    """A program on the host that can fetch an address, None where the app's container has to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """A running container that the new one replaces. ``cord`` is its cord directory on the host, if it has one."""

    container: Container
    cord: str | None

    @property
    def nonce(self) -> str | None:
        """The id its acknowledging router answers to, None where it is not ours."""
        return self.container.labels.get(traefik.NONCE_LABEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOver:
    """How the new container takes over. ``labels`` are its Traefik labels, slot and priorities filled in.

    ``serving`` are the containers that serve now, ``leftovers`` running ones that do not (stopped first),
    ``port`` is the one Traefik will use, ``routers`` and ``service`` its names there.
    """

    slot: str
    level: int
    direction: Direction
    labels: Mapping[str, str]
    port: int
    service: str
    main: Router
    routers: tuple[str, ...]
    serving: tuple[Old, ...]
    leftovers: tuple[Old, ...]


def decide(role: Role, situation: Situation, nonce: str, role_labels: Mapping[str, str]) -> CutOver:
    """The cut-over for ``role_labels`` (Kamal's own and the file's). Raises ``BootError`` where none is safe."""
    if any(key.lower().startswith("traefik.udp.") for key in role_labels):
        raise BootError(
            "UDP routers cannot be switched without loss.", hint="Give UDP a role of its own with traefik: false."
        )
    serving, leftovers = olds(role, situation)
    port = traefik_port(role, situation.image, role_labels)
    slot = _free_slot(serving)
    level, direction = _level(role_labels, serving, situation)
    bases = base_priorities(role_labels, serving)
    slotted = traefik.in_slot(_with_port(role_labels, port, situation.image), slot)
    labels = traefik.with_priority(
        slotted, {traefik.slot_name(name, slot): base + level for name, base in bases.items()}
    )
    main = _main_router(role, labels, slot)
    service = main.service.partition("@")[0] if main.service else _only_service(labels)
    own = {
        traefik.SLOT_LABEL: slot,
        traefik.LEVEL_LABEL: str(level),
        traefik.NONCE_LABEL: nonce,
        traefik.FORMAT_LABEL: str(traefik.FORMAT),
    }
    acknowledging = traefik.acknowledging(main, service, nonce, role.healthcheck.path)
    return CutOver(
        slot=slot,
        level=level,
        direction=direction,
        labels={**labels, **acknowledging, **own},
        port=port,
        service=service,
        main=main,
        routers=tuple(router.name for router in traefik.routers(labels) if router.protocol == "http"),
        serving=serving,
        leftovers=leftovers,
    )


def returning(role: Role, situation: Situation, container: Container) -> CutOver:
    """The cut-over that brings back a container that is there. Raises ``BootError`` where it does not fit in."""
    serving, leftovers = olds(role, without(situation, container))
    shared = [one for old in serving for one in traefik.names(old.container.labels) & traefik.names(container.labels)]
    if shared:
        raise BootError(f"{container.name} and what serves now share the Traefik name {shared[0].split()[-1]}.")
    new = [(router, router.effective_priority) for router in _app_routers(container)]
    old = [router for one in serving if one.container.routable for router in _app_routers(one.container)]
    others = [router for one in situation.neighbours for router in _app_routers(one)]
    in_the_way = list(_rivals(new, others, 0)) if old and traefik.number(container.labels, traefik.LEVEL_LABEL) else []
    direction = _direction(new, old, 0)
    cords = all(one.cord is not None for one in serving if one.container.routable)
    if direction is None or (direction is Direction.DOWN and not cords) or in_the_way:
        near = in_the_way[0] if in_the_way else "what serves now"
        raise BootError(f"{container.name} stands neither clearly above nor clearly below {near}.")
    return as_it_is(role, container, direction, serving, leftovers)


def as_it_is(
    role: Role, container: Container, direction: Direction, serving: tuple[Old, ...], leftovers: tuple[Old, ...]
) -> CutOver:
    """The cut-over of a container that is there: its own labels, names and port."""
    labels, slot = container.labels, container.labels.get(traefik.SLOT_LABEL, "")
    main = _main_router(role, labels, slot)
    return CutOver(
        slot=slot,
        level=traefik.number(labels, traefik.LEVEL_LABEL),
        direction=direction,
        labels=labels,
        port=port_of(role, container),
        service=main.service.partition("@")[0] if main.service else _only_service(labels),
        main=main,
        routers=tuple(router.name for router in _app_routers(container) if router.protocol == "http"),
        serving=serving,
        leftovers=leftovers,
    )


def without(situation: Situation, container: Container) -> Situation:
    """What the host shows besides ``container``."""
    return replace(situation, containers=tuple(one for one in situation.containers if one.id != container.id))


def belongs(container: Container, role: Role) -> bool:
    """Whether it is of this service, role and destination; a missing and an empty destination are one."""
    labels = container.labels
    return (labels.get("service"), labels.get("role"), labels.get("destination") or "") == (
        role.service,
        role.name,
        role.destination or "",
    )


def version_of(container: Container, role: Role) -> str:
    """The version in its name, without ``_replaced_…``."""
    name = container.name.removeprefix(f"{role.name_prefix}-")
    return container.labels.get(traefik.VERSION_LABEL) or name.partition("_replaced_")[0]


def traefik_port(role: Role, image: Image | None, labels: Mapping[str, str]) -> int:
    """The port Traefik will ask: a label's, the only EXPOSEd one, else the health check's (as a label then)."""
    for key, value in labels.items():
        if key.lower().startswith("traefik.http.services.") and key.lower().endswith(".loadbalancer.server.port"):
            if not value.isdigit():
                raise BootError(f"The label {key} says “{value}”, which is no port.", hint="Write a number.")
            return int(value)
    if image is not None and len(image.ports) == 1:
        return image.ports[0]
    return role.healthcheck.port


def port_of(role: Role, container: Container) -> int:
    """The port Traefik asks a container on that is there. A label that is no number is none, as for Traefik."""
    labels = {key: value for key, value in container.labels.items() if value.isdigit()}
    return traefik_port(role, Image(id="", ports=container.ports), labels)


def base_priorities(labels: Mapping[str, str], serving: tuple[Old, ...]) -> dict[str, int]:
    """Each router's base level: as configured, else as the running one has it, else its rule's length in bytes."""
    running = {router.base_name: _base_of(router, old) for old in serving for router in _app_routers(old.container)}
    return {
        router.name: router.priority or running.get(router.name.replace(".", "-")) or len(router.rule.encode())
        for router in traefik.routers(labels)
    }


def _base_of(router: Router, old: Old) -> int | None:
    if router.priority is None:
        return None
    return router.priority - traefik.number(old.container.labels, traefik.LEVEL_LABEL)


def olds(role: Role, situation: Situation) -> tuple[tuple[Old, ...], tuple[Old, ...]]:
    """Who serves and who is left over, among the running containers of the role."""
    running = [Old(container=c, cord=cord_of(c, role, situation)) for c in situation.containers if c.running]
    routable = [old for old in running if old.container.routable]
    top = max(map(height, routable), default=0)
    newest = max((old.container.created for old in running), default="")
    serving: list[Old] = []
    leftovers: list[Old] = []
    for old in running:
        if old.container.routable:
            serves = height(old) == top
        else:  # broken: with nothing better there, the newest one counts as serving, since it may recover
            serves = not routable and old.container.created == newest and situation.cords.get(old.cord or "") not in CUT
        (serving if serves or (old.cord is None and not _torn_off(old, role)) else leftovers).append(old)
    return tuple(serving), tuple(leftovers)


def _torn_off(old: Old, role: Role) -> bool:
    """Its cord's directory was removed from under it (by Kamal's cut, by a boot taken back): it is never well again."""
    mounted = old.container.source_of(role.healthcheck.cord or "/tmp/kamal-cord")  # noqa: S108
    return old.cord is None and mounted is not None and not old.container.routable


def cord_of(container: Container, role: Role, situation: Situation) -> str | None:
    """Its cord directory, None where it has none on the host."""
    source = container.source_of(role.healthcheck.cord or "/tmp/kamal-cord")  # noqa: S108
    return source if source in situation.cords else None


def height(old: Old) -> int:
    """The highest priority of its routers."""
    return max((router.effective_priority for router in _app_routers(old.container)), default=0)


def _app_routers(container: Container) -> tuple[Router, ...]:
    return tuple(router for router in traefik.routers(container.labels, container.name) if not router.for_acknowledging)


def _free_slot(serving: tuple[Old, ...]) -> str:
    taken = {old.container.labels.get(traefik.SLOT_LABEL) for old in serving}
    free = [slot for slot in traefik.SLOTS if slot not in taken]
    if not free:
        names = ", ".join(old.container.name for old in serving)
        raise BootError(
            f"Both slots are taken by running containers ({names}).", hint="Stop the one that should not serve."
        )
    return free[0]


def _level(labels: Mapping[str, str], serving: tuple[Old, ...], situation: Situation) -> tuple[int, Direction]:
    """The level and, with it, the direction; both slots' levels taken by others is refused by name."""
    bases = base_priorities(labels, serving)
    new = [(router, bases[router.name]) for router in traefik.routers(labels)]
    old = [router for one in serving if one.container.routable for router in _app_routers(one.container)]
    all_cords = all(one.cord is not None for one in serving if one.container.routable)
    others = [router for one in situation.neighbours for router in _app_routers(one)]
    in_the_way: list[str] = []
    for level in _levels(new, old, all_cords):
        direction = _direction(new, old, level)
        if direction is None or (direction is Direction.DOWN and not all_cords):
            continue
        rivals = list(_rivals(new, others, level)) if level and old else []
        if not rivals:
            return level, direction
        in_the_way += rivals
    blame = f" In the way: {', '.join(sorted(set(in_the_way)))}." if in_the_way else ""
    raise BootError(
        f"No priority lets the new container take over in one instant.{blame}",
        hint="Give the routers of these labels priorities of their own, or the other one a higher priority.",
    )


def _levels(new: list[tuple[Router, int]], old: list[Router], all_cords: bool) -> Iterator[int]:
    yield from (0, 1, -1)
    if old and not all_cords:
        # Without a cord the old one can only be shadowed: once, from just above it; the next boot comes down again.
        yield max(router.effective_priority for router in old) + 1 - min((base for _, base in new), default=0)


def _direction(new: list[tuple[Router, int]], old: list[Router], level: int) -> Direction | None:
    """Up or down if it is the same for every pair that could meet, else None (also for a priority below 1)."""
    if any(base + level < 1 for _, base in new):
        return None
    gaps = [base + level - rival.effective_priority for router, base in new for rival in _counterparts(router, old)]
    if all(gap > 0 for gap in gaps):
        return Direction.UP
    return Direction.DOWN if all(gap < 0 for gap in gaps) else None


def _counterparts(router: Router, old: list[Router]) -> list[Router]:
    same = [rival for rival in old if rival.base_name == router.name.replace(".", "-") or rival.name == router.name]
    return same or [rival for rival in old if rival.protocol == router.protocol and router.may_meet(rival)]


def _rivals(new: list[tuple[Router, int]], others: list[Router], level: int) -> Iterator[str]:
    for router, base in new:
        for other in others:
            if (
                other.effective_priority == base + level
                and other.protocol == router.protocol
                and router.may_meet(other)
            ):
                yield f"{other.name} of {other.owner} (priority {other.effective_priority})"


def _with_port(labels: Mapping[str, str], port: int, image: Image | None) -> dict[str, str]:
    """Every HTTP service gets a port where the image does not tell exactly one."""
    if image is not None and len(image.ports) == 1:
        return dict(labels)
    added = {f"traefik.http.services.{name}.loadbalancer.server.port": str(port) for name in traefik.services(labels)}
    return {**added, **labels}


def _main_router(role: Role, labels: Mapping[str, str], slot: str) -> Router:
    found = [one for one in traefik.routers(labels) if one.protocol == "http" and not one.for_acknowledging]
    preferred = traefik.slot_name(role.name_prefix, slot) if slot else role.name_prefix
    if not found:
        raise BootError(
            f"The labels of role {role.name} define no HTTP router.", hint="Set traefik: false for a role without one."
        )
    return next((router for router in found if router.name == preferred), found[0])


def _only_service(labels: Mapping[str, str]) -> str:
    found = traefik.services(labels)
    if len(found) != 1:
        raise BootError(
            f"The labels define {len(found)} services ({', '.join(found)}) and a router names none of them.",
            hint="Add a label traefik.http.routers.NAME.service.",
        )
    return found[0]
