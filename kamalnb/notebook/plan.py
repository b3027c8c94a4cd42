"""``Plan`` as people hold it in a notebook: it shows itself, and what it begins shows itself too."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from ..errors import NotConfirmed
from ..fleet import Plan as CorePlan
from ..fleet import Rollout as CoreRollout
from ..runs import Options
from .occasion import CONFIRM, Occasion, confirmation, is_dry_run, occasion
from .rollout import Home, Order, Rollout, Stage

BY_CLICK = frozenset({"undo"})
"""Verbs for which one click is enough: the way back has to be quick."""


class _Begun:
    """The rollout that a plan has begun: one for each plan."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rollout: Rollout | None = None


@dataclass(frozen=True, kw_only=True)
class Plan(CorePlan):
    """What a run would change, host by host. Nothing is changed before ``boot()`` is confirmed.

    ``target`` is what a person types to confirm it (``web@abc``); ``steps`` is a DataFrame; ``warnings`` are sentences.
    """

    home: Home | None = field(default=None, repr=False, compare=False)
    begun: _Begun = field(default_factory=_Begun, repr=False, compare=False)

    def boot(self, *, confirm: str = "", **how: object) -> Rollout:  # type: ignore[override]
        """Does it, or refuses where the fleet or the file has changed since.

        In a notebook it returns at once and waits for its confirmation; ``confirm`` (the target) begins it at once.
        Where nobody watches, it lasts to the end and raises ``RolloutFailed``, or ``NotConfirmed`` without the right
        word. Called again it is the same rollout, unless nothing came of that.
        """
        rollout = self.rollout(occasion(), how)
        return started(rollout, confirm, free=bool(how.get("dry_run")) or self._is_idle)

    def rollout(self, where: Occasion, how: dict[str, Any] | None = None) -> Rollout:
        """Its one rollout, neither shown nor begun; a new one where nothing came of the last."""
        with self.begun.lock:
            if self.begun.rollout is None or _came_to_nothing(self.begun.rollout):
                self.begun.rollout = Rollout(self._order(how or {}), where)
            return self.begun.rollout

    @property
    def _is_idle(self) -> bool:
        """Nothing would be done. A deploy does more than its boots: hooks, a release command."""
        return not self.hosts and self.verb in ("boot", "rollback", "undo")

    def _order(self, how: dict[str, Any]) -> Order:
        def begin(typed: str) -> CoreRollout:
            options: Options = {"confirm": typed, **how, "plan_id": self.id, "seen": self.moves}  # type: ignore[typeddict-item]
            return self.begin(options)

        return Order(
            verb=self.verb, target=self.target, hosts=len(self.hosts), begin=begin, plan=self,
            version=self.version, typed=self.verb not in BY_CLICK, home=self.home,
        )  # fmt: skip

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .cards import plan_html, plan_text

        return {"text/html": str(plan_html(self)), "text/plain": plan_text(self)}

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def __repr__(self) -> str:
        return f"Plan({self.id}, {self.verb} {self.target}, {len(self.hosts)} hosts)"


def started(rollout: Rollout, confirm: str, *, free: bool = False) -> Rollout:
    """What a verb gives back: begun, asking, or done, as the occasion is.

    ``free`` needs no confirmation, since nothing is changed.
    """
    if rollout.state is not Stage.UNCONFIRMED:
        return rollout.show() if rollout.occasion is not Occasion.PLAIN else rollout
    if is_dry_run():
        what = f"{rollout.order.verb} {rollout.target}"
        return _shown(rollout.end_dry(f"Dry run: {what} was not begun. Nothing was changed."))
    if rollout.occasion is Occasion.HEADLESS:
        word = rollout.target if free else confirm or confirmation()
        if word != rollout.target:
            given = f"“{word}” is not it. " if word else ""
            how = f"Say confirm={rollout.target!r} or {CONFIRM}={rollout.target}."
            raise NotConfirmed(f"{given}Nobody confirms {rollout.order.verb} {rollout.target} here. {how}")
        return rollout.run_here()
    if confirm or free:
        if confirm and confirm != rollout.target:
            raise NotConfirmed(f"“{confirm}” is not it. Nothing was begun. The word is {rollout.target}.")
        if rollout.occasion is Occasion.WATCHED:
            rollout.show()
            rollout.start("" if free else confirm)
        rollout.given = confirm
    elif rollout.occasion is Occasion.WATCHED:
        rollout.show()
    return rollout


def _shown(rollout: Rollout) -> Rollout:
    return rollout if rollout.occasion is Occasion.PLAIN else rollout.show()


def _came_to_nothing(rollout: Rollout) -> bool:
    """It was discarded, or refused before anything was changed: it may be asked for again."""
    if rollout.state in (Stage.DISCARDED, Stage.DRY):
        return True
    finished = rollout.report.finished
    return finished is not None and not finished.ok and finished.sentence.startswith("Nothing was changed")
