"""The containers' logs as a table: the chosen lines of all hosts, in the order of their times. No I/O here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from ..commands import logs
from ..commands.log_options import LogOptions
from ..commands.logs import Failed, Opened, Printed
from ..config.model import Role
from ..errors import CommandFailed, UsageError
from ..flow import Flow, do
from ..tables import Column, Row
from . import Answers, Read, Scene

COLUMNS = (
    Column(name="at", kind="moment", about="When the line was written, by Docker's clock there.", heading="time"),
    Column(name="host"),
    Column(name="role"),
    Column(name="version", about="The version that wrote it."),
    Column(name="container", about="The container's id, 12 digits.", wide=True),
    Column(name="message", about="The line."),
    Column(name="error", about="Why a container's log, or a host, could not be read.", wide=True),
)


def read(options: LogOptions) -> Read:
    """The table of the lines that ``options`` choose: 100 of each container by default."""
    return Read(
        name="logs",
        columns=COLUMNS,
        look=partial(_look, options),
        missing=lambda scene, why: ({"host": scene.host, "error": why},),
        whole=_whole,
        notes=partial(_notes, options),
    )


def in_time(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Rows by time; those without one stay behind the line that they came after."""
    last: dict[object, float] = {}
    keyed: list[tuple[float, Row]] = []
    for row in rows:
        container = (row["host"], row.get("container"))
        at = row.get("at")
        last[container] = last.get(container, 0.0) if at is None else at
        keyed.append((float("inf") if row.get("error") else last[container], row))
    return tuple(row for _at, row in sorted(keyed, key=lambda pair: pair[0]))


def version_of(opened: Opened, role: Role) -> str:
    """The version of a container that was told of."""
    return opened.version or opened.name.removeprefix(f"{role.name_prefix}-").partition("_replaced_")[0]


def bad_pattern(host: str, printed: str) -> str:
    """What to tell where grep did not take the pattern; ``printed`` is what it said."""
    said = (printed.strip().splitlines() or ["no reason given"])[-1].removeprefix("grep: ")
    return f"grep on {host} does not take this pattern: {said}. Write it otherwise."


def _whole(answers: Answers) -> tuple[Row, ...]:
    """Rows by time. Raises ``UsageError`` where the pattern was refused: the person's to mend, not the host's."""
    refused = next((row["refused"] for row in answers.rows if row.get("refused")), None)
    if refused is not None:
        raise UsageError(refused)
    return in_time(answers.rows)


def _look(options: LogOptions, scene: Scene) -> Flow[tuple[Row, ...]]:
    try:
        results = yield from do(*(logs.read(role, options) for role in scene.roles))
    except CommandFailed as failed:
        if failed.result.exited != logs.BAD_PATTERN:
            raise
        return ({"host": scene.host, "refused": bad_pattern(scene.host, failed.result.stderr)},)
    rows: list[Row] = []
    for role, result in zip(scene.roles, results, strict=True):
        found = list(_rows(scene.host, role, result.stdout.split("\n")))
        rows += found or [_none(scene.host, role, options, result.stdout)]
    return tuple(row for row in rows if row)


def _rows(host: str, role: Role, lines: Sequence[str]) -> Iterator[Row]:
    said = [one for one in map(logs.spoken, lines) if one is not None]
    whys = {(one.id, one.why) for one in said if isinstance(one, Failed)}
    versions: dict[str, str] = {}
    for one in said:
        match one:
            case Opened():
                versions[one.id] = version_of(one, role)
            case Printed() if not (not one.stamp and any(one.message.endswith(why) for _id, why in whys)):
                yield {**_place(host, role, versions, one.id), "at": one.at, "message": one.message}
            case Failed():
                yield {**_place(host, role, versions, one.id), "error": f"Docker shows no log: {one.why}"}
            case _:
                pass


def _place(host: str, role: Role, versions: dict[str, str], container: str) -> Row:
    return {"host": host, "role": role.name, "version": versions.get(container), "container": container}


def _none(host: str, role: Role, options: LogOptions, printed: str) -> Row:
    """A row for a host that has no such container; none where there is one, and nothing in its log that fits."""
    if printed.strip() or options.container_id:
        return {}
    which = f"container of version {options.version}" if options.version else "container"
    return {"host": host, "role": role.name, "error": f"there is no {which} of role {role.name}"}


def _notes(options: LogOptions, answers: Answers, rows: Sequence[Row]) -> tuple[str, ...]:
    lines = sum(row.get("message") is not None for row in rows)
    notes = []
    if not lines and not any(row.get("error") for row in rows):
        where = f"No container {options.container_id} is here" if options.container_id else "Nothing found"
        notes.append(f"{where}: no line to show.")
    for row in {(row["host"], row.get("container")): row for row in rows if row.get("container")}.values():
        mine = sum(one.get("container") == row["container"] and one["host"] == row["host"] for one in rows)
        if mine >= logs.MOST_LINES:
            notes.append(f"{row['host']}: the last {logs.MOST_LINES} lines only. Choose with --since or --grep.")
    return tuple(notes)
