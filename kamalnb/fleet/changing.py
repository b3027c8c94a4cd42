"""The verbs that change something else than the version that serves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..commands import server
from ..commands import traefik as traefik_commands
from ..commands.lock import Claim
from ..engine import Engine
from ..flow import Flow, do
from ..rollout import Job, Outcome
from ..runs import How, Options
from ..runs.change import Change, ChangeRun, Place
from .looking import Looking
from .rollout import Rollout

if TYPE_CHECKING:
    from ..project import Project


@dataclass(frozen=True, kw_only=True)
class Changing(Looking):
    """Each verb gives a ``Rollout``; ``how`` is ``runs.How`` as keywords."""

    def acquire_lock(self, message: str) -> Rollout:
        """Locks the fleet for a person, with a reason, until ``release_lock``: every run is refused meanwhile."""
        from ..flows import locking

        change = Change(
            verb="lock", done="locked", flow=lambda place: locking.acquired(place.config, _claim(place, message)),
            per_role=False, looks=False, locks=False, confirms=False,
        )  # fmt: skip
        return self.where(primary=True)._change(change, {})

    def release_lock(self) -> Rollout:
        """Takes a person's lock (or Kamal's) away. A run's own lock cannot be taken away; it ends with its run."""
        from ..flows import locking

        change = Change(
            verb="unlock", done="released", flow=lambda place: locking.released(place.config, place.performer),
            per_role=False, looks=False, locks=False, confirms=False,
        )  # fmt: skip
        return self.where(primary=True)._change(change, {})

    def boot_traefik(self) -> tuple[Outcome, ...]:
        """Starts Traefik on every chosen host where it does not run. Outcomes, one a host."""
        project = self._project()
        selection = self._select(project.config)
        hosts = tuple(host for host in selection.hosts if any(r.traefik for h, r in selection.pairs if h == host))
        jobs = tuple(Job(host, "", _traefik(project, host)) for host in hosts)
        return self._each(project, jobs)

    def _change(self, change: Change, how: Options) -> Rollout:
        project = self._project()
        run = ChangeRun(project, self._select(project.config), change, How(**how))
        engine = Engine(self._executor(project), self.clock, dry_run=bool(how.get("dry_run")))
        return Rollout(engine, run.stream, run.target)


def _claim(place: Place, message: str) -> Claim:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Claim(run_id=place.run_id, who=place.performer, when=when, version="", why=message or "no reason given")


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
