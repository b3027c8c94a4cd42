"""What a person may say of any changing run, and what such a run is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypedDict

from ..events import Event
from ..steps import Step

Stream = Generator[Event, None, None]
"""Events of a run; the last one is ``RunFinished``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a run is to go.

    ``skip_unreachable`` leaves out hosts that cannot be reached. ``dry_run`` changes nothing. ``force`` boots also
    what serves already. ``lock_wait`` is how many seconds somebody else's lock is waited for. ``skip_hooks`` runs no
    hook. ``confirm`` is what was typed where the file asks for confirmation (``web@abc``). ``message`` goes into the
    lock. ``plan_id`` is the plan that was looked at, ``seen`` its steps: a fleet that has changed since is refused, and
    the refusal says what has changed.
    """

    skip_unreachable: bool = False
    dry_run: bool = False
    force: bool = False
    lock_wait: float = 0.0
    skip_hooks: bool = False
    confirm: str = ""
    message: str = ""
    plan_id: str = ""
    seen: tuple[Step, ...] = ()


class Options(TypedDict, total=False):
    """The same as keywords of a verb: see ``How``."""

    skip_unreachable: bool
    dry_run: bool
    force: bool
    lock_wait: float
    skip_hooks: bool
    confirm: str
    message: str
    plan_id: str
    seen: tuple[Step, ...]
