"""A change other than a boot, on every chosen host: look, lock, do, and say what was done."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import events, wording
from ..config.model import Role
from ..engine import Engine
from ..errors import KamalnbError
from ..events import Event
from ..flow import Flow
from ..flows.change import Change, OnHost
from ..plan import Selection
from ..rollout import Begin, Done, Each, FleetFlow, Job, Local, Outcome
from . import holding
from .hooks import Hooks
from .how import How, Stream
from .survey import surveyed
from .telling import finished, note

if TYPE_CHECKING:
    from ..project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is done: ``on_role`` once for each chosen role of a host, or ``on_host`` once for the host.

    ``done`` is its past participle for the closing line. ``looks``: Docker has to answer first. ``locks``: nobody else
    may change these hosts meanwhile. ``rolling``: host after host. ``hooks`` are run before and after each batch.
    ``confirms``: a fleet that asks for confirmation asks for this too.
    """

    verb: str
    done: str
    on_role: Callable[[Change], Flow[Done]] | None = None
    on_host: Callable[[OnHost], Flow[Done]] | None = None
    looks: bool = True
    locks: bool = True
    rolling: bool = False
    hooks: tuple[str, str] | None = None
    confirms: bool = True

    def flow(self, place: OnHost, role: Role | None) -> Flow[Done]:
        """The flow for one place."""
        if role is not None and self.on_role is not None:
            return self.on_role(place.of(role))
        assert self.on_host is not None  # noqa: S101
        return self.on_host(place)


class ChangeRun:
    """The stream of one change over the fleet."""

    def __init__(self, project: Project, selection: Selection, work: Work, how: How) -> None:
        self._project = project
        self._selection = selection
        self._work = work
        self._how = how
        self._run_id = holding.inherited(project.environ) or secrets.token_hex(8)
        self._hooks = Hooks(project, work.verb, self._run_id, how.skip_hooks or how.dry_run)

    @property
    def target(self) -> str:
        """What a person types to confirm it."""
        roles = ",".join(dict.fromkeys(role.name for _host, role in self._selection.pairs))
        return f"{roles}@{self._work.verb}"

    def stream(self, engine: Engine) -> Stream:
        """Yields every event; the last one is ``RunFinished``."""
        yield events.RunStarted(
            at=engine.now(), run_id=self._run_id, verb=self._work.verb, service=self._project.config.service,
            version="", targets=self._targets(),
        )  # fmt: skip
        for host, why in self._selection.left_out:
            yield note(engine, f"{host} is left out: {why}", warning=True)
        try:
            if why := self._refusal():
                yield finished(engine, False, f"Nothing was changed: {why}", 2)
                return
            if self._work.locks:  # as in Kamal: before whatever changes hosts
                yield from self._hooks.before_connecting(engine, self._selection.hosts)
            hosts = yield from self._looked(engine)
            if hosts is not None:
                yield from self._changed(engine, hosts)
        except KamalnbError as error:
            yield finished(engine, False, f"Nothing was changed: {error}", error.exit_code)

    def _refusal(self) -> str:
        asks = self._project.config.confirm and self._work.confirms and not self._how.dry_run
        if asks and self._how.confirm != self.target:
            return f"this fleet asks for confirmation. Type --confirm={self.target}"
        return ""

    def _looked(self, engine: Engine) -> Generator[Event, None, tuple[str, ...] | None]:
        if not self._work.looks:
            return self._selection.hosts
        found = yield from surveyed(
            engine, self._project.config, self._selection, skip_unreachable=self._how.skip_unreachable,
            with_images=False, traefik_needed=False,
        )  # fmt: skip
        return None if found is None else tuple(survey.host for survey in found)

    def _changed(self, engine: Engine, hosts: tuple[str, ...]) -> Stream:
        if not self._work.locks or self._how.dry_run:
            yield from self._done(engine, hosts, None)
            return
        claim = holding.claim(self._project, self._run_id, "", f"{self._work.verb} {self._how.message}".strip())
        away = tuple(host for host in self._selection.hosts if host not in hosts)
        with holding.Holding(engine, self._project, claim, holding.Hosts(hosts, away), self._how) as held:
            yield from held.taken()
            yield from self._done(engine, hosts, held.fence)

    def _done(self, engine: Engine, hosts: tuple[str, ...], fence: tuple[str, str] | None) -> Stream:
        engine.local = self._hooks.local
        outcomes: tuple[Outcome, ...] = yield from engine.drive(self._flow(hosts, fence))
        failed = [outcome for outcome in outcomes if not outcome.ok]
        not_begun = len(self._jobs(hosts, fence)) - len(outcomes)
        ok = not failed and not not_begun
        yield finished(engine, ok, self._sentence(engine, outcomes, failed, not_begun), _code(outcomes, failed))

    def _flow(self, hosts: tuple[str, ...], fence: tuple[str, str] | None) -> FleetFlow:
        batches = [(host,) for host in hosts] if self._work.rolling else [hosts]
        outcomes: list[Outcome] = []
        before, after = self._work.hooks or ("", "")
        for number, batch in enumerate(batches, start=1):
            if not (yield Begin(number, len(batches), batch)):
                break
            if before and not (yield Local(before, batch)):
                break
            outcomes += yield Each(self._jobs(batch, fence))
            if not all(outcome.ok for outcome in outcomes) or (after and not (yield Local(after, batch))):
                break
        return tuple(outcomes)

    def _jobs(self, hosts: tuple[str, ...], fence: tuple[str, str] | None) -> tuple[Job, ...]:
        config, performer = self._project.config, self._project.performer()

        def place(host: str) -> OnHost:
            nonce = secrets.token_hex(16)
            return OnHost(config=config, host=host, nonce=nonce, performer=performer, fence=fence)

        return tuple(
            Job(host, role, self._work.flow(place(host), config.role(role) if role else None), True)
            for host, role in self._targets()
            if host in hosts
        )

    def _targets(self) -> tuple[tuple[str, str], ...]:
        if self._work.on_role is not None:
            return tuple((host, role.name) for host, role in self._selection.pairs)
        return tuple((host, "") for host in self._selection.hosts)

    def _sentence(self, engine: Engine, outcomes: tuple[Outcome, ...], failed: list[Outcome], not_begun: int) -> str:
        well = list(dict.fromkeys(outcome.job.host for outcome in outcomes if outcome.ok))
        parts = [f"{self._work.done} on {wording.some(well, 'hosts')}"] if well else []
        if failed:
            parts.append(f"{wording.some([_name(one) for one in failed], 'places')} failed")
        if not_begun:
            parts.append(f"{not_begun} not begun")
        stopped = "stopped: " if engine.cancelled else ""
        hook = f" {self._hooks.failure}" if self._hooks.failure else ""
        return f"{stopped}{'; '.join(parts) or 'nothing was begun'}, in {wording.seconds(engine.now())}.{hook}"


def _name(outcome: Outcome) -> str:
    return f"{outcome.job.role} on {outcome.job.host}" if outcome.job.role else outcome.job.host


def _code(outcomes: tuple[Outcome, ...], failed: list[Outcome]) -> int:
    """The failures' own code where nothing was changed anywhere, else 1."""
    codes = {outcome.error.exit_code for outcome in failed if outcome.error is not None}
    return codes.pop() if len(codes) == 1 and len(failed) == len(outcomes) else 1
