"""Tables as HTML and text: words and symbols, order, what has changed; remote text can never be HTML."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

import kamalnb as kn
from kamalnb.errors import UsageError
from kamalnb.notebook.grid import Cell, Grid, Head, changed, grid
from kamalnb.notebook.markup import Html, tag, text
from kamalnb.notebook.tables import lines, table_html
from kamalnb.tables import Column, Table

HOSTILE = "<img src=x onerror=alert(1)>&\"'</td><script>x</script>\x1b[31m"


@pytest.fixture(autouse=True)
def as_it_was() -> Any:
    before = dict(vars(kn.options))
    yield
    for name, value in before.items():
        setattr(kn.options, name, value)


def harmless(html: str) -> bool:
    bare = re.sub(r"<style>.*?</style>", "", html, flags=re.S)
    return "<img" not in bare and "<script" not in bare and "\x1b" not in bare


def test_text_becomes_html_once() -> None:
    assert text("a < b & c") == "a &lt; b &amp; c"
    assert text(text("a < b")) == "a &lt; b"
    assert tag("p", "<b>", title='"x"') == '<p title="&quot;x&quot;">&lt;b&gt;</p>'
    assert isinstance(tag("p"), Html)


def test_remote_text_in_any_column_is_never_html() -> None:
    frame = pd.DataFrame({HOSTILE: [HOSTILE], "host": [HOSTILE]})
    frame.attrs = {"notes": [HOSTILE], "failed": {HOSTILE: HOSTILE}, "hosts": 1, "as_of": HOSTILE}
    bundle = kn.show(frame)._repr_mimebundle_()
    assert harmless(bundle["text/html"])
    assert "\x1b" not in bundle["text/plain"]


def test_remote_text_in_a_rollout_is_never_html() -> None:
    from kamalnb import events
    from kamalnb.notebook.frame import frame, frame_html
    from kamalnb.notebook.history import History
    from kamalnb.notebook.record import About, html

    history = History()
    started = events.RunStarted(
        at=0.0, run_id=HOSTILE, verb="boot", service=HOSTILE, version=HOSTILE, targets=((HOSTILE, HOSTILE),)
    )
    failed = events.HostFailed(
        at=2.0, host=HOSTILE, role=HOSTILE, phase=events.Phase.VERIFY, error=HOSTILE, kind="x", serving=HOSTILE,
        log=(HOSTILE,), health=(HOSTILE,), kept=HOSTILE,
    )  # fmt: skip
    printed = events.LinePrinted(at=1.0, host=HOSTILE, role=HOSTILE, name=HOSTILE, line=HOSTILE)
    for event in (started, printed, failed, events.RunFinished(at=3.0, ok=False, sentence=HOSTILE)):
        history.add(event)
        shown = frame(history, HOSTILE)
        assert harmless(frame_html(shown))
        assert harmless(shown["table"])
    assert harmless(html(history, About(verb=HOSTILE, target=HOSTILE, by=HOSTILE, plan_id=HOSTILE)))


def test_meaning_is_told_by_word_and_symbol() -> None:
    html = kn.show(kn.pretend(3, fail={"web-3": "unreachable"}).status)._repr_mimebundle_()["text/html"]
    assert re.search(r"✓</span>serves", html)
    assert re.search(r"✗</span>unreachable", html)
    assert "2 of 3 hosts" in html
    assert '<th scope="col"' in html
    assert '<th scope="row"' in html


def test_columns_that_nobody_looks_at_are_named_and_can_be_had() -> None:
    fleet = kn.pretend(2)
    assert "Also there: name, image, id" in kn.show(fleet.containers)._repr_html_()
    assert '<th scope="col">image</th>' in kn.show(fleet.containers, wide=True)._repr_html_()


def test_an_empty_table_says_so() -> None:
    assert "None runs besides what serves." in repr(kn.show(kn.pretend(2).stale_containers))


def test_table_and_frame_of_it_look_alike() -> None:
    columns = (Column(name="host"), Column(name="status", words=("serves", "nothing")), Column(name="n", kind="count"))
    rows = ({"host": "a", "status": "serves", "n": 1}, {"host": "b", "status": "nothing", "n": None})
    from kamalnb.frames import frame

    table = Table(name="x", columns=columns, rows=rows, as_of=1_800_000_000.0, hosts=2)
    assert list(lines(grid(table))) == list(lines(grid(frame(table))))


def test_saved_table_is_bounded_and_says_what_is_left_out() -> None:
    kn.options.rows = 3
    html = kn.show(pd.DataFrame({"host": [f"web-{n}" for n in range(10)]}))._repr_html_()
    assert html.count('scope="row"') == 3
    assert "and 7 more rows" in html


def test_what_is_new_gone_or_different_is_marked_by_words() -> None:
    heads = (Head("host", "host"), Head("version", "version"))

    def of(**hosts: str) -> Grid:
        return Grid(heads=heads, rows=tuple((Cell(host), Cell(version)) for host, version in hosts.items()))

    marked = changed(of(a="1", b="1"), of(a="2", c="1"))
    html = table_html(marked)
    assert "<mark>was 1</mark>" in html
    assert marked.marks == ("", "new", "gone")
    assert "<mark>gone</mark>" in html
    assert changed(marked, of(a="2", c="1")).marks == ("", "", "gone")[:2]


def test_times_are_shown_in_the_zone_that_was_chosen() -> None:
    frame = pd.DataFrame({"since": pd.to_datetime(["2026-07-01T12:00:00Z"])})
    assert "2026-07-01 12:00:00" in repr(kn.show(frame))
    kn.options.timezone = "Europe/Vienna"
    assert "2026-07-01 14:00:00" in repr(kn.show(frame))


@pytest.mark.parametrize(("name", "value"), [("timezone", "Mars"), ("rows", 0), ("rows", "x"), ("colour", 1)])
def test_options_are_checked(name: str, value: object) -> None:
    with pytest.raises(UsageError):
        setattr(kn.options, name, value)


@pytest.mark.parametrize("every", ["soon", 0, "10 parsecs"])
def test_every_is_a_stretch_of_time(every: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from kamalnb.notebook.occasion import Occasion

    monkeypatch.setattr("kamalnb.notebook.tabled.occasion", lambda: Occasion.WATCHED)
    with pytest.raises(UsageError, match="every"):
        kn.show(kn.pretend(1).containers, every=every)


def test_every_needs_something_to_ask() -> None:
    with pytest.raises(UsageError, match="asked again"):
        kn.show(pd.DataFrame(), every=10)
