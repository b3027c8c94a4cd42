"""The boot of one role on one host, as a flow. Nothing here may do I/O.

Up to ``ready`` the controller leads, and whatever fails is taken back: users notice nothing. From the switch on, one
detached script on the host leads: it undoes by itself what fails in the soak, and finishes what is past the cut,
controller or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import switch
from .aftermath import first_failure, met_again, sentence, tidied, told
from .attempt import Attempt
from .commands import app, cord, leftovers, proxy, server
from .cutover import Situation, decide
from .docker import Container
from .errors import BootError, CommandFailed, KamalnbError, Unclear
from .events import Fact, Phase
from .flow import Enter, Flow, Tell, ask, ask_all, do
from .naming import named
from .plan import BootPlan
from .shell import Command
from .shown import Shown
from .undo import backed_out, explained, replace_serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A boot that went well. ``replaced`` is the version that served before, None where nothing did."""

    version: str
    replaced: str | None
    container: str


def boot(plan: BootPlan) -> Flow[Booted]:
    """Boots ``plan``. Raises ``BootError``: why, who serves now, the new container's last words."""
    yield Enter(Phase.OBSERVE)
    try:
        situation = yield from observe(plan)
        if plan.role.traefik:
            return (yield from _behind_proxy(plan, situation))
        return (yield from without_proxy(Attempt(plan=plan, situation=situation)))
    except KamalnbError as error:
        raise untouched(error, plan) from error


def observe(plan: BootPlan) -> Flow[Situation]:
    """What the host shows of this role now, in one round trip."""
    home, tool, containers, image, cords = yield from ask_all(
        server.home(),
        server.tool(),
        app.census(plan.role.service),
        app.image(plan.reference),
        cord.all_of(plan.run_directory),
    )
    shown = Shown(host=plan.host, home=home, host_tool=tool, containers=containers, cords=cords)
    return replace(shown.situation(plan.role), image=image)


def _behind_proxy(plan: BootPlan, situation: Situation) -> Flow[Booted]:
    if situation.proxy is None:
        raise BootError(
            "No Traefik runs on this host.", serving="Nothing was changed.", hint="Start it: invoke traefik.boot."
        )
    attempt = Attempt(plan=plan, situation=situation)
    if situation.image is None:
        yield Enter(Phase.PREPARE)
        attempt = yield from _pulled(attempt)
    cutover = decide(plan.role, attempt.situation, plan.nonce, app.labels(plan.role))
    attempt = replace(attempt, cutover=cutover)
    yield Tell(attempt.described)
    return (yield from taken_over(attempt))


def taken_over(attempt: Attempt) -> Flow[Booted]:
    """From a decided cut-over to its end. Whatever fails before the switch is taken back."""
    try:
        attempt = yield from _until_ready(attempt)
    except KamalnbError as error:
        raise (yield from backed_out(attempt, error)) from error
    return (yield from _switched(attempt))


def _until_ready(attempt: Attempt) -> Flow[Attempt]:
    """Prepare, start in the dark, verify; for a down-switch also tied and acknowledged below the old one."""
    yield Enter(Phase.PREPARE)
    yield from _prepared(attempt)
    yield Enter(Phase.START)
    new = yield from _started(attempt)
    yield Enter(Phase.VERIFY)
    attempt = yield from _verified(replace(attempt, new=new))
    yield Enter(Phase.READY)
    steps = switch.before(attempt.stage)
    if steps:
        results = yield from do(*steps, fence=attempt.plan.fence)
        yield from told(attempt, results)
    return attempt


def _pulled(attempt: Attempt) -> Flow[Attempt]:
    plan = attempt.plan
    yield Tell(Fact(kind="pull", text=f"pulling {plan.reference}"))
    try:
        yield from do(app.pull(plan.reference), fence=plan.fence)
    except CommandFailed as error:
        yield from tidied(attempt.directory, plan.fence)
        said = error.result.stderr.strip().splitlines()[-1:] or ["no answer"]
        raise BootError(
            f"The image {plan.reference} is not on this host and cannot be pulled: {said[0]}.",
            serving=attempt.as_before,
            hint=f"Look at its name and tag, or push it: docker push {plan.reference}.",
        ) from error
    image = yield from ask(app.image(plan.reference))
    return replace(attempt, situation=replace(attempt.situation, image=image))


def _prepared(attempt: Attempt) -> Flow[None]:
    """Leftovers out, env file there, the cord's directory made; one that is brought back will start in the dark."""
    plan = attempt.plan
    for old in attempt.cutover.leftovers if attempt.cutover else ():
        name = old.container.name
        yield Tell(Fact(kind="leftover", text=f"{name} runs but does not serve: it is stopped first", warning=True))
    steps: list[Command] = []
    if attempt.cutover and attempt.cutover.leftovers:
        steps += switch.without_leftovers(plan, attempt.situation, attempt.cutover)
    if attempt.loose_cords:
        steps.append(leftovers.remove_directories(attempt.loose_cords).failing_ok())
    if attempt.returned is None:
        path = app.env_file(plan, attempt.situation.home)
        steps.append(
            server.touch_env_file(path) if plan.env_file is None else server.write_file(path, plan.env_file, "env file")
        )
        steps += [cord.dark(attempt.cord)] if attempt.cord else []
    elif attempt.cord and not attempt.returned.running:
        steps.append(cord.cut(attempt.cord))
    what = "Booted" if attempt.returned is None else "Returned to"
    steps.append(attempt.audit(f"{what} app version {plan.version}"))
    yield from do(*steps, fence=plan.fence)


def _started(attempt: Attempt) -> Flow[Container]:
    plan, namesake = attempt.plan, attempt.namesake
    if attempt.returned is not None:
        return (yield from _again(attempt, attempt.returned))
    labels = {**app.labels(plan.role), **attempt.own_labels}
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


def _again(attempt: Attempt, returned: Container) -> Flow[Container]:
    """One that is there runs (again). Its address and its process are other ones than before."""
    if not returned.running:
        yield from do(app.start_again(returned.id), fence=attempt.plan.fence)
    networks = attempt.situation.proxy.container.networks if attempt.situation.proxy else {"bridge": ""}
    example = app.example_container(returned.id, returned.name, networks)
    return (yield from ask(app.container(returned.id, example)))


def _verified(attempt: Attempt) -> Flow[Attempt]:
    """The app answers, listens where Traefik will ask, and shares a network with it. Knows all addresses anew."""
    stage = attempt.stage
    new, port = stage.new, stage.cutover.port
    proxy.way(stage.traefik, new, stage.cutover, attempt.situation.host_tool)
    listening = app.listening(new.id, port)
    again = app.those(("traefik", new.id, *(old.container.id for old in stage.cutover.serving)))
    # One that is brought back may have any cord: it had been seen when it was new.
    dark = attempt.cord if attempt.returned is None else None
    results = yield from do(app.verify(new.id, attempt.plan.role, dark), listening.command, again.command)
    sockets = listening.read(results[1].stdout)
    on_port = [socket for socket in sockets if socket.port == port]
    if not on_port:
        others = (
            ", ".join(str(number) for number in sorted({s.port for s in sockets if not s.on_loopback})) or "no port"
        )
        raise BootError(
            f"The app answers its check but nothing listens on port {port}, where Traefik will ask "
            f"(it listens on {others}).",
            hint="Set healthcheck.port, or the label traefik.http.services.NAME.loadbalancer.server.port.",
        )
    if all(socket.on_loopback for socket in on_port):
        raise BootError(
            f"The app listens on port {port} of the loopback address only, where Traefik cannot reach it.",
            hint="Let it bind 0.0.0.0.",
        )
    return attempt.found_again(again.read(results[2].stdout))


def _switched(attempt: Attempt) -> Flow[Booted]:
    """One detached script: guard, switch, acknowledge, soak, commit, drain, stop."""
    stage, plan = attempt.stage, attempt.plan
    steps = switch.script(stage, attempt.directory)
    yield Enter(Phase.SWITCH)
    results = yield from met_again(attempt, steps)
    failed = first_failure(steps.script, results)
    yield from told(attempt, results)
    if failed is None:
        yield Enter(Phase.DONE)
        return Booted(version=plan.version, replaced=attempt.old_version, container=stage.new.id)
    number, result = failed
    if number < 0:
        raise BootError(
            "This run does not hold the host's lock any more; the host refused to switch.", serving=attempt.as_before,
            hint="Look who does: invoke lock.status.",
        )  # fmt: skip
    if steps.switched(number):
        raise BootError(
            f"{sentence(result)} The switch stands.",
            serving=f"{plan.version} serves; {attempt.old_version or 'the old one'} still runs.",
            hint="Run it again to finish.",
        )
    error = CommandFailed(result)
    not_undone = [undo for undo in results[results.index(result) + 1 :] if not undo.ok]
    if any(undo.name in switch.WAY_BACK for undo in not_undone):
        # To remove the new one now could leave nobody serving at all.
        raise BootError(
            f"{sentence(result)} The way back failed: {sentence(not_undone[0])}",
            serving=f"{plan.version} and {attempt.old_version} both still run; either may serve.",
            hint="Look with invoke check, then boot a version that is well.",
        ) from error
    failure = yield from backed_out(attempt, error)
    for undo in not_undone:
        failure = replace_serving(failure, f"The way back failed: {sentence(undo)}")
    raise failure from error


def without_proxy(attempt: Attempt) -> Flow[Booted]:
    """A role that Traefik does not route to: start, wait, stop the old one; or stop first, where two must never run."""
    plan = attempt.plan
    if attempt.situation.image is None and attempt.returned is None:
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
        failure = yield from backed_out(attempt, error)
        if first and olds:
            yield from do(Command(name="start old container", words=("docker", "start", *olds)), fence=plan.fence)
        raise failure from error
    last = (*((stop,) if olds and not first else ()), *named(new, plan.role, plan.nonce))
    if last:
        yield Enter(Phase.STOP)
        results = yield from do(*last, fence=plan.fence)
        yield from told(attempt, results)
    yield Enter(Phase.DONE)
    return Booted(version=plan.version, replaced=attempt.old_version, container=new.id)


def untouched(error: KamalnbError, plan: BootPlan) -> BootError:
    """An error that says who serves; one that does not yet came before anything was changed."""
    if isinstance(error, BootError) and error.serving:
        return error
    why, hint = explained(error, plan)
    return BootError(why, serving="Nothing was changed there.", hint=hint)
