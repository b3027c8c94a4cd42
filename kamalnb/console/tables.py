"""A table on a terminal: aligned, coloured by meaning (words say it too), whole in a pipe, rows with ``--json``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from .. import wording
from ..tables import Column, Row, Table, moment
from ..wording import clean, short
from .choice import Style, is_terminal
from .jsonlines import as_json

if TYPE_CHECKING:
    from rich.text import Text

TONES = {
    **dict.fromkeys(("serves", "healthy", "running", "free", "ok", "yes"), "green"),
    **dict.fromkeys(
        ("stale", "dark", "unfinished", "starting", "restarting", "paused", "held", "warning", "pull"), "yellow"
    ),
    **dict.fromkeys(("broken", "unhealthy", "unreachable", "dead", "failed", "refused", "no"), "red"),
    **dict.fromkeys(("old", "previous", "exited", "created", "none", "nothing"), "dim"),
}
"""What a word means, as a colour. ``nothing`` is red where it is a status: nobody answers requests."""
NONE = "–"
FLEXIBLE = ("note", "message", "details", "sentence", "also", "by", "performer", "revision", "running", "file", "args")
"""Columns of free text: they give way where there is little room."""
NARROW = 60
"""Columns below which each row is written as a block of its own."""


def show_table(table: Table, style: Style, out: TextIO | None = None) -> int:
    """Prints ``table`` and gives the exit code: 69 where no host answered, 1 where some did not."""
    out = out or sys.stdout
    if style.json:
        for record in table.records():
            print(as_json(record), file=out, flush=True)
    elif is_terminal(out, os.environ):
        _on_terminal(table, style, out)
    else:
        print(*lines(table, style), sep="\n", file=out, flush=True)
    return exit_code(table)


def exit_code(table: Table) -> int:
    """69 where no host answered, 1 where some did not, else 0."""
    unanswered = len(table.failed)
    return 0 if not unanswered else 69 if table.hosts and unanswered >= table.hosts else 1


def lines(table: Table, style: Style) -> Iterator[str]:
    """The table as plain text, one line a row, then its notes."""
    columns = shown(table, style)
    cells = [
        [column.title for column in columns],
        *([cell(column, row, table.as_of) for column in columns] for row in table.rows),
    ]
    widths = [max(len(line[number]) for line in cells) for number in range(len(columns))]
    if table.rows:
        for line in cells:
            yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
    yield from (style.called.spelled(clean(note)) for note in (*_unanswered(table), *_notes(table)) if not style.quiet)


def shown(table: Table, style: Style) -> tuple[Column, ...]:
    """The columns that fit people: wide ones with ``--verbose`` alone, those without any value not at all."""
    return tuple(
        column
        for column in table.columns
        if (style.verbose or not column.wide) and any(row.get(column.name) not in (None, "") for row in table.rows)
    )


def cell(column: Column, row: Row, as_of: float) -> str:
    """One value as people read it."""
    value: Any = row.get(column.name)
    if value is None or value == "":
        return NONE
    match column.kind:
        case "flag":
            return "yes" if value else "no"
        case "moment":
            return wording.ago(max(0.0, as_of - value)) if as_of - value < 86_400 else f"{moment(value):%Y-%m-%d %H:%M}"
        case "bytes":
            return wording.size(value)
        case "number":
            return f"{value:g}"
    text = clean(str(value).replace("\n", " "))
    if column.name in ("by", "performer"):
        return wording.who(text)
    return short(text) if column.name in ("version", "before", "after", "previous") else text


def tone(column: Column, row: Row) -> str:
    """The colour of a value: its meaning, "" where it has none."""
    value = row.get(column.name)
    if column.kind == "flag":
        return {True: "green", False: "dim"}.get(value, "") if value is not None else "dim"
    if column.name == "status" and value == "nothing":
        return "red"
    return TONES.get(str(value), "") if column.words else ""


def _unanswered(table: Table) -> Iterator[str]:
    for host, why in table.failed.items():
        if not any(row.get("host") == host and row.get("error") for row in table.rows):
            yield f"{host}: {why}"
        elif table.name != "status":
            yield f"{host} did not answer: {why}"


def _notes(table: Table) -> Sequence[str]:
    return table.notes if table.rows or table.notes else ("Nothing there.",)


def _on_terminal(table: Table, style: Style, out: TextIO) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False)
    columns = shown(table, style)
    if columns and console.width < max(NARROW, 9 * len(columns)):
        for row in table.rows:
            console.print(_block(columns, row, table.as_of), soft_wrap=True)
    elif table.rows:
        console.print(_grid(table, columns))
    if not style.quiet:
        for note in (*_unanswered(table), *_notes(table)):
            text = style.called.spelled(clean(note))
            console.print(Text(text, style="yellow" if _warns(note, table) else "dim"))


def _warns(note: str, table: Table) -> bool:
    return note.startswith(
        ("Skew", "Unfinished", "Nothing serves", "Your file", "Locked", "A run holds", "Kamal")
    ) or any(note.startswith(host) for host in table.failed)


def _grid(table: Table, columns: tuple[Column, ...]) -> object:
    from rich.table import Table as Grid

    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        widest = max([len(column.title), *(len(cell(column, row, table.as_of)) for row in table.rows)])
        flexible = column.wide or column.name in FLEXIBLE
        grid.add_column(
            column.title, justify="right" if column.kind in ("count", "number", "bytes") else "left",
            min_width=min(12, widest) if flexible else min(40, widest), no_wrap=not flexible,
            overflow="fold" if flexible else "ellipsis",
        )  # fmt: skip
    for row in table.rows:
        grid.add_row(*(_text(column, row, table.as_of) for column in columns))
    return grid


def _text(column: Column, row: Row, as_of: float) -> Text:
    from rich.text import Text

    style = "bold" if column.name == "host" else tone(column, row)
    return Text(cell(column, row, as_of), style=style)


def _block(columns: tuple[Column, ...], row: Row, as_of: float) -> Text:
    """A row where columns have no room: what it is, then the rest below it."""
    from rich.text import Text

    first, *rest = columns
    text = Text(cell(first, row, as_of), style="bold")
    for column in rest:
        value = cell(column, row, as_of)
        if value != NONE:
            text.append(f"\n  {column.title}: ", style="dim")
            text.append(value, style=tone(column, row))
    return text
