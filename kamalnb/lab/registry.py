"""The lab's two registries, one container: an open one, and one that asks for a login. Both show the same images."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from .engine import Engine
from .images import APP, LATEST
from .keys import write_private

LOGIN_REGISTRY = "registry:5001"
"""The one that asks who is there, as hosts name it."""
LOGIN_USER = "lab"
HTPASSWD = "lab-auth/htpasswd"
"""Where the container has its list of users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryLogin:
    """Who may pull from the lab's second registry. The files are for their owner only."""

    directory: Path

    @property
    def file(self) -> Path:
        """The file with the password alone."""
        return self.directory / "registry.password"

    @property
    def htpasswd(self) -> Path:
        """The same as the registry reads it: the user and a bcrypt hash."""
        return self.directory / "registry.htpasswd"

    @property
    def password(self) -> str:
        """The password."""
        return self.file.read_text().strip()

    @property
    def marks(self) -> tuple[str, ...]:
        """What of it is inside the container: that is made anew when it changes."""
        return (self.htpasswd.read_text(),)

    @property
    def files(self) -> Mapping[str, tuple[bytes, int]]:
        """What goes into the container."""
        return {HTPASSWD: (self.htpasswd.read_bytes(), 0o600)}


def make_login(directory: Path) -> RegistryLogin:
    """The login of a lab, made where it is missing."""
    login = RegistryLogin(directory=directory)
    if not (login.file.exists() and login.htpasswd.exists()):
        import bcrypt  # comes with paramiko; the registry takes no other hash

        password = secrets.token_urlsafe(24)
        write_private(login.file, f"{password}\n")
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=5)).decode()
        write_private(login.htpasswd, f"{LOGIN_USER}:{hashed}\n")
    return login


def push(engine: Engine, container: str) -> None:
    """Pushes every version of the app from a host, ``latest`` too."""
    script = f"""
        docker tag {APP}:{LATEST} {APP}:latest
        i=0; until docker push --quiet --all-tags {APP}; do
            i=$((i+1)); [ $i -lt 20 ] || exit 1; sleep 0.5  # the registry may still be starting
        done
        docker rmi {APP}:latest"""
    done = engine.docker("exec", container, "sh", "-c", script, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise LabError(f"The lab's registry does not take images ({last}). Run lab.up again, or lab.down first.")
