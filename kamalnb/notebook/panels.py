"""``kn.panel(fleet)``: choose, look, plan, boot and undo by hand; each action shows the line of code it stands for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .. import exits
from ..errors import KamalnbError, UsageError
from ..fleet import Fleet as CoreFleet
from ..runs import Options
from ..tags import Listed
from .choices import Seen, look
from .fleet import Fleet, dressed
from .grid import grid
from .markup import joined, tag
from .occasion import Occasion, cell, occasion
from .panel_form import Choice, Form
from .plan import Plan
from .rollout import Rollout, Stage
from .settled import Settled
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
                button.on_click(_clicked(self._form.settled, action))
        return self._form

    def look(self) -> None:
        """Asks the chosen hosts what they have, and the registry which tags."""
        whole = self._whole(self.form.chosen())
        self._worker.ask("Asking every host…", lambda: self._looked(whole, None))

    def plan(self) -> None:
        """Shows what a boot of the chosen version would change, and asks for its confirmation."""
        choice = self.form.chosen()
        chosen, version, how = self._part(choice), choice.version, _how(choice)
        self._worker.ask(f"Planning {version}…", lambda: self._planned(chosen, version, how))

    def undo(self) -> None:
        """Goes back, at once: the way back has to be quick."""
        choice = self.form.chosen()
        chosen, how = self._part(choice), _how(choice)
        self._worker.ask("Undoing…", lambda: self._undone(chosen, how), urgent=True)

    def take_back(self, rollout: Rollout) -> None:
        """Undoes what one rollout has done, at once: also where something else is chosen by now."""
        how = _how(self.form.chosen())
        self._worker.ask("Undoing…", lambda: self._taken_back(rollout, how), urgent=True)

    def _looked(self, fleet: Fleet, known: Listed | None) -> str:
        self._seen = seen = look(fleet, known)
        self.form.show_seen(seen)
        self.form.table.html(table_html(grid(seen.containers)), tools=True)
        self._note(f"{self._spelled(fleet)}.containers()")
        answered = f"{len(seen.hosts) - len(seen.unreachable)} of {len(seen.hosts)} hosts answered."
        return f"{answered} {seen.note}".strip()

    def _planned(self, fleet: Fleet, version: str, how: Options) -> str:
        if not version:
            raise UsageError("Choose a version, or type one.")
        self._must_be_free()
        made = self._plan_of(lambda: fleet.plan(version, **how))
        self._make_room()
        self._note(f"{self._spelled(fleet)}.plan({_words_of(version, how)}).boot(confirm={made.target!r})")
        self._show(made.rollout(Occasion.WATCHED))
        return f"Plan {made.id}: nothing was changed. Type {made.target} to go on." if made.hosts else "Nothing to do."

    def _undone(self, fleet: Fleet, how: Options) -> str:
        self._must_be_free()
        return self._back(fleet, self._plan_of(lambda: fleet.plan(verb="undo", **how)), how)

    def _taken_back(self, rollout: Rollout, how: Options) -> str:
        from .way_back import part_to_undo, plan_to_undo

        self._must_be_free()
        part = part_to_undo(rollout)
        if part is None:
            return ""
        return self._back(part, self._plan_of(lambda: plan_to_undo(rollout, part, **how)), how)

    def _back(self, fleet: Fleet, made: Plan, how: Options) -> str:
        self._make_room()
        rollout = made.rollout(Occasion.WATCHED)
        self._note(f"{self._spelled(fleet)}.undo({_words_of(None, {**how, 'confirm': made.target})})")
        self._show(rollout)
        rollout.start(made.target)
        return f"Going back: {made.target}."

    def _plan_of(self, make: Callable[[], Plan]) -> Plan:
        try:
            return make()
        except KamalnbError as error:
            if error.exit_code == exits.UNREACHABLE:  # found out since the last look
                self.form.offer_leaving_out()
            raise

    def _must_be_free(self) -> None:
        running = self._rollout is not None and self._rollout.state in (Stage.RUNNING, Stage.CANCELLING)
        if running:
            raise UsageError("A rollout of this panel is under way. Wait for its end, or cancel it.")

    def _make_room(self) -> None:
        """Gives up what is shown. One that was begun while the next was planned stays, with its button to cancel."""
        if self._rollout is not None:
            self._rollout.discard()  # from here on it cannot be begun
        self._must_be_free()

    def _show(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self.form.stage.children = [rollout.widget(undo=lambda: self.take_back(rollout))]
        rollout.when_over(lambda: self._over(rollout))

    def _over(self, rollout: Rollout) -> None:
        """Keeps the record below the panel, for whoever opens the notebook later; then looks again."""
        if rollout.report.finished is None:
            return
        with contextlib.suppress(Exception):
            if self._record is not None:
                self._record.update(rollout.record(), raw=True)
        # The registry has what it had: a login that a person has to touch a key for is not asked for again.
        whole, known = self._whole(self.form.chosen()), self._seen.registry if self._seen is not None else None
        # Urgent, for nobody asks again: what was seen before the rollout would stay.
        self._worker.ask("Asking every host…", lambda: self._looked(whole, known), urgent=True)

    def _whole(self, choice: Choice) -> Fleet:
        return replace(self.fleet, destination=choice.destination or self.fleet.destination)

    def _part(self, choice: Choice) -> Fleet:
        whole, roles, hosts = self._whole(choice), choice.roles, choice.hosts
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


def _how(choice: Choice) -> Options:
    return {"skip_unreachable": True} if choice.leaves_out else {}


def _words_of(version: str | None, how: Options) -> str:
    """What stands between the brackets of a verb."""
    given = [repr(version)] if version is not None else []
    return ", ".join([*given, *(f"{name}={value!r}" for name, value in how.items())])


def _words(fleet: Fleet) -> tuple[list[str], list[str]]:
    return list(fleet.roles), list(fleet.hosts)


def _saved(text: str) -> dict[str, str]:
    return {"text/html": str(styled(tag("div", say(text), class_="kn-card"))), "text/plain": text}


def _clicked(settled: Settled, action: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _button: settled(action)
