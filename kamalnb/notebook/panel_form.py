"""The widgets of a panel: labelled, reachable by keyboard, in the colours of the page."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets

from ..errors import KamalnbError
from .choices import Seen, destinations
from .fleet import Fleet
from .markup import joined, tag
from .settled import Settled
from .style import styled
from .view import _row
from .widget import Picture

_LABEL = {"description_width": "initial"}
_ALL = "(all)"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is chosen in a form at one moment. No role stands for all of them, and so with hosts."""

    destination: str
    roles: tuple[str, ...]
    hosts: tuple[str, ...]
    version: str
    """What was typed, else what was picked."""
    leaves_out: bool
    """Whether hosts that cannot be reached are to be left out."""


class Form:
    """What a panel shows. Holds no decision; every method may be called from any thread."""

    def __init__(self, fleet: Fleet) -> None:
        self._guard = threading.RLock()
        """Held while the choice is read or set: a list that is set anew has nothing chosen for a moment."""
        roles, hosts, there, name = _known(fleet)
        self.destination = ipywidgets.Dropdown(
            description="Destination", options=[("(none)", ""), *((one, one) for one in there)],
            value=fleet.destination or "", style=_LABEL, layout={"width": "auto"},
        )  # fmt: skip
        self.roles = _many("Roles", roles)
        self.hosts = _many("Hosts", hosts)
        self.skip = ipywidgets.Checkbox(
            description="", indent=False, style=_LABEL, layout={"width": "auto", "display": "none"}
        )
        self.version = ipywidgets.Dropdown(
            description="Version", options=[("(look first)", "")], style=_LABEL, layout={"width": "30em"}
        )
        self.typed = ipywidgets.Text(
            description="or type one", placeholder="abc1234", style=_LABEL, layout={"width": "22em"}
        )
        self.look = ipywidgets.Button(description="Look again", layout={"width": "auto"})
        self.plan = ipywidgets.Button(description="Plan", button_style="primary", layout={"width": "auto"})
        self.undo = ipywidgets.Button(description="Undo", button_style="warning", layout={"width": "auto"})
        self.table, self.stage = Picture(), ipywidgets.VBox([])
        self._status = Picture()
        self.settled = Settled(
            self._status, (self.destination, self.roles, self.hosts, self.skip, self.version, self.typed), self._guard
        )
        """Does what a click asks for, when all that was chosen before it is known here."""
        self._code = ipywidgets.HTML()
        self.stage.add_class("kn-stage")
        self.table.widget.add_class("kn-part")
        head = ipywidgets.HTML(str(styled(tag("div", tag("span", name, class_="kn-title"), class_="kn-top"))))
        version = ipywidgets.VBox([self.version, self.typed, _row(self.look, self.plan, self.undo)])
        top = [self.destination] if there else []
        choose = ipywidgets.HBox(
            [*([self.roles] if len(roles) > 1 else []), ipywidgets.VBox([self.hosts, self.skip]), version],
            layout={"flex_flow": "row wrap", "align_items": "flex-start"},
        )
        self.widget = ipywidgets.VBox(
            [head, *top, choose, self._status.widget, self.stage, self.table.widget, self._code]
        )
        self.widget.add_class("kn-form")
        self.show_code([])

    def chosen(self) -> Choice:
        """All that is chosen now."""
        with self._guard:
            return Choice(
                destination=str(self.destination.value or ""),
                roles=tuple(filter(None, self.roles.value)),
                hosts=tuple(filter(None, self.hosts.value)),
                version=str(self.typed.value).strip() or str(self.version.value or ""),
                leaves_out=bool(self.skip.value),
            )

    def offer_leaving_out(self, hosts: Sequence[str] = ()) -> None:
        """Offers to leave out what cannot be reached: ``hosts``, or else those that are named already."""
        which = f": {', '.join(hosts)}" if 0 < len(hosts) <= 3 else f" ({len(hosts)})" if hosts else ""
        if hosts or self.skip.layout.display == "none":
            self.skip.description = f"Leave out unreachable hosts{which}"
        self.skip.layout.display = None

    def forget_leaving_out(self) -> None:
        """Everything can be reached: nothing is left out from now on."""
        self.skip.value = False
        self.skip.layout.display = "none"

    def show_seen(self, seen: Seen) -> None:
        """Hosts with what serves there, versions with where they are; what is chosen stays chosen."""
        serving, found = seen.serving, seen.versions()
        with self._guard:
            self._show_hosts(serving)
            if seen.unreachable:
                self.offer_leaving_out(seen.unreachable)
            else:
                self.forget_leaving_out()
            self._show_versions(found)

    def _show_hosts(self, serving: Mapping[str, str]) -> None:
        chosen = [one for one in self.hosts.value if not one or one in serving]
        with self.hosts.hold_sync():  # the page is told at once what stays chosen
            self.hosts.options = [(_ALL, ""), *((f"{host}   {told}", host) for host, told in serving.items())]
            self.hosts.value = chosen
            self.hosts.rows = min(10, max(4, len(serving) + 1))

    def _show_versions(self, found: list[tuple[str, str]]) -> None:
        chosen = self.version.value
        with self.version.hold_sync():
            self.version.options = found or [("(none found: type one)", "")]
            if chosen in [value for _label, value in found]:
                self.version.value = chosen

    def say(self, text: str, meaning: str = "") -> None:
        """The line that tells what is going on, also to screen readers."""
        self._status.line(text, meaning)
        self.look.disabled = self.plan.disabled = meaning == "busy"

    def show_code(self, lines: list[str]) -> None:
        """What was done, as code to be copied into a runbook."""
        text = "\n".join(lines) or "# each action shows its line here"
        code = tag("pre", text, class_="kn-log", tabindex="0", aria_label="The same as code")
        self._code.value = str(styled(joined(tag("span", "The same as code", class_="kn-soft"), code)))


def _many(name: str, words: list[str]) -> Any:
    return ipywidgets.SelectMultiple(
        description=name, options=[(_ALL, ""), *((word, word) for word in words)], value=[""],
        rows=min(8, max(4, len(words) + 1)), style=_LABEL, layout={"width": "auto", "min_width": "15em"},
    )  # fmt: skip


def _known(fleet: Fleet) -> tuple[list[str], list[str], list[str], str]:
    """Roles, hosts and destinations by the file, and the service's name; the file may have mistakes."""
    try:
        project = fleet._project()
        pairs = fleet._select(project.config).pairs
    except KamalnbError as error:
        return [], [], [], str(error)
    roles = list(dict.fromkeys(role.name for _host, role in pairs))
    hosts = list(dict.fromkeys(host for host, _role in pairs))
    with contextlib.suppress(OSError):
        return roles, hosts, destinations(project), f"{project.config.service}, {len(hosts)} hosts"
    return roles, hosts, [], str(project.config.service)
