"""Commands about the registry: login with the password on stdin, logout, and what went wrong in words. No I/O here."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from ..config.model import Config, SecretSource
from ..shell import Command, Secret, Word

DEFAULT = "Docker Hub"
"""What the registry is called in sentences where the file names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who logs in where. ``server`` is None for Docker's default registry."""

    username: Word
    password: Secret
    server: str | None = None

    @property
    def user(self) -> str:
        """The user in words; a name that is a secret is not told."""
        return self.username if isinstance(self.username, str) else "the user of registry/username"

    @property
    def place(self) -> str:
        """The registry in words."""
        return self.server or DEFAULT


def credentials(config: Config, secret: Callable[[SecretSource], Secret]) -> Login | None:
    """The login of the file, its secrets read by ``secret``; None where the file names no user or no password."""
    registry = config.registry
    if registry.username is None or registry.password is None:
        return None
    user = registry.username if isinstance(registry.username, str) else secret(registry.username)
    return Login(username=user, password=secret(registry.password), server=registry.server)


def login(who: Login) -> Command:
    """Logs the host's Docker in. The password is fed to it: it is in no process list and in no log."""
    server = (who.server,) if who.server else ()
    words = ("docker", "login", "--username", who.username, "--password-stdin", *server)
    return Command(
        name="registry login", words=words, stdin=who.password, beside=True, limit=90.0, example="Login Succeeded"
    )


def logout(server: str | None) -> Command:
    """Makes the host's Docker forget the login."""
    return Command(name="registry logout", words=("docker", "logout", *((server,) if server else ())), limit=60.0)


def build_line(service: str, reference: str) -> str:
    """What to type where the image is built: kamalnb does not build."""
    label, name = shlex.quote(f"service={service}"), shlex.quote(reference)
    return f"docker build --label {label} -t {name} . && docker push {name}"


def trouble(said: str, place: str) -> tuple[str, str] | None:
    """Why Docker could not talk to a registry, and what to do; None for what is not about the way to it."""
    low = said.lower()
    if "server gave http response to https client" in low:
        return (
            f"The registry {place} speaks plain HTTP, and Docker there wants TLS.",
            f"Give it a certificate, or add “{place}” to insecure-registries in the host's /etc/docker/daemon.json.",
        )
    if "x509" in low or "certificate" in low or "tls:" in low:
        return (
            f"The host does not trust the certificate of the registry {place} ({_last(said)}).",
            f"Put its CA into /etc/docker/certs.d/{place}/ca.crt on the host.",
        )
    if any(sign in low for sign in _AWAY):
        return (
            f"The registry {place} cannot be reached from the host ({_last(said)}).",
            "Look whether it runs, and whether the host may go there.",
        )
    return None


def refused(said: str) -> bool:
    """Whether the registry does not accept who asks."""
    return any(sign in said.lower() for sign in _REFUSED)


def missing(said: str) -> bool:
    """Whether the registry has no such image."""
    low = said.lower()
    return "manifest unknown" in low or "not found" in low or "name unknown" in low


def last_line(said: str) -> str:
    """The last thing that Docker said, short."""
    return _last(said)


_AWAY = (
    "connection refused", "no such host", "i/o timeout", "no route to host", "deadline exceeded", "client.timeout",
    "network is unreachable", "connection reset", "temporary failure in name resolution", "server misbehaving", "eof",
    "503 service unavailable", "502 bad gateway",
)  # fmt: skip
_REFUSED = (
    "401", "403", "unauthorized", "incorrect username or password", "no basic auth credentials", "access denied",
    "authentication required", "denied:",
)  # fmt: skip


def _last(said: str) -> str:
    line = next((line for line in reversed(said.splitlines()) if line.strip()), "no answer").strip()
    return line.removeprefix("Error response from daemon: ").rstrip(".")[:200]
