"""Tables: columns with a fixed schema, rows as plain values. The terminal, ``--json`` and DataFrames
(``frames``) all show the same rows. Nothing here may do I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Kind = Literal["text", "number", "count", "bytes", "flag", "moment"]
"""text: str. number: float. count, bytes: int. flag: bool. moment: seconds since 1970 (a UTC timestamp in frames
and JSON). None is "not known" in each of them."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. ``words`` is the order of a closed set of words (an ordered category in frames), best first.

    ``wide`` ones are left out of a terminal's table unless people ask for everything.
    """

    name: str
    kind: Kind = "text"
    about: str = ""
    words: tuple[str, ...] = ()
    heading: str = ""
    wide: bool = False

    @property
    def title(self) -> str:
        """Its heading for people."""
        return self.heading or self.name.replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under ``columns``, as they were at ``as_of`` (seconds since 1970).

    ``hosts`` is how many were asked; ``failed`` maps those that did not answer to the reason: they have a row too.
    ``notes`` are sentences that belong below it.
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = ()
    as_of: float = 0.0
    hosts: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def records(self) -> Iterator[dict[str, Any]]:
        """Each row with every column, in order, as JSON takes it: moments in ISO 8601, UTC."""
        for row in self.rows:
            yield {column.name: _json(column, row.get(column.name)) for column in self.columns}


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as a UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


def seconds_of(text: str) -> float | None:
    """Docker's and git's times (ISO 8601, nanoseconds, ``0001-01-01`` for never) as seconds since 1970."""
    head, dot, rest = text.strip().partition(".")
    if dot:
        digits = "".join(character for character in rest[:9] if character.isdigit())
        zone = rest.lstrip("0123456789")
        head = f"{head}.{digits[:6]:0<6}{zone}"
    try:
        found = datetime.fromisoformat(head.replace("Z", "+00:00"))
    except ValueError:
        return None
    if found.year < 1971:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _json(column: Column, value: Any) -> Any:
    if column.kind == "moment" and value is not None:
        return moment(value).isoformat(timespec="seconds").replace("+00:00", "Z")
    return value
