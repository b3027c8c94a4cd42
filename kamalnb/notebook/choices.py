"""What can be chosen in a panel: destinations by their files, versions by what is really there, commits by git."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import KamalnbError
from ..tables import Table
from ..wording import counted, short

if TYPE_CHECKING:
    from ..project import Project
    from .fleet import Fleet

COMMITS = 12


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one look at the chosen hosts gave."""

    containers: Table
    images: Table | None
    commits: tuple[tuple[str, str, str], ...]
    """The last commits: hash, author, subject."""

    @property
    def serving(self) -> dict[str, str]:
        """What serves on each host, in a few words; its trouble where it cannot be reached."""
        told: dict[str, str] = {}
        for row in self.containers.rows:
            host = str(row["host"])
            if host in self.containers.failed:
                told[host] = "✗ unreachable"
            elif row.get("mark") == "serves":
                told[host] = ", ".join(filter(None, (told.get(host, ""), f"✓ {short(str(row['version']))}")))
        return {host: told.get(host, "! nothing serves") for host in self.hosts}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that were asked, in order."""
        return tuple(dict.fromkeys(str(row["host"]) for row in self.containers.rows))

    def versions(self) -> list[tuple[str, str]]:
        """Labels and versions: what has an image or a container on a host, then commits without any."""
        images = _versions(self.images) if self.images is not None else {}
        serves = _versions(self.containers, mark="serves")
        there = _versions(self.containers)
        names = list(dict.fromkeys([*images, *there]))
        told = [(self._label(name, images, serves, there), name) for name in names]
        commits = [
            (f"{short(h)} — {self._subject(h)}, no image seen", h) for h, _a, _s in self.commits if h not in names
        ]
        return [*told, *commits]

    def _label(self, name: str, images: dict[str, int], serves: dict[str, int], there: dict[str, int]) -> str:
        parts = [f"serves on {counted(serves[name], 'host')}"] if name in serves else []
        if name in images:
            parts.append(f"image on {counted(images[name], 'host')}")
        elif name in there and name not in serves:
            parts.append(f"container on {counted(there[name], 'host')}")
        subject = self._subject(name)
        return f"{short(name)} — {', '.join([*([subject] if subject else []), *parts])}"

    def _subject(self, name: str) -> str:
        return next((f"{s[:60]} ({a})" for h, a, s in self.commits if name and (h == name or h.startswith(name))), "")


def look(fleet: Fleet) -> Seen:
    """Asks the chosen hosts for containers and images, and git for commits."""
    from ..reads import containers, images

    asked = fleet.table(containers.READ)
    try:
        there: Table | None = fleet.table(images.IMAGES)
    except KamalnbError:
        there = None
    return Seen(containers=asked, images=there, commits=tuple(commits(fleet._project())))


def commits(project: Project) -> Iterator[tuple[str, str, str]]:
    """The last commits of the project: hash, author, subject; none without git."""
    told = project._git("log", f"-{COMMITS}", "--format=%H%x09%an%x09%s") if project.sources[0].is_absolute() else None
    for line in (told or "").splitlines():
        parts = line.split("\t", 2)
        if len(parts) == 3:
            yield parts[0], parts[1], parts[2]


def destinations(project: Project) -> list[str]:
    """The names of the overlays beside the file."""
    file = project.sources[0]
    if not file.is_absolute():
        return []
    return sorted(one.name.split(".")[-2] for one in file.parent.glob(f"{file.stem}.*{file.suffix}"))


def _versions(table: Table, mark: str = "") -> dict[str, int]:
    """On how many hosts each version is."""
    found: dict[str, set[str]] = {}
    for row in table.rows:
        if mark and row.get("mark") != mark:
            continue
        for version in filter(None, str(row.get("version") or "").split(", ")):  # an image may have several tags
            found.setdefault(version, set()).add(str(row["host"]))
    return {version: len(hosts) for version, hosts in found.items()}
