"""What ``check`` found, for people and for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from ..wording import Called, clean, counted
from .choice import Style, is_terminal
from .jsonlines import as_json

if TYPE_CHECKING:
    from ..preflight import Check

MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "·"}
COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}
HERE = "this machine"


def show_checks(checks: Sequence[Check], style: Style, out: TextIO | None = None) -> int:
    """Prints ``checks`` and gives the exit code: 1 where one failed."""
    out = out or sys.stdout
    if style.json:
        for check in checks:
            print(as_json(asdict(check)), file=out, flush=True)
    elif is_terminal(out, os.environ):
        _table(checks, style, out)
    else:
        print(*_lines(checks, style), sep="\n", file=out, flush=True)
    return int(any(check.failed for check in checks))


def closing(checks: Sequence[Check]) -> str:
    """How many of each, in one line."""
    number = {verdict: sum(check.verdict == verdict for check in checks) for verdict in MARKS}
    parts = [f"{number['ok']} ok"]
    parts += [counted(number["warning"], "warning")] if number["warning"] else []
    parts += [f"{number['failed']} failed"] if number["failed"] else []
    parts += [f"{number['skipped']} not looked at"] if number["skipped"] else []
    verdict = "A boot would be refused." if number["failed"] else "A boot can begin."
    return f"{', '.join(parts)}. {verdict} Nothing was changed."


def _shown(checks: Sequence[Check], style: Style) -> list[Check]:
    return [check for check in checks if not style.quiet or check.verdict in ("warning", "failed")]


def _lines(checks: Sequence[Check], style: Style) -> Iterator[str]:
    shown = _shown(checks, style)
    hosts = max((len(check.host or HERE) for check in shown), default=0)
    names = max((len(check.name) for check in shown), default=0)
    for check in shown:
        yield f"{check.host or HERE:<{hosts}}  {check.verdict:<7}  {check.name:<{names}}  {clean(check.sentence)}"
        if check.fix:
            yield f"{'':<{hosts + names + 13}}→ {style.called.spelled(clean(check.fix))}"
    yield closing(checks)


def _table(checks: Sequence[Check], style: Style, out: TextIO) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False)
    shown = _shown(checks, style)
    widths = tuple(max((len(text) for text in texts), default=0) for texts in zip(*map(_head, shown), strict=True))
    for host in dict.fromkeys(check.host for check in shown):
        console.print(Text(host or HERE, style="bold"))
        console.print(_rows([check for check in shown if check.host == host], style.called, widths))
    console.print(Text(closing(checks), style="red" if any(check.failed for check in checks) else "green"))


def _head(check: Check) -> tuple[str, str]:
    return f"  {MARKS[check.verdict]} {check.verdict}", check.name


def _rows(checks: list[Check], called: Called, widths: tuple[int, ...]) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for width in (*widths, None):
        table.add_column(min_width=width, overflow="fold")
    for check in checks:
        colour = COLOURS[check.verdict]
        words = Text(clean(check.sentence))
        if check.fix:
            words.append(f"\n→ {called.spelled(clean(check.fix))}", style=colour)
        mark, name = _head(check)
        table.add_row(Text(mark, style=colour), Text(name), words)
    return table
