"""What the changes of a Traefik share: a script that ends on the host by itself, and what it printed. No I/O here."""

from __future__ import annotations

from ..aftermath import tidied
from ..commands import traefik_reboot
from ..commands.traefik_reboot import Thing
from ..errors import BootError, CommandFailed
from ..flow import Flow, Run, ask
from ..script import REFUSED, UNKEPT, Script, Section
from ..shell import Command, Result
from ..traefik import Proxy
from .traefik_difference import Difference
from .traefik_host import Proxying, Reboot


def routed_now(running: Proxy, plan: Reboot) -> Flow[tuple[Thing, ...]]:
    """What the running one routes now: that must be so again, and nothing else is asked of it."""
    asked = traefik_reboot.things(running, plan.containers, plan.tool)
    return (yield from ask(traefik_reboot.holding(asked))) if asked else ()


def detached(work: Proxying, *steps: Command) -> Flow[Result]:
    """Runs to its end on the host, whatever becomes of the controller; how the last step ended."""
    journal = f"{work.run_directory}/runs/{work.suffix}"
    script = Script(sections=(Section(steps=steps),), journal=journal, fence=work.fence)
    results: tuple[Result, ...] = yield Run(script)
    if len(results) < len(steps) and results and results[-1].exited in (REFUSED, UNKEPT):
        raise CommandFailed(results[-1])
    if len(results) < len(steps) or results[-1].exited is None:
        raise BootError(
            f"The connection to {work.host} was lost while Traefik changed; the host finishes that by itself.",
            hint="Look in a minute: invoke traefik.details.",
        )
    yield from tidied(work.run_directory, work.fence)
    return results[-1]


def missing(result: Result) -> str:
    """What is not routed as before, in brackets; empty where the script did not say."""
    lost = [line.removeprefix("missing ") for line in result.stdout.splitlines() if line.startswith("missing ")]
    return f" ({'it does not answer' if lost[0] == 'any-answer' else lost[0]})" if lost else ""


def gap(result: Result) -> float:
    """Seconds in which nothing was served, as the host measured them."""
    gaps = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("gap ")]
    return float(gaps[-1]) if gaps else 0.0


def log(result: Result) -> tuple[str, ...]:
    """Traefik's last lines."""
    return tuple(line.removeprefix("log ") for line in result.stdout.splitlines() if line.startswith("log "))


def failed(error: CommandFailed, why: str, hint: str, serving: str = "") -> BootError:
    """A command that failed, as the error people read."""
    lines = (error.result.stderr.strip() or error.result.stdout.strip() or "no answer").splitlines()
    said = [line for line in lines if line.strip() and not line.startswith("See '")] or lines  # Docker's own hint
    return BootError(f"{why}: {said[-1].rstrip('.')}.", serving=serving, hint=hint)


def row(one: Difference) -> dict[str, str]:
    """A difference for programs."""
    return {"setting": one.setting, "running": one.running, "file": one.file}
