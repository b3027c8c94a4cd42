"""``kn.panel(fleet)``: choose, look, plan, boot and undo by hand; each action shows the line of code it stands for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..errors import UsageError
from ..fleet import Fleet as CoreFleet
from .choices import Seen, look
from .fleet import Fleet, dressed
from .grid import grid
from .markup import joined, tag
from .occasion import Occasion, cell, occasion
from .panel_form import Form
from .rollout import Rollout, Stage
from .style import styled
from .tables import say, table_html
from .widget import mime
from .worker import Worker


def panel(fleet: CoreFleet | None = None) -> Panel:
    """A panel on a fleet, ``kn.Fleet()`` by default. It looks at the hosts once it is shown, and when asked to."""
    return Panel(dressed(fleet) if fleet is not None else Fleet())


class Panel:
    """Widgets over one fleet. Clicks only ask; one thing at a time is done in the background."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.lines: list[str] = []
        """The code of what was done, in order."""
        self._form: Form | None = None
        self._worker = Worker(self._busy, self._told)
        self._rollout: Rollout | None = None
        self._seen: Seen | None = None
        self._record: Any = None
        self._cell = ""

    @property
    def form(self) -> Form:
        """Its widgets; made when they are first needed."""
        if self._form is None:
            self._form = Form(self.fleet)
            for button, action in (
                (self._form.look, self.look), (self._form.plan, self.plan), (self._form.undo, self.undo),
            ):  # fmt: skip
                button.on_click(_clicked(action))
        return self._form

    def look(self) -> None:
        """Asks the chosen hosts what they have."""
        whole = self._chosen(parts=False)
        self._worker.ask("Asking every host…", lambda: self._looked(whole))

    def plan(self) -> None:
        """Shows what a boot of the chosen version would change, and asks for its confirmation."""
        chosen, version = self._chosen(), self.form.chosen_version()
        self._worker.ask(f"Planning {version}…", lambda: self._planned(chosen, version))

    def undo(self) -> None:
        """Goes back, at once: the way back has to be quick."""
        chosen = self._chosen()
        self._worker.ask("Undoing…", lambda: self._undone(chosen))

    def _looked(self, fleet: Fleet) -> str:
        self._seen = seen = look(fleet)
        self.form.show_seen(seen)
        self.form.table.html(table_html(grid(seen.containers)), tools=True)
        self._note(f"{self._spelled(fleet)}.containers()")
        failed = len(seen.containers.failed)
        return f"{len(seen.hosts) - failed} of {len(seen.hosts)} hosts answered."

    def _planned(self, fleet: Fleet, version: str) -> str:
        if not version:
            raise UsageError("Choose a version, or type one.")
        self._must_be_free()
        made = fleet.plan(version)
        self._show(made.rollout(Occasion.WATCHED))
        self._note(f"{self._spelled(fleet)}.plan({version!r}).boot(confirm={made.target!r})")
        return f"Plan {made.id}: nothing was changed. Type {made.target} to go on." if made.hosts else "Nothing to do."

    def _undone(self, fleet: Fleet) -> str:
        self._must_be_free()
        made = fleet.plan(verb="undo")
        rollout = made.rollout(Occasion.WATCHED)
        self._show(rollout)
        rollout.start(made.target)
        self._note(f"{self._spelled(fleet)}.undo(confirm={made.target!r})")
        return f"Going back: {made.target}."

    def _must_be_free(self) -> None:
        running = self._rollout is not None and self._rollout.state in (Stage.RUNNING, Stage.CANCELLING)
        if running:
            raise UsageError("A rollout of this panel is under way. Wait for its end, or cancel it.")

    def _show(self, rollout: Rollout) -> None:
        if self._rollout is not None and self._rollout is not rollout:
            self._rollout.discard()
        self._rollout = rollout
        self.form.stage.children = [rollout.widget()]
        rollout.when_over(lambda: self._over(rollout))

    def _over(self, rollout: Rollout) -> None:
        """Keeps the record below the panel, for whoever opens the notebook later; then looks again."""
        if rollout.report.finished is None:
            return
        with contextlib.suppress(Exception):
            if self._record is not None:
                self._record.update(rollout.record(), raw=True)
        self.look()

    def _chosen(self, *, parts: bool = True) -> Fleet:
        form = self.form
        whole = replace(self.fleet, destination=form.destination.value or self.fleet.destination)
        if not parts:
            return whole
        roles, hosts = form.chosen_roles(), form.chosen_hosts()
        return whole.where(roles=roles or whole.roles, hosts=hosts or whole.hosts) if roles or hosts else whole

    def _spelled(self, fleet: Fleet) -> str:
        parts = []
        if fleet.destination != self.fleet.destination:
            parts.append(f"kn.Fleet(destination={fleet.destination!r})")
        roles, hosts = list(fleet.roles), list(fleet.hosts)
        given = [f"{name}={words!r}" for name, words in (("roles", roles), ("hosts", hosts)) if words]
        where = f".where({', '.join(given)})" if given and (roles, hosts) != _words(self.fleet) else ""
        return f"{parts[0] if parts else 'fleet'}{where}"

    def _note(self, line: str) -> None:
        if self.lines[-1:] != [line]:
            self.lines.append(line)
        self.form.show_code(self.lines)

    def _busy(self, what: str) -> None:
        self.form.say(what, "busy")

    def _told(self, said: str, well: bool) -> None:
        self.form.say(said, "" if well else "bad")

    def _ipython_display_(self) -> None:
        from IPython.display import display

        here = cell()
        if here and here == self._cell:
            return
        self._cell = here
        if occasion() is not Occasion.WATCHED:
            display(self._static(), raw=True)  # type: ignore[no-untyped-call]
            return
        told = "A panel: run the cell to use it. What was done with it is recorded below."
        display({**mime(self.form.widget), **_saved(told)}, raw=True)  # type: ignore[no-untyped-call]
        empty = {"text/html": "", "text/plain": ""}
        self._record = display(empty, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        self.look()

    def _static(self) -> dict[str, str]:
        from .cards import fleet_html, fleet_text

        card = joined(say("A panel needs a notebook that somebody watches."), fleet_html(self.fleet))
        return {"text/html": str(card), "text/plain": fleet_text(self.fleet)}

    def __repr__(self) -> str:
        return f"Panel({self.fleet!r})"


def _words(fleet: Fleet) -> tuple[list[str], list[str]]:
    return list(fleet.roles), list(fleet.hosts)


def _saved(text: str) -> dict[str, str]:
    return {"text/html": str(styled(tag("div", say(text), class_="kn-card"))), "text/plain": text}


def _clicked(action: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _button: action()
