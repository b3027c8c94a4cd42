"""``Rollout`` as people hold it in a notebook: it waits for its confirmation, runs in the background, shows itself."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import KamalnbError, NotConfirmed, RolloutFailed
from ..events import Event, RunFinished
from ..fleet import Rollout as CoreRollout
from ..report import Report
from ..wording import counted
from .history import History
from .occasion import Occasion
from .record import About, bundle
from .runner import Runner
from .showing import Shown

if TYPE_CHECKING:
    import pandas as pd

    from .plan import Plan
    from .timeline import Timeline


class Stage(StrEnum):
    """How far a rollout is. The last five are ends."""

    UNCONFIRMED = "waiting for confirmation"
    RUNNING = "running"
    CANCELLING = "stopping"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    DISCARDED = "discarded"
    DRY = "dry run"


class Home(Protocol):
    """Where a run belongs: a fleet."""

    def noted(self, what: str, version: str) -> tuple[str, Callable[[bool], None]]:
        """Who does it; and a note of it on this machine, taken away by what is returned."""
        ...


@dataclass(frozen=True, kw_only=True)
class Order:
    """A change that can be begun: ``begin`` is given what was typed. ``click`` is enough where ``typed`` is False."""

    verb: str
    target: str
    hosts: int
    begin: Callable[[str], CoreRollout]
    typed: bool = True
    plan: Plan | None = None
    version: str = ""
    home: Home | None = None

    @property
    def question(self) -> str:
        """What a person is asked."""
        if not self.typed:
            return f"{self.verb.capitalize()} on {counted(self.hosts, 'host')}?"
        what = f"{self.verb} {counted(self.hosts, 'host')}"
        return f"Type {self.target} to {what}:" if self.target else f"Confirm to {what}:"


class Rollout(CoreRollout):
    """A change of the fleet: not begun, going on, or ended.

    ``report`` is always the state so far, ``events`` everything as a DataFrame. ``cancel`` may be called from anywhere:
    hosts before their switch undo, hosts past it finish. ``wait()`` and ``await`` last until its end.
    """

    def __init__(self, order: Order, occasion: Occasion) -> None:
        self.order = order
        self.target = order.target
        self.occasion = occasion
        self.history = History()
        self._runner = Runner(self._begin, self.history, self._finished)
        self.given = ""
        """What was said in the call, where nobody is asked."""
        self._typed = ""
        self._by = ""
        self._over: Callable[[bool], None] = lambda ok: None
        self._afterwards: list[Callable[[], None]] = []
        self._stage = Stage.UNCONFIRMED
        self._guard = threading.Lock()
        self._shown = Shown(self)

    @property
    def report(self) -> Report:  # type: ignore[override]
        """The state so far: a line for each role on each host."""
        return self.history.report

    @property
    def state(self) -> Stage:
        """How far it is."""
        stage = self._stage
        if stage is not Stage.RUNNING:
            return stage
        if not self.history.ended:
            return Stage.CANCELLING if self.report.cancelling else stage
        return Stage.DONE if self.report.ok else Stage.STOPPED if self.report.cancelling else Stage.FAILED

    @property
    def events(self) -> pd.DataFrame:
        """Every event so far: at, seconds, host, role, event, phase, step, outcome, took, message."""
        return self.history.frame()

    @property
    def about(self) -> About:
        """What its record says besides what happened."""
        plan = self.order.plan
        return About(verb=self.order.verb, target=self.target, plan_id=plan.id if plan else "", by=self._by)

    def timeline(self, lost: dict[str, list[float]] | None = None) -> Timeline:
        """A picture of who did what when. ``lost`` are moments of lost requests, by host, where they are known."""
        from .timeline import Timeline

        return Timeline(self.history, lost or {})

    def confirm(self, typed: str = "") -> bool:
        """Begins it. False where that was done already. Raises ``NotConfirmed`` where the word is not the right one."""
        if self.order.typed and typed.strip() != self.target:
            given = f"“{typed.strip()}” is not it. " if typed.strip() else ""
            raise NotConfirmed(f"{given}Nothing was begun. Type {self.target} to {self.order.verb}.")
        return self.start(self.target)

    def start(self, typed: str) -> bool:
        """Begins it as if ``typed`` had been typed: fleets with ``confirm: true`` ask for the right word themselves."""
        with self._guard:
            if self._stage is not Stage.UNCONFIRMED:
                return False
            self._stage, self._typed = Stage.RUNNING, typed
        self._runner.start()
        self._shown.stage_changed()
        return True

    def discard(self) -> None:
        """Gives it up before it was begun; one that runs is not touched."""
        with self._guard:
            if self._stage is not Stage.UNCONFIRMED:
                return
            self._stage = Stage.DISCARDED
        self.history.end()
        self._shown.stage_changed()

    def cancel(self) -> None:
        """Asks it to stop; it still tells everything until its end. One that was not begun is discarded."""
        self.discard()
        if self._stage is Stage.RUNNING:
            self._runner.cancel()

    def wait(self, check: bool = True) -> Report:
        """Lasts until its end. An interrupt stops the run and waits on, a second one leaves.

        Raises ``NotConfirmed`` where nobody has confirmed it, ``RolloutFailed`` where it ended badly, unless ``check``
        is False.
        """
        self._must_be_begun()
        interrupted = False
        while not self.history.ended:
            try:
                self.history.wait(0.25)  # an interrupt is seen between two waits
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                self.cancel()
        return self._outcome(check)

    def __await__(self) -> Generator[Any, None, Report]:
        return self._awaited().__await__()

    def __iter__(self) -> Iterator[Event]:
        self._must_be_begun()
        try:
            yield from self.history.follow()
        finally:
            if not self.history.ended:
                self.cancel()

    async def _awaited(self) -> Report:
        self._must_be_begun()
        interrupted = False
        while not self.history.ended:
            try:
                await asyncio.to_thread(self.history.wait, 0.25)
            except (asyncio.CancelledError, KeyboardInterrupt):
                if interrupted:
                    raise
                interrupted = True
                self.cancel()
        return self._outcome(True)

    def _must_be_begun(self) -> None:
        if self._stage is Stage.UNCONFIRMED:
            if self.occasion is not Occasion.PLAIN:
                how = (
                    f"type {self.target} into its box, or say .confirm({self.target!r})"
                    if self.order.typed
                    else "click"
                )
                raise NotConfirmed(f"Nobody has confirmed this {self.order.verb}; nothing was begun. To go on, {how}.")
            self.start(self.given)
        if self._stage is Stage.DISCARDED:
            raise NotConfirmed(f"This {self.order.verb} was discarded; nothing was begun. Make a new plan.")

    def _outcome(self, check: bool) -> Report:
        if check and not self.report.ok:
            sentence = self.report.finished.sentence if self.report.finished else "The run did not end."
            raise RolloutFailed(sentence, self.report)
        return self.report

    def _begin(self) -> CoreRollout:
        if self.order.home is not None:
            # What is wrong there is told by the run itself.
            with contextlib.suppress(KamalnbError):
                what = f"{self.order.verb} {self.target}"
                self._by, self._over = self.order.home.noted(what, self.order.version)
        return self.order.begin(self._typed)

    def _finished(self) -> None:
        self._over(self.report.ok)
        self._shown.stage_changed()
        with self._guard:
            waiting, self._afterwards = self._afterwards, []
        for action in waiting:
            action()

    def when_over(self, action: Callable[[], None]) -> None:
        """Calls ``action`` once it has ended, from whichever thread; at once where it has."""
        with self._guard:
            if not self.history.ended:
                self._afterwards.append(action)
                return
        action()

    def end_dry(self, sentence: str) -> Rollout:
        """Ends it without anything done: nobody wanted more than the plan."""
        self._stage = Stage.DRY
        self.history.add(RunFinished(at=0.0, ok=True, sentence=sentence))
        self.history.end()
        return self

    def run_here(self) -> Rollout:
        """Runs to the end before it returns, as nobody could see it in the background. Raises where it ends badly."""
        from .painter import Painter

        self._shown.display()
        self.start(self.target)
        Painter(self.history, self._shown.progress, lambda: None, rate=0.5)
        try:
            self.wait()
        finally:
            self._shown.swap()
        return self

    def show(self) -> Rollout:
        """Shows it in this cell."""
        self._shown.display()
        return self

    def widget(self, undo: Callable[[], None] | None = None) -> Any:
        """Its live view as a widget, to be put into another one; ``undo`` is what its button does at the end."""
        return self._shown.view(folded=False, undo=undo).widget

    def _ipython_display_(self) -> None:
        self._shown.display()

    def _repr_html_(self) -> str:
        return str(self._shown.bundle()["text/html"])

    def __repr__(self) -> str:
        named = f"{self.order.verb} {self.target}"
        sentence = f": {self.report.finished.sentence}" if self.report.finished else ""
        return f"Rollout({named}, {self.state}{sentence})"

    def record(self) -> dict[str, Any]:
        """What stays in a cell when it has ended: HTML, text, and a few facts for programs."""
        return bundle(self.history, self.about)
