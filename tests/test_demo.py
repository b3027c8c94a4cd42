"""The demo's own verdicts and lines, without a lab; the lab's tests play it whole."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from kamalnb.lab.demo import Screen, well
from kamalnb.lab.demo_table import FrameOverLoad, line_on
from kamalnb.lab.load import Orders, Tally
from kamalnb.lab.load.book import Book
from kamalnb.report import Report


@pytest.fixture
def tally() -> Tally:
    """Nothing was asked yet."""
    return Book(("web-1",)).tally(time.monotonic())


def test_a_load_that_asked_nothing_is_not_a_success(tally: Tally) -> None:
    assert not well(tally)


def test_a_load_that_lost_nothing_is_a_success(tally: Tally) -> None:
    assert well(replace(tally, requests=100))


def test_one_lost_request_is_a_failure(tally: Tally) -> None:
    assert not well(replace(tally, requests=100, lost=1))


def test_one_doubled_order_is_a_failure(tally: Tally) -> None:
    assert not well(replace(tally, requests=100, orders=Orders(doubled_count=1)))


def test_plain_lines_have_no_terminal_codes() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.heading("a part")
    screen.table([("host", "state"), ("web-1", "running")])
    screen.verdict("requests 5, lost 0", good=True)
    assert out.getvalue() == "\n== a part\n   host   state\n   web-1  running\n   requests 5, lost 0\n"


def test_lines_go_to_whoever_asked_for_them() -> None:
    heard: list[str] = []
    Screen(io.StringIO(), heard.append).line("told")
    assert heard == ["   told"]


def test_the_live_table_has_the_load_below_it(tally: Tally) -> None:
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(FrameOverLoad(Report(), 1.0, None, replace(tally, requests=1234, versions=("v1", "v2"))))
    assert "1,234 requests   lost 0   versions v1 → v2" in console.export_text()


def test_the_line_on_the_load_says_what_was_lost(tally: Tally) -> None:
    assert "lost 3" in line_on(replace(tally, lost=3)).plain
