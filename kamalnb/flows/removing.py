"""Take away what is there: a version's container, all containers, the images. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ..commands import images
from ..cutover import version_of
from ..flow import Flow, ask_all, do
from ..rollout import Done
from .change import Change, OnHost, looked
from .leaving import Leaving, left


def container_removed(change: Change, version: str) -> Flow[Done]:
    """Removes every container of ``version``, stopped or not; what runs is cut, drained and stopped first.

    Raises ``BootError``.
    """
    return (yield from _removed(change, version))


def containers_removed(change: Change) -> Flow[Done]:
    """Removes every container of the role; what runs is cut, drained and stopped first. Raises ``BootError``."""
    return (yield from _removed(change, None))


def images_removed(change: OnHost) -> Flow[Done]:
    """Removes the images of the service's repository, but for those that a container of the host is made from."""
    repository = change.config.repository
    found, uses = yield from ask_all(images.of_service(repository, change.config.service), images.uses())
    used = {use.image for use in uses}
    free = [name for image in found if image.id not in used for name in images.names(image, repository)]
    in_use = sorted({use.name for use in uses if use.image in {image.id for image in found}})
    stay = f"those of {_listed(in_use)} stay, since these containers are made from them" if in_use else ""
    if not free:
        return Done(f"images: {stay or f'no image of {repository} was there'}.", {"removed": (), "in_use": in_use})
    results = yield from do(images.remove(tuple(free)), change.audit("Removed all app images"), fence=change.fence)
    gone, kept = images.removed(results[0].stdout)
    told = [f"{_counted(len(gone), 'name')} of images of {repository} removed"]
    told += [stay] if stay else []
    told += [f"Docker kept {_listed(kept)}"] if kept else []
    return Done(f"images: {'; '.join(told)}.", {"removed": gone, "in_use": in_use, "kept": kept})


def _removed(change: Change, version: str | None) -> Flow[Done]:
    situation = yield from looked(change)
    role = change.role
    chosen = tuple(one for one in situation.containers if version in (None, version_of(one, role)))
    if not chosen:
        what = f"no container of {version}" if version else "no container"
        return Done(f"{role.name}: {what} was there; nothing was changed.", {"removed": (), "stopped": ()})
    leaving = Leaving(change=change, situation=situation, containers=chosen, removed=True)
    stopped = leaving.versions(tuple(one for one in chosen if one.running))
    yield from left(leaving)
    ran = f"; {', '.join(stopped)} ran and was stopped first" if stopped else ""
    text = f"{role.name}: removed {_counted(len(chosen), 'container')} ({', '.join(leaving.versions())}){ran}."
    return Done(text, {"removed": tuple(one.name for one in chosen), "stopped": stopped})


def _counted(many: int, what: str) -> str:
    return f"1 {what}" if many == 1 else f"{many} {what}s"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 6 else f"{', '.join(names[:5])} and {len(names) - 5} more"
