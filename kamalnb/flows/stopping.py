"""Stop and start what is there: ``stop``, ``start``, ``stale-containers --stop``. Nothing here may do I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..aftermath import sentence
from ..commands import app, cord, host, proxy
from ..config.model import Role
from ..cutover import CUT, Old, Situation, port_of, version_of
from ..docker import Container
from ..errors import BootError, CommandFailed, KamalnbError
from ..events import Phase
from ..flow import Cancelled, Enter, Flow, ask, do
from ..naming import named
from ..rollout import Done
from ..shell import Command
from ..switch import worker_is_well
from ..traefik import NONCE_LABEL, routers
from .change import Change, looked
from .leaving import NO_WAY, Leaving, left
from .standing import main_router, old_of, standing_first

LOG_LINES = 30


def stopped(change: Change, version: str | None = None) -> Flow[Done]:
    """Stops every running container of the role, or those of ``version``: cut, confirmed out and drained first.

    Raises ``BootError``.
    """
    situation = yield from looked(change)
    role = change.role
    running = tuple(one for one in situation.containers if one.running)
    chosen = tuple(one for one in running if version in (None, version_of(one, role)))
    leaving = Leaving(change=change, situation=situation, containers=chosen)
    if not chosen:
        others = _versions(running, change)
        why = f"{version} did not run there ({others} does)" if others and version else "nothing ran there"
        return Done(f"{role.name}: {why}; nothing was changed.", {"stopped": ()})
    yield from left(leaving)
    versions = leaving.versions()
    rest = tuple(one for one in running if one not in chosen)
    after = f"{_versions(rest, change)} runs on." if rest else "nothing of it runs there now."
    return Done(f"{role.name}: {', '.join(versions)} was stopped; {after}", {"stopped": versions})


def stale_stopped(change: Change) -> Flow[Done]:
    """Stops every running container of the role but the one that serves. Raises ``BootError``."""
    situation = yield from looked(change)
    running = standing_first(tuple(one for one in situation.containers if one.running))
    if len(running) < 2:
        return Done(f"{change.role.name}: no stale container runs there.", {"stopped": ()})
    serving, stale = running[0], running[1:]
    leaving = Leaving(change=change, situation=situation, containers=stale)
    yield from left(leaving)
    names = ", ".join(one.name for one in stale)
    text = f"{change.role.name}: stopped {names}; {version_of(serving, change.role)} runs on."
    return Done(text, {"stopped": leaving.versions(), "serving": version_of(serving, change.role)})


def started(change: Change, version: str | None = None) -> Flow[Done]:
    """Starts a stopped container again, that of ``version`` or the one that ran last: in the dark, checked, then tied.

    Raises ``BootError``, also where another version serves already.
    """
    situation = yield from looked(change)
    role = change.role
    serving = _serving(situation, change)
    if serving is not None:
        here = version_of(serving, role)
        if serving.status != "running":
            raise BootError(
                f"{here} is there and is {serving.status}.", serving="Nothing was changed.",
                hint="Look at its log: invoke logs.",
            )  # fmt: skip
        if version in (None, here):
            return Done(f"{role.name}: {here} runs already.", {"started": None, "serving": here})
        raise BootError(
            f"{here} serves there already, so {version} was not started.", serving=f"{here} serves, as before.",
            hint=f"To go over to it with no lost request: invoke rollback --version={version}. Or first: invoke stop.",
        )  # fmt: skip
    if role.traefik and situation.proxy is None:
        raise BootError(
            "No Traefik runs on this host.", serving="Nothing was changed.", hint="Start it: invoke traefik.boot."
        )
    start = _Start(change=change, situation=situation, container=_chosen(situation, change, version))
    return (yield from _started(start))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """One container that is started again."""

    change: Change
    situation: Situation
    container: Container

    @property
    def version(self) -> str:
        return version_of(self.container, self.change.role)

    @property
    def cord(self) -> str | None:
        """Its cord directory; also one that was taken away (Kamal removes it), since Docker still mounts it."""
        role = self.change.role
        if not role.traefik:
            return None
        return self.container.source_of(role.healthcheck.cord or "/tmp/kamal-cord")  # noqa: S108

    @property
    def darkened(self) -> tuple[Command, ...]:
        """What makes sure that it starts in the dark."""
        if self.cord is None:
            return ()
        there = self.situation.cords.get(self.cord)
        return (cord.cut(self.cord),) if there in ("tied", *CUT) else (cord.dark(self.cord),)

    @property
    def seen(self) -> Command:
        """The wait until the proxy acknowledges it."""
        role, one, traefik = self.change.role, self.container, self.situation.proxy
        assert traefik is not None  # noqa: S101
        port = port_of(role, one)
        try:
            way = proxy.way_to(traefik, one, main_router(one), port, self.situation.host_tool)
        except BootError:
            way = NO_WAY
        # An old router of Kamal's may be shared by name; its own nonce is what tells ours apart.
        names = tuple(r.name for r in routers(one.labels, one.name) if r.protocol == "http")
        nonce, limit = one.labels.get(NONCE_LABEL) or "-", max(one.unhealthy_within, role.healthcheck.deadline) + 10.0
        service = proxy.service_of(Old(container=one, cord=self.cord))
        return proxy.routed(one.id, nonce, names, service, way, limit)


def _started(start: _Start) -> Flow[Done]:
    change, role = start.change, start.change.role
    again = Command(name="start again", words=("docker", "start", start.container.id), limit=120.0)
    yield Enter(Phase.START)
    try:
        said = change.said(f"Started app version {start.version}")
        yield from do(*start.darkened, again, said, fence=change.fence)
        example = app.example_container(start.container.id, start.container.name, {"bridge": ""})
        new = yield from ask(app.container(start.container.id, example))
        start = replace(start, container=new)
        yield Enter(Phase.VERIFY)
        if not role.traefik:
            yield from do(*worker_is_well(role, new), *named(new, role, change.nonce), fence=change.fence)
            yield Enter(Phase.DONE)
            return Done(f"{role.name}: {start.version} runs again.", {"started": start.version})
        yield from do(app.verify(new.id, role))
        yield Enter(Phase.SWITCH)
        tie = (cord.served(start.cord), cord.tie(start.cord)) if start.cord else ()
        yield from do(*tie, start.seen, *named(new, role, change.nonce), fence=change.fence)
    except KamalnbError as error:
        raise (yield from _dark_again(start, error)) from error
    yield Enter(Phase.DONE)
    return Done(f"{role.name}: {start.version} serves again.", {"started": start.version})


def _dark_again(start: _Start, error: KamalnbError) -> Flow[BootError]:
    """A start that failed is taken back: cut, its last words, stopped. Gives the error to raise."""
    yield Enter(Phase.UNDO)
    steps = [cord.cut(start.cord).failing_ok()] if start.cord else []
    directory = start.change.directory(start.situation.home)
    kept = f"{directory}/logs/{start.container.name}-{start.change.nonce[:8]}.log"
    steps += [
        app.keep_log(start.container.id, kept, LOG_LINES).failing_ok(),
        app.stop((start.container.id,), start.change.role.stop_wait_time).failing_ok(),
    ]
    log: tuple[str, ...] = ()
    now = "It was stopped again; nothing serves there, as before."
    try:
        results = yield from do(*steps, fence=start.change.fence)
        log = tuple(results[-2].stdout.splitlines()) if results[-2].ok else ()
    except KamalnbError as trouble:
        now, kept = f"It could not be stopped again ({trouble}).", ""
    why, hint = _why(error, start.change.role)
    return BootError(why, serving=now, log=log, kept=kept if log else "", hint=hint)


def _why(error: KamalnbError, role: Role) -> tuple[str, str]:
    if isinstance(error, BootError):
        return error.why, error.hint
    if isinstance(error, Cancelled):
        return "Cancelled before it was tied.", ""
    if not isinstance(error, CommandFailed):
        return str(error), "Look at the host: invoke check."
    match error.result.exited:
        case host.GONE:
            return "The container did not stay up.", "Look at its log, or boot it anew: invoke boot."
        case host.LATE:
            limit = f"{role.healthcheck.deadline:g} s"
            return f"The app did not become healthy within {limit}.", "Look at its log."
        case host.UNROUTED:
            return "Traefik did not acknowledge it in time.", "Look at its log: invoke traefik.logs."
        case _:
            return sentence(error.result), "Look at the host: invoke check."


def _serving(situation: Situation, change: Change) -> Container | None:
    """A running container that requests reach; one that runs in the dark does not serve."""
    running = [one for one in situation.containers if one.running]
    if not change.role.traefik:
        return next(iter(running), None)
    lit = [one for one in running if situation.cords.get(old_of(one, change.role, situation).cord or "") not in CUT]
    return next(iter(standing_first(tuple(lit))), None)


def _chosen(situation: Situation, change: Change, version: str | None) -> Container:
    role = change.role
    there = sorted(situation.containers, key=lambda one: (one.started, one.created), reverse=True)
    found = next((one for one in there if version in (None, version_of(one, role))), None)
    if found is None:
        have = _versions(tuple(there), change)
        why = (
            f"There is no container of {version} there (there are: {have})." if have else "There is no container there."
        )
        raise BootError(why, serving="Nothing was changed.", hint=f"Boot it: invoke boot --version={version or '…'}.")
    return found


def _versions(containers: tuple[Container, ...], change: Change) -> str:
    return ", ".join(dict.fromkeys(version_of(one, change.role) for one in containers))
