"""The way back: a version that served before serves again, from its own container where it is there. No I/O here.

It is the boot's own cut-over, with another beginning: nothing is made, and what fails is put back, not removed.
"""

from __future__ import annotations

from dataclasses import replace

from .. import switch
from ..attempt import Attempt
from ..boot import Booted, boot, observe, taken_over, untouched, without_proxy
from ..commands import app
from ..cutover import Situation
from ..docker import Container
from ..errors import BootError, KamalnbError
from ..events import Phase
from ..flow import Enter, Flow, Tell, do
from ..naming import named
from ..plan import BootPlan
from ..ways import Way, WayBack, alone, fits, way_back

QUICK = (Way.NOTHING, Way.FINISH, Way.SWITCH_BACK, Way.START)
"""The ways that need no boot."""


def way_flow(back: WayBack, plan: BootPlan) -> Flow[Booted]:
    """Goes the way that was decided. Raises ``BootError``: why, who serves now."""
    if back.way is Way.REFUSED:
        raise BootError(back.sentence, serving="Nothing was changed there.", hint=back.hint)
    if back.way in QUICK:
        return (yield from returned(back, plan))
    return (yield from boot(plan))


def returned(back: WayBack, plan: BootPlan) -> Flow[Booted]:
    """Brings ``plan.version`` back from the container that is there. Until the switch stands the current one serves.

    The host is looked at afresh: where it has no quick way any more, nothing is changed.
    """
    yield Enter(Phase.OBSERVE)
    try:
        situation = yield from observe(plan)
        now = way_back(plan.host, plan.role, plan.version, situation)
        if now.container is None:  # only a quick way has one
            why = now.reason or f"{plan.version} has no container any more that could come back."
            raise BootError(f"{plan.host} changed meanwhile: {why}", hint="Run it again.")
        if now.way is Way.NOTHING:
            yield Enter(Phase.DONE)
            return Booted(version=plan.version, replaced=plan.version, container=now.container.id)
        if now.way is Way.FINISH:
            return (yield from _finished(plan, situation, now.container))
        attempt = Attempt(plan=plan, situation=situation, returned=now.container)
        if not plan.role.traefik:
            return (yield from without_proxy(attempt))
        attempt = replace(attempt, cutover=fits(plan.role, situation, now.container))
        yield Tell(attempt.described)
        return (yield from taken_over(attempt))
    except KamalnbError as error:
        raise untouched(error, plan) from error


def _finished(plan: BootPlan, situation: Situation, serving: Container) -> Flow[Booted]:
    """It serves already: whatever else runs is cut, confirmed out, drained and stopped, once it is seen to serve."""
    yield Enter(Phase.PREPARE)
    others = tuple(c.id for c in situation.containers if c.running and c.id != serving.id)
    if plan.role.traefik:
        cutover = alone(plan.role, situation, serving)
        attempt = Attempt(plan=plan, situation=situation, cutover=cutover, new=serving, returned=serving)
        yield from do(switch.serves(attempt.stage))
        steps = switch.without_leftovers(plan, situation, cutover)
    else:
        steps = [app.stop(others, plan.role.stop_wait_time)]
    steps += named(serving, plan.role, plan.nonce)
    yield Enter(Phase.STOP)
    try:
        yield from do(*steps, fence=plan.fence)
    except KamalnbError as error:
        why = untouched(error, plan)
        raise BootError(why.why, serving=f"{plan.version} serves, as before.", hint="Run it again.") from error
    yield Enter(Phase.DONE)
    return Booted(version=plan.version, replaced=plan.version, container=serving.id)


__all__ = ["QUICK", "returned", "way_flow"]
