"""Commands about cords. A cord moves (``cord`` to ``cord.cut`` and back); its directory stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..docker import Container
from ..errors import Unclear
from ..plan import BootPlan
from ..shell import Command, Question, look
from . import host


def all_of(run_directory: str) -> Question[dict[str, str]]:
    """Every cord directory of the host: ``tied``, ``cut``, ``dark`` (cut, and never switched to) or ``empty``."""
    return Question(look("look at cords", "k_cords", f"{run_directory}/cords", uses=(host.CORDS,)), _states)


def loose(found: Iterable[str], containers: Iterable[Container], prefixes: Sequence[str]) -> tuple[str, ...]:
    """Cord directories that none of ``containers`` mounts, of roles with these name prefixes: a boot died in between."""
    mounted = {mount.source for one in containers for mount in one.mounts}
    ours = re.compile(f".*/cords/(?:{'|'.join(map(re.escape, prefixes))})-[0-9a-f]{{8,64}}")
    return tuple(path for path in found if path not in mounted and ours.fullmatch(path))


def directory(boot: BootPlan, run_directory: str) -> str:
    """The directory of this boot's own cord: new for each boot, so that cutting one never cuts another."""
    return f"{run_directory}/cords/{boot.cord_name}"


def dark(path: str) -> Command:
    """Makes the directory with its cord cut: a container started with it is in the dark."""
    return Command(name="make cord", words=("k_dark", path), uses=(host.CORDS,), details=(("cord", path),))


def tie(path: str) -> Command:
    """Lets Docker call the container healthy, so Traefik routes to it."""
    return Command(name="tie cord", words=("k_tie", path), uses=(host.CORDS,), details=(("cord", path),))


def cut(path: str) -> Command:
    """Makes Docker call the container unhealthy, so Traefik stops routing to it."""
    return Command(name="cut cord", words=("k_cut", path), uses=(host.CORDS,), details=(("cord", path),))


def served(*paths: str) -> Command:
    """Notes, just before a switch, that these are no containers any more that never served: an undo may go to them."""
    words = ("rm", "-f", "--", *(f"{path}/dark" for path in paths))
    return Command(name="leave the dark", words=words, may_fail=True)


def remove(path: str) -> Command:
    """Removes a cord's directory, once its container is gone."""
    return Command(name="remove cord", words=("rm", "-rf", "--", path), details=(("cord", path),))


def _states(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        state, _, path = line.partition(" ")
        if state not in ("tied", "cut", "dark", "empty") or not path:
            raise Unclear("look at cords", line, "not a cord")
        found[path] = state
    return found
