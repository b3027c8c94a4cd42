"""The way back below a rollout that went well: one click undoes what it did, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

import ipywidgets

from ..errors import UsageError
from ..report import State
from ..runs import Options
from ..steps import NOTHING as NO_STEP
from ..wording import short
from .occasion import Occasion
from .widget import Picture, mime
from .worker import Worker

if TYPE_CHECKING:
    from .fleet import Fleet
    from .plan import Plan
    from .rollout import Rollout

VERBS = frozenset({"boot", "deploy", "redeploy", "rollback"})
"""What can be undone by a click where it was done."""
NOTHING = {"text/html": "", "text/plain": ""}


def part_to_undo(rollout: Rollout) -> Fleet | None:
    """The part of the fleet that this rollout has changed; None where an undo would take back more or less than that.

    A host that was passed over, or left out, keeps what it has.
    """
    from .fleet import Fleet

    home = rollout.order.home
    if rollout.order.verb not in VERBS or not isinstance(home, Fleet) or not rollout.report.ok:
        return None
    booted = {(line.host, line.role) for line in rollout.report.lines if line.state is State.BOOTED}
    hosts = tuple(dict.fromkeys(host for host, _role in _pairs(home) if host in {one for one, _ in booted}))
    roles = tuple(dict.fromkeys(role for _host, role in _pairs(home) if role in {one for _, one in booted}))
    narrow = home.where(hosts=hosts, roles=roles)
    whole = booted == set(_pairs(home))
    return home if whole and booted else narrow if booted and booted == set(_pairs(narrow)) else None


def plan_to_undo(rollout: Rollout, part: Fleet, **how: Unpack[Options]) -> Plan:
    """The plan of that undo. Raises where something else serves by now: an undo would take that away."""
    plan = part.plan(verb="undo", **how)
    brought = {(line.host, line.role): line.serving for line in rollout.report.lines if line.state is State.BOOTED}
    others = [
        f"{step.role} on {step.host} serves {short(step.before or 'nothing')} now"
        for step in plan.moves
        if step.way != NO_STEP and step.before != brought.get((step.host, step.role))
    ]
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise UsageError(
            f"Nothing was changed: {others[0]}{more}, and this button takes back {short(rollout.report.version)} only. "
            "To go back from what serves now: fleet.undo(), or Undo beside Plan in a panel."
        )
    return plan


def button(action: Callable[[], None]) -> Any:
    """The button for it."""
    made = ipywidgets.Button(
        description="Undo", tooltip="What served before serves again", button_style="warning", layout={"width": "auto"}
    )
    made.on_click(lambda _button: action())
    return made


class Offer:
    """The button in a cell of its own output, below the record; the undo shows itself in its place."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._worker = Worker(self._busy, self._told)
        self._said = Picture()
        self._handles: list[Any] = []
        self.undo: Rollout | None = None
        """What a click has begun."""
        self.button = button(self._clicked)
        self.widget = ipywidgets.VBox([])

    def display(self) -> None:
        """Keeps a place for it below what is shown in this cell; it is empty until there is a way back."""
        from IPython.display import display

        handle = display({**mime(self.widget), **NOTHING}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        if handle is not None:
            self._handles.append(handle)

    def show(self) -> None:
        """Shows the button, where the rollout has left something to undo."""
        if self.undo is None and part_to_undo(self._rollout) is not None:
            self.widget.children = [self.button, self._said.widget]

    def _clicked(self) -> None:
        self._worker.ask("Undoing…", self._begin)

    def _begin(self) -> str:
        part = part_to_undo(self._rollout)
        if part is None or self.undo is not None:
            return ""
        plan = plan_to_undo(self._rollout, part)
        self.undo = plan.rollout(Occasion.WATCHED)
        self.widget.children = [self.undo.widget()]
        self.undo.start(plan.target)
        self.undo.when_over(self._keep)
        return ""

    def _keep(self) -> None:
        """What came of it stays in the notebook, without a widget."""
        if self.undo is None:
            return
        handles, self._handles = self._handles, []
        for handle in handles:
            with contextlib.suppress(Exception):  # a page that went away must not end the run's thread
                handle.update(self.undo.record(), raw=True)

    def _busy(self, what: str) -> None:
        self.button.disabled = True
        self._said.line(what, "busy")

    def _told(self, said: str, well: bool) -> None:
        self.button.disabled = False
        self._said.line(said, "" if well else "bad")


def _pairs(fleet: Fleet) -> tuple[tuple[str, str], ...]:
    return tuple((host, role.name) for host, role in fleet._select(fleet._project().config).pairs)
