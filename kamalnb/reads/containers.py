"""``containers``: every container of the service, who serves, and what is stale. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..flow import Flow
from ..steps import BY_LABEL, REVISION_LABEL
from ..tables import Column, Row, seconds_of
from ..wording import short
from . import Answers, Read, Scene
from .state import Standing, look, standings

STATUS = ("running", "restarting", "paused", "created", "exited", "dead", "unreachable")
MARKS = ("serves", "dark", "stale", "broken", "previous", "old")

COLUMNS = (
    Column(name="host"),
    Column(name="role"),
    Column(name="version"),
    Column(name="status", words=STATUS, about="Docker's; unreachable where the host did not answer."),
    Column(name="health", words=("healthy", "starting", "unhealthy", "none"), about="Docker's verdict."),
    Column(name="routed", kind="flag", about="Traefik lists it; empty where Traefik's API cannot be asked."),
    Column(
        name="mark",
        words=MARKS,
        about="serves: gets the requests. dark: runs with its cord cut. stale: runs and should not. broken: runs, and "
        "nothing serves. previous: where an undo would go. old: stopped before that.",
    ),
    Column(name="since", kind="moment", about="When it was started last."),
    Column(name="restarts", kind="count", about="How often Docker had to start it again."),
    Column(name="digest", about="The image's own id, short."),
    Column(name="name", wide=True),
    Column(name="image", wide=True),
    Column(name="id", wide=True),
    Column(name="by", about="Who booted it.", wide=True),
    Column(name="revision", about="The git revision it was booted from.", wide=True),
    Column(name="error", wide=True),
)


def _look(scene: Scene) -> Flow[tuple[Row, ...]]:
    state = yield from look(scene)
    return tuple(_row(scene.host, one) for role in scene.roles for one in standings(state, role))


def _row(host: str, one: Standing) -> Row:
    container = one.container
    return {
        "host": host, "role": one.role.name, "version": one.version, "status": container.status,
        "health": (container.health or "none") if container.running else None, "routed": one.routed, "mark": one.mark,
        "since": seconds_of(container.started), "restarts": container.restarts,
        "digest": container.image_id.removeprefix("sha256:")[:12], "name": container.name, "image": container.image,
        "id": container.id, "by": container.labels.get(BY_LABEL, ""),
        "revision": container.labels.get(REVISION_LABEL, ""), "error": "",
    }  # fmt: skip


def skew(rows: Sequence[Row]) -> Iterator[str]:
    """Roles that serve different versions, or different images of one version, in words."""
    serving = [row for row in rows if row.get("mark") == "serves"]
    for role in dict.fromkeys(str(row["role"]) for row in serving):
        by_version: dict[str, list[str]] = {}
        digests: dict[str, set[str]] = {}
        for row in serving:
            if row["role"] == role:
                by_version.setdefault(str(row["version"]), []).append(str(row["host"]))
                digests.setdefault(str(row["version"]), set()).add(str(row.get("digest", "")))
        if len(by_version) > 1:
            told = "; ".join(f"{short(version)} on {', '.join(hosts)}" for version, hosts in by_version.items())
            yield f"Skew: {role} serves {told}."
        for version, found in digests.items():
            if len(found) > 1:
                images = f"{len(found)} different images ({', '.join(sorted(found))})"
                yield f"Skew: {role} serves {short(version)} from {images}."


def _notes(answers: Answers, rows: Sequence[Row]) -> tuple[str, ...]:
    stale = [row for row in rows if row.get("mark") == "stale"]
    told = list(skew(rows))
    if stale:
        many = f"{len(stale)} stale container{'s' if len(stale) > 1 else ''} run{'' if len(stale) > 1 else 's'}"
        told.append(f"{many} besides what serves: invoke stale-containers --stop")
    return tuple(told)


READ = Read(name="containers", columns=COLUMNS, look=_look, notes=_notes)
"""Every container, the serving ones first."""


def _only_stale(answers: Answers) -> tuple[Row, ...]:
    return tuple(row for row in answers.rows if row.get("mark") in ("stale", "broken", "dark") or row.get("error"))


STALE = Read(
    name="stale-containers", columns=COLUMNS, look=_look, whole=_only_stale,
    notes=lambda answers, rows: ("None runs besides what serves.",) if not rows else (
        "invoke stale-containers --stop cuts, drains and stops them.",),
)  # fmt: skip
"""Those that run besides the serving ones."""
