"""What people look at: for each table its columns, the one script a host is asked, and its rows. No I/O here.

A host is asked once, in one script; what only all hosts together tell (skew, order) is worked out after that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..config.model import Config, Role
from ..flow import Flow
from ..plan import Selection
from ..tables import Column, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One host that is asked: ``roles`` are the chosen ones there, ``now`` is our time in seconds since 1970."""

    config: Config
    host: str
    roles: tuple[Role, ...]
    now: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What all hosts said: rows in the hosts' order, and who did not answer (host to reason)."""

    config: Config
    selection: Selection
    rows: tuple[Row, ...]
    failed: dict[str, str] = field(default_factory=dict)
    now: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One table that can be asked for.

    ``look`` asks one host; ``missing`` makes the rows of a host that did not answer; ``whole`` sorts and marks what
    only all rows together tell; ``notes`` says what belongs below the table.
    """

    name: str
    columns: tuple[Column, ...]
    look: Callable[[Scene], Flow[tuple[Row, ...]]]
    missing: Callable[[Scene, str], tuple[Row, ...]] = lambda scene, why: (
        {"host": scene.host, "status": "unreachable", "error": why},
    )
    whole: Callable[[Answers], tuple[Row, ...]] = lambda answers: answers.rows
    notes: Callable[[Answers, Sequence[Row]], tuple[str, ...]] = lambda answers, rows: ()
