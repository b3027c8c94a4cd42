"""Where this Python runs: in a kernel that a person watches, in one that nobody watches, or in no kernel at all.

The runner of runbooks sets three variables before the kernel starts; this module is the whole contract:

* ``KAMALNB_HEADLESS=1``: nobody can click. ``plan.boot()`` runs to the end before it returns, and raises.
* ``KAMALNB_CONFIRM=web@abc``: what a person would type. Without the matching word ``NotConfirmed`` is raised.
* ``KAMALNB_DRY_RUN=1``: ``plan.boot()`` shows the plan, says so and does nothing.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Any

HEADLESS = "KAMALNB_HEADLESS"
CONFIRM = "KAMALNB_CONFIRM"
DRY_RUN = "KAMALNB_DRY_RUN"


class Occasion(StrEnum):
    """plain: no kernel (a script, a terminal). watched: a kernel with a person. headless: nobody is there."""

    PLAIN = "plain"
    WATCHED = "watched"
    HEADLESS = "headless"


def occasion() -> Occasion:
    """The one of now. A kernel that may not ask for input is watched by nobody (nbclient, papermill), but Voilà's."""
    if _set(HEADLESS):
        return Occasion.HEADLESS
    kernel = kernel_of()
    if kernel is None:
        return Occasion.PLAIN
    in_voila = os.environ.get("SERVER_SOFTWARE", "").startswith("voila")
    return Occasion.WATCHED if in_voila or getattr(kernel, "_allow_stdin", True) else Occasion.HEADLESS


def confirmation() -> str:
    """What was typed before the kernel started; "" where nothing was."""
    return os.environ.get(CONFIRM, "").strip()


def is_dry_run() -> bool:
    """Whether plans are only to be looked at."""
    return _set(DRY_RUN)


def kernel_of() -> Any:
    """The kernel that runs this, None without one. IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def cell() -> str:
    """Names the execution at hand, so that one thing is not shown twice in it; "" outside a kernel."""
    kernel = kernel_of()
    if kernel is None:
        return ""
    try:
        return str(kernel.get_parent()["header"]["msg_id"])
    except (AttributeError, KeyError, TypeError):
        return ""


def _set(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no")
