"""The verbs for what surrounds the app on a host: the lock, env files, the registry, old things, the host itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from ..commands.lock import Claim
from ..config.model import SecretSource
from ..errors import ConfigError, KamalnbError, UsageError
from ..flow import Flow
from ..flows.change import OnHost
from ..plan import Selection
from ..rollout import Done
from ..runs import Options
from ..runs.change import Work
from ..shell import Secret
from .changing import Changing
from .rollout import Rollout

if TYPE_CHECKING:
    from ..project import Project
    from ..ssh.scan import Scanned


@dataclass(frozen=True, kw_only=True)
class Surroundings(Changing):
    """Each verb gives a ``Rollout``; ``how`` is ``runs.How`` as keywords."""

    def acquire_lock(self, message: str) -> Rollout:
        """Locks the fleet for a person, with a reason, until ``release_lock``: every run is refused meanwhile."""
        from ..flows import locking

        work = _free("lock", "locked", lambda place: locking.acquired(place.config, _claim(place, message)))
        return self.where(primary=True)._change(work, {})

    def release_lock(self) -> Rollout:
        """Takes a person's lock (or Kamal's) away. A run's own lock cannot be taken away; it ends with its run."""
        from ..flows import locking

        work = _free("unlock", "released", lambda place: locking.released(place.config, place.performer))
        return self.where(primary=True)._change(work, {})

    def push_env(self, **how: Unpack[Options]) -> Rollout:
        """Writes the secret env files of the chosen roles, and the proxy's; tells which keys were added or changed."""
        from ..flows import env_files

        project = self._project()
        values = _values(project, self._select(project.config))
        work = Work(verb="env.push", done="env files pushed", on_host=lambda place: env_files.pushed(
            place, values[place.host]), looks=False)  # fmt: skip
        return self._change(work, how)

    def delete_env(self, **how: Unpack[Options]) -> Rollout:
        """Deletes the env files on every chosen host."""
        from ..flows import env_files

        work = Work(verb="env.delete", done="env files deleted", on_host=env_files.deleted, looks=False)
        return self._change(work, how)

    def login(self, **how: Unpack[Options]) -> Rollout:
        """Logs the Docker of every chosen host in to the registry; the password travels on stdin."""
        from ..commands import registry as commands
        from ..flows import registry

        project = self._project()
        who = commands.credentials(project.config, project.secret)
        if who is None:
            raise UsageError("deploy.yml names no registry/username and registry/password. Write both to log in.")
        work = Work(
            verb="registry.login", done="logged in", on_host=lambda place: registry.logged_in(place, who), locks=False
        )
        return self._change(work, how)

    def logout(self, **how: Unpack[Options]) -> Rollout:
        """Makes the Docker of every chosen host forget the registry's login."""
        from ..flows import registry

        return self._change(
            Work(verb="registry.logout", done="logged out", on_host=registry.logged_out, locks=False), how
        )

    def prune(self, what: str = "all", **how: Unpack[Options]) -> Rollout:
        """Removes old ``containers``, ``images`` or ``all`` of it; never what runs, nor what served before it."""
        from ..flows import pruning

        flows: Mapping[str, Callable[[OnHost], Flow[Done]]] = {
            "all": pruning.pruned,
            "containers": pruning.containers_pruned,
            "images": pruning.images_pruned,
        }
        return self._change(Work(verb=f"prune.{what}", done="pruned", on_host=flows[what], confirms=False), how)

    def bootstrap(self, *, only_look: bool = False, **how: Unpack[Options]) -> Rollout:
        """Makes Docker run on every chosen host. ``only_look`` says what would be installed and changes nothing."""
        from ..flows import servers

        def seen(place: OnHost) -> Flow[Done]:
            found = yield from servers.readiness(place)
            return Done(found.sentence)

        done = "looked at" if only_look else "made ready"
        flow = seen if only_look else servers.bootstrapped
        return self._change(Work(verb="server.bootstrap", done=done, on_host=flow, looks=False, locks=False), how)

    def run_on_hosts(self, line: str, **how: Unpack[Options]) -> Rollout:
        """Runs a shell line on every chosen host itself (``server.exec``); its output is told line by line."""
        from ..flows import servers

        def ran(place: OnHost) -> Flow[Done]:
            done = yield from servers.executed(place, line)
            if done.data["exited"]:
                raise KamalnbError(f"it ended with exit code {done.data['exited']}.")
            return done

        work = Work(verb="server.exec", done="ran", on_host=ran, looks=False, locks=False, confirms=False)
        return self._change(work, how)

    def remove_hosts(self, **how: Unpack[Options]) -> Rollout:
        """Cuts, drains and removes everything of this service on the chosen hosts, its files there too."""
        from ..flows import servers

        return self._change(Work(verb="server.remove", done="left", on_host=servers.everything_removed), how)

    def host_keys(self) -> dict[str, Scanned]:
        """The keys that each chosen host shows now; nothing is trusted by that. Host to what it showed."""
        from ..ssh import SshExecutor

        project = self._project()
        executor = self._executor(project)
        if not isinstance(executor, SshExecutor):
            raise UsageError("Pretend hosts have no keys.")
        try:
            return {host: executor.host_keys(host) for host in self._select(project.config).hosts}
        finally:
            executor.close()


def _free(verb: str, done: str, flow: Callable[[OnHost], Flow[Done]]) -> Work:
    """Work that needs neither Docker nor the lock."""
    return Work(verb=verb, done=done, on_host=flow, looks=False, locks=False, confirms=False)


def _claim(place: OnHost, message: str) -> Claim:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Claim(run_id="-", who=place.performer, when=when, version="", why=message or "no reason given")


def _values(project: Project, selection: Selection) -> dict[str, dict[str, dict[str, Secret]]]:
    """Host to file to its secrets. Raises ``ConfigError`` with every one that cannot be had."""
    problems: list[tuple[str, str]] = []
    found: dict[str, dict[str, dict[str, Secret]]] = {}

    def read(sources: Mapping[str, SecretSource]) -> dict[str, Secret]:
        values = {}
        for key, source in sources.items():
            try:
                values[key] = project.line_of_env(source)
            except ConfigError as error:
                problems.extend(error.problems)
        return values

    for host, role in selection.pairs:
        files = found.setdefault(host, {})
        files[role.name] = read(role.env_on(host).secret)
        if role.traefik and project.config.traefik.env.secret:
            files["traefik"] = read(project.config.traefik.env.secret)
    if problems:
        raise ConfigError(tuple(dict.fromkeys(problems)), str(project.sources[0]))
    return found
