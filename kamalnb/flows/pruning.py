"""What boots leave behind goes: old stopped containers, unused images, cords of nobody, old logs. No I/O here.

Never what runs, never the version that served last or the one before: the way back stays open. Only what is of this
service and destination: Kamal's prune of one destination took another's way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import history
from ..commands import app, cord, images, leftovers, server
from ..config.model import Role
from ..cutover import belongs, version_of
from ..docker import Container, Image
from ..errors import KamalnbError
from ..events import Fact
from ..flow import Flow, Tell, ask_all, do
from ..rollout import Done
from ..shell import Command
from .change import OnHost

LOG_DAYS = 30
"""Days that the log of a failed boot is kept."""


def surplus(
    containers: Sequence[Container], role: Role, retain: int, cords: Mapping[str, str] | None = None
) -> tuple[Container, ...]:
    """The stopped containers of ``role`` to remove, the oldest first.

    The ``retain`` that ran last stay, and whatever that number says the one that served last and the newest one of a
    version that does not run now, which is the way back. One to which no switch ever went is none of those.
    """
    mine = sorted((one for one in containers if belongs(one, role)), key=lambda one: (one.started, one.created))
    running = {version_of(one, role) for one in mine if one.running}
    stopped = [one for one in reversed(mine) if not one.running and not history.dark(one, role, cords or {})]
    before = next((one for one in stopped if version_of(one, role) not in running), None)
    kept = {one.id for one in (*stopped[: max(retain, 1)], *((before,) if before else ()))}
    return tuple(one for one in mine if not one.running and one.id not in kept)


def unused(found: Sequence[Image], used: frozenset[str], keep: Sequence[str], repository: str) -> tuple[Image, ...]:
    """The images that no container is made from and that bear no ``latest`` tag and none of the tags ``keep``."""
    return tuple(
        image
        for image in found
        if image.id not in used and not any(_kept(tag, keep) for tag in _tags(image, repository))
    )


def pruned(change: OnHost, *, keep: Sequence[str] = (), best_effort: bool = False) -> Flow[Done]:
    """Prunes containers, then images. With ``best_effort`` a failure is told and nothing is raised."""
    first = yield from _tried("containers", containers_pruned(change), best_effort)
    second = yield from _tried("images", images_pruned(change, keep=keep), best_effort)
    return Done(f"{first.sentence} {second.sentence}", {**first.data, **second.data})


def containers_pruned(change: OnHost) -> Flow[Done]:
    """Removes stopped containers beyond ``retain_containers`` a role, cords that no container mounts, old logs."""
    config = change.config
    home, containers, cords, logs = yield from ask_all(
        server.home(),
        app.containers(config.service),
        cord.all_of(config.run_directory),
        leftovers.old_logs(config.run_directory, LOG_DAYS),
    )
    chosen = [one for role in change.roles for one in surplus(containers, role, config.retain_containers, cords)]
    gone: frozenset[str] = frozenset()
    if chosen:
        steps = (leftovers.prune(tuple(one.id for one in chosen)), change.audit("Pruned containers"))
        results = yield from do(*steps, fence=change.fence)
        gone = leftovers.pruned(results[0].stdout)
    rest = tuple(one for one in containers if one.id not in gone)
    litter = _Litter(change=change, directory=change.directory(home), containers=rest)
    loose = cord.loose(cords, rest, [role.name_prefix for role in change.roles])
    old = litter.logs(logs)
    yield from do(*litter.removed(loose, old), fence=change.fence)
    stayed = len(chosen) - len(gone)
    told = [f"{_counted(len(gone), 'old container')} removed" if gone else "no old container to remove"]
    told += [f"{_counted(stayed, 'container')} could not be"] if stayed else []
    told += [f"{_counted(len(loose), 'loose cord')} removed"] if loose else []
    told += [f"{_counted(len(old), 'old log')} removed"] if old else []
    names = tuple(one.name for one in chosen if one.id in gone)
    return Done(f"prune: {', '.join(told)}.", {"containers": names, "cords": loose, "logs": old})


def images_pruned(change: OnHost, *, keep: Sequence[str] = ()) -> Flow[Done]:
    """Removes the images of the service that no container of the host is made from; ``latest`` and ``keep`` stay."""
    repository = change.config.repository
    found, uses = yield from ask_all(images.of_service(repository, change.config.service), images.uses())
    free = unused(found, frozenset(use.image for use in uses), keep, repository)
    names = tuple(name for image in free for name in images.names(image, repository))
    if not names:
        return Done("prune: no image to remove.", {"images": ()})
    results = yield from do(images.remove(names), change.audit("Pruned images"), fence=change.fence)
    gone, kept = images.removed(results[0].stdout)
    stayed = f", {_counted(len(kept), 'image')} could not be" if kept else ""
    return Done(f"prune: {_counted(len(gone), 'image')} removed{stayed}.", {"images": gone})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Litter:
    """What lies in the run directory and is of nobody. ``containers`` are all of the service that are left."""

    change: OnHost
    directory: str
    containers: tuple[Container, ...]

    def logs(self, found: tuple[str, ...]) -> tuple[str, ...]:
        """Old logs of our roles; those that may be of another destination stay."""
        theirs = {one.labels.get("destination") or "" for one in self.containers} - {
            self.change.config.destination or "",
            "",
        }
        ours = []
        for path in found:
            name = path.rpartition("/")[2]
            for role in self.change.roles:
                rest = name.removeprefix(f"{role.name_prefix}-")
                if rest != name and not any(rest.startswith(f"{word}-") for word in theirs):
                    ours.append(path)
        return tuple(dict.fromkeys(ours))

    def removed(self, cords: tuple[str, ...], logs: tuple[str, ...]) -> list[Command]:
        """The commands that take it away."""
        steps = [leftovers.remove_directories(cords)] if cords else []
        steps += [leftovers.remove_files(logs)] if logs else []
        return [*steps, server.tidy_runs(f"{self.directory}/runs")]


def _tried(what: str, flow: Flow[Done], best_effort: bool) -> Flow[Done]:
    try:
        return (yield from flow)
    except KamalnbError as error:
        if not best_effort:
            raise
        why = " ".join(str(error).split())
        yield Tell(Fact(kind="prune", text=f"{what} could not be pruned ({why}); what was booted stands", warning=True))
        return Done(f"prune: {what} could not be pruned.")


def _tags(image: Image, repository: str) -> tuple[str, ...]:
    return tuple(tag.removeprefix(f"{repository}:") for tag in image.tags if tag.startswith(f"{repository}:"))


def _kept(tag: str, keep: Sequence[str]) -> bool:
    return tag == "latest" or tag.startswith("latest-") or tag in keep


def _counted(many: int, what: str) -> str:
    return f"1 {what}" if many == 1 else f"{many} {what}s"
