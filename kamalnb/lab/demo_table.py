"""The live table of a boot with the load's own count below it. Imported late, with rich."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ..console.choice import Style
from ..console.live import LiveTable
from ..console.table import Frame
from .load import RunningLoad, Tally


class TableOverLoad(LiveTable):
    """Draws both by one clock, so that the numbers move together."""

    def __init__(self, out: TextIO, style: Style, load: RunningLoad, console: Console | None = None) -> None:
        super().__init__(out, style, console)
        self._load = load

    def _frame(self) -> Frame:
        plain = super()._frame()
        return FrameOverLoad(plain.report, plain.now, plain.room, self._load.snapshot())


@dataclass(frozen=True, slots=True)
class FrameOverLoad(Frame):
    """A frame, an empty line, and one line on the load."""

    tally: Tally | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from Frame.__rich_console__(self, console, options)  # slots: super() would look in the wrong class
        if self.tally is not None:
            yield Text("")
            yield line_on(self.tally)


def line_on(tally: Tally) -> Text:
    """Requests so far, how many were lost, and by which versions the last ones were answered."""
    versions = " → ".join(tally.versions) or "–"
    return Text.assemble(
        ("load  ", "dim"),
        f"{tally.requests:,} requests",
        ("   lost ", "dim"),
        (f"{tally.lost:,}", "bold red" if tally.lost else "bold green"),
        ("   versions ", "dim"),
        versions,
        ("   99 % within ", "dim"),
        f"{tally.latency_p99 * 1000:.0f} ms",
    )
