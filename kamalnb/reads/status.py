"""``status``: one screen for three in the morning: who serves what, what is wrong, what to type next. No I/O here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..config.model import Role
from ..flow import Flow
from ..steps import origin_of, stale_checkout
from ..tables import Column, Row, moment, seconds_of
from ..wording import seconds, short
from . import Answers, Read, Scene
from .containers import skew
from .state import HostState, Standing, look, standings

STATUS = ("serves", "unfinished", "nothing", "unreachable")

COLUMNS = (
    Column(name="host"),
    Column(name="role"),
    Column(name="version", about="What serves; empty where nothing does."),
    Column(
        name="status",
        words=STATUS,
        about="serves: one version, nothing else runs. unfinished: a boot stands in the middle, or something runs "
        "besides. nothing: nobody answers requests.",
    ),
    Column(name="health", words=("healthy", "starting", "unhealthy", "none")),
    Column(name="since", kind="moment", about="Since when this container runs."),
    Column(name="by", about="Who booted it."),
    Column(name="revision", about="The git revision it was booted from."),
    Column(name="previous", about="What an undo would go back to."),
    Column(name="also", about="What runs besides it."),
    Column(name="lock", wide=True, about="Who holds the lock there."),
    Column(name="restarts", kind="count", wide=True),
    Column(name="file", wide=True, about="The digest of the deploy.yml it was booted by."),
    Column(name="hosts", kind="count", wide=True, about="How many hosts that deploy.yml knew."),
    Column(name="switching", kind="count", wide=True, about="Switches that the host is finishing by itself."),
    Column(name="error", wide=True),
)


def _look(scene: Scene) -> Flow[tuple[Row, ...]]:
    state = yield from look(scene)
    return tuple(_row(scene, state, role, list(standings(state, role))) for role in scene.roles)


def _row(scene: Scene, state: HostState, role: Role, found: list[Standing]) -> Row:
    serves = next((one for one in found if one.mark == "serves"), None)
    also = [one for one in found if one.mark in ("stale", "dark", "broken")]
    before = next((one.version for one in found if one.mark == "previous"), "")
    told = serves.container if serves else None
    origin = origin_of(told.labels if told else {})
    unfinished = bool(also or state.switching)
    return {
        "host": scene.host, "role": role.name, "version": serves.version if serves else "",
        "status": "unfinished" if unfinished and serves else "serves" if serves else "nothing",
        "health": (told.health or "none") if told else None, "since": seconds_of(told.started) if told else None,
        "by": origin.by, "revision": origin.revision, "previous": before,
        "also": ", ".join(f"{short(one.version)} ({one.mark})" for one in also), "lock": state.lock.sentence,
        "restarts": told.restarts if told else None, "file": origin.file, "hosts": origin.hosts or None,
        "switching": state.switching, "error": "", "mark": "serves" if serves else "", "now": state.now,
        "digest": told.image_id.removeprefix("sha256:")[:12] if told else "",
    }  # fmt: skip


def _notes(answers: Answers, rows: Sequence[Row]) -> tuple[str, ...]:
    return (*skew(rows), *_gaps(rows), *_locks(rows), *_stale_checkout(answers, rows), *_last(answers, rows))


def _gaps(rows: Sequence[Row]) -> Iterator[str]:
    switching = [str(row["host"]) for row in rows if row.get("switching")]
    if switching:
        yield f"A switch is under way on {', '.join(dict.fromkeys(switching))}: the host finishes it by itself."
    unfinished = [row for row in rows if row["status"] == "unfinished" and not row.get("switching")]
    if unfinished:
        where = ", ".join(dict.fromkeys(str(row["host"]) for row in unfinished))
        version = short(str(unfinished[0]["version"]))
        yield f"Unfinished on {where}: boot the wanted version again (invoke boot --version={version})."
    for row in rows:
        if row["status"] == "nothing":
            yield f"Nothing serves {row['role']} on {row['host']}: invoke boot, or invoke logs --hosts={row['host']}"
        if row["status"] == "unreachable":
            yield f"{row['host']} cannot be reached: {row['error']}"


def _locks(rows: Sequence[Row]) -> Iterator[str]:
    for sentence in dict.fromkeys(str(row.get("lock") or "") for row in rows):
        if sentence:
            yield f"{sentence} invoke lock.status tells more."


def _stale_checkout(answers: Answers, rows: Sequence[Row]) -> Iterator[str]:
    """A checkout that knows fewer hosts than the last boot would leave some of them behind."""
    known = len(answers.config.hosts)
    last = max((row for row in rows if row.get("since")), key=lambda row: row["since"], default=None)
    if last is not None and (sentence := stale_checkout(known, last.get("hosts") or 0)):
        yield sentence


def _last(answers: Answers, rows: Sequence[Row]) -> Iterator[str]:
    last = max((row for row in rows if row.get("since")), key=lambda row: row["since"], default=None)
    if last is None:
        return
    who = f" by {last['by']}" if last["by"] else ""
    ago = seconds(max(0.0, last["now"] - last["since"]))
    at = f"{moment(last['since']):%Y-%m-%d %H:%M:%S} UTC"
    yield f"Last boot: {short(str(last['version']))}{who} at {at}, {ago} ago."
    if last.get("previous") and all(row["status"] == "serves" for row in rows):
        yield f"The way back: invoke undo (to {short(str(last['previous']))})"


READ = Read(name="status", columns=COLUMNS, look=_look, notes=_notes)
"""One row for each role on each host, and sentences on what is wrong."""
