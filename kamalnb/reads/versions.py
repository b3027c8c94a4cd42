"""``version``: what serves, one row for each role on each host. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ..flow import Flow
from ..tables import Column, Row, seconds_of
from . import Answers, Read, Scene
from .containers import skew
from .state import look, standings

COLUMNS = (
    Column(name="host"),
    Column(name="role"),
    Column(name="version", about="What serves; empty where nothing does."),
    Column(name="status", words=("serves", "nothing", "unreachable")),
    Column(name="since", kind="moment"),
    Column(name="digest", wide=True),
    Column(name="previous", about="What an undo would go back to."),
    Column(name="error", wide=True),
)


def _look(scene: Scene) -> Flow[tuple[Row, ...]]:
    state = yield from look(scene)
    rows = []
    for role in scene.roles:
        found = list(standings(state, role))
        serves = next((one for one in found if one.mark == "serves"), None)
        before = next((one.version for one in found if one.mark == "previous"), "")
        rows.append(
            {
                "host": scene.host, "role": role.name, "version": serves.version if serves else "",
                "status": "serves" if serves else "nothing",
                "since": seconds_of(serves.container.started) if serves else None,
                "digest": serves.container.image_id.removeprefix("sha256:")[:12] if serves else "",
                "previous": before, "error": "", "mark": "serves" if serves else "",
            }
        )  # fmt: skip
    return tuple(rows)


def _notes(answers: Answers, rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(skew(rows))


READ = Read(name="version", columns=COLUMNS, look=_look, notes=_notes)
"""What serves."""
