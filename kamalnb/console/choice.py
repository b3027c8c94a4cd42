"""Which presenter a run gets: asked for, or as the terminal is."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TextIO

from ..errors import UsageError
from ..events import Event
from ..report import Report
from ..wording import Called


class Presenter(Protocol):
    """Shows a run. Called by one thread, except ``leave``."""

    def show(self, event: Event, report: Report) -> None:
        """``event`` happened; ``report`` is what it led to."""
        ...

    def close(self, report: Report) -> None:
        """The run has ended: every failure, then the closing line."""
        ...

    def leave(self, report: Report) -> None:
        """The run is left before its end, from whichever thread: where each host stands."""
        ...

    def restore(self) -> None:
        """Leaves the terminal as it was found, whatever happened."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How much a person wants to see, and in which form."""

    json: bool = False
    verbose: bool = False
    quiet: bool = False
    called: Called = field(default_factory=Called)

    def __post_init__(self) -> None:
        if self.verbose and self.quiet:
            raise UsageError("--verbose and --quiet cannot both be had. Choose one.")


def is_terminal(out: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a table can live there. CI systems set ``CI``; some have a terminal that nobody watches."""
    return (
        out.isatty() and environ.get("TERM", "dumb") != "dumb" and environ.get("CI", "").lower() in ("", "0", "false")
    )


def presenter(style: Style, *, dry_run: bool = False, out: TextIO | None = None) -> Presenter:
    """The presenter for ``style`` on ``out`` (standard output)."""
    out = out or sys.stdout
    if style.json:
        from .jsonlines import JsonLines

        return JsonLines(out)
    live = is_terminal(out, os.environ)
    if dry_run:
        from .dry import DryRun

        return DryRun(out, style, live)
    if live and not style.quiet:
        from .live import LiveTable

        return LiveTable(out, style)
    from .plain import PlainLines

    return PlainLines(out, style, datetime.now())
