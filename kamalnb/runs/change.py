"""A change other than a boot, on every chosen host: look, lock, do, and say what was done."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import events, wording
from ..config.model import Config, Role
from ..engine import Engine
from ..errors import KamalnbError, UsageError
from ..events import Event
from ..flow import Flow
from ..plan import Selection
from ..preflight import Survey
from ..rollout import Begin, Done, Each, FleetFlow, Job, Local, Outcome
from . import holding
from .hooks import Hooks
from .how import How, Stream
from .survey import surveyed
from .telling import finished, note

if TYPE_CHECKING:
    from ..project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a change happens: ``role`` is None where it is about the whole host; ``roles`` are the chosen ones there.

    ``survey`` is what was seen of the host, None where nothing was looked at. ``fence`` is what every changing script
    has to compare first; ``run_id`` is 16 hex digits, ``id`` 32 that are this place's own.
    """

    config: Config
    host: str
    role: Role | None
    roles: tuple[Role, ...]
    performer: str
    run_id: str
    id: str
    survey: Survey | None = None
    fence: tuple[str, str] | None = None

    def whole_role(self) -> Role:
        """The role, where the change is one for each role."""
        if self.role is None:
            raise UsageError("this is about a host, not about a role.")
        return self.role


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is done: ``flow`` makes it for one place, ``done`` is its past participle for the closing line.

    ``per_role``: once for each role of a host, else once for the host. ``looks``: Docker has to answer first.
    ``locks``: nobody else may change these hosts meanwhile. ``rolling``: host after host. ``hooks`` are run before
    and after each batch. ``confirms``: a fleet that asks for confirmation asks for this too.
    """

    verb: str
    done: str
    flow: Callable[[Place], Flow[Done]]
    per_role: bool = True
    looks: bool = True
    locks: bool = True
    rolling: bool = False
    hooks: tuple[str, str] | None = None
    confirms: bool = True
    with_images: bool = False


class ChangeRun:
    """The stream of one change over the fleet."""

    def __init__(self, project: Project, selection: Selection, change: Change, how: How) -> None:
        self._project = project
        self._selection = selection
        self._change = change
        self._how = how
        self._run_id = holding.inherited(project.environ) or secrets.token_hex(8)
        self._hooks = Hooks(project, change.verb, self._run_id, how.skip_hooks or how.dry_run)

    @property
    def target(self) -> str:
        """What a person types to confirm it."""
        roles = ",".join(dict.fromkeys(role.name for _host, role in self._selection.pairs))
        return f"{roles}@{self._change.verb}"

    def stream(self, engine: Engine) -> Stream:
        """Yields every event; the last one is ``RunFinished``."""
        yield events.RunStarted(
            at=engine.now(), run_id=self._run_id, verb=self._change.verb, service=self._project.config.service,
            version="", targets=self._targets(),
        )  # fmt: skip
        for host, why in self._selection.left_out:
            yield note(engine, f"{host} is left out: {why}", warning=True)
        try:
            if why := self._refusal():
                yield finished(engine, False, f"Nothing was changed: {why}", 2)
                return
            surveys = yield from self._looked(engine)
            if surveys is not None:
                yield from self._changed(engine, surveys)
        except KamalnbError as error:
            yield finished(engine, False, f"Nothing was changed: {error}", error.exit_code)

    def _refusal(self) -> str:
        asks = self._project.config.confirm and self._change.confirms and not self._how.dry_run
        if asks and self._how.confirm != self.target:
            return f"this fleet asks for confirmation. Type --confirm={self.target}"
        return ""

    def _looked(self, engine: Engine) -> Generator[Event, None, dict[str, Survey | None] | None]:
        if not self._change.looks:
            return dict.fromkeys(self._selection.hosts)
        found = yield from surveyed(
            engine, self._project.config, self._selection, skip_unreachable=self._how.skip_unreachable,
            with_images=self._change.with_images, traefik_needed=False,
        )  # fmt: skip
        return None if found is None else {survey.host: survey for survey in found}

    def _changed(self, engine: Engine, surveys: dict[str, Survey | None]) -> Stream:
        if not self._change.locks or self._how.dry_run:
            yield from self._done(engine, surveys, None)
            return
        claim = holding.claim(self._project, self._run_id, "", f"{self._change.verb} {self._how.message}".strip())
        away = tuple(host for host in self._selection.hosts if host not in surveys)
        with holding.Holding(engine, self._project, claim, holding.Hosts(tuple(surveys), away), self._how) as held:
            yield from held.taken()
            yield from self._done(engine, surveys, held.fence)

    def _done(self, engine: Engine, surveys: dict[str, Survey | None], fence: tuple[str, str] | None) -> Stream:
        engine.local = self._hooks.local
        outcomes: tuple[Outcome, ...] = yield from engine.drive(self._flow(surveys, fence))
        failed = [outcome for outcome in outcomes if not outcome.ok]
        not_begun = len(self._jobs(tuple(surveys), surveys, fence)) - len(outcomes)
        ok = not failed and not not_begun
        yield finished(engine, ok, self._sentence(engine, outcomes, failed, not_begun), _code(failed))

    def _flow(self, surveys: dict[str, Survey | None], fence: tuple[str, str] | None) -> FleetFlow:
        batches = [(host,) for host in surveys] if self._change.rolling else [tuple(surveys)]
        outcomes: list[Outcome] = []
        before, after = self._change.hooks or ("", "")
        for number, hosts in enumerate(batches, start=1):
            if not (yield Begin(number, len(batches), hosts)):
                break
            if before and not (yield Local(before, hosts)):
                break
            outcomes += yield Each(self._jobs(hosts, surveys, fence))
            if not all(outcome.ok for outcome in outcomes) or (after and not (yield Local(after, hosts))):
                break
        return tuple(outcomes)

    def _jobs(
        self, hosts: tuple[str, ...], surveys: dict[str, Survey | None], fence: tuple[str, str] | None
    ) -> tuple[Job, ...]:
        performer = self._project.performer()

        def place(host: str, role: Role | None) -> Place:
            return Place(
                config=self._project.config, host=host, role=role, roles=self._roles(host), survey=surveys[host],
                performer=performer, run_id=self._run_id, id=secrets.token_hex(16), fence=fence,
            )  # fmt: skip

        return tuple(
            Job(host, role, self._change.flow(place(host, self._project.config.role(role) if role else None)), True)
            for host, role in self._targets()
            if host in hosts
        )

    def _roles(self, host: str) -> tuple[Role, ...]:
        return tuple(role for one, role in self._selection.pairs if one == host)

    def _targets(self) -> tuple[tuple[str, str], ...]:
        if self._change.per_role:
            return tuple((host, role.name) for host, role in self._selection.pairs)
        return tuple((host, "") for host in self._selection.hosts)

    def _sentence(self, engine: Engine, outcomes: tuple[Outcome, ...], failed: list[Outcome], not_begun: int) -> str:
        well = list(dict.fromkeys(outcome.job.host for outcome in outcomes if outcome.ok))
        parts = [f"{self._change.done} on {wording.some(well, 'hosts')}"] if well else []
        if failed:
            parts.append(f"{wording.some([_name(one) for one in failed], 'places')} failed")
        if not_begun:
            parts.append(f"{not_begun} not begun")
        stopped = "stopped: " if engine.cancelled else ""
        hook = f" {self._hooks.failure}" if self._hooks.failure else ""
        return f"{stopped}{'; '.join(parts) or 'nothing was begun'}, in {wording.seconds(engine.now())}.{hook}"


def _name(outcome: Outcome) -> str:
    return f"{outcome.job.role} on {outcome.job.host}" if outcome.job.role else outcome.job.host


def _code(failed: list[Outcome]) -> int:
    codes = {outcome.error.exit_code for outcome in failed if outcome.error is not None}
    return codes.pop() if len(codes) == 1 else 1
