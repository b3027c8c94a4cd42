"""One line for each host, where a task is over in a moment and needs no table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from .. import exits
from ..errors import HostUnreachable
from ..rollout import Outcome
from ..wording import clean
from .choice import Style
from .jsonlines import as_json


def show_outcomes(what: str, outcomes: Sequence[Outcome], style: Style, out: TextIO | None = None) -> int:
    """Prints what came of each host, and gives the exit code."""
    out = out or sys.stdout
    for outcome in outcomes:
        print(_line(what, outcome, style), file=out, flush=True)
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not failed:
        return exits.OK
    return exits.UNREACHABLE if all(isinstance(error, HostUnreachable) for error in failed) else exits.FAILED


def _line(what: str, outcome: Outcome, style: Style) -> str:
    host, error = outcome.job.host, outcome.error
    if style.json:
        return as_json({"host": host, "ok": outcome.ok, "said": str(error or outcome.value)})
    if error is None:
        return f"✓ {host}: {what} {clean(str(outcome.value))}"
    first, *more = str(error).removeprefix(f"{host}: ").splitlines() or [""]
    told = "\n".join([clean(style.called.spelled(first)), *(f"    {clean(line.strip())}" for line in more)])
    return f"✗ {host}: {told}"
