"""A click counts with what the page shows, whatever the kernel has heard of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from kamalnb.notebook.settled import TRIES, Settled


class Page:
    """Stands for a page that shows a picture: what is asked of it stays until the test answers."""

    def __init__(self) -> None:
        self.is_seen = True
        self.asked: list[dict[str, Any]] = []
        self._told: Callable[[dict[str, Any]], None] = lambda told: None

    def listen(self, on_told: Callable[[dict[str, Any]], None]) -> None:
        self._told = on_told

    def send(self, question: dict[str, Any]) -> None:
        self.asked.append(question)

    def answer(self, *inputs: dict[str, Any], asked: int = -1) -> None:
        self._told({"event": "settled", "ticket": self.asked[asked]["ticket"], "inputs": list(inputs)})


class Clicked:
    def __init__(self, *inputs: Any) -> None:
        self.page = Page()
        self.settled = Settled(self.page, inputs)  # type: ignore[arg-type]
        self.inputs = inputs
        self.done: list[Any] = []

    def click(self) -> None:
        self.settled(lambda: self.done.append([one.value for one in self.inputs]))


def hosts() -> Any:
    return ipywidgets.SelectMultiple(options=[("web-1 v1", "web-1"), ("web-2 v1", "web-2")])


def test_what_is_typed_and_not_told_yet_counts() -> None:
    clicked = Clicked(ipywidgets.Text("v"), ipywidgets.Checkbox(False))
    clicked.click()
    assert clicked.done == []
    assert clicked.page.asked[0]["inputs"] == [one.model_id for one in clicked.inputs]
    clicked.page.answer({"value": "v2"}, {"value": True})
    assert clicked.done == [["v2", True]]


def test_what_is_chosen_and_not_told_yet_counts() -> None:
    clicked = Clicked(hosts(), ipywidgets.Dropdown(options=["v1", "v2"]))
    clicked.click()
    clicked.page.answer({"index": [1], "labels": ["web-1 v1", "web-2 v1"]}, {"index": 1, "labels": ["v1", "v2"]})
    assert clicked.done == [[("web-2",), "v2"]]


def test_a_choice_from_a_list_that_has_changed_since_is_asked_for_again() -> None:
    clicked = Clicked(hosts())
    clicked.click()
    clicked.page.answer({"index": [0], "labels": ["web-0 v1", "web-1 v1"]})
    assert (clicked.done, len(clicked.page.asked)) == ([], 2)
    clicked.page.answer({"index": [1], "labels": ["web-1 v1", "web-2 v1"]})
    assert clicked.done == [[("web-2",)]]


def test_a_list_that_changes_without_end_is_left_alone() -> None:
    clicked = Clicked(hosts())
    clicked.click()
    for _answer in range(TRIES + 5):
        clicked.page.answer({"index": [0], "labels": ["another"]})
    assert (clicked.done, len(clicked.page.asked)) == ([], TRIES)


def test_the_last_of_two_clicks_counts_once() -> None:
    clicked = Clicked(ipywidgets.Text("v"))
    clicked.click()
    clicked.click()
    clicked.page.answer({"value": "v1"}, asked=0)
    assert clicked.done == []
    clicked.page.answer({"value": "v2"})
    clicked.page.answer({"value": "v3"})  # of a second page with the same widgets
    assert clicked.done == [["v2"]]


def test_without_a_page_a_click_counts_at_once() -> None:
    clicked = Clicked(ipywidgets.Text("v1"))
    clicked.page.is_seen = False
    clicked.click()
    assert clicked.done == [["v1"]]


def test_a_page_that_cannot_tell_leaves_what_is_known() -> None:
    clicked = Clicked(ipywidgets.Text("v1"), hosts())
    clicked.click()
    clicked.page.answer({}, {})
    assert clicked.done == [["v1", ()]]
