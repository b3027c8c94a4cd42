"""A plan on a terminal: its steps, what to mind, and how to do it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from ..steps import NOTHING
from ..wording import clean, counted, short
from .choice import Style, is_terminal
from .jsonlines import as_json
from .tables import show_table

if TYPE_CHECKING:
    from ..fleet import Plan


def show_plan(plan: Plan, style: Style, out: TextIO | None = None) -> int:
    """Prints ``plan``; 0, since nothing was changed."""
    out = out or sys.stdout
    if style.json:
        document = {
            "plan": plan.id, "version": plan.version, "target": plan.target, "hosts": list(plan.hosts),
            "warnings": list(plan.warnings), "steps": list(plan.table().records()),
        }  # fmt: skip
        print(as_json(document), file=out, flush=True)
        return 0
    show_table(plan.table(), style, out)
    print(_closing(plan, style), file=out, flush=True)
    return 0


def _closing(plan: Plan, style: Style) -> str:
    busy = [step for step in plan.moves if step.way != NOTHING]
    if not busy:
        return f"{short(plan.version)} serves everywhere already. Nothing was changed."
    batches = max(step.batch for step in plan.moves)
    many = f"{counted(len(plan.hosts), 'host')} in {counted(batches, 'batch').replace('batchs', 'batches')}"
    command = style.called.spelled(f"invoke {plan.verb} --version={clean(plan.version)}")
    coloured = is_terminal(sys.stdout, os.environ)
    bold, plain = ("\x1b[1m", "\x1b[0m") if coloured else ("", "")
    return f"plan {plan.id}: {many}. Nothing was changed. To do it: {bold}{command}{plain}"
