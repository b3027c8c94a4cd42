"""The verbs for the proxy on each host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..commands import server
from ..commands import traefik as traefik_commands
from ..flow import Flow, do
from ..rollout import Job, Outcome
from .changing import Changing

if TYPE_CHECKING:
    from ..project import Project


@dataclass(frozen=True, kw_only=True)
class Proxies(Changing):
    """Traefik on the hosts of roles that it routes to."""

    def boot_traefik(self) -> tuple[Outcome, ...]:
        """Starts Traefik on every chosen host where it does not run. Outcomes, one a host."""
        project = self._project()
        selection = self._select(project.config)
        hosts = tuple(host for host in selection.hosts if any(r.traefik for h, r in selection.pairs if h == host))
        jobs = tuple(Job(host, "", _traefik(project, host)) for host in hosts)
        return self._each(project, jobs)


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
