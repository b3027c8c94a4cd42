"""Shows a rollout in cells: a live view while it lasts, a static record in the same place when it has ended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .markup import joined, tag
from .occasion import Occasion, cell
from .style import styled
from .tables import say

if TYPE_CHECKING:
    from .rollout import Rollout
    from .view import RolloutView
    from .way_back import Offer


class Shown:
    """Every place where one rollout is shown. Displaying is for cells; updating may come from any thread."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._handles: list[Any] = []
        self._view: RolloutView | None = None
        self._offer: Offer | None = None
        self._cell = ""
        self._lock = threading.RLock()

    def display(self) -> None:
        """Shows it in this cell; once, however often it is asked in one execution."""
        from IPython.display import display

        here = cell()
        with self._lock:
            if here and here == self._cell:
                return
            self._cell = here
            if self._rollout.occasion is Occasion.PLAIN:
                display(self.bundle(), raw=True)  # type: ignore[no-untyped-call]
                return
            shown = self.bundle() if self._is_static() else {**self._widget(), **self.bundle()}
            handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
            if handle is not None:
                self._handles.append(handle)
            if not self._is_static():
                self._keep_place()
        if self._rollout.history.ended:
            self.swap()

    def _keep_place(self) -> None:
        """A place below it for the way back: a thread cannot add one to a cell later."""
        from .way_back import VERBS, Offer

        if self._rollout.order.verb in VERBS:
            self._offer = self._offer or Offer(self._rollout)
            self._offer.display()

    def view(self, *, folded: bool = True, undo: Callable[[], None] | None = None) -> RolloutView:
        """The live view; one, however often it is shown. A cell above has told the steps, mostly.

        ``undo`` is what a click does when there is something to take back.
        """
        from .view import RolloutView

        with self._lock:
            if self._view is None:
                self._view = RolloutView(self._rollout, folded=folded, undo=undo)
            return self._view

    def stage_changed(self) -> None:
        """The rollout was confirmed, discarded, or has ended."""
        with self._lock:
            view = self._view
        if view is not None:
            view.stage_changed()
        if self._rollout.history.ended:
            self.swap()

    def swap(self) -> None:
        """Every cell that shows it holds the static form from now on."""
        with self._lock:  # held until it is told: whoever comes second may end the kernel
            handles, self._handles = self._handles, []
            if handles:
                self._update(handles, self.bundle())
            if self._offer is not None:
                with contextlib.suppress(Exception):  # the file may be gone; the run's end must not fail for it
                    self._offer.show()

    def progress(self) -> None:
        """Tells cells without a live view how far it is."""
        from .frame import counted, frame, frame_html

        history = self._rollout.history
        shown = frame(history, self._rollout.target)
        with self._lock:
            told = {"text/html": str(styled(frame_html(shown))), "text/plain": f"{shown['title']}: {shown['count']}"}
            if not history.ended and counted(history.report):
                self._update(self._handles, told)

    def _update(self, handles: list[Any], bundle: dict[str, Any]) -> None:
        for handle in handles:
            # A kernel that goes down has nobody to tell; the run's end must not fail for it.
            with contextlib.suppress(Exception):
                handle.update(bundle, raw=True)

    def bundle(self) -> dict[str, Any]:
        """Its form without a widget."""
        from .rollout import Stage

        rollout = self._rollout
        if rollout.state is Stage.DISCARDED:
            return _sentence(f"{rollout.order.verb} {rollout.target}: discarded; nothing was begun.")
        if rollout.state is Stage.DRY:
            return _dry(rollout)
        if rollout.history.ended:
            return rollout.record()
        what = f"{rollout.order.verb} {rollout.target}"
        return _sentence(
            f"{what}: it had not ended, or not begun, when this was saved. fleet.status() says where the hosts stand."
        )

    def _is_static(self) -> bool:
        return self._rollout.occasion is Occasion.HEADLESS or self._rollout.history.ended

    def _widget(self) -> dict[str, Any]:
        from .widget import mime

        return mime(self.view().widget)


def _sentence(text: str) -> dict[str, Any]:
    return {"text/html": str(styled(tag("div", say(text), class_="kn-card"))), "text/plain": text}


def _dry(rollout: Rollout) -> dict[str, Any]:
    from .cards import plan_body, plan_text

    sentence = rollout.report.finished.sentence if rollout.report.finished else ""
    plan = rollout.order.plan
    body = joined(say(sentence, "mind"), plan_body(plan) if plan else "")
    return {
        "text/html": str(styled(tag("div", body, class_="kn-card"))),
        "text/plain": f"{sentence}\n{plan_text(plan)}" if plan else sentence,
    }
