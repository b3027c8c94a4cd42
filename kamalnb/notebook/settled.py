"""A click counts with everything that was typed and chosen on the page before it.

Jupyter alone does not see to that. A page holds back what is typed while the kernel works on the letter before, and
never a click (the message throttle of Jupyter widgets). A kernel with subshells handles the messages of two widgets in
two threads, and those to the main one wait for a running cell (ipykernel 7.4). So a click asks the page what it shows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .widget import Picture

TRIES = 20
"""How often the page is asked, where a list changes meanwhile. A click that finds no end of it is dropped."""


class Settled:
    """``settled(action)``: does ``action`` when ``inputs`` are here as they are on the page that shows ``picture``.

    Where several clicks wait for the page, the last one counts. Where no page shows it, nothing is waited for.
    ``alone`` is held while ``inputs`` are set: whoever reads several of them holds it too.
    """

    def __init__(
        self, picture: Picture, inputs: Sequence[Any], alone: AbstractContextManager[Any] | None = None
    ) -> None:
        self._picture = picture
        self._inputs = inputs
        self._alone = alone or nullcontext()
        self._guard = threading.Lock()
        self._ticket = 0
        self._tries = 0
        self._action: Callable[[], None] | None = None
        picture.listen(self._told)

    def __call__(self, action: Callable[[], None]) -> None:
        if not self._picture.is_seen:
            action()
            return
        with self._guard:
            self._ticket += 1
            self._tries, self._action = TRIES, action
        self._ask(self._ticket)

    def _ask(self, ticket: int) -> None:
        self._picture.send({"event": "settle", "ticket": ticket, "inputs": [one.model_id for one in self._inputs]})

    def _told(self, told: Mapping[str, Any]) -> None:
        if told.get("event") != "settled":
            return
        with self._guard:
            if told.get("ticket") != self._ticket or self._action is None:
                return
            with self._alone:
                settled = _taken(self._inputs, told.get("inputs") or ())
            if settled:
                action, self._action = self._action, None
            self._tries -= 1
        if settled:
            action()
        elif self._tries > 0:
            self._ask(self._ticket)


def _taken(inputs: Sequence[Any], told: Sequence[Mapping[str, Any]]) -> bool:
    """Sets what differs. False where the page chose from a list that is another one here by now."""
    settled = True
    for widget, shown in zip(inputs, told, strict=False):
        if "labels" in shown and tuple(shown["labels"]) != widget._options_labels:
            settled = False
        elif "index" in shown:
            index = shown["index"]
            _set(widget, "index", tuple(index) if isinstance(index, list) else index)
        elif "value" in shown:
            _set(widget, "value", shown["value"])
    return settled


def _set(widget: Any, name: str, value: Any) -> None:
    if getattr(widget, name) != value:
        setattr(widget, name, value)
