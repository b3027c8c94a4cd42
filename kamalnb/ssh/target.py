"""Where a host is and how to get in, and how somebody got in: values without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .known_hosts import host_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a host is and how to get in, as OpenSSH would. Equal targets share one connection."""

    alias: str
    """The name that people use."""
    hostname: str
    port: int
    user: str
    family: Literal["any", "inet", "inet6"] = "any"
    project_keys: tuple[Path, ...] = ()
    """deploy.yml's keys."""
    identity_files: tuple[Path, ...] = ()
    certificate_files: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: Path | None = None
    """The agent's socket."""
    known_hosts: tuple[Path, ...] = ()
    new_keys_go_to: Path | None = None
    """File for keys of unknown hosts: set only where ``StrictHostKeyChecking accept-new`` is configured."""
    key_alias: str | None = None
    proxy_command: str | None = None
    via: Target | None = None
    """The jump host in front of it."""
    command: str
    """The ``ssh`` command that a person would type to get there."""

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"{self.hostname} port {self.port}"

    @property
    def way(self) -> str:
        """The jump hosts in order, or the proxy command; ``""`` where it is reached directly."""
        if self.via is None:
            return self.proxy_command or ""
        return f"{self.via.way},{self.via.alias}" if self.via.via else self.via.alias

    @property
    def names(self) -> tuple[str, ...]:
        """The names it has in known_hosts, the deciding one first."""
        return host_names(self.hostname, self.port, self.key_alias)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How somebody got in: what ``check`` shows for a host."""

    host: str
    address: str
    port: int
    user: str
    key: str
    """The file or the agent's comment, with type and fingerprint."""
    host_key: str
    """Type and fingerprint."""
    jump: str | None
    """The jump hosts in order, or the proxy command."""
    server: str
    """The software that the server says it is."""
    seconds: float
    """What getting in took."""
    notes: tuple[str, ...] = ()
    """What was passed over on the way: a key that needs its passphrase, an agent that does not answer."""
