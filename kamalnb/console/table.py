"""One frame of the live table: a report at a moment, in whatever room there is. Imported late, with rich."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ..events import Phase
from ..report import Line, Report, State
from ..wording import LEAVE, STOPPING, change, doing, elapsed, phase, seconds, title

MARKS = {
    State.WAITING: "·",
    State.RUNNING: "▸",
    State.BOOTED: "✓",
    State.DONE: "✓",
    State.FAILED: "✗",
    State.UNTOUCHED: "–",
}
STYLES = {
    State.WAITING: "dim",
    State.RUNNING: "cyan",
    State.BOOTED: "green",
    State.DONE: "green",
    State.FAILED: "red",
    State.UNTOUCHED: "yellow",
}
NARROW = 72
"""Columns below which what a host is doing stands in a line of its own."""
WIDE = 100
"""Columns from which the phases are drawn as a bar."""
STEPS = tuple(phase for phase in Phase if phase not in (Phase.UNDO, Phase.DONE))


@dataclass(frozen=True, slots=True)
class Frame:
    """A table of ``report``, ``now`` seconds into the run, in ``room`` lines (None: as many as it takes)."""

    report: Report
    now: float
    room: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        yield self._heading(width)
        if width < NARROW:
            yield from self._stacked()
        else:
            yield self._table(width)
        if self.report.cancelling and self.report.finished is None:
            yield Text(f"{STOPPING} ({LEAVE})", style="yellow")

    def _heading(self, width: int) -> Text:
        batch = self.report.batch
        which = f", batch {batch.number} of {batch.of}" if batch is not None and batch.of > 1 else ""
        left = f"{title(self.report)}{which}"
        right = seconds(self.now)
        gap = max(2, width - len(left) - len(right))
        return Text.assemble((left, "bold"), " " * gap, (right, "dim"), no_wrap=True, overflow="ellipsis")

    def _table(self, width: int) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=True, header_style="dim")
        bars = width >= WIDE
        longest = max((len(line.host) for line in self.report.lines), default=4)
        table.add_column("", min_width=1)
        table.add_column("host", min_width=min(longest, width // 4), no_wrap=True, overflow="ellipsis")
        table.add_column("role", min_width=3, no_wrap=True, overflow="ellipsis")
        table.add_column("phase", min_width=len(STEPS) + 10 if bars else 9, no_wrap=True)
        table.add_column("time", min_width=6, justify="right", no_wrap=True)
        table.add_column("version", min_width=7, no_wrap=True, overflow="ellipsis")
        table.add_column("now", min_width=12, ratio=1, no_wrap=True, overflow="ellipsis")
        lines, left_over = self._shown(1)
        for line in lines:
            table.add_row(*self._cells(line, bars))
        if left_over:
            table.add_row("", Text(f"and {left_over}", style="dim"))
        return table

    def _cells(self, line: Line, bars: bool) -> tuple[Text, ...]:
        style = STYLES[line.state]
        failed = line.state in (State.FAILED, State.UNTOUCHED)
        return (
            Text(MARKS[line.state], style=style),
            Text(line.host),
            Text(line.role),
            Text(_bar(line) if bars else phase(line), style=style),
            Text(elapsed(line, self.now)),
            Text(change(line), style="dim" if line.state is State.WAITING else ""),
            Text(self._now_of(line), style=style if failed else "dim" if line.state is State.WAITING else ""),
        )

    def _stacked(self) -> Iterator[Text]:
        """Where columns have no room: a line for who and where, one below it for what happens."""
        lines, left_over = self._shown(2)
        for line in lines:
            mark, host, role, word, time, version, now = self._cells(line, False)
            parts = (mark, " ", host, " ", role, "  ", word, "  ", time, "  ", version)
            yield Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
            yield Text.assemble("    ", now, no_wrap=True, overflow="ellipsis")
        if left_over:
            yield Text(f"  and {left_over}", style="dim")

    def _now_of(self, line: Line) -> str:
        if line.state is State.WAITING and not self.report.count(State.RUNNING, State.BOOTED, State.DONE, State.FAILED):
            return next(
                (note.text for note in reversed(self.report.notes) if note.kind == "note" and not note.warning), ""
            )
        return doing(line)

    def _shown(self, height: int) -> tuple[tuple[Line, ...], str]:
        """The lines that there is room for at ``height`` rows each, the busy ones first, and a word on the rest."""
        lines = self.report.lines
        room = len(lines) if self.room is None else max(1, (self.room - 4) // height)
        if len(lines) <= room:
            return lines, ""
        first = {
            State.FAILED: 0,
            State.RUNNING: 1,
            State.UNTOUCHED: 2,
            State.WAITING: 3,
            State.BOOTED: 4,
            State.DONE: 4,
        }
        chosen = sorted(range(len(lines)), key=lambda number: (first[lines[number].state], number))
        kept = sorted(chosen[:room])
        rest = [lines[number] for number in chosen[room:]]
        told = (f"{sum(line.state is state for line in rest)} {state}" for state in State)
        return tuple(lines[number] for number in kept), ", ".join(text for text in told if not text.startswith("0 "))


def _bar(line: Line) -> str:
    """How far a boot has come: one mark for each phase, then its word."""
    word = phase(line)
    if line.state in (State.BOOTED, State.DONE):
        return f"{'━' * len(STEPS)} {word}"
    if line.state is State.RUNNING and line.phase in STEPS:
        done = STEPS.index(line.phase)
        return f"{'━' * done}╸{'┄' * (len(STEPS) - done - 1)} {word}"
    return f"{'┄' * len(STEPS)} {word}"
