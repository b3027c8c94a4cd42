"""``lock.*``: who holds the fleet, and a lock for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection

from ..command_line import changes, looks

if TYPE_CHECKING:
    from ..at import At


@looks()
def status(at: At) -> int:
    """Who holds the lock on each host, since when, and why; or whose script is still at work there.

    invoke lock.status
    """
    from ..reads import locks

    return at.show(locks.READ)


@changes()
def acquire(at: At, message: str = "") -> int:
    """Locks the fleet for you, until lock.release: every deploy is refused meanwhile, Kamal's too.

    invoke lock.acquire -m "database is moved"
    """
    from ..errors import UsageError

    if not message.strip():
        raise UsageError('A lock needs a reason for whoever meets it: invoke lock.acquire -m "database is moved"')
    return at.change(lambda how: at.fleet.acquire_lock(message))


@changes()
def release(at: At) -> int:
    """Takes a person's lock, or one that Kamal left, away. A run's own lock ends with its run.

    invoke lock.release
    """
    return at.change(lambda how: at.fleet.release_lock())


GROUPS = (Collection("lock", status, acquire, release),)
"""``lock``."""
