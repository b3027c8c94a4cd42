"""``soak``: random boots, ways back, failures, deaths and faults on the lab, under load, with everything checked."""

from __future__ import annotations

from .rounds import Kind, Round, Story
from .run import Row, Soaked, run

__all__ = ["Kind", "Round", "Row", "Soaked", "Story", "run"]
