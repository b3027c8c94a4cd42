"""Whole runs over the fleet as streams of events: boot, deploy, undo, and every other change.

Each looks before it changes, holds the lock while it changes, and ends with ``RunFinished``.
"""

from __future__ import annotations

from .how import How, Options, Stream

__all__ = ["How", "Options", "Stream"]
