"""The audit table: who did what on which host, all hosts merged, the newest first. Nothing here may do I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..commands import audit, server
from ..errors import UsageError
from ..flow import Flow, ask_all
from ..tables import Column, Row, seconds_of
from . import Answers, Read, Scene

LINES = 50
"""Lines of each host without another wish: what Kamal shows."""
MOST_LINES = 10_000

COLUMNS = (
    Column(name="at", kind="moment", heading="when", about="When, by the host's own clock; empty where no line says."),
    Column(name="host", about="On which host it was written."),
    Column(name="performer", heading="who", about="Who did it."),
    Column(name="role", about="Of which role, where the line says."),
    Column(name="message", about="What was done; the whole line where it cannot be read."),
    Column(name="details", about="Other words in brackets.", wide=True),
    Column(name="status", words=("ok", "unreachable"), about="Whether the host answered.", wide=True),
    Column(name="error", about="Why a host did not answer.", wide=True),
)


def audits(lines: int | None = None, since: str | None = None) -> Read:
    """The table of the last ``lines`` of each host (50), or of what was written after ``since``.

    ``since`` is a moment, or a while ago by each host's own clock. Raises ``UsageError`` where it is neither.
    """
    if since is not None:
        since_seconds(since, 0.0)
    wanted = min(lines or (MOST_LINES if since is not None else LINES), MOST_LINES)

    def look(scene: Scene) -> Flow[tuple[Row, ...]]:
        config = scene.config
        path = server.audit_path(config.service, config.destination, config.run_directory)
        found, now = yield from ask_all(audit.tail(path, wanted), server.clock())
        return tuple(_rows(scene, found, since_seconds(since, now) if since else None))

    return Read(name="audit", columns=COLUMNS, look=look, whole=_merged)


def since_seconds(text: str, now: float) -> float:
    """``--since`` as seconds of 1970: a moment (ISO 8601) or a while ago (``90s``, ``42m``, ``3h``, ``2d``).

    Raises ``UsageError``.
    """
    ago = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if ago:
        return now - int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]]
    moment = seconds_of(text)
    if moment is None:
        raise UsageError(f"“{text}” is no moment. Write 42m, 3h, 2d or 2026-01-31T13:00:00Z.")
    return moment


def _rows(scene: Scene, found: tuple[audit.Entry, ...], since: float | None) -> Iterator[Row]:
    config = scene.config
    names = [role.name for role in config.roles]
    last: float | None = None
    for entry in found:
        last = entry.at if entry.at is not None else last
        if since is not None and (last is None or last < since):
            continue
        role, rest = audit.role_and_rest(entry.details, config.destination, names)
        yield {
            "at": entry.at, "host": scene.host, "performer": entry.performer, "role": role, "message": entry.message,
            "details": ", ".join(rest), "status": "ok", "order": last,
        }  # fmt: skip


def _merged(answers: Answers) -> tuple[Row, ...]:
    """The newest first; lines without a moment stay where they stood; hosts without an answer come last."""
    numbered = list(enumerate(answers.rows))
    numbered.sort(key=lambda pair: (pair[1].get("order") or 0.0, pair[0]), reverse=True)
    return tuple(row for _, row in numbered)
