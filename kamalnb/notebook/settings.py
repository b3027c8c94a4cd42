"""``kn.options``: the few things that people may want otherwise."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import UsageError


@dataclass
class Options:
    """``timezone``: how times are shown (a name as ``Europe/Vienna``; "" is UTC). ``rows``: how many rows a saved table
    holds at most. ``hosts``: how many hosts a live view shows at once. ``frames``: how often a second it is drawn at
    most. ``refresh_limit``: seconds after which ``show(…, every=)`` stops by itself.
    """

    timezone: str = ""
    rows: int = 200
    hosts: int = 30
    frames: int = 8
    refresh_limit: float = 3600.0

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in (names := [field.name for field in fields(self)]):
            raise UsageError(f"There is no option “{name}”. There are: {', '.join(names)}.")
        if name == "timezone":
            _must_be_zone(value)
        elif not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise UsageError(f"“{name}” is a number above 0, not {value!r}.")
        object.__setattr__(self, name, value)


def _must_be_zone(name: object) -> None:
    try:
        ZoneInfo(str(name) or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"There is no timezone “{name}”. Names are like Europe/Vienna or UTC.") from None


options = Options()
"""The ones of this process."""
