"""The verbs for the proxy on each host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from ..commands import server
from ..flow import Flow
from ..flows import proxying
from ..flows.change import OnHost
from ..flows.proxying import Proxying
from ..rollout import Done
from ..runs import Options
from ..runs.change import Work
from ..shell import Secret
from .changing import Changing
from .rollout import Rollout

if TYPE_CHECKING:
    import pandas as pd

    from ..project import Project


@dataclass(frozen=True, kw_only=True)
class Proxies(Changing):
    """Traefik on the hosts of roles that it routes to. Each changing verb gives a ``Rollout``."""

    def traefik(self) -> pd.DataFrame:
        """Each host's Traefik: version, ports, settings, whether it is as the file says. Columns: reads.proxies."""
        from ..reads import proxies

        return self._frame(proxies.details())

    def traefik_difference(self) -> pd.DataFrame:
        """What a reboot would change, host by host. Columns: reads.proxies."""
        from ..reads import proxies

        return self._frame(proxies.differences())

    def boot_traefik(self, **how: Unpack[Options]) -> Rollout:
        """Starts Traefik where it does not run; one that runs is left alone, and told where it differs."""
        return self._proxied("traefik.boot", "Traefik runs", proxying.boot, how, secrets=True)

    def reboot_traefik(
        self, *, rolling: bool = False, major: bool = False, yes: bool = False, **how: Unpack[Options]
    ) -> Rollout:
        """Replaces Traefik by one as the file says; the old one comes back where the new one does not come up.

        ``rolling``: host after host. ``major``: also to another major version. ``yes``: also where certificates that
        it keeps in its own layer would be lost.
        """

        def flow(work: Proxying) -> Flow[Done]:
            return proxying.reboot(work, major=major, yes=yes)

        hooks = ("pre-traefik-reboot", "post-traefik-reboot")
        return self._proxied("traefik.reboot", "rebooted", flow, how, secrets=True, rolling=rolling, hooks=hooks)

    def start_traefik(self, **how: Unpack[Options]) -> Rollout:
        """Starts the Traefik that was stopped, as it is."""
        return self._proxied("traefik.start", "started", proxying.start, how)

    def stop_traefik(self, **how: Unpack[Options]) -> Rollout:
        """Stops Traefik: nobody is served by these hosts then."""
        return self._proxied("traefik.stop", "stopped", proxying.stop, how)

    def restart_traefik(self, *, rolling: bool = False, **how: Unpack[Options]) -> Rollout:
        """Stops and starts Traefik, and waits until it routes as before."""
        return self._proxied("traefik.restart", "restarted", proxying.restart, how, rolling=rolling)

    def remove_traefik(self, **how: Unpack[Options]) -> Rollout:
        """Stops Traefik and takes its container and image away."""
        return self._proxied("traefik.remove", "removed", proxying.remove, how)

    def _proxied(
        self, verb: str, done: str, flow: Callable[[Proxying], Flow[Done]], how: Options, *, secrets: bool = False,
        rolling: bool = False, hooks: tuple[str, str] | None = None,
    ) -> Rollout:  # fmt: skip
        project = self._project()
        env_file = _env_file(project) if secrets else None

        def on_host(place: OnHost) -> Flow[Done]:
            return flow(proxying.on_host(place, env_file))

        work = Work(verb=verb, done=done, on_host=on_host, rolling=rolling, hooks=hooks)
        config = project.config
        proxied = [role.name for role in config.roles if role.traefik]
        roles = [role.name for _host, role in self._select(config).pairs if role.name in proxied]
        return self.where(roles=roles, hosts=self.hosts)._change(work, how)


def _env_file(project: Project) -> Secret | None:
    """Raises ``ConfigError`` for a secret that cannot be had."""
    values = {key: project.line_of_env(source) for key, source in project.config.traefik.env.secret.items()}
    return server.env_text(values) if values else None
