"""Log lines on a terminal: aligned, each host in a colour of its own. What an app wrote is shown, never obeyed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from .. import exits
from ..following_logs import Following, LogLine
from ..tables import Table, moment
from ..wording import clean
from .choice import Style, is_terminal
from .jsonlines import as_json
from .streams import gone

COLOURS = (36, 32, 35, 34, 33, 96, 92, 95, 94, 93)
"""ANSI colours of hosts, in their order; red is for problems."""
RED, DIM = 31, 2


@dataclass(frozen=True, slots=True)
class Places:
    """How lines say where they come from. ``roles`` are said where there are several, hosts unless ``bare``."""

    hosts: tuple[str, ...]
    roles: tuple[str, ...] = ()
    coloured: bool = False
    bare: bool = False

    def prefix(self, host: str, role: str = "") -> str:
        """``web-1 web  ``, aligned; nothing where lines are bare."""
        if self.bare:
            return ""
        widest = max(map(len, self.hosts), default=0)
        parts = [f"{host:<{widest}}"]
        if len(self.roles) > 1:
            parts.append(f"{role:<{max(map(len, self.roles))}}")
        number = self.hosts.index(host) if host in self.hosts else 0
        return self.painted(clean(" ".join(parts)), COLOURS[number % len(COLOURS)], padded=" ".join(parts)) + "  "

    def painted(self, text: str, colour: int, padded: str = "") -> str:
        """``text`` in a colour, where there are colours; ``padded`` is how long it has to be."""
        filled = f"{text:<{len(padded)}}"
        return f"\033[{colour}m{filled}\033[0m" if self.coloured else filled


def places(hosts: Sequence[str], roles: Sequence[str], style: Style, out: TextIO | None = None) -> Places:
    """The places for ``style`` on ``out`` (standard output)."""
    coloured = is_terminal(out or sys.stdout, os.environ) and "NO_COLOR" not in os.environ
    names = tuple(dict.fromkeys(roles))
    return Places(tuple(hosts), names, coloured=coloured, bare=style.quiet)


def show_logs(
    table: Table, hosts: Sequence[str], roles: Sequence[str], style: Style, *, timestamps: bool = False
) -> int:
    """Lines that were read; what could not be read, and the notes, go to standard error. The exit code."""
    where = places(hosts, roles, style)
    with gone():
        for row in table.rows:
            if row.get("error") is not None and not style.json:
                place = " ".join(filter(None, (row["host"], row.get("role") or "")))
                print(f"{place}: {clean(str(row['error']).removeprefix(row['host'] + ': '))}", file=sys.stderr)
            elif not style.json:
                print(_spelled(LogLine(**_line(row)), where, timestamps))
        if style.json:
            for record in table.records():
                print(as_json(record))
        for note in () if style.json else table.notes:
            print(clean(style.called.spelled(note)), file=sys.stderr)
    return _code(table)


def follow_logs(
    following: Following, hosts: Sequence[str], roles: Sequence[str], style: Style, *, timestamps: bool = False
) -> int:
    """Lines as they come, until Ctrl-C. The exit code."""
    where = places(hosts, roles, style)
    try:
        with gone(), contextlib.closing(iter(following)) as lines:  # type: ignore[type-var]
            for line in lines:
                _follow_one(line, where, style, timestamps)
    except KeyboardInterrupt:
        return exits.STOPPED
    finally:
        following.close()
    return exits.OK


def as_record(line: LogLine) -> dict[str, Any]:
    """A line for programs."""
    at = moment(line.at).isoformat(timespec="microseconds").replace("+00:00", "Z") if line.at is not None else None
    return {
        "kind": line.kind, "at": at, "host": line.host, "role": line.role, "version": line.version,
        "container": line.container, "message": line.message,
    }  # fmt: skip


def _follow_one(line: LogLine, where: Places, style: Style, timestamps: bool) -> None:
    if style.json:
        print(as_json(as_record(line)), flush=True)
    elif line.kind == "line":
        print(_spelled(line, where, timestamps), flush=True)
    else:
        colour = RED if line.kind == "problem" else DIM
        text = where.painted(f"— {clean(line.message)}", colour)
        print(f"{where.prefix(line.host, line.role) or line.host + '  '}{text}", file=sys.stderr, flush=True)


def _spelled(line: LogLine, where: Places, timestamps: bool) -> str:
    when = ""
    if timestamps and line.at is not None:
        when = moment(line.at).isoformat(timespec="milliseconds").replace("+00:00", "Z") + "  "
    return f"{where.prefix(line.host, line.role)}{where.painted(when, DIM) if when else ''}{clean(line.message)}"


def _line(row: Any) -> dict[str, Any]:
    return {key: row.get(key) or "" for key in ("host", "role", "version", "container", "message")} | {
        "at": row.get("at")
    }


def _code(table: Table) -> int:
    read = {row["host"] for row in table.rows if row.get("error") is None}
    if table.failed and not read:
        return exits.UNREACHABLE
    return exits.FAILED if table.failed or any(row.get("error") for row in table.rows) else exits.OK
