"""Rollouts in a notebook: they wait for their confirmation, run in the background, and end in a record."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import kamalnb as kn
from kamalnb.errors import NotConfirmed, RolloutFailed
from kamalnb.notebook import occasion as where
from kamalnb.notebook.occasion import CONFIRM, DRY_RUN, HEADLESS, Occasion
from kamalnb.notebook.record import MIME
from kamalnb.notebook.rollout import Rollout, Stage
from kamalnb.report import State


def hosts_of(fleet: Any) -> Any:
    return fleet.connect(None).hosts


def running(fleet: Any) -> set[tuple[str, ...]]:
    return {tuple(host.running) for host in hosts_of(fleet).values()}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a kernel that a person watches; nothing is displayed."""
    monkeypatch.setattr("kamalnb.notebook.plan.occasion", lambda: Occasion.WATCHED)
    monkeypatch.setattr("kamalnb.notebook.fleet.occasion", lambda: Occasion.WATCHED)
    monkeypatch.setattr("kamalnb.notebook.showing.Shown.display", lambda self: None)


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv(HEADLESS, "1")
    return monkeypatch


def test_without_a_kernel_it_is_begun_by_waiting() -> None:
    run = kn.pretend(2).boot("v2")
    assert run.state is Stage.UNCONFIRMED
    assert run.wait().ok
    assert run.state is Stage.DONE


def test_without_a_kernel_its_events_can_be_followed() -> None:
    events = list(kn.pretend(2).boot("v2"))
    assert type(events[-1]).__name__ == "RunFinished"


@pytest.mark.usefixtures("watched")
def test_in_a_notebook_nothing_happens_before_it_is_confirmed() -> None:
    fleet = kn.pretend(2)
    run = fleet.plan("v2").boot()
    with pytest.raises(NotConfirmed, match="web@v2"):
        run.wait()
    assert run.state is Stage.UNCONFIRMED
    assert running(fleet) == {("v1",)}


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("word", ["", "web@v3", "web", "WEB@V2"])
def test_another_word_begins_nothing(word: str) -> None:
    fleet = kn.pretend(2)
    run = fleet.plan("v2").boot()
    with pytest.raises(NotConfirmed):
        run.confirm(word)
    assert run.state is Stage.UNCONFIRMED
    assert running(fleet) == {("v1",)}


@pytest.mark.usefixtures("watched")
def test_the_right_word_begins_it_in_the_background() -> None:
    fleet = kn.pretend(2)
    run = fleet.plan("v2").boot(confirm="web@v2")
    assert run.wait().count(State.BOOTED) == 2
    assert running(fleet) == {("v2",)}


@pytest.mark.usefixtures("watched")
def test_confirmed_by_many_threads_at_once_it_begins_once() -> None:
    fleet = kn.pretend(2, speed=50.0)
    run = fleet.plan("v2").boot()
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(run.confirm("web@v2"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.wait().ok
    assert answers.count(True) == 1
    assert [name for name in run.events.event if name == "RunStarted"] == ["RunStarted"]


@pytest.mark.usefixtures("watched")
def test_a_plan_has_one_rollout_however_often_its_cell_is_run() -> None:
    plan = kn.pretend(2).plan("v2")
    run = plan.boot()
    assert plan.boot() is run
    run.confirm("web@v2")
    run.wait()
    assert plan.boot() is run
    assert plan.boot(confirm="web@v2") is run


@pytest.mark.usefixtures("watched")
def test_a_discarded_one_may_be_asked_for_again() -> None:
    plan = kn.pretend(2).plan("v2")
    run = plan.boot()
    run.discard()
    assert run.state is Stage.DISCARDED
    with pytest.raises(NotConfirmed, match="discarded"):
        run.wait()
    assert plan.boot() is not run


@pytest.mark.usefixtures("watched")
def test_a_stale_plan_is_refused_with_the_difference() -> None:
    fleet = kn.pretend(2)
    old = fleet.plan("v3")
    fleet.plan("v2").boot(confirm="web@v2").wait()
    run = old.boot(confirm="web@v3")
    with pytest.raises(RolloutFailed, match="web on web-1 serves v2 now, not v1"):
        run.wait()
    assert running(fleet) == {("v2",)}
    assert old.boot() is not run


@pytest.mark.usefixtures("watched")
def test_cancel_before_the_switch_undoes_everywhere() -> None:
    fleet = kn.pretend(3, speed=0.5)
    run = fleet.plan("v2").boot(confirm="web@v2")
    run.cancel()
    report = run.wait(check=False)
    assert run.state is Stage.STOPPED
    assert not report.ok
    assert running(fleet) == {("v1",)}


@pytest.mark.usefixtures("watched")
def test_an_interrupt_of_wait_stops_the_run_and_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = kn.pretend(2, speed=0.5)
    run = fleet.plan("v2").boot(confirm="web@v2")
    for event in run.history.follow():
        if type(event).__name__ == "PhaseEntered":
            break
    wait, interrupts = run.history.wait, iter([KeyboardInterrupt])

    def interrupted(seconds: float | None = None) -> bool:
        for kind in interrupts:
            raise kind
        return wait(seconds)

    monkeypatch.setattr(run.history, "wait", interrupted)
    with pytest.raises(RolloutFailed, match="stopped"):
        run.wait()
    assert run.history.ended
    assert running(fleet) == {("v1",)}


@pytest.mark.usefixtures("watched")
def test_a_second_interrupt_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = kn.pretend(2, speed=0.5)
    run = fleet.plan("v2").boot(confirm="web@v2")

    def interrupted(seconds: float | None = None) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run.history, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.wait()
    assert not run.history.ended
    assert not run.wait(check=False).ok


@pytest.mark.usefixtures("watched")
def test_it_can_be_awaited() -> None:
    run = kn.pretend(2).plan("v2").boot(confirm="web@v2")

    async def ended() -> Any:
        return await run

    assert asyncio.run(ended()).ok


@pytest.mark.usefixtures("watched")
def test_boot_of_a_fleet_is_boot_of_its_plan() -> None:
    run = kn.pretend(2).boot("v2")
    assert (run.target, run.state) == ("web@v2", Stage.UNCONFIRMED)
    run.discard()


@pytest.mark.usefixtures("watched")
def test_other_verbs_wait_for_their_word_too_and_the_lock_does_not() -> None:
    fleet = kn.pretend(2)
    lock = fleet.acquire_lock("lunch")
    assert isinstance(lock, Rollout)
    assert lock.wait().ok
    refused = fleet.plan("v2").boot(confirm="web@v2").wait(check=False)
    assert "lunch" in refused.finished.sentence
    assert fleet.release_lock().wait().ok


def test_every_verb_of_the_core_that_changes_something_shows_itself() -> None:
    from kamalnb.fleet import Fleet as CoreFleet
    from kamalnb.notebook.fleet import Fleet

    changing = [
        name
        for name in dir(CoreFleet)
        if getattr(getattr(CoreFleet, name), "__annotations__", {}).get("return") == "Rollout" and name[0] != "_"
    ]
    assert {"boot", "acquire_lock", "release_lock"} <= set(changing)
    assert [name for name in changing if name not in vars(Fleet)] == []


def test_headless_without_the_word_the_cell_fails(headless: pytest.MonkeyPatch) -> None:
    fleet = kn.pretend(2)
    with pytest.raises(NotConfirmed, match="web@v2"):
        fleet.plan("v2").boot()
    headless.setenv(CONFIRM, "web@v9")
    with pytest.raises(NotConfirmed, match="“web@v9” is not it"):
        fleet.plan("v2").boot()
    assert NotConfirmed.exit_code == 2
    assert running(fleet) == {("v1",)}


@pytest.mark.usefixtures("headless")
def test_headless_it_has_ended_when_boot_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIRM, "web@v2")
    fleet = kn.pretend(2)
    run = fleet.plan("v2").boot()
    assert run.state is Stage.DONE
    assert running(fleet) == {("v2",)}


@pytest.mark.usefixtures("headless")
def test_headless_a_failure_is_raised_by_boot() -> None:
    fleet = kn.pretend(2, fail={"web-2": "exits"})
    with pytest.raises(RolloutFailed, match="web on web-2"):
        fleet.plan("v2").boot(confirm="web@v2")


def test_headless_dry_run_changes_nothing_and_says_so(headless: pytest.MonkeyPatch) -> None:
    headless.setenv(DRY_RUN, "1")
    fleet = kn.pretend(2)
    run = fleet.plan("v2").boot()
    assert run.state is Stage.DRY
    assert run.wait().ok
    assert "Nothing was changed" in repr(run)
    assert running(fleet) == {("v1",)}


def test_a_kernel_that_may_not_ask_is_watched_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kernel:
        _allow_stdin = False

    monkeypatch.setattr(where, "kernel_of", Kernel)
    monkeypatch.setenv("SERVER_SOFTWARE", "")
    assert where.occasion() is Occasion.HEADLESS
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    assert where.occasion() is Occasion.WATCHED
    Kernel._allow_stdin = True
    monkeypatch.setenv("SERVER_SOFTWARE", "")
    assert where.occasion() is Occasion.WATCHED


def test_record_needs_no_widget_and_tells_the_exit_code() -> None:
    run = kn.pretend(3, fail={"web-2": "exits"}).boot("v2")
    run.wait(check=False)
    record = run.record()
    assert set(record) == {"text/html", "text/plain", MIME}
    assert record[MIME]["exit_code"] == 1
    assert "web on web-2 failed" in record["text/plain"]
    assert "<script" not in record["text/html"]


def test_events_are_a_typed_table_also_before_there_are_any() -> None:
    run = kn.pretend(1).boot("v2")
    before = run.events
    run.wait()
    after = run.events
    assert list(before.columns) == list(after.columns)
    assert dict(before.dtypes) == dict(after.dtypes)
    assert str(after["at"].dt.tz) == "UTC"
    assert after.iloc[-1].outcome == "ok"


def test_timeline_tells_phases_batches_and_lost_requests_in_words_too() -> None:
    run = kn.pretend(3, file="boot: {limit: 2}", speed=50.0).boot("v2")
    run.wait()
    picture = run.timeline(lost={"web-1": [1.0, 2.0]})
    text = repr(picture)
    assert "2 batches, 2 requests lost" in text
    assert "soak" in text
    assert picture.svg.count("a request to web-1 was lost") == 2
    assert {"text/html", "image/svg+xml", "text/plain"} == set(picture._repr_mimebundle_())


def test_a_begin_that_fails_ends_the_run_with_its_sentence(tmp_path: Any) -> None:
    file = tmp_path / "deploy.yml"
    file.write_text("service: app\nimage: app\nservers: [web-1]\nenv: {secret: [TOKEN]}\n")
    with pytest.raises(kn.KamalnbError, match="TOKEN"):
        kn.Fleet(config_file=file, environ={}).plan("v2")


@pytest.mark.usefixtures("watched")
def test_undo_waits_for_one_click_and_goes_back() -> None:
    fleet = kn.pretend(2)
    fleet.boot("v2", confirm="web@v2").wait()
    run = fleet.undo()
    assert run.state is Stage.UNCONFIRMED
    assert run.order.question == "Undo on 2 hosts?"
    run.confirm()
    assert run.wait().ok
    assert {host.serving for host in hosts_of(fleet).values()} == {"v1"}


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("verb", ["deploy", "redeploy", "rollback"])
def test_verbs_that_bring_a_version_wait_for_its_name(verb: str) -> None:
    fleet = kn.pretend(2)
    fleet.boot("v3", confirm="web@v3").wait()
    run = getattr(fleet, verb)("v1" if verb == "rollback" else "v2")
    assert run.state is Stage.UNCONFIRMED
    assert run.target.startswith("web@v")
    run.discard()


def test_without_a_kernel_a_fleet_that_asks_for_confirmation_still_does() -> None:
    fleet = kn.pretend(2, file="confirm: true")
    with pytest.raises(RolloutFailed, match="confirm"):
        fleet.boot("v2").wait()
    assert running(fleet) == {("v1",)}
    assert fleet.boot("v2", confirm="web@v2").wait().ok


@pytest.mark.usefixtures("watched")
def test_in_a_notebook_typing_it_is_the_confirmation_that_the_file_asks_for() -> None:
    fleet = kn.pretend(2, file="confirm: true")
    run = fleet.plan("v2").boot()
    run.confirm("web@v2")
    assert run.wait().ok


def test_the_record_says_of_hosts_that_were_left_out_or_passed_over_that_they_were_not_touched_and_why() -> None:
    fleet = kn.pretend(3, fail={"web-3": "unreachable"})
    fleet["web-1"].boot("v2").wait()
    run = fleet.boot("v2", skip_unreachable=True)
    assert run.wait().ok
    text, html = run.record()["text/plain"], run.record()["text/html"]
    first, _second, third = text.splitlines()[1:4]
    assert "not touched" in first
    assert "serves v2 already" in first
    assert "not touched" in third
    assert "left out" in third
    assert "→" not in third
    assert "waiting" not in text + html
