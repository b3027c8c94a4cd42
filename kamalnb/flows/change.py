"""What a change is about: a host, or one role on it, who does it, and under which lock. Nothing here may do I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ..boot import observe
from ..commands import app, server
from ..config.model import Config, Role
from ..cutover import Situation
from ..events import Phase
from ..flow import Enter, Flow
from ..plan import BootPlan
from ..shell import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class OnHost:
    """A change of one host. ``nonce`` is its own id (32 hex digits, never used twice), ``fence`` the lock file and the
    run id that every changing script compares first."""

    config: Config
    host: str
    nonce: str
    performer: str = ""
    fence: tuple[str, str] | None = None

    @property
    def roles(self) -> tuple[Role, ...]:
        """Every role that runs on the host."""
        return self.config.roles_on(self.host)

    def of(self, role: Role) -> Change:
        """The same change of one role there, under an id of its own: each role has its own journal."""
        nonce = hashlib.sha256(f"{self.nonce} {role.name}".encode()).hexdigest()[:32]
        return Change(
            config=self.config, host=self.host, nonce=nonce, performer=self.performer, fence=self.fence, role=role
        )

    def directory(self, home: str) -> str:
        """Kamal's directory on the host, absolute."""
        return app.absolute(self.config.run_directory, home)

    def audit(self, text: str, detail: str = "") -> Command:
        """A line in the host's audit log. Its path may be relative: scripts run in the login directory."""
        config = self.config
        path = server.audit_path(config.service, config.destination, config.run_directory)
        return server.audit(path, (self.performer, config.destination or "", detail), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(OnHost):
    """A change of one role on one host."""

    role: Role

    def said(self, text: str) -> Command:
        """A line in the host's audit log about this role."""
        return self.audit(text, self.role.name)


def looked(change: Change) -> Flow[Situation]:
    """What the host shows of the role now, in one round trip."""
    yield Enter(Phase.OBSERVE)
    plan = BootPlan(
        host=change.host, role=change.role, version="", nonce=change.nonce,
        reference=f"{change.config.repository}:{change.config.latest_tag}", run_directory=change.config.run_directory,
    )  # fmt: skip
    return (yield from observe(plan))
