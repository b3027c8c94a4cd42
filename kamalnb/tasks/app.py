"""Tasks for the app's containers, one for each command of Kamal's ``app``."""

from __future__ import annotations

TASKS = ()
"""In the order of the list."""
