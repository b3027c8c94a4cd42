"""What came of a switch: met again after a lost connection, its first failure, and what people should know.

Nothing here may do I/O.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from . import switch
from .attempt import Attempt
from .commands import proxy, server
from .cutover import Old
from .errors import BootError, HostUnreachable, KamalnbError
from .events import Fact, Phase
from .flow import Flow, Pause, Run, Tell, do
from .script import DIED, REFUSED, Script
from .shell import Result
from .traefik import Proxy

REATTACH = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses in seconds before a lost host is met again, in the switch."""


Lost = Callable[[str, str], KamalnbError]
"""The error of a host's script whose end is not known: its beginning (“The host was lost”), and what goes on there."""


def met_again(attempt: Attempt, steps: switch.Steps) -> Flow[tuple[Result, ...]]:
    """Runs the switch, and follows it again when the connection is lost."""

    def lost(why: str, goes_on: str) -> BootError:
        either = f"Either {attempt.plan.version} or {attempt.old_version or 'nothing'} serves there"
        hint = "Look with invoke status, then run it again."
        return BootError(f"{why} in the switch.", serving=f"{either}{goes_on}.", hint=hint)

    return (yield from followed(steps.script, steps.phases, lost))


def followed(script: Script, phases: tuple[tuple[int, Phase], ...], lost: Lost) -> Flow[tuple[Result, ...]]:
    """Runs a detached script, and follows it again when the connection is lost: it is never started twice.

    Raises ``lost`` where the host is not met again, and where its script was ended from outside.
    """
    for pause in (*REATTACH, None):
        try:
            results: tuple[Result, ...] = yield Run(script, phases)
            if results and results[-1].exited == DIED:
                # Whatever stands half done there, the next run goes on from what the host shows.
                raise lost("The host's own script was killed, or the host restarted,", "")
            if results and results[-1].exited is not None:
                return results
        except HostUnreachable:
            pass
        if pause is not None:
            yield Tell(Fact(kind="lost", text="the connection was lost; the host goes on by itself", warning=True))
            yield Pause(pause, "to meet the host again")
    raise lost("The host was lost", "; the host goes on by itself")


def tidied(run_directory: str, fence: tuple[str, str] | None) -> Flow[None]:
    """Takes away the journals of what has ended on the host. Where that cannot be, the next run does it."""
    with contextlib.suppress(KamalnbError):
        yield from do(server.tidy_runs(f"{run_directory}/runs"), fence=fence)


def first_failure(script: Script, results: tuple[Result, ...]) -> tuple[int, Result] | None:
    """The first step that failed, with its number in ``script.commands``; None where all went well."""
    # Up to the first failure no undo ran, so the results are those of the steps alone, in their order.
    for number, result in zip(script.order, results, strict=False):
        if not result.ok and not script.commands[number].may_fail:
            return number, result
    if results:
        return None
    return -1, Result(name="switch", line="", exited=REFUSED)


def told(attempt: Attempt, results: tuple[Result, ...]) -> Flow[None]:
    """What people should know of a switch that went well or not."""
    yield from told_of(attempt.situation.proxy, attempt.olds, results)


def told_of(traefik: Proxy | None, olds: tuple[Old, ...], results: tuple[Result, ...]) -> Flow[None]:
    """What people should know of old ones that were let go: what was cut short, killed, or only assumed."""
    for result in results:
        for line in result.stdout.splitlines():
            fact = _drain_fact(traefik, olds, line) if result.name == "drain" else None
            if result.name == switch.STOP and line.startswith("exit 137"):
                fact = Fact(kind="killed", text="the old container ignored SIGTERM and was killed", warning=True)
            if line == "assumed":
                who = "the old container: assumed out" if result.name != "assume routed" else "Kamal's: assumed routed"
                text = f"the proxy could not be asked about {who} after a wait"
                fact = Fact(kind="assumed", text=text, warning=True)
            if fact is not None:
                yield Tell(fact)


def _drain_fact(traefik: Proxy | None, olds: tuple[Old, ...], line: str) -> Fact | None:
    kind, _, left = line.partition(" ")
    if kind != "left" or left == "0":
        return None
    if traefik and not all(proxy.counts_in_flight(traefik, old) for old in olds):
        text = f"Traefik keeps idle connections open ({left} at the end), so the drain was assumed to be over"
        return Fact(kind="drain-assumed", text=text, warning=True)
    many = {"1": "1 open connection was", "unknown": "nobody could tell how many connections were"}
    sentence = many.get(left, f"{left} open connections were")
    return Fact(kind="cut-short", text=f"{sentence} closed at the end of the drain", warning=True)


def sentence(result: Result) -> str:
    """A failed step in one sentence."""
    how = "gave no exit status" if result.exited is None else f"ended with {result.exited}"
    said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
    return f"“{result.name}” {how}{': ' + said[0] if said else ''}."
