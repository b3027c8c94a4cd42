"""Changes of the Traefik of one host: boot, reboot, start, stop, restart, remove. Nothing here may do I/O."""

from __future__ import annotations

from ..commands import running_traefik, traefik_reboot
from ..commands import traefik as commands
from ..errors import BootError, CommandFailed
from ..events import Fact, Phase
from ..flow import Enter, Flow, Tell, ask, do
from ..rollout import Done
from ..shell import Secret
from .change import OnHost
from .traefik_difference import difference
from .traefik_host import Proxying, Reboot, look, stop_seconds
from .traefik_reboot import reboot
from .traefik_steps import detached, failed, gap, log, missing, routed_now, row

__all__ = ["Proxying", "Reboot", "boot", "look", "on_host", "reboot", "remove", "restart", "start", "stop"]


def on_host(place: OnHost, env_file: Secret | None = None) -> Proxying:
    """The work on one host's Traefik, as part of a run."""
    config = place.config
    return Proxying(
        host=place.host, settings=config.traefik, service=config.service, suffix=place.nonce[:16],
        run_directory=config.run_directory, destination=config.destination, performer=place.performer,
        env_file=env_file, fence=place.fence,
    )  # fmt: skip


def boot(work: Proxying) -> Flow[Done]:
    """Starts Traefik where it does not run; one that runs is left alone, and told where it is not as in the file."""
    steps = commands.boot(work.settings, work.run_directory)
    results = yield from do(work.environment(), *steps, work.audit("Booted Traefik"), fence=work.fence)
    did = next(result.stdout.strip() for result in results if result.name == "start traefik")
    if did == "started":
        return Done("Traefik was started.", {"did": did})
    running = yield from ask(running_traefik.inspect())
    found = difference(running, work.settings) if running else ()
    what = "Traefik runs already." if did == "runs already" else "Traefik was stopped; the same one was started again."
    if not found:
        return Done(what, {"did": did, "differences": 0})
    for one in found:
        yield Tell(Fact(kind="difference", text=f"Traefik is not as in the file: {one}", warning=True, data=row(one)))
    how = "1 setting is" if len(found) == 1 else f"{len(found)} settings are"
    text = f"{what} {how} not as in the file; to change that, invoke traefik.reboot."
    return Done(text, {"did": did, "differences": len(found)})


def start(work: Proxying) -> Flow[Done]:
    """Starts the Traefik that was stopped, as it is."""
    try:
        yield from do(work.audit("Started traefik"), commands.start(), commands.stays_up(), fence=work.fence)
    except CommandFailed as error:
        raise failed(error, "Traefik does not start", "If there is none, make one: invoke traefik.boot.") from error
    return Done("Traefik runs.")


def stop(work: Proxying) -> Flow[Done]:
    """Stops Traefik, letting open requests end. Nobody is served by that host then."""
    running = yield from ask(running_traefik.inspect())
    if running is None or not running.runs:
        return Done("Traefik did not run.")
    yield Enter(Phase.STOP)
    yield from do(work.audit("Stopped traefik"), commands.stop(stop_seconds(running)), fence=work.fence)
    return Done("Traefik is stopped, and nothing answers there; to start it, invoke traefik.start.")


def restart(work: Proxying) -> Flow[Done]:
    """Stops and starts the same Traefik, and waits until it routes as before."""
    yield Enter(Phase.OBSERVE)
    plan = yield from look(work)
    if plan.running is None or not plan.running.runs:
        return (yield from start(work))
    before = yield from routed_now(plan.running.proxy, plan)
    yield Enter(Phase.SWITCH)
    command = traefik_reboot.restart(stop_seconds(plan.running), before)
    result = yield from detached(work, work.audit("Restarted traefik"), command)
    if not result.ok:
        raise BootError(
            f"Traefik on {work.host} was restarted and does not route as before{missing(result)}.",
            log=log(result), hint="Look: invoke traefik.logs.",
        )  # fmt: skip
    return Done(f"Traefik was restarted; nothing was served for {gap(result):.1f} s.", {"gap": gap(result)})


def remove(work: Proxying) -> Flow[Done]:
    """Stops Traefik and takes its container and image away. Nobody is served by that host then."""
    running = yield from ask(running_traefik.inspect())
    if running is None:
        return Done("There was no Traefik.")
    yield Enter(Phase.STOP)
    stopping = (work.audit("Stopped traefik"), commands.stop(stop_seconds(running))) if running.runs else ()
    images = tuple(dict.fromkeys((running.container.image, work.settings.image)))
    results = yield from do(
        *stopping,
        *(work.audit("Removed traefik container"), commands.remove()),
        *(work.audit("Removed traefik image"), *(commands.remove_image((image,)) for image in images)),
        fence=work.fence,
    )
    kept = [image for image in images[:1] for result in results if result.name == "remove traefik image"
            and not result.ok and image in result.line]  # fmt: skip
    image = f"its image {kept[0]} is still used there and stays" if kept else "its image too"
    return Done(f"Traefik was stopped and removed, {image}. To have it again, invoke traefik.boot.")
