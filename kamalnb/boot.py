"""The boot of one role on one host, as a flow. Nothing here may do I/O.

Up to ``ready`` the controller leads, and whatever fails is taken back: users notice nothing. From the switch on, one
detached script on the host leads: it undoes by itself what fails in the soak, and finishes what is past the cut,
controller or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import switch, traefik
from .commands import app, cord, proxy, server
from .cutover import CutOver, Old, Situation, belongs, decide, version_of
from .docker import Container
from .errors import BootError, CommandFailed, HostUnreachable, KamalnbError, Unclear
from .events import Fact, Phase
from .flow import Cancelled, Enter, Flow, Pause, Run, Tell, ask, ask_all, do
from .plan import BootPlan
from .script import REFUSED, Script
from .shell import Command, Result

LOG_TAIL = 30
REATTACH = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses in seconds before a lost host is met again, in the switch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A boot that went well. ``replaced`` is the version that served before, None where nothing did."""

    version: str
    replaced: str | None
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the steps of one boot share. ``renamed`` is the container that made way for a same name, with its old name."""

    plan: BootPlan
    situation: Situation
    cutover: CutOver | None = None
    new: Container | None = None

    @property
    def directory(self) -> str:
        """Kamal's directory on the host."""
        return app.run_directory(self.plan, self.situation.home)

    @property
    def cord(self) -> str | None:
        """The new container's cord directory."""
        return cord.directory(self.plan, self.directory) if self.plan.role.uses_cord else None

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


def boot(plan: BootPlan) -> Flow[Booted]:
    """Boots ``plan``. Raises ``BootError``: why, who serves now, the new container's last words."""
    yield Enter(Phase.OBSERVE)
    try:
        situation = yield from observe(plan)
        if plan.role.traefik:
            return (yield from _behind_proxy(plan, situation))
        return (yield from _without_proxy(plan, situation))
    except KamalnbError as error:
        raise _untouched(error, plan) from error


def observe(plan: BootPlan) -> Flow[Situation]:
    """What the host shows of this role now, in one round trip."""
    home, tool, containers, image, cords = yield from ask_all(
        server.home(),
        server.tool(),
        app.census(plan.role.service),
        app.image(plan.reference),
        cord.all_of(plan.run_directory),
    )
    found = proxy.among(containers)
    ours = tuple(container for container in containers if belongs(container, plan.role))
    newer = [c.name for c in ours if traefik.number(c.labels, traefik.FORMAT_LABEL) > traefik.FORMAT]
    if newer:
        raise BootError(f"{newer[0]} was started by a newer kamalnb.", hint="Upgrade kamalnb here: pip install -U kamalnb.")
    return Situation(
        home=home,
        containers=ours,
        neighbours=tuple(c for c in containers if c.running and not belongs(c, plan.role)),
        proxy=traefik.proxy(found) if found is not None and found.status == "running" else None,
        cords=cords,
        image=image,
        host_tool=tool,
    )


def _behind_proxy(plan: BootPlan, situation: Situation) -> Flow[Booted]:
    if situation.proxy is None:
        raise BootError("No Traefik runs on this host.", serving="Nothing was changed.", hint="Start it: invoke traefik.boot.")
    attempt = Attempt(plan=plan, situation=situation)
    if situation.image is None:
        yield Enter(Phase.PREPARE)
        attempt = yield from _pulled(attempt)
    cutover = decide(plan.role, attempt.situation, plan.nonce, app.labels(plan.role))
    attempt = replace(attempt, cutover=cutover)
    yield Tell(_described(attempt))
    try:
        attempt = yield from _until_ready(attempt)
    except KamalnbError as error:
        raise (yield from _backed_out(attempt, error)) from error
    return (yield from _switched(attempt))


def _until_ready(attempt: Attempt) -> Flow[Attempt]:
    """Prepare, start in the dark, verify; for a down-switch also tied and acknowledged below the old one."""
    yield Enter(Phase.PREPARE)
    yield from _prepared(attempt)
    yield Enter(Phase.START)
    new = yield from _started(attempt)
    yield Enter(Phase.VERIFY)
    new = yield from _verified(replace(attempt, new=new))
    attempt = replace(attempt, new=new)
    yield Enter(Phase.READY)
    steps = switch.before(_stage(attempt))
    if steps:
        yield from do(*steps, fence=attempt.plan.fence)
    return attempt


def _pulled(attempt: Attempt) -> Flow[Attempt]:
    plan = attempt.plan
    yield Tell(Fact(kind="pull", text=f"pulling {plan.reference}"))
    try:
        yield from do(app.pull(plan.reference), fence=plan.fence)
    except CommandFailed as error:
        said = error.result.stderr.strip().splitlines()[-1:] or ["no answer"]
        raise BootError(
            f"The image {plan.reference} is not on this host and cannot be pulled: {said[0]}.",
            serving=attempt.as_before,
            hint=f"Look at its name and tag, or push it: docker push {plan.reference}.",
        ) from error
    image = yield from ask(app.image(plan.reference))
    return replace(attempt, situation=replace(attempt.situation, image=image))


def _prepared(attempt: Attempt) -> Flow[None]:
    """Leftovers out, env file there, the cord's directory made."""
    plan, directory = attempt.plan, attempt.directory
    for old in attempt.cutover.leftovers if attempt.cutover else ():
        name = old.container.name
        yield Tell(Fact(kind="leftover", text=f"{name} runs but does not serve: it is stopped first", warning=True))
    steps: list[Command] = []
    if attempt.cutover and attempt.cutover.leftovers:
        steps += switch.without_leftovers(plan, attempt.situation, attempt.cutover)
    path = app.env_file(plan, attempt.situation.home)
    steps.append(server.touch_env_file(path) if plan.env_file is None else server.write_file(path, plan.env_file, "env file"))
    if attempt.cord:
        steps.append(cord.dark(attempt.cord))
    steps.append(_audit(attempt, f"Booted app version {plan.version}"))
    yield from do(*steps, fence=plan.fence)


def _started(attempt: Attempt) -> Flow[Container]:
    plan, namesake = attempt.plan, attempt.namesake
    labels = {**app.labels(plan.role), **_version_label(plan)}
    if attempt.cutover is not None:
        labels = {**{k: v for k, v in labels.items() if not k.lower().startswith("traefik.")}, **attempt.cutover.labels}
    steps = [app.run(plan, attempt.situation.home, labels, attempt.cord)]
    if namesake is not None:
        steps.insert(0, app.rename(namesake.id, f"{plan.container_name}_replaced_{plan.suffix}"))
    results = yield from do(*steps, fence=plan.fence)
    identifier = results[-1].stdout.strip()
    if not identifier.isalnum():
        raise Unclear("start container", results[-1].stdout, "not the id of a container")
    networks = attempt.situation.proxy.container.networks if attempt.situation.proxy else {"bridge": ""}
    example = app.example_container(identifier, plan.container_name, networks)
    return (yield from ask(app.container(identifier, example)))


def _verified(attempt: Attempt) -> Flow[Container]:
    """The app answers, listens where Traefik will ask, and shares a network with it."""
    assert attempt.cutover is not None and attempt.new is not None and attempt.situation.proxy is not None  # noqa: S101
    new, port = attempt.new, attempt.cutover.port
    proxy.way(attempt.situation.proxy, new, attempt.cutover, attempt.situation.host_tool)
    yield from do(app.verify(new.id, attempt.plan.role))
    sockets = yield from ask(app.listening(new.id, port))
    on_port = [socket for socket in sockets if socket.port == port]
    if not on_port:
        others = ", ".join(str(number) for number in sorted({s.port for s in sockets if not s.on_loopback})) or "no port"
        raise BootError(
            f"The app answers its check but nothing listens on port {port}, where Traefik will ask (it listens on {others}).",
            hint="Set healthcheck.port, or the label traefik.http.services.NAME.loadbalancer.server.port.",
        )
    if all(socket.on_loopback for socket in on_port):
        raise BootError(
            f"The app listens on port {port} of the loopback address only, where Traefik cannot reach it.",
            hint="Let it bind 0.0.0.0.",
        )
    return new


def _switched(attempt: Attempt) -> Flow[Booted]:
    """One detached script: guard, switch, acknowledge, soak, commit, drain, stop."""
    stage, plan = _stage(attempt), attempt.plan
    steps = switch.script(stage, attempt.directory)
    yield Enter(Phase.SWITCH)
    results = yield from _met_again(attempt, steps)
    failed = _first_failure(steps.script, results)
    yield from _told(attempt, results)
    if failed is None:
        yield Enter(Phase.DONE)
        return Booted(version=plan.version, replaced=attempt.old_version, container=stage.new.id)
    number, result = failed
    if number < 0:
        raise BootError("This run does not hold the host's lock any more; the host refused to switch.", serving=attempt.as_before)
    if steps.switched(number):
        raise BootError(
            f"{_sentence(result)} The switch stands.",
            serving=f"{plan.version} serves; {attempt.old_version or 'the old one'} still runs.",
            hint="Boot the same version again to finish.",
        )
    error = CommandFailed(result)
    not_undone = [undo for undo in results[results.index(result) + 1 :] if not undo.ok]
    if any(undo.name in switch.WAY_BACK for undo in not_undone):
        # To remove the new one now could leave nobody serving at all.
        raise BootError(
            f"{_sentence(result)} The way back failed: {_sentence(not_undone[0])}",
            serving=f"{plan.version} and {attempt.old_version} both still run; either may serve.",
            hint="Look with invoke check, then boot a version that is well.",
        ) from error
    failure = yield from _backed_out(attempt, error)
    for undo in not_undone:
        failure = replace_serving(failure, f"The way back failed: {_sentence(undo)}")
    raise failure from error


def _met_again(attempt: Attempt, steps: switch.Steps) -> Flow[tuple[Result, ...]]:
    """Runs the detached script, and follows it again when the connection is lost: it is never started twice."""
    for pause in (*REATTACH, None):
        try:
            results: tuple[Result, ...] = yield Run(steps.script, steps.phases)
            if results and results[-1].exited is not None:
                return results
        except HostUnreachable:
            pass
        if pause is not None:
            yield Tell(Fact(kind="lost", text="the connection was lost; the host goes on by itself", warning=True))
            yield Pause(pause, "to meet the host again")
    raise BootError(
        "The host was lost in the switch.",
        serving=f"Either {attempt.plan.version} or {attempt.old_version or 'nothing'} serves there; the host goes on by itself.",
        hint="Look with invoke check, then boot the same version again.",
    )


def _first_failure(script: Script, results: tuple[Result, ...]) -> tuple[int, Result] | None:
    # Up to the first failure no undo ran, so the results are those of the steps alone, in their order.
    for number, result in zip(script.order, results, strict=False):
        if not result.ok and not script.commands[number].may_fail:
            return number, result
    if results:
        return None
    return -1, Result(name="switch", line="", exited=REFUSED)


def _told(attempt: Attempt, results: tuple[Result, ...]) -> Flow[None]:
    """What people should know of a switch that went well or not: what was cut short, killed, or only assumed."""
    for result in results:
        for line in result.stdout.splitlines():
            fact = _drain_fact(attempt, line) if result.name == "drain" else None
            if result.name == switch.STOP and line.startswith("exit 137"):
                fact = Fact(kind="killed", text="the old container ignored SIGTERM and was killed", warning=True)
            if line == "assumed":
                text = "the proxy could not be asked about the old container: assumed out after a wait"
                fact = Fact(kind="assumed", text=text, warning=True)
            if fact is not None:
                yield Tell(fact)


def _drain_fact(attempt: Attempt, line: str) -> Fact | None:
    kind, _, left = line.partition(" ")
    if kind != "left" or left == "0":
        return None
    traefik_there = attempt.situation.proxy
    if traefik_there and not all(proxy.counts_in_flight(traefik_there, old) for old in attempt.olds):
        text = f"Traefik keeps idle connections open ({left} at the end), so the drain was assumed to be over"
        return Fact(kind="drain-assumed", text=text, warning=True)
    many = {"1": "1 open connection was", "unknown": "nobody could tell how many connections were"}
    sentence = many.get(left, f"{left} open connections were")
    return Fact(kind="cut-short", text=f"{sentence} closed at the end of the drain", warning=True)


def _backed_out(attempt: Attempt, error: KamalnbError) -> Flow[BootError]:
    """Takes everything back: cut, log kept, new one removed, names as before. Gives the error to raise."""
    yield Enter(Phase.UNDO)
    try:
        health, log, kept = yield from _removed(attempt)
        left = ""
    except KamalnbError as trouble:
        health, log, kept = (), (), ""
        left = f"It could not be cleaned up ({trouble}); the next boot will."
    if isinstance(error, CommandFailed) and error.result.name == "verify app":
        # In the dark Docker's own probes end at the cord; what the app answered is what our check printed.
        health = (*error.result.stdout.splitlines()[-5:], *health)
    why, hint = explained(error, attempt.plan)
    serving = " ".join(filter(None, (attempt.as_before, left)))
    return BootError(why, serving=serving, log=log, health=health, kept=kept, hint=hint)


def _removed(attempt: Attempt) -> Flow[tuple[tuple[str, ...], tuple[str, ...], str]]:
    plan = attempt.plan
    found = yield from ask(app.containers(plan.role.service))
    nonce = plan.nonce
    mine = [c for c in found if c.labels.get(traefik.NONCE_LABEL) == nonce]
    kept = f"{attempt.directory}/logs/{plan.container_name}-{nonce[:8]}.log"
    steps: list[Command] = []
    log: tuple[str, ...] = ()
    for container in mine:
        if attempt.cutover is not None and attempt.cord:
            steps += switch.take_out(_stage(replace(attempt, new=container)))
        steps += [
            app.keep_log(container.id, kept, min(plan.role.healthcheck.log_lines, LOG_TAIL)).failing_ok(),
            app.stop((container.id,), plan.role.stop_wait_time, "stop new container").failing_ok(),
            app.remove(container.id),
        ]
    if attempt.cord:
        steps.append(cord.remove(attempt.cord))
    renamed = f"{plan.container_name}_replaced_{plan.suffix}"
    back = next((c for c in found if c.name == renamed), None)
    if back is not None:
        steps.append(app.rename(back.id, plan.container_name))
    steps += [server.tidy_runs(f"{attempt.directory}/runs"), _audit(attempt, f"Failed to boot app version {plan.version}")]
    results = yield from do(*steps, fence=plan.fence)
    keeping = next((result for result in results if result.name == "keep log"), None)
    log = tuple(keeping.stdout.splitlines()) if keeping else ()
    health = tuple(filter(None, mine[0].health_log)) if mine else ()
    return health[-5:], log, kept if keeping and keeping.ok else ""


def _without_proxy(plan: BootPlan, situation: Situation) -> Flow[Booted]:
    """A role that Traefik does not route to: start, wait, stop the old one; or the other way round where two must never run."""
    attempt = Attempt(plan=plan, situation=situation)
    if situation.image is None:
        yield Enter(Phase.PREPARE)
        attempt = yield from _pulled(attempt)
    olds = tuple(old.container.id for old in attempt.olds)
    first = plan.role.order == "stop-first"
    stop = app.stop(olds, plan.role.stop_wait_time)
    try:
        yield Enter(Phase.PREPARE)
        yield from _prepared(attempt)
        if first and olds:
            yield Enter(Phase.STOP)
            yield from do(stop, fence=plan.fence)
        yield Enter(Phase.START)
        new = yield from _started(attempt)
        attempt = replace(attempt, new=new)
        yield Enter(Phase.VERIFY)
        yield from do(*switch.worker_is_well(plan.role, new))
    except KamalnbError as error:
        failure = yield from _backed_out(attempt, error)
        if first and olds:
            yield from do(Command(name="start old container", words=("docker", "start", *olds)), fence=plan.fence)
        raise failure from error
    if olds and not first:
        yield Enter(Phase.STOP)
        results = yield from do(stop, fence=plan.fence)
        yield from _told(attempt, results)
    yield Enter(Phase.DONE)
    return Booted(version=plan.version, replaced=attempt.old_version, container=new.id)


def _untouched(error: KamalnbError, plan: BootPlan) -> BootError:
    """An error that says who serves; one that does not yet came before anything was changed."""
    if isinstance(error, BootError) and error.serving:
        return error
    why, hint = explained(error, plan)
    return BootError(why, serving="Nothing was changed there.", hint=hint)


def explained(error: KamalnbError, plan: BootPlan) -> tuple[str, str]:
    """Why a boot failed, and what to do: for every way that the host's scripts can end."""
    if isinstance(error, BootError):
        return error.why, error.hint
    if isinstance(error, Cancelled):
        return "Cancelled before the switch.", ""
    if isinstance(error, CommandFailed):
        return switch.explained(error.result, plan)
    return str(error), ""


def replace_serving(failure: BootError, sentence: str) -> BootError:
    """The same failure with one more thing said about who serves."""
    serving = f"{failure.serving} {sentence}"
    return BootError(failure.why, serving=serving, log=failure.log, health=failure.health, kept=failure.kept, hint=failure.hint)


def _stage(attempt: Attempt) -> switch.Stage:
    assert attempt.cutover is not None and attempt.new is not None  # noqa: S101
    return switch.Stage(
        plan=attempt.plan, situation=attempt.situation, cutover=attempt.cutover, new=attempt.new, cord=attempt.cord
    )


def _sentence(result: Result) -> str:
    how = "gave no exit status" if result.exited is None else f"ended with {result.exited}"
    said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
    return f"“{result.name}” {how}{': ' + said[0] if said else ''}."


def _described(attempt: Attempt) -> Fact:
    cutover = attempt.cutover
    assert cutover is not None  # noqa: S101
    old = attempt.old_version or "nothing"
    text = f"{old} → {attempt.plan.version}: {cutover.direction}-switch into {cutover.slot}, level {cutover.level:+d}"
    data = {"direction": str(cutover.direction), "slot": cutover.slot, "level": cutover.level, "from": attempt.old_version}
    return Fact(kind="cutover", text=text, data=data)


def _version_label(plan: BootPlan) -> dict[str, str]:
    return {traefik.VERSION_LABEL: plan.version, traefik.NONCE_LABEL: plan.nonce, traefik.FORMAT_LABEL: str(traefik.FORMAT)}


def _audit(attempt: Attempt, text: str) -> Command:
    plan = attempt.plan
    path = server.audit_path(plan.role.service, plan.role.destination, attempt.directory)
    return server.audit(path, (plan.performer, plan.role.destination or "", plan.role.name), text)
