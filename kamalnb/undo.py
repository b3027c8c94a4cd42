"""The way back from a boot that failed before its switch stood, and why it failed in words. No I/O here."""

from __future__ import annotations

from dataclasses import replace

from . import switch, traefik
from .aftermath import sentence
from .attempt import Attempt
from .commands import app, cord, server
from .cutover import version_of
from .docker import Container
from .errors import BootError, CommandFailed, KamalnbError
from .events import Phase
from .flow import Cancelled, Enter, Flow, ask, do
from .naming import named
from .plan import BootPlan
from .shell import Command

LOG_TAIL = 30


def backed_out(attempt: Attempt, error: KamalnbError) -> Flow[BootError]:
    """Takes everything back: cut, log kept, new one removed, names as before. Gives the error to raise."""
    yield Enter(Phase.UNDO)
    try:
        taken_back = _removed if attempt.returned is None else _put_back
        health, log, kept = yield from taken_back(attempt)
        left = ""
    except KamalnbError as trouble:
        health, log, kept = (), (), ""
        why = sentence(trouble.result).rstrip(".") if isinstance(trouble, CommandFailed) else str(trouble).rstrip(".")
        left = f"What was begun of {attempt.plan.container_name} is left there ({why}); the next boot clears it."
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
            steps += switch.take_out(replace(attempt, new=container).stage)
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
    steps += [
        *_names(attempt, found, {plan.container_name} if back is not None else set()),
        server.tidy_runs(f"{attempt.directory}/runs"),
        attempt.audit(f"Failed to boot app version {plan.version}"),
    ]
    results = yield from do(*steps, fence=plan.fence)
    keeping = next((result for result in results if result.name == "keep log"), None)
    log = tuple(keeping.stdout.splitlines()) if keeping else ()
    health = tuple(filter(None, mine[0].health_log)) if mine else ()
    return health[-5:], log, kept if keeping and keeping.ok else ""


def _put_back(attempt: Attempt) -> Flow[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """One that was brought back goes back to where it was: cut and out, and stopped if it was; it stays on the host."""
    plan, returned = attempt.plan, attempt.returned
    assert returned is not None  # noqa: S101
    found = yield from ask(app.containers(plan.role.service))
    mine = next((c for c in found if c.id == returned.id), None)
    kept = f"{attempt.directory}/logs/{returned.name}-{plan.nonce[:8]}.log"
    steps: list[Command] = []
    if mine is not None:
        if attempt.cutover is not None and attempt.cord:
            steps += switch.take_out(replace(attempt, new=mine).stage)
        steps.append(app.keep_log(mine.id, kept, min(plan.role.healthcheck.log_lines, LOG_TAIL)).failing_ok())
        if not returned.running:
            steps.append(app.stop((mine.id,), plan.role.stop_wait_time, "stop it again"))
    steps += [
        *_names(attempt, found, set()),
        server.tidy_runs(f"{attempt.directory}/runs"),
        attempt.audit(f"Failed to return to app version {plan.version}"),
    ]
    results = yield from do(*steps, fence=plan.fence)
    keeping = next((result for result in results if result.name == "keep log"), None)
    health = tuple(filter(None, mine.health_log)) if mine else ()
    return health[-5:], tuple(keeping.stdout.splitlines()) if keeping else (), kept if keeping and keeping.ok else ""


def _names(attempt: Attempt, found: tuple[Container, ...], given: set[str]) -> list[Command]:
    """What serves on has its own name; those ``given`` back already are left out."""
    role, serving = attempt.plan.role, {old.container.id for old in attempt.olds if old.container.routable}
    return [
        step
        for one in found
        if one.id in serving and role.container_name(version_of(one, role)) not in given
        for step in named(one, role, attempt.plan.nonce)
    ]


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
    return BootError(
        failure.why, serving=serving, log=failure.log, health=failure.health, kept=failure.kept, hint=failure.hint
    )
