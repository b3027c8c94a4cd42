"""A grid as HTML that needs no script, and as plain text. One renderer; everything is escaped in ``markup``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from ..wording import clean
from .grid import SYMBOLS, Cell, Grid, Head
from .markup import Html, joined, tag
from .settings import options


def table_html(grid: Grid, *, limit: int | None = None, note_more: str = "") -> Html:
    """The table, then its notes. ``limit`` is how many rows at most; what is left out is said."""
    most = options.rows if limit is None else limit
    left = max(0, len(grid.rows) - most)
    more = tag("p", f"and {left} more rows. {note_more or 'The DataFrame has them all.'}", class_="kn-soft")
    return joined(_table(grid, most), more if left else "", notes_html(grid.notes), _hidden(grid))


def notes_html(notes: tuple[str, ...]) -> Html:
    """Sentences below a table, those that want something done marked by a word."""
    return joined(*(_note(note) for note in notes))


@lru_cache(maxsize=512)
def badge(word: str, meaning: str) -> Html:
    """A word with its symbol; the colour is the symbol's alone, so that words are readable on any ground."""
    if not meaning:
        return tag("span", word)
    symbol = tag("span", SYMBOLS[meaning], class_=f"kn-mark kn-{meaning}", aria_hidden="true")
    return tag("span", symbol, word)


def say(text: object, meaning: str = "") -> Html:
    """A sentence of its own, with a line at its side."""
    return tag("p", text, class_=f"kn-say kn-is-{meaning}" if meaning else "kn-say")


def lines(grid: Grid, limit: int = 60) -> Iterator[str]:
    """The same as plain text: aligned columns, one line a row, then the notes."""
    if grid.caption:
        yield grid.caption
    told = [[clean(head.title) for head in grid.heads], *([_plain(cell) for cell in row] for row in grid.rows[:limit])]
    widths = [max(map(len, column)) for column in zip(*told, strict=True)]
    for row in told if grid.rows else ():
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if len(grid.rows) > limit:
        yield f"and {len(grid.rows) - limit} more rows"
    yield from map(clean, grid.notes)
    if not grid.rows and not grid.notes:
        yield "Nothing there."


def _plain(cell: Cell) -> str:
    return clean(f"{cell.text} (was {cell.was})" if cell.was else cell.text)


def _table(grid: Grid, most: int) -> Html:
    if not grid.rows:
        return joined(tag("p", grid.caption, class_="kn-soft"), "" if grid.notes else tag("p", "Nothing there."))
    marked = any(grid.marks)
    heads = [tag("th", head.title, scope="col", class_="kn-n" if head.right else None) for head in grid.heads]
    if marked:
        heads.append(tag("th", "change", scope="col"))
    body = [_row(grid, number, marked) for number in range(min(most, len(grid.rows)))]
    caption = tag("caption", grid.caption) if grid.caption else ""
    table = tag("table", caption, tag("thead", tag("tr", *heads)), tag("tbody", *body), class_="kn-t")
    return tag("div", table, class_="kn-wide")


def _row(grid: Grid, number: int, marked: bool) -> Html:
    cells = grid.rows[number]
    mark = grid.marks[number] if marked else ""
    dim = mark == "gone" or any(cell.text in _PAST for cell in cells if cell.meaning == "off")
    calm = [replace(cell, meaning="off") if dim and cell.meaning else cell for cell in cells]
    told = [_cell(head, cell, first=not place) for place, (head, cell) in enumerate(zip(grid.heads, calm, strict=True))]
    if marked:
        told.append(tag("td", tag("mark", mark) if mark else ""))
    return tag("tr", *told, class_="kn-dim" if dim else None)


_PAST = frozenset({"old", "previous", "exited"})
"""Words of rows about what is over: nothing there wants anybody."""


def _cell(head: Head, cell: Cell, *, first: bool) -> Html:
    inside = badge(cell.text, cell.meaning) if cell.meaning and cell.text != "–" else cell.text
    if cell.was:
        inside = joined(inside, " ", tag("mark", f"was {cell.was}"))
    kind = "kn-n" if head.right else "kn-long" if head.long else None
    order = None if cell.order == cell.text else cell.order
    if first:
        return tag("th", inside, scope="row", class_=kind, data_v=order)
    return tag("td", inside, class_=kind, data_v=order)


_URGENT = ("Skew", "Unfinished", "Nothing serves", "Your file", "Locked", "A run holds", "Kamal")


def _note(note: str) -> Html:
    urgent = note.startswith(_URGENT) or "did not answer" in note or "cannot be reached" in note
    return say(joined(badge("", "mind") if urgent else "", note), "mind" if urgent else "")


def _hidden(grid: Grid) -> Html:
    if not grid.hidden:
        return joined("")
    return tag("p", f"Also there: {', '.join(grid.hidden)}.", class_="kn-soft")
