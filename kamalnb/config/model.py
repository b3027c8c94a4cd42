"""What ``deploy.yml`` means: frozen values, durations in seconds, Kamal's defaults filled in.

Nothing here may read a file, the environment or the clock. ``kamalnb.config.reading`` makes these
values from text; everything else only uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..shell import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Where a secret comes from; the value itself is read late, once, by ``project.py``.

    Exactly one of ``env`` (name of an environment variable, ``.env`` included), ``file`` (path relative
    to the project), ``command`` (argv, run locally without a shell) and ``value`` (written in the file
    itself) is set. ``where`` is the place in the file that asks for it, for messages.
    """

    env: str | None = None
    file: str | None = None
    command: tuple[str, ...] | None = None
    value: Secret | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """Environment of a container: ``clear`` values are in the file, ``secret`` ones have a source."""

    clear: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, SecretSource] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """How a container is asked whether it is well.

    ``cmd`` replaces the HTTP check of ``path`` on ``port``; ``interval`` is in seconds; ``deadline`` is how
    long a new container may take, in seconds (from ``deploy_timeout``, else converted from Kamal's
    ``max_attempts``: attempts 1+2+…+n seconds, at least 30); ``cord`` is the directory inside the
    container, None where cords are off. Where ``configured`` is False (a role without Traefik that names
    no check) Docker is given none, and the image's own counts, if it has one.
    """

    configured: bool = True

    cmd: str | None = None
    path: str = "/up"
    port: int = 3000
    interval: float = 1.0
    deadline: float = 30.0
    cord: str | None = "/tmp/kamal-cord"
    log_lines: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """``--log-driver`` and ``--log-opt``. Kamal's default is ``max-size=10m`` with no driver named."""

    driver: str | None = None
    options: Mapping[str, str] = field(default_factory=lambda: {"max-size": "10m"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A group of hosts with one job. Global settings are merged in; a role's own win."""

    name: str
    service: str
    destination: str | None
    hosts: tuple[str, ...]
    traefik: bool
    """Traefik routes to it (role ``web`` or the primary role by default, ``traefik: true`` elsewhere)."""
    cmd: str | None = None
    env: Env = Env()
    env_tags: Mapping[str, Env] = field(default_factory=dict)
    """Per host: what its ``tags`` add to ``env`` (Kamal 1.6+), already merged over ``env``."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Custom labels, global then role. Kamal's own default labels are added by ``commands.app``."""
    options: Mapping[str, str | bool | tuple[str, ...]] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    logging: Logging = Logging()
    healthcheck: Healthcheck = Healthcheck()
    asset_path: str | None = None
    order: Literal["start-first", "stop-first"] = "start-first"
    stop_signal: str | None = None
    stop_wait_time: float | None = None
    """Seconds between SIGTERM and SIGKILL; None is Docker's own 10 s."""
    drain_timeout: float = 30.0
    """Seconds that requests in flight may take before the old container is stopped."""
    min_healthy: float = 0.0
    """Soak: seconds that the new container must stay healthy after the switch before the old one goes."""
    readiness_delay: float = 7.0
    """Seconds that a container without any health check must keep running to count as ready."""

    @property
    def uses_cord(self) -> bool:
        """Traefik routes to it and a cord is configured (``healthcheck.cord: false`` turns it off)."""
        return self.traefik and self.healthcheck.cord is not None

    @property
    def name_prefix(self) -> str:
        """``<service>-<role>[-<destination>]``: container names, router names and cords begin with it."""
        return "-".join(part for part in (self.service, self.name, self.destination) if part)

    def container_name(self, version: str) -> str:
        """Kamal's container name for ``version``."""
        return f"{self.name_prefix}-{version}"

    def env_on(self, host: str) -> Env:
        """The environment on ``host``, tags included."""
        return self.env_tags.get(host, self.env)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootLimits:
    """``boot:`` batches. ``limit`` is a count, a percentage as a string (``"25%"``), or None for all at once."""

    limit: int | str | None = None
    wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """``release:`` a shell command that runs once, in a container of the new image, before anything is booted.

    ``role`` is whose environment, volumes and options that container gets, on that role's first host; ``timeout`` is
    in seconds.
    """

    cmd: str
    timeout: float = 600.0
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Where images come from. ``server`` is None for the default registry."""

    server: str | None = None
    username: str | SecretSource | None = None
    password: SecretSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssh:
    """``ssh:`` and ``sshkit:``. None means: as OpenSSH's own configuration says."""

    user: str | None = None
    port: int | None = None
    proxy: str | None = None
    proxy_command: str | None = None
    keys: tuple[str, ...] = ()
    keys_only: bool = False
    first_key: SecretSource | None = None
    """A private key that is offered before all others: the one that a CI puts into the environment."""
    key_data: tuple[SecretSource, ...] = ()
    config: bool | tuple[str, ...] = True
    """Read OpenSSH's configuration files (True), none (False), or just these."""
    known_hosts: str | None = None
    """A known_hosts file in the repository (ours), looked at before the user's; ``config/known_hosts`` by default."""
    log_level: str = "fatal"
    connect_timeout: float = 10.0
    max_concurrent_starts: int = 30
    pool_idle_timeout: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TraefikSettings:
    """``traefik:`` as in Kamal v1."""

    image: str
    host_port: int = 80
    publish: bool = True
    args: Mapping[str, str | bool | tuple[str, ...]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str | bool | tuple[str, ...]] = field(default_factory=dict)
    env: Env = Env()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole ``deploy.yml``, its destination merged in."""

    service: str
    image: str
    """Without registry and tag."""
    destination: str | None = None
    roles: tuple[Role, ...] = ()
    primary_role: str = "web"
    registry: Registry = Registry()
    boot: BootLimits = BootLimits()
    release: Release | None = None
    """Ours: what runs once before a deploy boots anything."""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Kamal 2's: a word, and the command line words that it stands for."""
    traefik: TraefikSettings
    ssh: Ssh = Ssh()
    run_directory: str = ".kamal"
    hooks_path: str = ".kamal/hooks"
    retain_containers: int = 5
    confirm: bool = False
    """Ours: ask before anything changes on these hosts (``--confirm`` or a typed answer)."""
    hosts_down: tuple[str, ...] = ()
    """Ours: hosts that are known to be away; left out of every run, and said so."""
    left_alone: tuple[str, ...] = ()
    """Keys that were read and are not acted on (``builder``, ``accessories``, ``x-…``)."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user about things that work and should be written in another way."""

    @property
    def repository(self) -> str:
        """The image with its registry and without a tag."""
        return f"{self.registry.server}/{self.image}" if self.registry.server else self.image

    @property
    def latest_tag(self) -> str:
        """``latest``, or ``latest-<destination>`` (Kamal 1.5+)."""
        return f"latest-{self.destination}" if self.destination else "latest"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host once, the primary one first, else in the file's order."""
        ordered = [host for role in self.roles_primary_first for host in role.hosts]
        return tuple(dict.fromkeys(ordered))

    @property
    def roles_primary_first(self) -> tuple[Role, ...]:
        """The roles, the primary one before the others."""
        return tuple(sorted(self.roles, key=lambda role: role.name != self.primary_role))

    @property
    def primary_host(self) -> str:
        """Where the lock is and where ``--primary`` points: the first host of the primary role."""
        return self.hosts[0]

    def role(self, name: str) -> Role:
        """The role called ``name``; KeyError where there is none."""
        return next(role for role in self.roles if role.name == name)

    def roles_on(self, host: str) -> tuple[Role, ...]:
        """The roles that run on ``host``, the primary one first."""
        return tuple(role for role in self.roles_primary_first if host in role.hosts)
