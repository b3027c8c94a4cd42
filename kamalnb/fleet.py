"""What people hold: ``Fleet``, and the ``Rollout`` that its verbs give. One engine under tasks and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .boot_run import BootRun, EnvFiles, Stream, side_by_side
from .commands import server
from .commands import traefik as traefik_commands
from .config.model import Config
from .engine import Clock, Engine
from .errors import RolloutFailed
from .events import Event
from .executor import Executor
from .flow import Flow, do
from .plan import Selection, select
from .preflight import Check
from .report import Report
from .rollout import Job, Outcome

if TYPE_CHECKING:
    from .project import Project


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
        env_files = EnvFiles(project)
        env_files.read(selection)
        executor = self._executor(project)
        boot = BootRun(project, selection, version, skip_unreachable, env_files, "dry-run" if dry_run else "boot")
        return Rollout(Engine(executor, self.clock, dry_run=dry_run), boot.stream)

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
            return _value_of(Engine(executor, self.clock).drive(side_by_side(jobs)))
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
    audit = server.audit(
        server.audit_path(config.service, config.destination, directory), (project.performer(),), "Booted Traefik"
    )
    results = yield from do(upload, *traefik_commands.boot(config.traefik, directory), audit)
    return next(result.stdout.strip() for result in results if result.name == "start traefik")
