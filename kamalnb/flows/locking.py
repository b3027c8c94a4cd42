"""A lock that a person takes and gives back: a file on the primary host that nothing else sweeps. No I/O here."""

from __future__ import annotations

from ..commands import lock, server
from ..commands.lock import Claim
from ..config.model import Config
from ..errors import CommandFailed, LockHeld
from ..flow import Flow, do
from ..rollout import Done
from ..shell import Command


def acquired(config: Config, claim: Claim) -> Flow[Done]:
    """Takes it. Raises ``LockHeld`` where somebody has it already."""
    try:
        yield from do(lock.acquire(config, claim), _audit(config, claim.who, f"Locked: {claim.why}"))
    except CommandFailed as error:
        if error.result.exited != lock.HELD:
            raise
        holder = " ".join(error.result.stdout.split())
        raise LockHeld(f"It is locked already ({holder}). Release it first: invoke lock.release") from error
    return Done("locked until invoke lock.release")


def released(config: Config, who: str = "") -> Flow[Done]:
    """Gives it back, whoever took it."""
    results = yield from do(lock.release(config), _audit(config, who, "Released the lock"))
    holder = " ".join(results[0].stdout.split())
    return Done(f"released the lock of {holder}" if holder else "nobody held a lock that needs releasing")


def _audit(config: Config, who: str, text: str) -> Command:
    path = server.audit_path(config.service, config.destination, config.run_directory)
    return server.audit(path, (who, config.destination or ""), text)
