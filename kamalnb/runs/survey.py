"""The look at every host before a run changes anything: all problems of all hosts at once."""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import partial

from .. import preflight, wording
from ..config.model import Config
from ..engine import Engine
from ..errors import HostUnreachable
from ..events import Event
from ..flow import Cancelled
from ..plan import Selection
from ..preflight import Survey
from ..rollout import Each, FleetFlow, Job, Outcome
from .telling import finished, note, refused


def side_by_side(jobs: tuple[Job, ...]) -> FleetFlow:
    """Jobs on several hosts at once, and nothing else."""
    outcomes: tuple[Outcome, ...] = yield Each(jobs)
    return outcomes


def surveyed(
    engine: Engine,
    config: Config,
    selection: Selection,
    *,
    skip_unreachable: bool = False,
    with_images: bool = True,
    traefik_needed: bool = True,
) -> Generator[Event, None, tuple[Survey, ...] | None]:
    """Every host's survey; None, with all problems told and the run finished, where it must not begin."""
    yield note(engine, f"looking at {wording.counted(len(selection.hosts), 'host')}")
    outcomes = yield from engine.drive(side_by_side(_jobs(config, selection, with_images)))
    failures: list[Event] = []
    for outcome in outcomes:
        host = outcome.job.host
        roles = tuple(role.name for one, role in selection.pairs if one == host)
        if isinstance(outcome.error, HostUnreachable) and skip_unreachable:
            yield note(engine, f"{outcome.error} It is left out, as asked.", warning=True)
        elif outcome.error is not None and not isinstance(outcome.error, Cancelled):
            failures += refused(engine, host, roles, str(outcome.error), type(outcome.error).__name__)
        elif outcome.ok:
            for check in outcome.value.checks:
                if check.verdict == "warning" and (traefik_needed or check.name != "traefik"):
                    yield note(engine, f"{host}: {check.sentence} {check.fix}", warning=True)
            for check in outcome.value.failed:
                if traefik_needed or check.name != "traefik":
                    failures += refused(engine, host, roles, check.sentence, "Check", check.fix)
    yield from failures
    surveys = tuple(outcome.value for outcome in outcomes if outcome.ok)
    if failures or not surveys or engine.cancelled:
        yield finished(engine, False, f"Nothing was changed: {_why(engine, failures)}")
        return None
    return surveys


def _why(engine: Engine, failures: list[Event]) -> str:
    if engine.cancelled:
        return "cancelled."
    if failures:
        return f"{', '.join(sorted({event.host for event in failures}))} cannot be used."
    return "no host is left."


def _jobs(config: Config, selection: Selection, with_images: bool) -> tuple[Job, ...]:
    now = time.time()
    look = partial(preflight.survey, with_images=with_images)
    roles = {host: tuple(role for one, role in selection.pairs if one == host) for host in selection.hosts}
    return tuple(Job(host, "", look(config, host, roles[host], now)) for host in selection.hosts)
