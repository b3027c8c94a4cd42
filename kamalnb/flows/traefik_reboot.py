"""``traefik.reboot``: a new Traefik in the place of the old one. Nothing here may do I/O.

While Traefik is away nobody is served by that host. What can fail without that is done first; a new one that does not
route as the old one did gives way to the old one, on the host itself, controller or not.
"""

from __future__ import annotations

from dataclasses import replace

from ..commands import app, running_traefik, traefik_reboot
from ..commands import traefik as commands
from ..commands.running_traefik import Running
from ..commands.traefik_reboot import Thing
from ..errors import BootError, CommandFailed
from ..events import Fact, Phase
from ..flow import Enter, Flow, Tell, ask, do
from ..rollout import Done
from ..shell import Result
from .traefik_host import Proxying, Reboot, carried, look, stop_seconds
from .traefik_steps import detached, failed, gap, log, missing, routed_now, row


def reboot(work: Proxying, *, major: bool = False, yes: bool = False, pull: bool = False) -> Flow[Done]:
    """A new Traefik, as the file says, in the place of the one that is there. Raises ``BootError``.

    ``major`` lets it cross a major version, ``yes`` lets it lose certificates, ``pull`` fetches an image that is there.
    """
    yield Enter(Phase.OBSERVE)
    plan = yield from look(work)
    _allowed(plan, major, yes)
    yield Enter(Phase.PREPARE)
    if pull or plan.version is None:
        plan = yield from _pulled(plan)
        _allowed(plan, major, yes)
    for one in plan.differences:
        yield Tell(Fact(kind="difference", text=str(one), data=row(one)))
    for note in plan.notes:
        yield Tell(Fact(kind="reboot", text=note))
    if plan.running is None or not plan.running.runs:
        return (yield from _in_place_of_none(plan))
    return (yield from _in_place_of(plan, plan.running))


def _allowed(plan: Reboot, major: bool, yes: bool) -> None:
    refusal = plan.refusal(major=major, yes=yes)
    if refusal is not None:
        raise refusal


def _pulled(plan: Reboot) -> Flow[Reboot]:
    """The image is fetched while the old one still runs. One that is there and cannot be fetched anew is used."""
    work = plan.work
    yield Tell(Fact(kind="pull", text=f"pulling {work.settings.image}"))
    try:
        yield from do(app.pull(work.settings.image), fence=work.fence)
    except CommandFailed as error:
        said = (error.result.stderr.strip().splitlines() or ["no answer"])[-1]
        if plan.version is None:
            raise BootError(
                f"The image {work.settings.image} is not on {work.host} and cannot be pulled: {said}.",
                serving="Nothing was changed; Traefik runs as before.",
                hint="Look at traefik/image in the file.",
            ) from error
        text = f"{work.settings.image} cannot be pulled ({said}): the one that is there is used"
        yield Tell(Fact(kind="pull", text=text, warning=True))
    version = yield from ask(running_traefik.image_version(work.settings.image))
    return replace(plan, version=version or ())


def _in_place_of_none(plan: Reboot) -> Flow[Done]:
    work = plan.work
    gone = (commands.remove(),) if plan.running else ()
    try:
        steps = (*gone, work.environment(), *commands.boot(work.settings, work.run_directory))
        yield from do(*steps, work.audit("Rebooted traefik"), fence=work.fence)
    except CommandFailed as error:
        raise failed(error, f"Traefik on {work.host} does not start", "Look: invoke traefik.logs.") from error
    return Done("Traefik did not run; a new one was started.", {"differences": 0, "gap": 0.0})


def _in_place_of(plan: Reboot, running: Running) -> Flow[Done]:
    work = plan.work
    before = yield from routed_now(running.proxy, plan)
    after = _again(plan, before)
    try:
        yield from do(
            work.environment(),
            commands.create(work.settings, work.run_directory, traefik_reboot.new_name(work.suffix)),
            fence=work.fence,
        )
    except CommandFailed as error:
        named = error.result.name == "create Traefik"
        why = f"Docker on {work.host} takes no such Traefik" if named else f"{work.host} is not ready for a new Traefik"
        hint = "Correct traefik in the file." if named else "Look at its disk and rights: invoke check."
        raise failed(error, why, hint, "The old one runs as before.") from error
    paths = carried(running, work.settings)
    command = traefik_reboot.swap(work.suffix, stop_seconds(running), paths, after, before)
    yield Enter(Phase.SWITCH)
    result = yield from detached(work, work.audit("Rebooted traefik"), command)
    if not result.ok:
        raise _not_up(work, result)
    changed = len(plan.differences)
    how = "as it was" if not changed else "1 setting changed" if changed == 1 else f"{changed} settings changed"
    text = f"Traefik was rebooted, {how}; nothing was served for {gap(result):.1f} s."
    return Done(text, {"differences": changed, "gap": gap(result)})


def _again(plan: Reboot, before: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """The same things asked of the new one. Raises ``BootError`` for a container that it could not reach."""
    things = traefik_reboot.things(plan.next_proxy, plan.containers, plan.tool)
    by_container = {thing.container: thing for thing in things}
    for thing in before:
        unmet = thing.what != "-" and thing.address == "-"
        if unmet and thing.container not in by_container:
            raise BootError(
                f"{thing.name} is routed now, and the Traefik of the file would not reach it: "
                "they would share no network or no entry point.",
                serving="Nothing was changed; Traefik runs as before.",
                hint="Look at network and entrypoints of traefik in the file.",
            )
    return tuple(by_container[thing.container] for thing in before if thing.container in by_container)


def _not_up(work: Proxying, result: Result) -> BootError:
    lines = result.stdout.splitlines()
    state = next((line.removeprefix("state ").split()[0] for line in lines if line.startswith("state ")), "")
    why = f"The new Traefik on {work.host} {f'is {state}' if state else f'does not route as before{missing(result)}'}"
    if "old again" in lines:
        serving = f"The old one runs again; nothing was served for {gap(result):.1f} s."
        return BootError(f"{why}.", serving=serving, log=log(result), hint="Correct traefik in the file.")
    serving = "The old one did not come back as it was." if "old lost" in lines else ""
    said = (result.stderr.strip().splitlines() or [""])[-1]
    return BootError(
        f"{why} {said}".strip() + ".", serving=serving, log=log(result), hint="Look: invoke traefik.details."
    )
