"""One thing on several hosts at once, inside a run: told for each, and one error for all that failed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from ..engine import Engine
from ..errors import BootError, KamalnbError
from ..flows.change import OnHost
from ..plan import Plan
from ..rollout import Done, Job, Outcome
from .how import Stream
from .survey import side_by_side
from .telling import note


class StepFailed(KamalnbError):
    """Something before the boots failed on a host; nothing was booted."""


def together(engine: Engine, jobs: Sequence[Job], *, must: bool = True) -> Stream:
    """Runs jobs side by side. Raises ``StepFailed`` where one fails, unless it need not be (``must``)."""
    outcomes: tuple[Outcome, ...] = yield from engine.drive(side_by_side(tuple(jobs)))
    for outcome in outcomes:
        if isinstance(outcome.value, Done):
            yield note(engine, f"{outcome.job.host}: {outcome.value.sentence}", kind="step")
    told = _told([outcome for outcome in outcomes if not outcome.ok])
    if told and must:
        raise StepFailed("\n".join(told))
    for sentence in told:
        yield note(engine, sentence, warning=True)


def place(made: Plan, host: str) -> OnHost:
    """Where a change within the run of ``made`` happens."""
    return OnHost(
        config=made.config, host=host, nonce=secrets.token_hex(16), performer=made.performer, fence=made.boots[0].fence
    )


def _told(failed: Sequence[Outcome]) -> list[str]:
    """What went wrong, once for all the hosts where the same did."""
    hosts: dict[str, list[str]] = {}
    for outcome in failed:
        hosts.setdefault(_why(outcome), []).append(outcome.job.host)
    return [f"{', '.join(names)}: {why}" for why, names in hosts.items()]


def _why(outcome: Outcome) -> str:
    error = outcome.error
    if isinstance(error, BootError):  # what serves is for the run to say
        return f"{error.why} {error.hint}".strip()
    return str(error).removeprefix(f"{outcome.job.host}: ")
