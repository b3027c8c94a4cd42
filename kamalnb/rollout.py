"""The run around the boots: batches, the tag, the end. A flow over many hosts. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .boot import Booted, boot
from .commands import app, cord, leftovers, server
from .config.model import Config
from .errors import CommandFailed, KamalnbError
from .events import Fact
from .flow import Flow, Pause, Tell, ask_all, do
from .plan import BootPlan, Plan
from .script import REFUSED
from .shell import Command


@dataclass(frozen=True, slots=True)
class Job:
    """A flow for one host; ``role`` is empty where it is about the whole host."""

    host: str
    role: str
    flow: Flow[Any]
    tells: bool = False
    """Its end is told also where it is about no role."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a change other than a boot did, in one sentence; ``data`` is the same for programs."""

    sentence: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended: ``value`` or ``error``."""

    job: Job
    value: Any = None
    error: KamalnbError | None = None

    @property
    def ok(self) -> bool:
        """It ended well."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Each:
    """Run these jobs side by side, each to a safe end; the answer is a tuple of ``Outcome`` in the same order."""

    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A batch begins. The answer is True unless a person asked the run to stop."""

    number: int
    of: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Local:
    """Something to do on this machine, as a hook for ``hosts``. The answer is True when the run may go on."""

    name: str
    hosts: tuple[str, ...]


FleetEffect = Each | Begin | Local | Pause | Tell
FleetFlow = Generator[FleetEffect, Any, tuple[Outcome, ...]]


def rollout(
    plan: Plan, *, flow_of: Callable[[BootPlan], Flow[Booted]] = boot, hooks: bool = False, tagging: bool = True
) -> FleetFlow:
    """Boots batch after batch; after a failure no further batch starts. The tag ``latest`` moves when all serve.

    ``flow_of`` is how a version comes to serve; ``hooks`` calls those before and after each batch.
    """
    outcomes: list[Outcome] = []
    for number, hosts in enumerate(plan.batches, start=1):
        if not (yield Begin(number, len(plan.batches), hosts)):
            break
        if hooks and not (yield Local("pre-app-boot", hosts)):
            break
        jobs = tuple(Job(host, one.role.name, flow_of(one)) for host in hosts for one in plan.on(host))
        outcomes += yield Each(jobs)
        if not all(outcome.ok for outcome in outcomes):
            break
        if hooks and not (yield Local("post-app-boot", hosts)):
            break
        if plan.wait and number < len(plan.batches):
            yield Pause(plan.wait, "between batches")
    if tagging and len(outcomes) == len(plan.boots) and all(outcome.ok for outcome in outcomes):
        yield from _tagged(plan)
    return tuple(outcomes)


def finishing(plan: Plan) -> FleetFlow:
    """The end alone, where nothing is left to be booted."""
    yield from _tagged(plan)
    return ()


def _tagged(plan: Plan) -> Generator[FleetEffect, Any, None]:
    """``latest`` on every host, last of all (Kamal 55dd2f49). The new version serves: a failure is a warning.

    Also where there was nothing to boot: a run that died there may have got as far as that, and left its journal.
    """
    boots = (*plan.boots, *plan.passed)
    hosts = tuple(dict.fromkeys((*plan.hosts, *(boot.host for boot in plan.passed))))
    jobs = tuple(Job(host, "", _tag(plan, tuple(boot for boot in boots if boot.host == host))) for host in hosts)
    outcomes: tuple[Outcome, ...] = yield Each(jobs)
    for outcome in outcomes:
        if outcome.error is not None:
            text = f"{outcome.job.host}: the image could not be tagged {plan.config.latest_tag} ({outcome.error})"
            yield Tell(Fact(kind="tag", text=text, warning=True))


def _loose_cords_removed(config: Config, boots: tuple[BootPlan, ...]) -> Flow[list[Command]]:
    """What a boot that died left of roles that this run passes over; a boot itself takes its own role's away."""
    containers, cords = yield from ask_all(app.containers(config.service), cord.all_of(config.run_directory))
    loose = cord.loose(cords, containers, [boot.role.name_prefix for boot in boots])
    return [leftovers.remove_directories(loose).failing_ok()] if loose else []


def _tag(plan: Plan, boots: tuple[BootPlan, ...]) -> Flow[None]:
    config: Config = plan.config
    reference, latest = boots[0].reference, f"{config.repository}:{config.latest_tag}"
    path = server.audit_path(config.service, config.destination, config.run_directory)
    text = f"Tagging {reference} as the latest image"
    steps = [server.audit(path, (plan.performer, config.destination or ""), text)]
    if reference != latest:
        steps.append(app.tag(reference, latest))
    runs = f"{config.run_directory}/runs"
    try:
        if any(boot in plan.passed for boot in boots):
            steps += yield from _loose_cords_removed(config, boots)
        yield from do(server.tidy_runs(runs), *steps, fence=boots[0].fence)
    except CommandFailed as error:
        if error.result.exited == REFUSED:  # the lock went with its session; what is this run's own goes all the same
            yield from do(server.forget(tuple(f"{runs}/{boot.nonce}" for boot in boots)))
        raise


__all__ = ["Begin", "Booted", "Done", "Each", "FleetFlow", "Job", "Local", "Outcome", "finishing", "rollout"]
