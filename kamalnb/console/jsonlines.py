"""One event a line, for programs. Nothing else is written."""

from __future__ import annotations

import json
import re
from typing import Any, TextIO

from ..events import Event
from ..report import Report

_STEERS = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def as_json(value: Any) -> str:
    """``value`` on one line that any terminal, pager and log can take: letters as they are, what steers one escaped."""
    line = json.dumps(value, ensure_ascii=False, default=str)
    return _STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


class JsonLines:
    """Writes ``Event.as_dict`` of each event."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: Event, report: Report) -> None:
        """One line, at once."""
        print(as_json(event.as_dict()), file=self._out, flush=True)

    def close(self, report: Report) -> None:
        """Nothing: ``RunFinished`` was the last line."""

    def leave(self, report: Report) -> None:
        """Nothing: a stream without ``RunFinished`` was left."""

    def restore(self) -> None:
        """Nothing to restore."""
