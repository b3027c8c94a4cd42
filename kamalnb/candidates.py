"""The versions that a host could go back to, with when and by whom: for people who choose. No I/O here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import history
from .config.model import Role
from .cutover import olds, version_of
from .docker import Container
from .errors import KamalnbError
from .shown import Shown
from .tables import Column, Row

BY_LABEL = "kamalnb.by"
REVISION_LABEL = "kamalnb.revision"

COLUMNS = (
    Column(name="version", about="the version"),
    Column(name="serving", kind="count", about="on how many of the chosen hosts it serves now"),
    Column(name="containers", kind="count", about="on how many hosts its container is still there"),
    Column(name="images", kind="count", about="on how many hosts its image is there"),
    Column(name="started", kind="moment", about="when it was started last"),
    Column(name="by", about="who booted it last"),
    Column(name="revision", about="the git revision it was booted from"),
    Column(name="hosts", about="where its container is", wide=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One version. ``serving``, ``containers`` and ``images`` are hosts; ``started`` is in seconds since 1970."""

    version: str
    serving: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    started: float | None = None
    by: str | None = None
    revision: str | None = None

    @property
    def row(self) -> Row:
        """It under ``COLUMNS``."""
        return {
            "version": self.version, "serving": len(self.serving), "containers": len(self.containers),
            "images": len(self.images), "started": self.started, "by": self.by, "revision": self.revision,
            "hosts": ", ".join(self.containers),
        }  # fmt: skip


def candidates(shown: Sequence[Shown], pairs: Sequence[tuple[str, Role]], repository: str) -> tuple[Candidate, ...]:
    """Every version that a chosen host has a container or an image of, what was started last first."""
    by_host = {one.host: one for one in shown}
    there = [(by_host[host], role) for host, role in pairs if host in by_host]
    made: dict[str, list[tuple[str, Container]]] = {}
    on: dict[str, list[str]] = {}
    serving: dict[str, list[str]] = {}
    for one, role in there:
        for container in one.of(role):
            made.setdefault(version_of(container, role), []).append((one.host, container))
        for version in _serving(one, role):
            serving.setdefault(version, []).append(one.host)
    for host in dict.fromkeys(one.host for one, _ in there):
        for version in (version for image in by_host[host].images for version in image.versions(repository)):
            on.setdefault(version, []).append(host)
    found = [_candidate(version, made, on, serving) for version in {**made, **on}]
    return tuple(sorted(found, key=lambda one: (-(one.started or 0.0), one.version)))


def _candidate(
    version: str,
    made: dict[str, list[tuple[str, Container]]],
    on: dict[str, list[str]],
    serving: dict[str, list[str]],
) -> Candidate:
    containers = made.get(version, [])
    last = max((c for _, c in containers), key=lambda c: history.moment(c.started), default=None)
    return Candidate(
        version=version,
        serving=tuple(dict.fromkeys(serving.get(version, ()))),
        containers=tuple(dict.fromkeys(host for host, _ in containers)),
        images=tuple(dict.fromkeys(on.get(version, ()))),
        started=(history.moment(last.started) or None) if last else None,
        by=last.labels.get(BY_LABEL) if last else None,
        revision=last.labels.get(REVISION_LABEL) if last else None,
    )


def _serving(shown: Shown, role: Role) -> set[str]:
    try:
        serving, _ = olds(role, shown.situation(role))
    except KamalnbError:
        return set()
    return {version_of(old.container, role) for old in serving if old.container.routable}


__all__ = ["BY_LABEL", "COLUMNS", "REVISION_LABEL", "Candidate", "candidates"]
