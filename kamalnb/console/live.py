"""The live table: host, role, phase, time, versions, and what each host is doing now. Imported late, with rich."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..events import Event, RunStarted
from ..report import Report
from ..wording import Told, ending, standing
from .choice import Style
from .lines import Said, said
from .table import Frame
from .terminal import Terminal

COLOURS = {"warning": "yellow", "problem": "red", "command": "dim", "ok": "green", "detail": "", "note": "", "step": ""}
REFRESH = 8
"""Times a second that the table is drawn: seconds run on between events."""


class LiveTable:
    """Keeps a table at the bottom of a terminal; warnings (and commands, where wanted) scroll by above it."""

    def __init__(
        self, out: TextIO, style: Style, console: Console | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(file=out, highlight=False)
        self._style = style
        self._now = now
        self._report = Report()
        self._ahead = now()
        self._live: Live | None = None
        self._terminal = Terminal()

    def show(self, event: Event, report: Report) -> None:
        """Takes the event in; the table is drawn by the clock."""
        self._report = report
        self._ahead = self._now() - event.at
        if isinstance(event, RunStarted):
            self._live = Live(
                console=self._console, get_renderable=self._frame, refresh_per_second=REFRESH, redirect_stderr=False
            )
            self._terminal.quieten()
            self._live.start()
            return
        words = said(event, report)
        if words is not None and self._wanted(event, words):
            where = " ".join(filter(None, (event.host, event.role)))
            self._print(words.tone, f"{where}: {words.text}" if where else words.text)

    def close(self, report: Report) -> None:
        """The table stays as it is at the end; below it every failure and the closing line."""
        self._report = report
        self._end()
        for told in ending(report, self._style.called):
            self._tell(told)

    def leave(self, report: Report) -> None:
        """Where each host stands."""
        self._end()
        self._print("warning", "left before the end:")
        for line in report.lines:
            self._print("", f"  {standing(line)}")

    def restore(self) -> None:
        """Gives the cursor back."""
        self._end()

    def _frame(self) -> Frame:
        """Drawn from the report alone, so that any thread may do it."""
        report = self._report
        now = report.at if report.finished else self._now() - self._ahead
        room = None if self._live is None else self._console.size.height - 1
        return Frame(report, now, room)

    def _end(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.vertical_overflow = "visible"
            live.stop()
            self._terminal.restore()

    def _wanted(self, event: Event, words: Said) -> bool:
        if words.tone == "command":
            return self._style.verbose
        return words.tone == "warning" and bool(event.host or not self._report.cancelling)

    def _tell(self, told: Told) -> None:
        if told.tone == "verbatim":
            self._print("", told.text)
            return
        indent = " " * (len(told.text) - len(told.text.lstrip(" ")) + 2)
        width = max(40, self._console.width)
        self._print(told.tone, textwrap.fill(told.text, width, subsequent_indent=indent, break_on_hyphens=False))

    def _print(self, tone: str, text: str) -> None:
        mark = "! " if tone == "warning" else ""
        # The terminal breaks long lines: what is copied from it is whole.
        self._console.print(Text(mark + text, style=COLOURS.get(tone, "")), soft_wrap=True)
