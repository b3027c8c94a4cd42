"""``kn.show``: a table to be read, searched and sorted; with ``every=`` one that asks again until it is stopped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .grid import Grid, grid
from .occasion import Occasion, occasion
from .style import styled
from .tables import lines, table_html

if TYPE_CHECKING:
    from .refresh import Refreshed

MOST = 5000
"""Rows that a page is given at most, to be searched there."""


def show(of: Any, *, every: str | float | None = None, wide: bool = False) -> Shown | Refreshed:
    """Shows a DataFrame, or what a verb gives: ``kn.show(fleet.containers)``. ``wide`` shows every column.

    ``every`` ("10s", "1 min", seconds) asks again and again, marking what is new, gone or changed, until it is
    stopped, fails, or ``kn.options.refresh_limit`` is over. Where nobody watches, it asks once.
    """
    if every is not None and not callable(of):
        raise UsageError("every= needs something that can be asked again: kn.show(fleet.containers, every=10).")
    if every is not None and occasion() is Occasion.WATCHED:
        from .refresh import Refreshed

        return Refreshed(of, _seconds(every), wide=wide)
    return Shown(grid(of() if callable(of) else of, wide=wide))


class Shown:
    """A table as it was: searchable where a kernel shows it, and plain HTML and text everywhere."""

    def __init__(self, made: Grid) -> None:
        self.grid = made

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        static = bundle(self.grid)
        if occasion() is not Occasion.WATCHED or len(self.grid.rows) < 2:
            return static
        from .widget import Picture, mime

        picture = Picture()
        if not picture.is_live:
            return static
        picture.html(table_html(self.grid, limit=MOST), tools=True)
        return {**mime(picture.widget), **static}

    def _repr_html_(self) -> str:
        return str(bundle(self.grid)["text/html"])

    def __repr__(self) -> str:
        return "\n".join(lines(self.grid))


def bundle(made: Grid) -> dict[str, str]:
    """The static forms of a table."""
    return {"text/html": str(styled(table_html(made))), "text/plain": "\n".join(lines(made))}


def _seconds(every: str | float) -> float:
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?)?\s*", str(every))
    if not found or float(found[1]) <= 0:
        raise UsageError(f'{every!r} is no stretch of time. Write every=10 or every="10s", "2min".')
    return max(0.5, float(found[1]) * {"m": 60.0, "h": 3600.0}.get((found[2] or "s")[0], 1.0))
