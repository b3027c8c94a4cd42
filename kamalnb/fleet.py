"""What people hold: ``Fleet``, and the ``Rollout`` that its verbs give. One engine under tasks and notebooks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import events, preflight, wording
from .commands import lock, server
from .commands import traefik as traefik_commands
from .config.model import Config, Role
from .dry import DryRunExecutor
from .engine import Clock, Engine
from .errors import ConfigError, HostUnreachable, LockHeld, RolloutFailed, Unclear, UsageError
from .events import Event, Fact, Report
from .executor import Executor
from .flow import Flow, do
from .locks import Locks
from .plan import Plan, Selection, Version, is_told_by_images, plan, resolve_version, select
from .preflight import Check, Survey
from .rollout import Each, FleetFlow, Job, Outcome, rollout
from .shell import Secret

if TYPE_CHECKING:
    from .project import Project

Stream = Generator[Event, None, None]


class Rollout:
    """A run that is going on: iterate over its events, or ``wait``. ``report`` is always the state so far.

    ``cancel`` may be called from anywhere: hosts before their switch undo, hosts past it finish.
    """

    def __init__(self, engine: Engine, stream: Callable[[Engine], Stream]) -> None:
        self._engine = engine
        self._stream = stream
        self.report = Report()

    def __iter__(self) -> Iterator[Event]:
        stream = self._stream(self._engine)
        try:
            for event in stream:
                self.report = self.report.after(event)
                yield event
        finally:
            stream.close()
            self._engine.executor.close()

    def cancel(self) -> None:
        """Asks the run to stop; it still tells everything until its end."""
        self._engine.cancel()

    def wait(self, check: bool = True) -> Report:
        """Runs to the end. Raises ``RolloutFailed`` where a host failed, unless ``check`` is False."""
        for _ in self:
            pass
        if check and not self.report.ok:
            sentence = self.report.finished.sentence if self.report.finished else "The run did not end."
            raise RolloutFailed(sentence, self.report)
        return self.report


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The hosts of a ``deploy.yml``, or the part of them that ``roles`` and ``hosts`` (names, wildcards) choose.

    The file is read afresh by each verb. ``connect`` makes the executor; pretend fleets bring their own.
    """

    config_file: str | Path | None = None
    destination: str | None = None
    roles: Sequence[str] = ()
    hosts: Sequence[str] = ()
    primary: bool = False
    environ: Mapping[str, str] | None = None
    connect: Callable[[Project], Executor] | None = None
    load: Callable[[], Project] | None = None
    """Gives the project in place of a file: pretend fleets have none."""
    clock: Clock | None = None
    """Whose seconds the runs are told in; the machine's own by default."""

    def boot(self, version: str | None = None, *, skip_unreachable: bool = False, dry_run: bool = False) -> Rollout:
        """Replaces what runs by ``version`` with no lost request. Iterate the rollout or ``wait()`` for it."""
        project = self._project()
        selection = self._select(project.config)
        env_files = _EnvFiles(project)
        env_files.read(selection)
        executor = self._executor(project)
        boot = _Boot(project, selection, version, skip_unreachable, env_files, "dry-run" if dry_run else "boot")
        return Rollout(Engine(DryRunExecutor(executor) if dry_run else executor, self.clock), boot.stream)

    def check(self, version: str | None = None) -> tuple[Check, ...]:
        """Looks at everything that a boot (of ``version``) needs, changes nothing: one row for each host and thing."""
        from .check import check

        project = self._project()
        return check(project, self._select(project.config), self._executor(project), version)

    def boot_traefik(self) -> tuple[Outcome, ...]:
        """Starts Traefik on every chosen host where it does not run. Outcomes, one a host."""
        project = self._project()
        selection = self._select(project.config)
        hosts = tuple(host for host in selection.hosts if any(r.traefik for h, r in selection.pairs if h == host))
        jobs = tuple(Job(host, "", _traefik(project, host)) for host in hosts)
        return self._each(project, jobs)

    def _each(self, project: Project, jobs: tuple[Job, ...]) -> tuple[Outcome, ...]:
        executor = self._executor(project)
        try:
            return _value_of(Engine(executor, self.clock).drive(_side_by_side(jobs)))
        finally:
            executor.close()

    def _project(self) -> Project:
        if self.load is not None:
            return self.load()
        from .project import load

        return load(self.config_file, self.destination, environ=self.environ)

    def _select(self, config: Config) -> Selection:
        return select(config, self.roles, self.hosts, self.primary)

    def _executor(self, project: Project) -> Executor:
        if self.connect is not None:
            return self.connect(project)
        from .ssh import SshExecutor

        return SshExecutor(project.config.ssh, secrets=project.secret, directory=project.root)


class _EnvFiles:
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


class _Boot:
    """The stream of one boot: survey, decide the version, roll out, say how it ended."""

    def __init__(
        self, project: Project, selection: Selection, version: str | None, skip: bool, env_files: _EnvFiles, verb: str
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
        yield _note(engine, decided.sentence or f"version {decided.name}", kind="version", data={"version": decided.name})
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
        outcomes = yield from engine.drive(_side_by_side(_surveys(self._project.config, self._selection, self._version)))
        failures = []
        for outcome in outcomes:
            host = outcome.job.host
            if isinstance(outcome.error, HostUnreachable) and self._skip:
                yield _note(engine, f"{outcome.error} It is left out (--skip-unreachable).", warning=True)
            elif outcome.error is not None:
                failures.append(_refused(engine, host, self._roles(host), str(outcome.error), type(outcome.error).__name__))
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
            why = f"{', '.join(hosts)} cannot be used." if hosts else "no host is left." if not engine.cancelled else "cancelled."
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


def _side_by_side(jobs: tuple[Job, ...]) -> FleetFlow:
    outcomes: tuple[Outcome, ...] = yield Each(jobs)
    return outcomes


def _value_of(stream: Generator[Event, None, tuple[Outcome, ...]]) -> tuple[Outcome, ...]:
    while True:
        try:
            next(stream)
        except StopIteration as stop:
            return tuple(stop.value)


def _traefik(project: Project, host: str) -> Flow[str]:
    config = project.config
    directory = config.run_directory
    secret = {key: project.secret(source) for key, source in config.traefik.env.secret.items()}
    path = traefik_commands.env_file(directory)
    upload = server.write_file(path, server.env_text(secret), "env file") if secret else server.touch_env_file(path)
    audit = server.audit(server.audit_path(config.service, config.destination, directory), (project.performer(),), "Booted Traefik")
    results = yield from do(upload, *traefik_commands.boot(config.traefik, directory), audit)
    return next(result.stdout.strip() for result in results if result.name == "start traefik")


def _note(engine: Engine, text: str, *, kind: str = "note", warning: bool = False, data: Mapping[str, object] | None = None) -> Event:
    return events.FactLearned(at=engine.now(), fact=Fact(kind=kind, text=text, warning=warning, data=data or {}))


def _refused(engine: Engine, host: str, roles: tuple[str, ...], why: str, kind: str, fix: str = "") -> list[Event]:
    return [
        events.HostFailed(
            at=engine.now(), host=host, role=role, phase=None, error=why, kind=kind, serving="Nothing was changed.", hint=fix
        )
        for role in roles
    ]


def _finished(engine: Engine, ok: bool, sentence: str, exit_code: int = 1) -> Event:
    return events.RunFinished(at=engine.now(), ok=ok, sentence=sentence, exit_code=0 if ok else exit_code)


