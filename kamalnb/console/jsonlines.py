"""One event a line, for programs. Nothing else is written."""

from __future__ import annotations

import json
from typing import TextIO

from ..events import Event
from ..report import Report


class JsonLines:
    """Writes ``Event.as_dict`` of each event."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: Event, report: Report) -> None:
        """One line, at once."""
        print(json.dumps(event.as_dict(), ensure_ascii=False, default=str), file=self._out, flush=True)

    def close(self, report: Report) -> None:
        """Nothing: ``RunFinished`` was the last line."""

    def leave(self, report: Report) -> None:
        """Nothing: a stream without ``RunFinished`` was left."""

    def restore(self) -> None:
        """Nothing to restore."""
