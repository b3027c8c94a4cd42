"""The steps around the switch, up and down: what the host's own script does, in which order. No I/O here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .commands import app, cord, host, proxy
from .config.model import Role
from .cutover import CutOver, Direction, Old, Situation, port_of
from .docker import Container
from .events import Phase
from .naming import named
from .plan import BootPlan
from .script import Script, Section
from .shell import Command, Result
from .traefik import Proxy

GUARD = "guard"
"""Up: it still runs and never restarted. That the app answers, Docker's check says before the proxy can."""
STILL_WELL = "still well"
STOP = "stop container"


WAY_BACK = ("tie cord", "wait for old one")
"""What ties an old one again: where one of these failed, nobody knows that it serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that the steps around a switch are made from.

    ``cord`` is the new container's cord directory, ``nonce`` what its acknowledging router answers to: the boot's own,
    that of the boot that made it where an old one is brought back, None where Kamal made it.
    """

    plan: BootPlan
    situation: Situation
    cutover: CutOver
    new: Container
    cord: str | None
    nonce: str | None

    @property
    def role(self) -> Role:
        """The role that is booted."""
        return self.plan.role

    @property
    def traefik(self) -> Proxy:
        """The host's Traefik."""
        assert self.situation.proxy is not None  # noqa: S101
        return self.situation.proxy

    @property
    def way(self) -> proxy.Way:
        """How the new container is seen through the proxy."""
        return proxy.way(self.traefik, self.new, self.cutover, self.situation.host_tool)

    @property
    def cuttable(self) -> tuple[Old, ...]:
        """The old ones that have a cord."""
        return tuple(old for old in self.cutover.serving if old.cord)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The switch as a script, its phases by command number, and the commands whose failure leaves it standing."""

    script: Script
    phases: tuple[tuple[int, Phase], ...]
    standing: frozenset[int]

    def switched(self, number: int) -> bool:
        """Whether the switch stands although the command ``number`` failed."""
        return number in self.standing


def before(stage: Stage) -> tuple[Command, ...]:
    """What makes the new container ready. Down: tied and acknowledged below the old one, where it gets no traffic."""
    if stage.cutover.direction is Direction.UP or stage.cord is None:
        return ()
    return (cord.tie(stage.cord), *_acknowledged(stage))


def script(stage: Stage, directory: str) -> Steps:
    """Guard, switch, acknowledge, soak, commit, drain, stop: detached, so that nothing of it needs the controller."""
    sections = _up(stage) if stage.cutover.direction is Direction.UP else _down(stage)
    sections += _drained_and_stopped(stage, named(stage.new, stage.role, stage.plan.nonce))
    numbered = Script(sections=sections, journal=f"{directory}/runs/{stage.plan.nonce}", fence=stage.plan.fence)
    return Steps(script=numbered, phases=_phases(numbered, stage.cutover), standing=_standing(numbered))


def without_leftovers(plan: BootPlan, situation: Situation, cutover: CutOver) -> list[Command]:
    """Leftovers are cut, confirmed out, drained and stopped before the new container starts."""
    steps: list[Command] = []
    for old in cutover.leftovers:
        stage = Stage(
            plan=plan, situation=situation, cutover=cutover, new=old.container, cord=old.cord, nonce=plan.nonce
        )
        steps += [*_cut(old), *_out(stage, old), *_drained(stage, old)]
    return [*steps, app.stop(_ids(cutover.leftovers), plan.role.stop_wait_time, "stop leftover")]


def take_out(stage: Stage) -> list[Command]:
    """A new container that failed is cut, and confirmed out if it was routed, before it is stopped."""
    mine = Old(container=stage.new, cord=stage.cord)
    steps = [*_cut(mine), *(_out(stage, mine) if stage.new.health == "healthy" else ())]
    return [step.failing_ok() for step in steps]


def worker_is_well(role: Role, new: Container) -> tuple[Command, ...]:
    """A role without a proxy: Docker's verdict where there is a check, else still running without a restart."""
    if role.healthcheck.configured:
        return (app.healthy(new.id, role.healthcheck.deadline), app.alive(new.id, role.min_healthy))
    return (app.alive(new.id, role.readiness_delay, "any", "readiness delay"),)


def explained(result: Result, plan: BootPlan) -> tuple[str, str]:
    """A failed step in words: why, and what to do."""
    role, said = plan.role, " ".join(result.stdout.split()[-12:])
    match result.exited:
        case host.GONE if "state" in said:
            return f"The new container did not stay up ({said.rpartition('state ')[2]}).", "Look at its log."
        case host.LATE:
            limit = f"{role.healthcheck.deadline:g} s"
            return (
                f"The app did not become healthy within {limit}.",
                "Look at its log; give it more time with deploy_timeout.",
            )
        case host.NO_SHELL:
            return (
                "The image has no sh, so its health cannot be asked.",
                "Add a shell to the image, or set traefik: false.",
            )
        case host.NO_TOOL:
            return (
                "The image has none of curl, wget, python3, ruby, node, php to ask its health check with.",
                "Add one, or set healthcheck.cmd to a command that it has.",
            )
        case host.BLIND:
            return (
                f"The container cannot see its cord in {role.healthcheck.cord}, so it would never become healthy.",
                "Something forbids it: SELinux (then, on the host: chcon -Rt container_file_t "
                f"{plan.run_directory}/cords), or the user or rights that it runs with.",
            )
        case host.UNROUTED:
            last = (result.stdout.strip().splitlines() or ["no answer"])[-1]
            return f"Traefik did not acknowledge the change ({last}).", "Look at its log: invoke traefik.logs."
        case 73:
            return "The host has no room to keep the script that switches.", "Make room there: docker system prune."
        case 76:
            return "This run does not hold the host's lock any more.", "Look who does: invoke lock.status."
        case None:
            return f"“{result.name}” gave no exit status: the connection or its time limit ended.", "Run it again."
        case code:
            tail = ((result.stderr.strip() or result.stdout.strip()).splitlines() or ["it said nothing"])[-1]
            return f"“{result.name}” ended with exit code {code}: {tail}.", ""


def _up(stage: Stage) -> tuple[Section, ...]:
    """Switch = tie the new one above the old one; commit = cut the old one."""
    mine = Old(container=stage.new, cord=stage.cord)
    tie = (cord.tie(stage.cord),) if stage.cord else ()
    soak = app.alive(stage.new.id, stage.role.min_healthy)
    undo = (*_cut(mine), *_out(stage, mine)) if stage.cord else ()
    guard = app.alive(stage.new.id, 0.0, "any", name=GUARD)
    switch = Section(steps=(guard, *_noted(stage), *tie, *_acknowledged(stage), soak), undo=undo)
    olds = stage.cuttable
    if not olds:
        return (switch,)
    steps = (*(step for old in olds for step in _cut(old)), *(step for old in olds for step in _out(stage, old)))
    return (switch, Section(steps=steps, undo=tuple(step for old in olds for step in _tied_again(stage, old))))


def _down(stage: Stage) -> tuple[Section, ...]:
    """Switch = cut the old one above the new one, which is acknowledged below it already; nothing is left to commit."""
    olds = stage.cuttable
    cut = (*(step for old in olds for step in _cut(old)), *(step for old in olds for step in _out(stage, old)))
    soak = app.alive(stage.new.id, stage.role.min_healthy)
    undo = tuple(step for old in olds for step in _tied_again(stage, old))
    return (Section(steps=(serves(stage),)), Section(steps=(*_noted(stage), *cut, soak), undo=undo))


def _noted(stage: Stage) -> tuple[Command, ...]:
    """From here on both have served: before the switch, so that no death leaves one that did and is not known to."""
    cords = (stage.cord, *(old.cord for old in stage.cuttable if old.container.routable))
    known = tuple(path for path in cords if path)
    return (cord.served(*known),) if known else ()


def serves(stage: Stage) -> Command:
    """Waits until the new one is healthy, and the proxy says that it routes to it."""
    cutover, deadline = stage.cutover, max(stage.role.healthcheck.deadline, stage.new.healthy_within + 10.0)
    return proxy.routed(stage.new.id, stage.nonce or "-", cutover.routers, cutover.service, stage.way, deadline)


def _acknowledged(stage: Stage) -> tuple[Command, ...]:
    return (serves(stage), *_assumed(stage, stage.nonce, stage.way))


def _assumed(stage: Stage, nonce: str | None, way: proxy.Way) -> tuple[Command, ...]:
    """Where the proxy can be asked neither by nonce nor by its API, it is given the time that it needs."""
    return () if way.api or (nonce and way.urls) else (proxy.assumed(stage.traefik),)


def _tied_again(stage: Stage, old: Old) -> list[Command]:
    limit = old.container.unhealthy_within + 10.0
    way = replace(stage.way, address=proxy.address_of(old, stage.way, port_of(stage.role, old.container)))
    seen = proxy.routed(old.container.id, old.nonce or "-", (), proxy.service_of(old), way, limit, WAY_BACK[1])
    return [cord.tie(old.cord), seen, *_assumed(stage, old.nonce, way)] if old.cord else []


def _cut(old: Old) -> list[Command]:
    return [cord.cut(old.cord)] if old.cord else []


def _out(stage: Stage, old: Old) -> list[Command]:
    """Wait until the proxy has let it go. Without a cord there is nothing to wait for."""
    if old.cord is None or not old.container.running:
        return []
    mine = old.container.id == stage.new.id and old.nonce == stage.nonce
    service = stage.cutover.service if mine else proxy.service_of(old)
    return [proxy.out(old, service, stage.way, port_of(stage.role, old.container), stage.traefik)]


def _drained(stage: Stage, old: Old) -> list[Command]:
    if old.container.status != "running":
        return []
    return [proxy.drain(old, stage.role, port_of(stage.role, old.container), stage.traefik)]


def _drained_and_stopped(stage: Stage, named: tuple[Command, ...]) -> tuple[Section, ...]:
    """A new one that dies while the old one drains gives way to it once more; only then the old one is stopped.

    And only then the new one is given its name, where an old container serves again.
    """
    olds = stage.cutover.serving
    if not olds:
        return (Section(steps=named),) if named else ()
    drained = [step for old in olds for step in _drained(stage, old)]
    undo = tuple(step for old in stage.cuttable for step in _tied_again(stage, old))
    well = app.alive(stage.new.id, 0.0, name=STILL_WELL)
    stop = app.stop(_ids(olds), stage.role.stop_wait_time)
    return (Section(steps=(*drained, well), undo=undo), Section(steps=(stop, *named)))


def _ids(olds: tuple[Old, ...]) -> tuple[str, ...]:
    return tuple(old.container.id for old in olds)


def _phases(script: Script, cutover: CutOver) -> tuple[tuple[int, Phase], ...]:
    """Which phase begins with which command: told apart by the steps' names."""
    up = cutover.direction is Direction.UP
    first = {"soak": Phase.SOAK, "drain": Phase.DRAIN, STOP: Phase.STOP}
    if up:
        first["cut cord"] = Phase.COMMIT
    found: dict[Phase, int] = {}
    for number in script.order:
        phase = first.get(script.commands[number].name)
        if phase is not None:
            found.setdefault(phase, number)
    return tuple((number, phase) for phase, number in found.items())


def _standing(script: Script) -> frozenset[int]:
    """Once the old one's cord is cut above a new one that serves, and once nothing is left but to stop it.

    Up: the commit, whose failure ties the old one again below the new one. Both: the stop.
    """
    standing: set[int] = set()
    number = 0
    for section in script.sections:
        names = [step.name for step in section.steps]
        if names[0] == STOP or (names[0] == "cut cord" and "soak" not in names):
            standing |= set(range(number, number + len(names)))
        number += len(names) + len(section.undo)
    return frozenset(standing)
