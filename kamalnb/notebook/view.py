"""The live view of a rollout: the question, then hosts at work with a cancel button, then what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import KamalnbError, NotConfirmed
from .frame import frame
from .markup import Html, joined
from .painter import Painter
from .record import html as record_html
from .settled import Settled
from .tables import say
from .widget import Picture

if TYPE_CHECKING:
    from .rollout import Rollout

_WIDE = {"description_width": "initial"}


class RolloutView:
    """Widgets around one rollout. Clicks come on any thread, maybe twice at once: each only asks the rollout."""

    def __init__(self, rollout: Rollout, *, folded: bool = False, undo: Callable[[], None] | None = None) -> None:
        self._folded = folded
        self._undo = undo
        self._rollout = rollout
        self._pages: set[str] = set()
        self._picture = Picture(self._told)
        self._guard = threading.RLock()
        self._painter: Painter | None = None
        order = rollout.order
        self.box = ipywidgets.Text(
            description=order.question, placeholder=order.target, continuous_update=True, style=_WIDE,
            layout={"width": "auto", "min_width": "26em", "flex": "0 1 auto"},
        )  # fmt: skip
        self._settled = Settled(self._picture, [self.box])
        self.go = _button(order.verb.capitalize(), "primary", lambda: self._settled(self._confirm))
        self.drop = _button("Discard", "", rollout.discard)
        self.stop = _button("Cancel", "warning", self._cancel)
        self.go.disabled = order.typed
        self.box.observe(self._typed, "value")
        self.box.on_msg(self._entered)
        self.widget = ipywidgets.VBox([])
        self.stage_changed()

    def stage_changed(self) -> None:
        """Shows what belongs to the stage that the rollout is in now."""
        from .rollout import Stage

        stage = self._rollout.state
        with self._guard:
            if stage is Stage.UNCONFIRMED:
                self._ask()
            elif stage in (Stage.RUNNING, Stage.CANCELLING):
                self.widget.children = [self._picture.widget, _row(self.stop)]
                if self._painter is None:
                    self._painter = Painter(self._rollout.history, self._paint, self._end)
            elif self._painter is None:
                self._end()

    def _ask(self) -> None:
        order = self._rollout.order
        if order.plan is not None:
            from .cards import plan_body

            self._picture.html(plan_body(order.plan, folded=self._folded))
        words = [self.box] if order.typed else [ipywidgets.Label(order.question)]
        self.widget.children = [self._picture.widget, _row(*words, self.go, self.drop)]

    def _paint(self) -> None:
        self._picture.frame(frame(self._rollout.history, f"{self._rollout.order.verb} {self._rollout.target}"))
        if self._rollout.report.cancelling:  # told later than clicked: never enabled again here
            self.stop.disabled = True

    def _end(self) -> None:
        with self._guard:
            self._picture.html(self._outcome())
            self.widget.children = [self._picture.widget, *self._way_back()]

    def _outcome(self) -> Html:
        rollout = self._rollout
        if rollout.report.finished is None:
            return say(f"{rollout.order.verb} {rollout.target}: discarded; nothing was begun.")
        told = "This page was loaded again meanwhile: run the cell once more to keep the record in the notebook."
        again = say(told, "mind") if len(self._pages) > 1 else ""
        return joined(record_html(rollout.history, rollout.about), again)

    def _way_back(self) -> list[Any]:
        """The button that takes it back, for places that keep their widgets."""
        from .way_back import button, part_to_undo

        if self._undo is None:
            return []
        try:
            part = part_to_undo(self._rollout)
        except KamalnbError:  # the file is broken just now; the run has ended all the same
            part = None
        return [_row(button(self._undo))] if part is not None else []

    def _typed(self, change: Any) -> None:
        self.go.disabled = str(change["new"]).strip() != self._rollout.target

    def _entered(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if isinstance(content, dict) and content.get("event") == "submit":
            self._settled(self._confirm)

    def _confirm(self) -> None:
        self.go.disabled = True
        try:
            self._rollout.confirm(str(self.box.value))
        except NotConfirmed:
            self.box.placeholder = f"{self._rollout.target} is what to type"

    def _cancel(self) -> None:
        self.stop.disabled = True
        self.stop.description = "Stopping…"
        self._rollout.cancel()

    def _told(self, told: dict[str, Any]) -> None:
        page = str(told.get("page"))[:20]
        if told.get("event") != "looks" or page in self._pages:
            return
        with self._guard:
            self._pages.add(page)
            if self._rollout.history.ended:  # it was on its way when the run ended, and was not counted
                self._end()


def _button(word: str, style: str, action: Callable[[], None]) -> Any:
    made = ipywidgets.Button(description=word, button_style=style, layout={"width": "auto"})
    made.on_click(lambda _button: action())
    return made


def _row(*widgets: Any) -> Any:
    return ipywidgets.HBox(list(widgets), layout={"flex_flow": "row wrap", "align_items": "center"})
