"""What can be chosen in a panel: destinations by their files, versions by what is really there, commits by git."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import KamalnbError
from ..tables import Table
from ..tags import SECONDS, Listed
from ..wording import counted, short

if TYPE_CHECKING:
    from ..project import Project
    from .fleet import Fleet

COMMITS = 12
TAGS = 30
"""Tags of the registry that are offered at most, besides what is on a host or a commit: others can be typed."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one look at the chosen hosts gave."""

    containers: Table
    images: Table | None
    commits: tuple[tuple[str, str, str], ...]
    """The last commits: hash, author, subject."""
    registry: Listed = field(default_factory=Listed)
    """What the registry lists."""

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

    @property
    def unreachable(self) -> tuple[str, ...]:
        """The hosts that did not answer."""
        return tuple(host for host in self.hosts if host in self.containers.failed)

    @property
    def note(self) -> str:
        """Why the registry's tags are not among the versions, or not all of them; nothing where they are."""
        left = len(self._only_listed()) - TAGS
        return self.registry.note or (f"The registry has {left} more tags: type one." if left > 0 else "")

    def versions(self) -> list[tuple[str, str]]:
        """Labels and versions: what is on a host, then commits, then what only the registry has."""
        images = _versions(self.images) if self.images is not None else {}
        serves = _versions(self.containers, mark="serves")
        there = _versions(self.containers)
        names = list(dict.fromkeys([*images, *there]))
        told = [(self._label(name, images, serves, there), name) for name in names]
        commits = [
            (f"{short(h)} — {self._subject(h)}, {'in the registry' if self._listed_as(h) else 'no image seen'}",
             self._listed_as(h) or h)
            for h, _a, _s in self.commits
            if not _named(h, names)
        ]  # fmt: skip
        listed = [(f"{short(tag)} — in the registry", tag) for tag in self._only_listed()[:TAGS]]
        return [*told, *commits, *listed]

    def _listed_as(self, commit: str) -> str:
        """The tag of a commit in the registry; nothing where it has none."""
        return _named(commit, self.registry.tags)

    def _only_listed(self) -> list[str]:
        """Tags that are on no host and name none of the last commits."""
        there = {*_versions(self.containers), *(_versions(self.images) if self.images is not None else ())}
        of_commits = {self._listed_as(h) for h, _a, _s in self.commits}
        return [tag for tag in self.registry.tags if tag not in there and tag not in of_commits]

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


def look(fleet: Fleet, known: Listed | None = None) -> Seen:
    """Asks the chosen hosts for containers and images, git for commits, and the registry unless it is ``known``."""
    from ..reads import containers, images

    listed = _meanwhile(fleet.registry_tags) if known is None else lambda: known
    asked = fleet.table(containers.READ)
    try:
        there: Table | None = fleet.table(images.IMAGES)
    except KamalnbError:
        there = None
    return Seen(containers=asked, images=there, commits=tuple(commits(fleet._project())), registry=listed())


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


def _meanwhile(ask: Callable[[], Listed]) -> Callable[[], Listed]:
    """Asks in the background. What is returned waits for the answer, and not for one that never comes: reading a
    login may run a program, and looking up a name has no time limit.
    """
    answers: list[Listed] = []

    def work() -> None:
        try:
            answers.append(ask())
        except KamalnbError as error:
            answers.append(Listed(note=f"The registry was not asked: {error}"))

    thread = threading.Thread(target=work, name="kamalnb-registry", daemon=True)
    thread.start()

    def answer() -> Listed:
        thread.join(SECONDS + 1)
        return answers[0] if answers else Listed(note="The registry did not list its tags in time.")

    return answer


def _named(commit: str, names: Iterable[str]) -> str:
    """The one of ``names`` that means ``commit``: its whole hash, or its beginning."""
    return next((name for name in names if name == commit or (len(name) >= 7 and commit.startswith(name))), "")


def _versions(table: Table, mark: str = "") -> dict[str, int]:
    """On how many hosts each version is."""
    found: dict[str, set[str]] = {}
    for row in table.rows:
        if mark and row.get("mark") != mark:
            continue
        for version in filter(None, str(row.get("version") or "").split(", ")):  # an image may have several tags
            found.setdefault(version, set()).add(str(row["host"]))
    return {version: len(hosts) for version, hosts in found.items()}
