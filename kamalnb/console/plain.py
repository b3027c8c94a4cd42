"""Timestamped lines, where there is no terminal: one line for each thing that happens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TextIO

from ..events import Event, RunStarted
from ..report import Report
from ..wording import ending, standing
from .choice import Style
from .lines import Said, said

QUIET = ("warning", "problem")


class PlainLines:
    """Writes lines to ``out``. ``began`` is the local time at which the run began."""

    def __init__(self, out: TextIO, style: Style, began: datetime) -> None:
        self._out = out
        self._style = style
        self._began = began
        self._width = 0
        self._last: dict[tuple[str, str], str] = {}

    def show(self, event: Event, report: Report) -> None:
        """Writes what is worth a line; the same text twice in a row for a host is noise."""
        if isinstance(event, RunStarted):
            self._width = max((len(f"{host} {role}") for host, role in event.targets), default=0)
        words = said(event, report)
        if words is None or not self._wanted(words):
            return
        who = (event.host, event.role)
        if words.tone == "step" and self._last.get(who) == words.text:
            return
        self._last[who] = words.text
        self._write(f"{self._clock(event)}  {self._place(event, words)}{words.text}")

    def close(self, report: Report) -> None:
        """Every failure, then the closing line."""
        for told in ending(report, self._style.called):
            self._write(told.text)

    def leave(self, report: Report) -> None:
        """Where each host stands."""
        self._write("left before the end:")
        for line in report.lines:
            self._write(f"  {standing(line)}")

    def restore(self) -> None:
        """Nothing to restore."""

    def _wanted(self, words: Said) -> bool:
        if self._style.quiet:
            return words.tone == "warning"  # problems are told at the end, with everything about them
        return words.tone != "command" or self._style.verbose

    def _place(self, event: Event, words: Said) -> str:
        who = " ".join(filter(None, (event.host, event.role)))
        mark = "warning: " if words.tone == "warning" else ""
        if not who:
            return mark
        return f"{who:<{self._width}}  {words.phase:<8}  {mark}"

    def _clock(self, event: Event) -> str:
        moment = self._began + timedelta(seconds=event.at)
        return f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}"

    def _write(self, text: str) -> None:
        print(text, file=self._out, flush=True)
