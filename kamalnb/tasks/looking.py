"""Tasks that only look: a table each. They take no lock and need no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..command_line import looks

if TYPE_CHECKING:
    from ..at import At


@looks()
def status(at: At) -> int:
    """One screen: who serves what, what is wrong, who holds the lock, what to type next.

    invoke status
    """
    from ..reads import status

    return at.show(status.READ)


@looks()
def containers(at: At) -> int:
    """Every container of the service on every chosen host: what serves, what is stale, what an undo goes back to.

    invoke containers --roles=web
    """
    from ..reads import containers

    return at.show(containers.READ)


@looks()
def version(at: At) -> int:
    """The version that serves on each host.

    invoke version
    """
    from ..reads import versions

    return at.show(versions.READ)


@looks()
def images(at: At) -> int:
    """The service's images on every chosen host: which are used, which one a boot without a version would take.

    invoke images
    """
    from ..reads import images

    return at.show(images.IMAGES)


@looks()
def stats(at: At) -> int:
    """What each running container uses now: processor, memory, network, disks. Takes about two seconds.

    invoke stats --roles=web
    """
    from ..reads import stats

    return at.show(stats.READ)


@looks()
def audit(at: At, lines: int = 0, since: str = "") -> int:
    """Who did what: the audit logs of all hosts merged, the newest first. Kamal's lines too.

    invoke audit --since=2d
    """
    from ..reads import audit

    return at.show(audit.audits(lines or None, since or None))


TASKS = (status, containers, version, images, stats, audit)
"""In the order of the list."""
