"""The face in Jupyter: the core's Fleet, Plan and Rollout with rich forms, live views, tables and a panel.

Imports point down only: the core knows nothing of notebooks. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fleet import Fleet, pretend
    from .panels import panel
    from .plan import Plan
    from .rollout import Rollout
    from .settings import options
    from .tabled import show

__all__ = ["Fleet", "Plan", "Rollout", "options", "panel", "pretend", "show"]

_HOMES = {
    "Fleet": "fleet", "Plan": "plan", "Rollout": "rollout", "options": "settings", "panel": "panels",
    "pretend": "fleet", "show": "tabled",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
