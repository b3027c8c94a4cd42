"""Which version served before: told by Docker's own times, never by a log. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Mapping

from .config.model import Role
from .cutover import Old, Situation, belongs, cord_of, height, olds, version_of
from .docker import Container
from .tables import seconds_of

NEVER = 0.0


def served(role: Role, containers: tuple[Container, ...], cords: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The versions of ``role`` on one host that are still there, the one that served last first.

    The first is the current one: what serves, or, where nothing runs, what was started last. The one that served
    before it stopped last, or still runs in the background. A container that never served is none of them.
    """
    situation = Situation(home="", containers=tuple(c for c in containers if belongs(c, role)), cords=cords or {})
    now = current(role, situation)
    if now is None:
        return ()
    version = version_of(now, role)
    before = [c for c in situation.containers if version_of(c, role) != version and _served(c, now, role, situation)]
    before.sort(key=_lately, reverse=True)
    return tuple(dict.fromkeys((version, *(version_of(c, role) for c in before))))


def current(role: Role, situation: Situation) -> Container | None:
    """The container that serves; where none runs, the one that was started last; None where none ever was."""
    serving, _ = olds(role, situation)
    if serving:
        return max(serving, key=_rank).container
    started = [c for c in situation.containers if moment(c.started) > NEVER and not dark(c, role, situation.cords)]
    ever = [c for c in started if not _never_well(c, role, situation)]
    return max(ever, key=lambda c: moment(c.started), default=None)


def dark(container: Container, role: Role, cords: Mapping[str, str]) -> bool:
    """Whether no switch ever went to it: a boot that did not get so far left it."""
    return cords.get(cord_of(container, role, Situation(home="", cords=cords)) or "") == "dark"


def moment(text: str) -> float:
    """One of Docker's times in seconds since 1970, ``NEVER`` where it never happened."""
    return seconds_of(text) or NEVER


def _rank(old: Old) -> tuple[bool, int, float]:
    return old.container.routable, height(old), moment(old.container.created)


def _served(container: Container, now: Container, role: Role, situation: Situation) -> bool:
    """Whether it served before ``now``. One to which no switch ever went did not, whatever became of it since.

    One that runs beside ``now``, is younger and never ended is what a broken-off boot left in the dark. One that was
    brought back started later, but was made earlier; one that a person started again had ended before.
    """
    if dark(container, role, situation.cords):
        return False
    if container.running and now.running:
        made_later = moment(container.created) > moment(now.created)
        first_run = moment(container.finished) == NEVER and not container.restarts
        return not (first_run and made_later and moment(container.started) > moment(now.started))
    if not role.traefik and now.running and moment(container.started) > moment(now.started):
        return False  # it came and went while ``now`` worked on: its boot never got as far as to stop that one
    return moment(container.started) > NEVER and not _never_well(container, role, situation)


def _never_well(container: Container, role: Role, situation: Situation) -> bool:
    """A boot of Kamal's that failed: nobody cut its cord, and yet its last checks all failed. Ours are removed."""
    cord = cord_of(container, role, situation)
    uncut = situation.cords.get(cord) == "tied" if cord else container.source_of(role.healthcheck.cord) is None
    return not container.running and uncut and bool(container.probes) and all(container.probes)


def _lately(container: Container) -> tuple[bool, float]:
    """What still runs comes first, then what stopped last."""
    ended = NEVER if container.running else moment(container.finished)
    return container.running, ended or moment(container.started)
