"""``stats``: what each running container uses now. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..commands import stats
from ..commands.stats import Usage
from ..flow import Flow, ask_all
from ..tables import Column, Row
from ..wording import size
from . import Answers, Read, Scene, state
from .state import Standing, standings

STATUS = ("running", "restarting", "paused", "unreachable")
FULL = 0.9
"""A share of its memory limit from which on a container is named."""

COLUMNS = (
    Column(name="host"),
    Column(name="role"),
    Column(name="version"),
    Column(name="status", words=STATUS, about="Docker's; unreachable where the host did not answer."),
    Column(name="routed", kind="flag", about="Traefik lists it; empty where Traefik's API cannot be asked."),
    Column(name="cpu_percent", kind="number", about="Of one core, over the last second or so."),
    Column(name="memory", kind="bytes", about="What it has, as Docker counts it (without the page cache)."),
    Column(name="limit", kind="bytes", about="How much it may have; the host's memory where nothing else was said."),
    Column(name="received", kind="bytes", about="From the network, since its start."),
    Column(name="sent", kind="bytes", about="To the network, since its start."),
    Column(name="read", kind="bytes", about="From disks, since its start."),
    Column(name="written", kind="bytes", about="To disks, since its start."),
    Column(name="pids", kind="count", about="Its processes and threads."),
    Column(name="name", wide=True),
    Column(name="id", wide=True),
    Column(name="error", wide=True, about="Why a host did not answer."),
)


def _look(scene: Scene) -> Flow[tuple[Row, ...]]:
    *found, used = yield from ask_all(*state.questions(scene.config), stats.usage(scene.config.service))
    seen, of_id = state.told(found), {one.id: one for one in used}
    return tuple(
        _row(scene.host, one, of_id.get(one.container.id))
        for role in scene.roles
        for one in standings(seen, role)
        if one.container.running
    )


def _row(host: str, one: Standing, used: Usage | None) -> Row:
    about = {
        "host": host, "role": one.role.name, "version": one.version, "status": one.container.status,
        "routed": one.routed, "name": one.container.name, "id": one.container.id, "error": "",
    }  # fmt: skip
    if used is None:  # it was started between the two questions
        return about
    return {
        **about, "cpu_percent": used.cpu, "memory": used.memory, "limit": used.limit or None,
        "received": used.received, "sent": used.sent, "read": used.read, "written": used.written, "pids": used.pids,
    }  # fmt: skip


def _notes(answers: Answers, rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(_full(rows))


def _full(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        used, limit = row.get("memory"), row.get("limit")
        if used and limit and used >= FULL * limit:
            yield f"Nearly full: {row['role']} on {row['host']} has {size(used)} of the {size(limit)} that it may have."


READ = Read(name="stats", columns=COLUMNS, look=_look, notes=_notes)
"""One row for each container that runs, the serving one of a role first."""
