"""One host's Traefik before it is changed: what runs, what the file says, what a change would cost. No I/O here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .. import traefik
from ..commands import app, running_traefik, server
from ..commands import traefik as commands
from ..commands.running_traefik import Running
from ..config.model import TraefikSettings
from ..docker import Container
from ..errors import BootError
from ..flow import Flow, ask_all
from ..shell import Command, Secret
from .traefik_difference import Difference, difference, listed, unseen

USUAL_GAP = (0.7, 4.5)
"""Seconds without a proxy where nothing stays open: measured on the lab, at rest and on an overloaded machine."""
GRACE = 10.0
"""Seconds that Traefik gives open requests at its end, unless an entry point says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxying:
    """Work on the Traefik of ``host``. ``suffix`` is 16 hex digits of this run and host, never used twice.

    ``env_file`` is the text of its secret environment, None where the file asks for none.
    """

    host: str
    settings: TraefikSettings
    service: str
    suffix: str
    run_directory: str = ".kamal"
    destination: str | None = None
    performer: str = ""
    env_file: Secret | None = None
    fence: tuple[str, str] | None = None

    def audit(self, text: str) -> Command:
        """Kamal's line."""
        path = server.audit_path(self.service, self.destination, self.run_directory)
        return server.audit(path, (self.performer, self.destination or ""), text)

    def environment(self) -> Command:
        """Its env file as it should be."""
        path = commands.env_file(self.run_directory)
        return (
            server.touch_env_file(path) if self.env_file is None else server.write_file(path, self.env_file, "env file")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot:
    """What a reboot would do on one host. ``version`` is that of the file's image, None where it is not there yet."""

    work: Proxying
    running: Running | None
    version: tuple[int, ...] | None
    containers: tuple[Container, ...]
    tool: str | None

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What it would change."""
        return difference(self.running, self.work.settings) if self.running else ()

    @property
    def next_proxy(self) -> traefik.Proxy:
        """What the arguments of the file say."""
        network = next(iter(listed(self.work.settings, "network")), "bridge")
        networks = {} if network == "host" else {"bridge" if network == "default" else network: ""}
        args = commands.arguments(self.work.settings)
        return traefik.proxy(Container(id="", name=commands.NAME, args=args, networks=networks, network_mode=network))

    @property
    def gap(self) -> tuple[float, float, float]:
        """Seconds without a proxy: at least, usually, and at most, where requests stay open to the end."""
        least, usual = USUAL_GAP
        return (least, usual, grace(self.running) + usual) if self.running and self.running.runs else (0.0, 0.0, 0.0)

    @property
    def notes(self) -> Iterator[str]:
        """What people should know before it, in sentences."""
        if self.running is None or not self.running.runs:
            yield "No Traefik runs there now: a reboot starts one."
            return
        least, usual, most = self.gap
        yield (
            f"{self.work.host} serves nothing for about {least:g} to {usual:g} s, "
            f"up to {most:g} s where requests or WebSockets stay open."
        )
        if not self.differences:
            yield "What runs is as the file says: a reboot changes nothing."
        if unseen(self.work.settings):
            yield f"{', '.join(unseen(self.work.settings))} cannot be compared."

    def refusal(self, *, major: bool, yes: bool) -> BootError | None:
        """Why it must not be done without another word, None where nothing speaks against it."""
        if self.running is None:
            return None
        wrong = None if major else self._crossing()
        lost = () if yes else losing(self.running, self.work.settings)
        if wrong is None and lost:
            paths = ", ".join(lost)
            wrong = BootError(
                f"Traefik on {self.work.host} keeps its certificates inside its container, in {paths}, "
                "and a reboot loses them.",
                serving="Nothing was changed.",
                hint="Copy them to where the file mounts them (docker cp traefik:PATH …), or say --yes.",
            )
        return wrong

    def _crossing(self) -> BootError | None:
        if self.running is None or self.version is None:
            return None
        now, then = self.running.version, self.version
        same_name = self.running.container.image == self.work.settings.image
        if (now and then and now[0] == then[0]) or (same_name and not (now and then)):
            return None
        if not now or not then:
            whose = self.running.container.image if not now else self.work.settings.image
            why = f"Which version of Traefik {whose} is cannot be told."
        else:
            why = (
                f"Traefik on {self.work.host} is v{now[0]}, the file asks for v{then[0]}: labels may mean other things."
            )
        hint = "Read Traefik's migration guide, then say --major. Or name an image of the same major version."
        return BootError(why, serving="Nothing was changed.", hint=hint)


def look(work: Proxying) -> Flow[Reboot]:
    """What a reboot would do, in one round trip; changes nothing."""
    running, version, tool, containers = yield from ask_all(
        running_traefik.inspect(),
        running_traefik.image_version(work.settings.image),
        server.tool(),
        app.census(work.service),
    )
    return Reboot(work=work, running=running, version=version, containers=containers, tool=tool)


def stop_seconds(running: Running) -> int:
    """Seconds until SIGKILL: Traefik's own grace, and a little more, so that it ends by itself."""
    return round(grace(running)) + 2


def grace(running: Running | None) -> float:
    """Seconds that it gives what is open when it is told to stop, over all entry points."""
    if running is None:
        return GRACE
    given = traefik.arguments(running.container.args)
    found = [
        traefik.seconds(given.get(f"{prefix}.gracetimeout"), GRACE)
        + traefik.seconds(given.get(f"{prefix}.requestacceptgracetimeout"), 0.0)
        for prefix in (f"entrypoints.{name.lower()}.transport.lifecycle" for name in running.proxy.entry_points)
    ]
    return max(found, default=GRACE)


def losing(running: Running, settings: TraefikSettings) -> tuple[str, ...]:
    """Files of certificates in its own layer that the one of the file would not find again."""
    kept = carried(running, settings) if running.runs else ()
    return tuple(sorted(set(_in_own_layer(running)) - set(kept)))


def carried(running: Running, settings: TraefikSettings) -> tuple[str, ...]:
    """Files of certificates in its own layer that are copied into the next one: kept there at the same path."""
    mounts = tuple(word.split(":")[1] for word in listed(settings, "volume") if ":" in word)
    wanted = _storages(commands.arguments(settings))
    same = (path for path in _in_own_layer(running) if path in wanted and not _under(path, mounts))
    return tuple(sorted(path for path in same if " " not in path))


def _in_own_layer(running: Running) -> tuple[str, ...]:
    mounts = tuple(mount.destination for mount in running.container.mounts)
    return tuple(path for path in _storages(running.container.args) if not _under(path, mounts))


def _storages(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Where the ACME resolvers keep their certificates; Traefik's default is acme.json where it was started."""
    given = traefik.arguments(arguments)
    acme = {name.split(".")[1] for name in given if name.startswith("certificatesresolvers.") and ".acme" in name}
    paths = (given.get(f"certificatesresolvers.{name}.acme.storage", "acme.json") for name in sorted(acme))
    return tuple(dict.fromkeys(path if path.startswith("/") else f"/{path}" for path in paths))


def _under(path: str, mounts: tuple[str, ...]) -> bool:
    return any(path == mount or path.startswith(f"{mount.rstrip('/')}/") for mount in mounts)
