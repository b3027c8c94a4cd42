"""Tables ready to be shown: cells with their text, meaning and order, made from a ``Table`` or a DataFrame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ..console.tables import TONES
from ..tables import Kind, Table, moment
from ..wording import clean, seconds, short, size
from .settings import options

if TYPE_CHECKING:
    import pandas as pd

MEANINGS = {"green": "good", "yellow": "mind", "red": "bad", "dim": "off"}
SYMBOLS = {"good": "✓", "mind": "!", "bad": "✗", "off": "·", "busy": "▸"}
"""Meaning is told by word and symbol; colour only repeats it."""
LONG = frozenset({"note", "notes", "message", "details", "sentence", "also", "error", "line", "doing", "text", "fix"})
VERSIONS = frozenset({"version", "before", "after", "previous"})
KEYS = ("host", "role", "name", "id", "service", "step")
NONE = "–"


@dataclass(frozen=True, slots=True)
class Head:
    """A column. ``right`` for numbers, ``long`` where text may be broken, ``measured`` where no value stands still."""

    name: str
    title: str
    right: bool = False
    long: bool = False
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as people read it. ``order`` is what it is sorted by; ``was`` what stood there before a refresh."""

    text: str
    meaning: str = ""
    order: str | float = ""
    was: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table to be shown, with the words around it. ``marks`` says of each row “new” or “gone”, or nothing."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    notes: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()

    def keys(self) -> list[tuple[str, ...]]:
        """What names each row: its host, role and so on; the whole row where nothing does."""
        places = [number for number, head in enumerate(self.heads) if head.name in KEYS]
        return [tuple(row[number].text for number in places or range(len(row))) for row in self.rows]


def grid(of: Table | pd.DataFrame, *, wide: bool = False) -> Grid:
    """The grid of a table or a DataFrame. ``wide`` shows every column that has a value."""
    return _of_table(of, wide) if isinstance(of, Table) else _of_frame(of, wide)


def changed(before: Grid, after: Grid) -> Grid:
    """``after`` with what is new, gone or different since ``before`` marked by words."""
    if [head.name for head in before.heads] != [head.name for head in after.heads]:
        return after
    old = dict(zip(before.keys(), before.rows, strict=True))
    new = dict(zip(after.keys(), after.rows, strict=True))
    rows = [tuple(map(_was, old.get(key, row), row, after.heads)) for key, row in zip(after.keys(), after.rows)]  # noqa: B905
    marks = ["" if key in old else "new" for key in after.keys()]  # noqa: SIM118
    gone = [
        row for key, row, mark in zip(before.keys(), before.rows, before.marks or [""] * len(old), strict=False)
        if key not in new and mark != "gone"
    ]  # fmt: skip
    return replace(after, rows=(*rows, *gone), marks=(*marks, *("gone" for _row in gone)))


def moment_text(at: datetime, as_of: float | None = None) -> str:
    """A time in the zone of ``kn.options``, and how long ago that was."""
    zone = ZoneInfo(options.timezone or "UTC")
    told = f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    ago = as_of - at.timestamp() if as_of is not None else -1.0
    return f"{told} ({seconds(ago)} ago)" if 0 <= ago < 86_400 else told


def clock(at: float) -> str:
    """A moment of a day with its zone: ``05:40:12 UTC``."""
    return f"{moment(at).astimezone(ZoneInfo(options.timezone or 'UTC')):%H:%M:%S %Z}"


def meaning(name: str, word: str) -> str:
    """What a word of a closed set means: good, mind, bad, off, or nothing."""
    if name == "status" and word == "nothing":
        return "bad"
    return MEANINGS.get(TONES.get(word, ""), "")


def _was(old: Cell, new: Cell, head: Head) -> Cell:
    volatile = head.measured or "ago)" in new.text or head.name in ("since", "took", "seconds")
    return new if volatile or old.text == new.text else replace(new, was=old.text)


def _of_table(table: Table, wide: bool) -> Grid:
    columns = [one for one in table.columns if any(row.get(one.name) not in (None, "") for row in table.rows)]
    shown = [one for one in columns if wide or not one.wide]
    heads = tuple(
        Head(
            one.name, one.title, one.kind in ("count", "number", "bytes"), one.name in LONG,
            one.kind in ("number", "bytes"),
        )
        for one in shown
    )  # fmt: skip
    rows = tuple(
        tuple(_cell(one.name, row.get(one.name), table.as_of, one.words, one.kind) for one in shown)
        for row in table.rows
    )
    return Grid(
        heads=heads, rows=rows, caption=_caption(table.as_of, table.hosts, len(table.failed)),
        notes=_notes(table.notes, table.failed),
        hidden=tuple(one.name for one in columns if one not in shown),
    )  # fmt: skip


def _of_frame(frame: pd.DataFrame, wide: bool) -> Grid:
    import pandas as pd

    plain = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
    attrs = frame.attrs
    as_of = _as_of(attrs.get("as_of"))
    left_out = set() if wide else set(attrs.get("wide", ()))
    ours = "name" in attrs  # a table of a fleet: columns without any value are left out
    names = [name for name in plain.columns if not (ours and _is_empty(plain[name]))]
    shown = [name for name in names if name not in left_out]
    failed = attrs.get("failed", {})
    sizes = set(attrs.get("bytes", ()))
    columns = [list(_column(str(name), plain[name], as_of, "bytes" if name in sizes else "text")) for name in shown]
    return Grid(
        heads=tuple(_head(str(name), plain[name], name in sizes) for name in shown),
        rows=tuple(zip(*columns, strict=True)) if columns else (),
        caption=_caption(as_of, int(attrs.get("hosts", 0)), len(failed)),
        notes=_notes(tuple(map(str, attrs.get("notes", ()))), failed),
        hidden=tuple(str(name) for name in names if name not in shown),
    )  # fmt: skip


def _column(name: str, series: pd.Series[Any], as_of: float | None, kind: Kind) -> Iterator[Cell]:
    words = tuple(series.cat.categories) if hasattr(series, "cat") and series.cat.ordered else ()
    for value in series.astype("object").where(series.notna(), None):
        yield _cell(name, value, as_of, words, kind)


def _head(name: str, series: pd.Series[Any], is_size: bool) -> Head:
    numbers = series.dtype.kind in "iuf" and not hasattr(series, "cat")
    return Head(name, name.replace("_", " "), numbers, name in LONG, is_size or series.dtype.kind == "f")


def _cell(name: str, value: Any, as_of: float | None, words: Sequence[str] = (), kind: Kind = "text") -> Cell:
    if value is None or value == "":
        return Cell(NONE, "off", "" if not words else len(words))
    if words:
        return Cell(str(value), meaning(name, str(value)), words.index(value) if value in words else len(words))
    if isinstance(value, bool):
        return Cell("yes" if value else "no", "good" if value else "off", float(value))
    if kind == "bytes":
        return Cell(size(int(value)), "", float(value))
    if kind == "moment" and isinstance(value, int | float):
        value = moment(value)
    if isinstance(value, datetime):
        return Cell(moment_text(value, as_of), "", value.timestamp())
    if isinstance(value, timedelta):
        return Cell(seconds(value.total_seconds()), "", value.total_seconds())
    if isinstance(value, int | float):
        return Cell(f"{value:g}" if isinstance(value, float) else str(value), "", float(value))
    told = clean(str(value).replace("\n", " "))
    return Cell(short(told) if name in VERSIONS else told, "", told)


def _caption(as_of: float | None, hosts: int, failed: int) -> str:
    if not as_of:
        return ""
    answered = f" · {hosts - failed} of {hosts} hosts" if hosts else ""
    return f"as of {clock(as_of)}{answered}"


def _notes(notes: tuple[str, ...], failed: Mapping[str, str]) -> tuple[str, ...]:
    """What the table says itself, and each host that did not answer, once."""
    untold = (host for host in failed if not any(note.startswith(host) for note in notes))
    return (*notes, *(f"{host} did not answer: {failed[host]}" for host in untold))


def _as_of(told: object) -> float | None:
    try:
        return datetime.fromisoformat(str(told)).timestamp() if told else None
    except ValueError:
        return None


def _is_empty(series: pd.Series[Any]) -> bool:
    return bool((series.isna() | (series.astype("object") == "")).all())
