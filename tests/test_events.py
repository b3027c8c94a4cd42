"""Events fold into one report, and every presenter reads that."""

from __future__ import annotations

import json

import pytest

from kamalnb import events
from kamalnb.events import NEXT, Fact, Phase
from kamalnb.report import Report, State

STARTED = events.RunStarted(
    at=0.0,
    run_id="r",
    verb="boot",
    service="app",
    version="v2",
    targets=(("web-1", "web"), ("web-2", "web"), ("web-1", "job")),
)


def after(*happened: events.Event) -> Report:
    report = Report()
    for event in (STARTED, *happened):
        report = report.after(event)
    return report


def here(
    of: type[events.Event], host: str = "web-1", role: str = "web", at: float = 1.0, **fields: object
) -> events.Event:
    return of(at=at, host=host, role=role, **fields)


FAILED = here(events.HostFailed, phase=Phase.VERIFY, error="no", kind="BootError", serving="v1 serves, as before.")


def test_run_begins_with_every_target_waiting() -> None:
    report = after()
    assert report.count(State.WAITING) == 3
    assert not report.ok


def test_phase_moves_the_line_of_its_host_and_role_alone() -> None:
    report = after(here(events.PhaseEntered, phase=Phase.START))
    line = report.line("web-1", "web")
    assert line is not None
    assert (line.state, line.phase, line.since, line.started) == (State.RUNNING, Phase.START, 1.0, 1.0)
    assert report.count(State.WAITING) == 2


def test_booted_host_serves_its_version() -> None:
    report = after(here(events.HostBooted, version="v2", replaced="v1", at=4.0))
    line = report.line("web-1", "web")
    assert line is not None
    assert (line.state, line.serving, line.replaced, line.ended) == (State.BOOTED, "v2", "v1", 4.0)


def test_failed_host_keeps_what_serves() -> None:
    report = after(FAILED)
    line = report.line("web-1", "web")
    assert line is not None
    assert line.state is State.FAILED
    assert line.serving == "v1 serves, as before."
    assert report.failures == (FAILED,)


def test_host_that_was_refused_before_any_phase_is_untouched() -> None:
    report = after(here(events.HostFailed, phase=None, error="no docker", kind="Check"))
    assert report.count(State.UNTOUCHED) == 1


def test_warnings_stay_and_other_facts_pass() -> None:
    report = after(
        here(events.FactLearned, fact=Fact(kind="a", text="watch out", warning=True)),
        here(events.FactLearned, fact=Fact(kind="b", text="pulling")),
    )
    line = report.line("web-1", "web")
    assert line is not None
    assert line.warnings == ("watch out",)
    assert line.doing == "pulling"


def test_fact_without_a_role_is_a_note_of_the_run() -> None:
    report = after(events.FactLearned(at=1.0, fact=Fact(kind="note", text="looking")))
    assert [note.text for note in report.notes] == ["looking"]


@pytest.mark.parametrize("ok", [True, False])
def test_run_is_ok_as_its_last_event_says(ok: bool) -> None:
    assert after(events.RunFinished(at=5.0, ok=ok, sentence="done")).ok is ok


def test_cancel_is_shown() -> None:
    assert after(events.CancelRequested(at=1.0)).cancelling


@pytest.mark.parametrize(
    "event",
    [
        STARTED,
        FAILED,
        here(events.LinePrinted, name="drain", line="open 2"),
        events.RunFinished(at=1.0, ok=True, sentence="x"),
    ],
)
def test_events_are_json(event: events.Event) -> None:
    told = json.loads(json.dumps(event.as_dict(), default=str))
    assert told["event"] == type(event).__name__


def test_every_phase_can_be_reached_and_ends() -> None:
    reached = {None} | {phase for following in NEXT.values() for phase in following}
    assert reached == set(NEXT)
    ends = [phase for phase, following in NEXT.items() if not following]
    assert set(ends) == {Phase.DONE, Phase.UNDO}
