"""What hosts, hooks and strangers print is shown, never obeyed: no terminal escape, no tag, no second line."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any

import pytest
from hostile_words import CORPUS, WORDS
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalnb import events
from kamalnb.commands import audit, lock
from kamalnb.console.choice import Presenter, Style
from kamalnb.console.dry import DryRun
from kamalnb.console.jsonlines import JsonLines
from kamalnb.console.live import LiveTable
from kamalnb.console.plain import PlainLines
from kamalnb.console.summary import summary
from kamalnb.console.tables import lines
from kamalnb.notebook.markup import tag
from kamalnb.notebook.markup import text as as_html
from kamalnb.report import Report
from kamalnb.tables import Column, Table

NOTHING_HEARD = Report()
ENDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What could steer a terminal or end a line: all control characters but the tab and our own line end."""


def hostile_events(word: str) -> Iterator[events.Event]:
    """A whole run in which every text is ``word``, whatever could ever be said there."""
    who = {"host": "web-1", "role": "web"}
    given: dict[str, Any] = {
        "run_id": word, "verb": "boot", "service": "app", "version": word, "targets": (("web-1", "web"),),
        "number": 1, "of": 2, "hosts": ("web-1",), "phase": events.Phase.VERIFY, "name": "look", "line": word,
        "output": word, "exited": 1, "seconds": 1.0, "changes": True, "uses": (), "why": word, "replaced": word,
        "sentence": word,
        "fact": events.Fact(kind="cutover", text=word, warning=True, data={"direction": "up", "from": word}),
        "error": word, "kind": "BootError", "serving": word, "hint": word, "log": (word,), "health": (word,),
        "kept": word, "ok": False, "exit_code": 1,
    }  # fmt: skip
    for kind in (
        events.RunStarted, events.BatchStarted, events.PhaseEntered, events.StepFinished, events.StepSkipped,
        events.LinePrinted, events.FactLearned, events.Waiting, events.CancelRequested, events.HostDone,
        events.HostBooted, events.HostFailed, events.RunFinished,
    ):  # fmt: skip
        names = {one.name for one in fields(kind)}
        whose = {} if kind in (events.RunStarted, events.RunFinished, events.BatchStarted) else who
        yield kind(at=1.0, **whose, **{name: value for name, value in given.items() if name in names})


def shown_by(presenter: Presenter, out: io.StringIO, word: str) -> str:
    report = NOTHING_HEARD
    for event in hostile_events(word):
        report = report.after(event)
        presenter.show(event, report)
    presenter.leave(report)
    presenter.close(report)
    presenter.restore()
    return out.getvalue()


def plain(word: str) -> str:
    out = io.StringIO()
    return shown_by(PlainLines(out, Style(verbose=True), datetime(2026, 1, 1)), out, word)


def dry(word: str) -> str:
    out = io.StringIO()
    return shown_by(DryRun(out, Style(verbose=True), False), out, word)


def table(word: str) -> str:
    columns = (Column(name="host"), Column(name="version"), Column(name="text"))
    rows = ({"host": word, "version": word, "text": word},)
    made = Table(name="x", columns=columns, rows=rows, failed={"web-1": word}, notes=(word,), hosts=1)
    return "\n".join(lines(made, Style()))


def markdown(word: str) -> str:
    report = NOTHING_HEARD
    for event in hostile_events(word):
        report = report.after(event)
    return summary(report)


@pytest.mark.parametrize("show", [plain, dry, table, markdown], ids=lambda show: show.__name__)
@given(word=WORDS)
@settings(max_examples=120, deadline=None)
def test_no_presenter_passes_on_what_steers_a_terminal(show: Any, word: str) -> None:
    assert not ENDS.findall(show(word))


@pytest.mark.parametrize("show", [plain, dry, table, markdown], ids=lambda show: show.__name__)
def test_nothing_of_the_corpus_steers_a_terminal(show: Any) -> None:
    for word in CORPUS:
        assert not ENDS.findall(show(word)), word


def test_the_live_table_prints_no_escape_but_its_own() -> None:
    ours = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
    for word in CORPUS:
        out = io.StringIO()
        said = shown_by(LiveTable(out, Style(verbose=True)), out, word)
        assert not ENDS.findall(ours.sub("", said).replace("\r", "")), word
        assert "\x1b[2J" not in said
        assert "\x1b[31m" not in said or word != "\x9b31m"


@given(word=WORDS)
@settings(max_examples=100, deadline=None)
def test_json_for_programs_is_one_line_an_event_and_reads_back_equal(word: str) -> None:
    out = io.StringIO()
    told = shown_by(JsonLines(out), out, word)
    assert not ENDS.findall(told)
    found = [json.loads(line) for line in told.split("\n")[:-1]]
    assert len(found) == len(list(hostile_events(word)))
    assert [one["line"] for one in found if one["event"] == "LinePrinted"] == [word]


@given(word=WORDS)
@settings(max_examples=300, deadline=None)
def test_no_text_becomes_html(word: str) -> None:
    html = tag("p", word, as_html(word), title=word, aria_label=word)
    assert re.sub(r"[^<>\"]", "", html) == '<"""">' + "<>"
    assert not ENDS.findall(html.replace("\n", ""))


@given(word=WORDS)
@settings(max_examples=200, deadline=None)
def test_whatever_an_audit_log_says_it_is_read_as_printable_entries(word: str) -> None:
    for line in (word, f"[2026-01-01T00:00:00Z] [{word}] {word}"):
        for entry in audit.entries(line):
            assert not ENDS.findall("".join((entry.performer, *entry.details, entry.message)))


@given(who=WORDS, why=WORDS, version=st.sampled_from(("v2", "")))
@settings(max_examples=200, deadline=None)
def test_a_lock_is_one_printable_line_whoever_holds_it_and_why(who: str, why: str, version: str) -> None:
    claim = lock.Claim(run_id="r", who=who, when="2026-01-01T00:00:00Z", version=version, why=why)
    assert "\n" not in claim.line
    assert not ENDS.findall(claim.line)
