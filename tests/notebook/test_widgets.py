"""The widgets without a browser: clicks from any thread, pages that hide, panels; the same in plain pytest."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

import kamalnb as kn
from kamalnb.notebook.occasion import Occasion
from kamalnb.notebook.panels import Panel
from kamalnb.notebook.refresh import Refreshed
from kamalnb.notebook.rollout import Stage
from kamalnb.notebook.view import RolloutView

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def until(holds: Any, seconds: float = 20.0) -> None:
    gone = threading.Event()
    for _look in range(int(seconds * 20)):
        if holds():
            return
        gone.wait(0.05)
    raise AssertionError("not in time")


def view_of(fleet: Any, version: str = "v2") -> tuple[Any, RolloutView]:
    run = fleet.plan(version).rollout(Occasion.WATCHED)
    return run, run._shown.view()


def test_boot_button_is_live_only_while_the_word_is_right() -> None:
    _run, view = view_of(kn.pretend(2))
    assert view.go.disabled
    view.box.value = "web@v"
    assert view.go.disabled
    view.box.value = " web@v2 "
    assert not view.go.disabled
    view.box.value = "web@v22"
    assert view.go.disabled


def test_question_names_target_and_number_of_hosts() -> None:
    _run, view = view_of(kn.pretend(7))
    assert view.box.description == "Type web@v2 to boot 7 hosts:"


def test_enter_with_another_word_begins_nothing() -> None:
    run, view = view_of(kn.pretend(2))
    view._entered(view.box, {"event": "submit"}, [])
    assert run.state is Stage.UNCONFIRMED


def test_double_clicks_from_several_threads_begin_one_run() -> None:
    run, view = view_of(kn.pretend(2, speed=50.0))
    view.box.value = "web@v2"
    clicks = [threading.Thread(target=view.go.click) for _ in range(8)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    run.wait()
    assert list(run.events.event).count("RunStarted") == 1


def test_cancel_button_stops_the_run_and_the_view_ends_in_the_record() -> None:
    run, view = view_of(kn.pretend(2, speed=0.5))
    view.box.value = "web@v2"
    view.go.click()
    until(lambda: run.state is Stage.RUNNING)
    view.stop.click()
    view.stop.click()
    assert not run.wait(check=False).ok
    until(lambda: "stopped" in str(view._picture.widget.frame.get("html", "")))
    until(lambda: view.widget.children == (view._picture.widget,))
    assert run.state is Stage.STOPPED


def test_cancel_button_that_was_clicked_stays_as_it_is_while_the_run_cannot_hear_it_yet() -> None:
    hold, fleet = threading.Event(), kn.pretend(2)
    load = fleet.load

    def read() -> Any:
        assert threading.current_thread().name != "kamalnb-rollout" or hold.wait(20)
        return load()

    run, view = view_of(replace(fleet, load=read))
    run.confirm("web@v2")
    view.stop.click()
    painted = view._painter.frames
    until(lambda: view._painter.frames > painted + 1)
    assert (view.stop.description, view.stop.disabled) == ("Stopping…", True)
    assert not run.report.cancelling
    hold.set()
    assert not run.wait(check=False).ok


def test_a_page_that_was_loaded_again_is_told_how_to_keep_the_record() -> None:
    run, view = view_of(kn.pretend(1))
    view._told({"event": "looks", "page": "a"})
    view._told({"event": "looks", "page": "b"})
    run.confirm("web@v2")
    run.wait()
    until(lambda: "run the cell once more" in str(view._picture.widget.frame.get("html", "")))


def test_a_page_that_was_loaded_again_just_when_it_ended_is_told_too() -> None:
    run, view = view_of(kn.pretend(1))
    view._told({"event": "looks", "page": "a"})
    run.confirm("web@v2")
    run.wait()
    until(lambda: "v2 serves" in str(view._picture.widget.frame.get("html", "")))
    view._told({"event": "looks", "page": "b"})
    until(lambda: "run the cell once more" in str(view._picture.widget.frame.get("html", "")))


def test_frames_are_bounded_however_many_hosts_there_are() -> None:
    from kamalnb import events
    from kamalnb.notebook.frame import frame
    from kamalnb.notebook.history import History

    history = History()
    targets = tuple((f"web-{number}", "web") for number in range(1000))
    history.add(events.RunStarted(at=0.0, run_id="r", verb="boot", service="s", version="v", targets=targets))
    for host, role in targets:
        history.add(events.PhaseEntered(at=1.0, host=host, role=role, phase=events.Phase.OBSERVE))
    assert len(str(frame(history, ""))) < 40_000
    assert "and 970 more hosts" in frame(history, "")["table"]


class Asked:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Any:
        self.count += 1
        return kn.pretend(2).containers()


def test_refresher_asks_again_and_stops() -> None:
    asked = Asked()
    table = Refreshed(asked, 0.05)
    until(lambda: asked.count >= 3)
    table.stop()
    until(lambda: table._again.disabled)
    count = asked.count
    assert "stopped" in repr(table)
    threading.Event().wait(0.3)
    assert asked.count == count


def test_refresher_pauses_while_nobody_looks() -> None:
    asked = Asked()
    table = Refreshed(asked, 0.05)
    until(lambda: asked.count >= 1)
    table._told({"event": "looks", "page": "a", "visible": False})
    until(lambda: "paused" in table._state.value)
    count = asked.count
    threading.Event().wait(0.3)
    assert asked.count == count
    table._told({"event": "looks", "page": "a", "visible": True})
    until(lambda: asked.count > count)
    table.stop()


def test_refresher_that_fails_says_why_and_stops() -> None:
    def failing() -> Any:
        raise kn.KamalnbError("the file is gone <b>")

    table = Refreshed(failing, 0.05)
    until(lambda: table.stopped and table._again.disabled)
    assert "the file is gone &lt;b&gt;" in table._state.value


def test_table_that_ends_while_it_is_displayed_is_static_in_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    displayed, askers, cell = threading.Event(), [], Cell()

    def failing() -> Any:
        askers.append(threading.current_thread())
        displayed.wait(20)
        raise kn.KamalnbError("the file is gone")

    def display(*_what: Any, **_how: Any) -> Cell:
        until(lambda: askers)
        displayed.set()
        askers[0].join(20)
        return cell

    monkeypatch.setattr("IPython.display.display", display)
    Refreshed(failing, 0.05)._ipython_display_()
    assert "the file is gone" in cell.bundles[-1]["text/html"]


class Cell:
    """Stands for a cell's output: keeps what it is given."""

    def __init__(self) -> None:
        self.bundles: list[dict[str, str]] = []

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        self.bundles.append(bundle)


def test_the_same_question_has_one_refresher() -> None:
    fleet = kn.pretend(1)
    first = Refreshed(fleet.containers, 0.05)
    second = Refreshed(fleet.containers, 0.05)
    until(lambda: first.stopped)
    assert not second.stopped
    second.stop()


def test_panel_looks_plans_and_boots_and_shows_its_code() -> None:
    panel = Panel(kn.pretend(2, speed=50.0))
    panel.look()
    until(lambda: panel._seen is not None and not panel.form.look.disabled)
    assert ("web-1   ✓ v1", "web-1") in panel.form.hosts.options
    panel.form.typed.value = "v2"
    panel.plan()
    until(lambda: panel._rollout is not None and not panel.form.plan.disabled)
    run = panel._rollout
    assert run is not None
    assert "fleet.plan('v2').boot(confirm='web@v2')" in panel.lines
    run.confirm("web@v2")
    assert run.wait().ok
    until(lambda: ("web-1   ✓ v2", "web-1") in panel.form.hosts.options)


def test_panel_plans_for_the_chosen_hosts_alone() -> None:
    panel = Panel(kn.pretend(3))
    panel.form.hosts.value = ["web-2"]
    panel.form.typed.value = "v2"
    panel.plan()
    until(lambda: panel._rollout is not None)
    assert panel._rollout is not None
    assert panel._rollout.order.plan is not None
    assert panel._rollout.order.plan.hosts == ("web-2",)
    assert panel.lines == ["fleet.where(hosts=['web-2']).plan('v2').boot(confirm='web@v2')"]


def test_panel_tells_what_is_wrong_with_a_version() -> None:
    panel = Panel(kn.pretend(1))
    panel.form.typed.value = "no version"
    panel.plan()
    until(lambda: "cannot be a version" in str(panel.form._status.widget.frame))


def test_two_panels_on_one_fleet_cannot_boot_at_once() -> None:
    fleet = kn.pretend(2, speed=10.0)
    runs = []
    for version in ("v2", "v3"):
        panel = Panel(fleet)
        panel.form.typed.value = version
        panel.plan()
        until(lambda panel=panel: panel._rollout is not None)
        runs.append(panel._rollout)
    for run, version in zip(runs, ("v2", "v3"), strict=True):
        run.confirm(f"web@{version}")
        until(lambda run=run: (len(run.report.lines) > 0 and run.report.batch is not None) or run.history.ended)
    first, second = (run.wait(check=False) for run in runs)
    assert first.ok
    assert not second.ok
    assert second.count() == 0
