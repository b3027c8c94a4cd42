"""A plan for people: what a boot would change, host by host, and the way to do just that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..reads.steps import table
from ..runs import Options
from ..runs.boot import Planned
from ..steps import Step
from ..tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from .rollout import Rollout


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would do. ``boot`` does it, or refuses where the fleet or the file has changed since.

    ``target`` is what a person types to confirm it (``web@abc``); ``warnings`` are sentences.
    """

    planned: Planned
    verb: str = "boot"
    warnings: tuple[str, ...] = ()
    as_of: float = 0.0
    begin: Callable[[Options], Rollout] = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """Eight hex digits: the same again as long as neither the file nor the fleet changes."""
        return self.planned.id

    @property
    def version(self) -> str:
        """The version that serves afterwards."""
        return self.planned.made.version

    @property
    def target(self) -> str:
        """What a person types to confirm it."""
        return self.planned.target

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts that it changes, in order."""
        return self.planned.made.hosts

    @property
    def moves(self) -> tuple[Step, ...]:
        """One step for each role on each host."""
        return self.planned.steps

    def table(self) -> Table:
        """The steps as a table: batch, host, role, from, to, way."""
        return table(self.planned.steps, self.warnings, self.as_of)

    @property
    def steps(self) -> pd.DataFrame:
        """The same as a DataFrame."""
        from ..frames import frame

        return frame(self.table())

    def boot(self, **how: object) -> Rollout:
        """Does it. Raises nothing: a plan that is not true any more ends the rollout before anything is changed."""
        return self.begin({**how, "plan_id": self.id, "seen": self.moves})  # type: ignore[typeddict-item]
