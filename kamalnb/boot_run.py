"""One boot over a fleet as a stream of events: survey, version, lock, rollout, and how it ended."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from . import events, preflight, wording
from .commands import lock, server
from .config.model import Config, Role
from .engine import Engine
from .errors import ConfigError, HostUnreachable, LockHeld, Unclear, UsageError
from .events import Event, Fact
from .locks import Locks
from .plan import Plan, Selection, Version, is_told_by_images, plan, resolve_version
from .preflight import Survey
from .rollout import Each, FleetFlow, Job, Outcome, rollout
from .shell import Secret

if TYPE_CHECKING:
    from .project import Project

Stream = Generator[Event, None, None]


class EnvFiles:
    """The secret environment of each role on each host; read once, before anything is changed."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._texts: dict[tuple[str, str], Secret | None] = {}

    def read(self, selection: Selection) -> None:
        """Raises ``ConfigError`` with every secret that cannot be had."""
        problems: list[tuple[str, str]] = []
        for host, role in selection.pairs:
            values: dict[str, Secret] = {}
            for key, source in role.env_on(host).secret.items():
                try:
                    values[key] = self._project.secret(source)
                except ConfigError as error:
                    problems += error.problems
            self._texts[host, role.name] = server.env_text(values) if values else None
        if problems:
            raise ConfigError(tuple(dict.fromkeys(problems)), str(self._project.sources[0]))

    def __call__(self, role: Role, host: str) -> Secret | None:
        return self._texts.get((host, role.name))


class BootRun:
    """The stream of one boot: survey, decide the version, roll out, say how it ended."""

    def __init__(
        self, project: Project, selection: Selection, version: str | None, skip: bool, env_files: EnvFiles, verb: str
    ) -> None:
        self._project = project
        self._selection = selection
        self._version = version
        self._skip = skip
        self._env_files = env_files
        self._verb = verb
        self._run_id = secrets.token_hex(8)

    def stream(self, engine: Engine) -> Stream:
        """Yields every event; the last one is ``RunFinished``."""
        config, selection = self._project.config, self._selection
        yield self._started(engine)
        for host, why in selection.left_out:
            yield _note(engine, f"{host} is left out: {why}", warning=True)
        for warning in self._project.warnings:
            yield _note(engine, warning, warning=True)
        surveys = yield from self._surveyed(engine)
        if surveys is None:
            return
        try:
            decided = resolve_version(self._version, config, surveys)
        except UsageError as error:
            yield _finished(engine, False, f"Nothing was changed: {error}", error.exit_code)
            return
        yield _note(
            engine, decided.sentence or f"version {decided.name}", kind="version", data={"version": decided.name}
        )
        hosts = {survey.host for survey in surveys}
        kept = replace(selection, pairs=tuple(pair for pair in selection.pairs if pair[0] in hosts))
        if self._verb == "dry-run":
            yield from self._rolled_out(engine, self._plan(kept, decided, None))
            return
        claim = self._claim(decided)
        locks = Locks(engine.executor, config, kept.hosts, claim, without=set(selection.hosts) - hosts)
        try:
            with locks:
                yield from self._rolled_out(engine, self._plan(kept, decided, locks.fence))
        except (LockHeld, HostUnreachable, Unclear) as error:
            yield _finished(engine, False, f"Nothing was changed: {error}", error.exit_code)

    def _plan(self, selection: Selection, version: Version, fence: tuple[str, str] | None) -> Plan:
        return plan(
            self._project.config, selection, version=version.name, tag=version.tag, run_id=self._run_id, fence=fence,
            new_id=lambda: secrets.token_hex(16), performer=self._project.performer(), env_file=self._env_files,
        )  # fmt: skip

    def _claim(self, version: Version) -> lock.Claim:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        who = self._project.performer()
        return lock.Claim(run_id=self._run_id, who=who, when=when, version=version.name, why=self._verb)

    def _started(self, engine: Engine) -> Event:
        targets = tuple((host, role.name) for host, role in self._selection.pairs)
        service, version = self._project.config.service, self._version or ""
        return events.RunStarted(
            at=engine.now(), run_id=self._run_id, verb=self._verb, service=service, version=version, targets=targets
        )

    def _surveyed(self, engine: Engine) -> Generator[Event, None, tuple[Survey, ...] | None]:
        """Looks at every host before any change; None, with all problems told, where the run must not begin."""
        yield _note(engine, f"looking at {wording.counted(len(self._selection.hosts), 'host')}")
        outcomes = yield from engine.drive(side_by_side(_surveys(self._project.config, self._selection, self._version)))
        failures = []
        for outcome in outcomes:
            host = outcome.job.host
            if isinstance(outcome.error, HostUnreachable) and self._skip:
                yield _note(engine, f"{outcome.error} It is left out (--skip-unreachable).", warning=True)
            elif outcome.error is not None:
                failures.append(
                    _refused(engine, host, self._roles(host), str(outcome.error), type(outcome.error).__name__)
                )
            else:
                for check in outcome.value.checks:
                    if check.verdict == "warning":
                        yield _note(engine, f"{host}: {check.sentence} {check.fix}", warning=True)
                for check in outcome.value.failed:
                    failures.append(_refused(engine, host, self._roles(host), check.sentence, "Check", check.fix))
        yield from (event for group in failures for event in group)
        surveys = tuple(outcome.value for outcome in outcomes if outcome.ok)
        if failures or not surveys or engine.cancelled:
            hosts = sorted({event.host for group in failures for event in group})
            why = (
                f"{', '.join(hosts)} cannot be used."
                if hosts
                else "no host is left."
                if not engine.cancelled
                else "cancelled."
            )
            yield _finished(engine, False, f"Nothing was changed: {why}")
            return None
        return surveys

    def _roles(self, host: str) -> tuple[str, ...]:
        return tuple(role.name for one, role in self._selection.pairs if one == host)

    def _rolled_out(self, engine: Engine, made: Plan) -> Stream:
        outcomes = yield from engine.drive(rollout(made))
        booted = [outcome for outcome in outcomes if outcome.ok]
        failed = [outcome for outcome in outcomes if not outcome.ok]
        not_begun = len(made.boots) - len(outcomes)
        ok = not failed and not not_begun
        if self._verb == "dry-run" and ok:
            sentence = f"dry run: nothing was changed on {', '.join(made.hosts)}."
        else:
            before = {outcome.job.host: outcome.value.replaced for outcome in booted}
            names = tuple(f"{outcome.job.role} on {outcome.job.host}" for outcome in failed)
            sentence = wording.closing(made.version, before, names, not_begun, engine.now(), engine.cancelled)
        yield _finished(engine, ok, sentence)


def _surveys(config: Config, selection: Selection, version: str | None) -> tuple[Job, ...]:
    now = time.time()
    look = partial(preflight.survey, with_images=is_told_by_images(version, config))
    roles = {host: tuple(role for one, role in selection.pairs if one == host) for host in selection.hosts}
    return tuple(Job(host, "", look(config, host, roles[host], now)) for host in selection.hosts)


def side_by_side(jobs: tuple[Job, ...]) -> FleetFlow:
    """Jobs on several hosts at once, and nothing else."""
    outcomes: tuple[Outcome, ...] = yield Each(jobs)
    return outcomes


def _note(
    engine: Engine, text: str, *, kind: str = "note", warning: bool = False, data: Mapping[str, object] | None = None
) -> Event:
    return events.FactLearned(at=engine.now(), fact=Fact(kind=kind, text=text, warning=warning, data=data or {}))


def _refused(engine: Engine, host: str, roles: tuple[str, ...], why: str, kind: str, fix: str = "") -> list[Event]:
    return [
        events.HostFailed(
            at=engine.now(),
            host=host,
            role=role,
            phase=None,
            error=why,
            kind=kind,
            serving="Nothing was changed.",
            hint=fix,
        )
        for role in roles
    ]


def _finished(engine: Engine, ok: bool, sentence: str, exit_code: int = 1) -> Event:
    return events.RunFinished(at=engine.now(), ok=ok, sentence=sentence, exit_code=0 if ok else exit_code)
