"""The panel without a browser: what it offers, what it leaves out, how it goes back; each click's line of code."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kamalnb as kn
from kamalnb.config.reading import read_config
from kamalnb.errors import UsageError
from kamalnb.notebook.choices import TAGS, Seen
from kamalnb.notebook.fleet import Fleet
from kamalnb.notebook.occasion import Occasion
from kamalnb.notebook.panel_form import Choice, Form
from kamalnb.notebook.panels import Panel
from kamalnb.notebook.rollout import Rollout
from kamalnb.notebook.way_back import Offer, part_to_undo
from kamalnb.notebook.worker import Worker
from kamalnb.project import Project
from kamalnb.reads import containers
from kamalnb.reads.versions import READ
from kamalnb.tables import Table
from kamalnb.tags import Listed
from kamalnb.testing import PretendFleet, PretendHost

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def until(holds: Any, seconds: float = 20.0) -> None:
    gone = threading.Event()
    for _look in range(int(seconds * 20)):
        if holds():
            return
        gone.wait(0.05)
    raise AssertionError("not in time")


def said(panel: Panel) -> str:
    return str(panel.form._status.widget.frame.get("text", ""))


def looked(fleet: Fleet) -> Panel:
    panel = Panel(fleet)
    panel.look()
    until(lambda: "answered" in said(panel))
    return panel


def planned(panel: Panel, version: str) -> Rollout:
    before = panel._rollout
    panel.form.typed.value = version
    panel.plan()
    until(lambda: panel._rollout is not before and "nothing was changed" in said(panel))
    assert panel._rollout is not None
    return panel._rollout


def booted(panel: Panel, version: str) -> Rollout:
    run = planned(panel, version)
    run.confirm(run.target)
    assert run.wait().ok
    until(lambda: "answered" in said(panel))
    return run


def versions(fleet: Fleet) -> list[str]:
    return [str(row.get("version") or "") for row in fleet.table(READ).rows]


def buttons(panel: Panel) -> dict[str, Any]:
    """What can be clicked below the plan or the record."""
    rows = [child for view in panel.form.stage.children for child in view.children if hasattr(child, "children")]
    return {one.description: one for row in rows for one in row.children}


def undo_button(panel: Panel) -> Any:
    until(lambda: "Undo" in buttons(panel))
    return buttons(panel)["Undo"]


def has_gone_back(panel: Panel) -> bool:
    run = panel._rollout
    return run is not None and run.order.verb == "undo" and run.history.ended


def slow_to_read(fleet: Fleet, hold: threading.Event, reader: str = "kamalnb-panel") -> Fleet:
    """The same fleet; threads of this name wait for ``hold`` before they read its file."""
    load = fleet.load

    def read() -> Project:
        assert threading.current_thread().name != reader or hold.wait(20)
        return load()

    return replace(fleet, load=read)


# -- hosts that cannot be reached ------------------------------------------------------------------------------------


def test_leaving_out_is_offered_only_where_a_host_cannot_be_reached() -> None:
    assert looked(kn.pretend(2)).form.skip.layout.display == "none"
    form = looked(kn.pretend(3, fail={"web-3": "unreachable"})).form
    assert form.skip.layout.display is None
    assert form.skip.description == "Leave out unreachable hosts: web-3"
    assert not form.skip.value  # nobody is left out unasked


def test_many_unreachable_hosts_are_counted() -> None:
    form = looked(kn.pretend(6, fail=dict.fromkeys(("web-2", "web-3", "web-4", "web-5"), "unreachable"))).form
    assert form.skip.description == "Leave out unreachable hosts (4)"


def test_left_out_hosts_are_in_the_plan_by_name_and_in_the_line_of_code() -> None:
    fleet = kn.pretend(3, fail={"web-3": "unreachable"})
    panel = looked(fleet)
    panel.form.skip.value = True
    run = planned(panel, "v2")
    assert run.order.plan is not None
    assert run.order.plan.hosts == ("web-1", "web-2")
    assert any("web-3" in warning and "left out" in warning for warning in run.order.plan.warnings)
    assert panel.lines[-1] == "fleet.plan('v2', skip_unreachable=True).boot(confirm='web@v2')"
    run.confirm("web@v2")
    assert run.wait().ok
    assert versions(fleet) == ["v2", "v2", ""]


def test_what_the_printed_line_does_is_what_the_panel_did() -> None:
    fleet = kn.pretend(3, fail={"web-3": "unreachable"})
    panel = looked(fleet)
    panel.form.skip.value = True
    planned(panel, "v2")
    run = eval(panel.lines[-1], {"fleet": fleet})  # noqa: S307 - it is what people are told to copy
    assert run.wait().ok
    assert versions(fleet) == ["v2", "v2", ""]


def test_without_it_an_unreachable_host_stops_the_plan_and_then_it_is_offered() -> None:
    panel = Panel(kn.pretend(3, fail={"web-3": "unreachable"}))
    panel.form.typed.value = "v2"
    panel.plan()  # nobody has looked before
    until(lambda: "web-3" in said(panel))
    assert panel._rollout is None
    assert panel.form.skip.layout.display is None


def test_a_host_that_came_back_is_not_left_out_by_an_old_tick() -> None:
    fleet = kn.pretend(3, fail={"web-3": "unreachable"})
    panel = looked(fleet)
    panel.form.skip.value = True
    fleet.connect(None).hosts["web-3"].unreachable = False  # type: ignore[misc,arg-type,union-attr,attr-defined]
    panel.look()
    until(lambda: "3 of 3" in said(panel))
    assert not panel.form.skip.value
    run = planned(panel, "v2")
    assert run.order.hosts == 3
    assert panel.lines[-1] == "fleet.plan('v2').boot(confirm='web@v2')"


# -- versions --------------------------------------------------------------------------------------------------------


def listing(fleet: Fleet, found: Listed) -> Fleet:
    return replace(fleet, listing=lambda project: found)


def test_tags_of_the_registry_can_be_chosen_where_listing_is_allowed() -> None:
    panel = looked(listing(kn.pretend(2), Listed(tags=("v9", "v2"))))
    offered = {value: label for label, value in panel.form.version.options}
    assert offered["v9"] == "v9 — in the registry"
    assert offered["v2"] == "v2 — image on 2 hosts"
    assert said(panel) == "2 of 2 hosts answered."


def test_a_registry_that_refuses_is_one_sentence_and_nothing_else_is_missing() -> None:
    note = "The registry r does not let its tags be listed without a login."
    panel = looked(listing(kn.pretend(2), Listed(note=note)))
    assert said(panel) == f"2 of 2 hosts answered. {note}"
    assert "v2" in [value for _label, value in panel.form.version.options]


def test_a_registry_that_never_answers_does_not_hold_the_panel_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kamalnb.notebook.choices.SECONDS", -0.9)
    over = threading.Event()

    def silent(project: Any) -> Listed:
        over.wait(30)
        return Listed()

    panel = looked(replace(kn.pretend(1), listing=silent))
    over.set()
    assert said(panel) == "1 of 1 hosts answered. The registry did not list its tags in time."


def test_the_registry_is_asked_when_a_person_looks_and_not_after_each_rollout() -> None:
    asked = []

    def listed(project: Any) -> Listed:
        asked.append(1)
        return Listed(tags=("v9",))

    panel = looked(replace(kn.pretend(2), listing=listed))
    booted(panel, "v2")
    assert len(asked) == 1
    assert "v9" in [value for _label, value in panel.form.version.options]
    panel.look()
    until(lambda: len(asked) == 2)


def seen(
    *, tags: tuple[str, ...], commits: tuple[tuple[str, str, str], ...] = (), versions: tuple[str, ...] = ()
) -> Seen:
    rows = tuple({"host": "web-1", "version": version, "mark": "old"} for version in versions)
    return Seen(
        containers=Table(name="containers", columns=containers.COLUMNS, rows=rows), images=None, commits=commits,
        registry=Listed(tags=tags),
    )  # fmt: skip


def test_a_commit_says_whether_the_registry_has_it_by_whole_or_short_hash() -> None:
    commits = tuple((character * 40, "ana", f"subject {character}") for character in "abc")
    found = seen(tags=("a" * 40, "b" * 7), commits=commits, versions=("c" * 8,)).versions()
    assert [value for _label, value in found] == ["c" * 8, "a" * 40, "b" * 7]
    assert [label.rpartition(", ")[2] for label, _value in found] == ["container on 1 host", *["in the registry"] * 2]
    assert "subject b (ana)" in found[2][0]


def test_a_registry_with_many_tags_gives_the_first_ones_and_says_how_many_more() -> None:
    found = seen(tags=tuple(f"v{number}" for number in range(TAGS + 5)))
    assert len(found.versions()) == TAGS
    assert found.note == "The registry has 5 more tags: type one."


# -- the way back ----------------------------------------------------------------------------------------------------


def test_finished_rollout_in_a_panel_has_a_button_that_takes_it_back() -> None:
    fleet = kn.pretend(3, speed=50.0)
    panel = looked(fleet)
    panel.form.hosts.value = ["web-2"]
    booted(panel, "v2")
    panel.form.hosts.value = [""]  # something else is chosen by now
    undo_button(panel).click()
    until(lambda: "undo" in panel.lines[-2])
    until(lambda: has_gone_back(panel))
    assert versions(fleet) == ["v1", "v1", "v1"]
    assert "fleet.where(hosts=['web-2']).undo(confirm='web@v1')" in panel.lines


def test_undo_that_is_clicked_while_the_panel_looks_is_not_lost_and_two_clicks_are_one() -> None:
    fleet = kn.pretend(2, speed=50.0)
    panel = looked(fleet)
    booted(panel, "v2")
    hold = threading.Event()
    assert panel._worker.ask("looking", lambda: (hold.wait(20) and "") or "")
    for _click in range(3):
        undo_button(panel).click()
    hold.set()
    until(lambda: any("undo" in line for line in panel.lines))
    until(lambda: has_gone_back(panel))
    assert versions(fleet) == ["v1", "v1"]


def test_undo_below_a_rollout_leaves_what_was_booted_elsewhere_since() -> None:
    fleet = kn.pretend(2, speed=50.0)
    panel = looked(fleet)
    booted(panel, "v2")
    run_of(fleet, "v3")
    undo_button(panel).click()
    until(lambda: "Nothing was changed: web on web-1 serves v3 now (and 1 more)" in said(panel))
    assert versions(fleet) == ["v3", "v3"]
    assert not any("undo" in line for line in panel.lines)


def test_undo_below_a_rollout_offers_to_leave_out_a_host_that_went_away() -> None:
    fleet = kn.pretend(2, speed=50.0)
    panel = looked(fleet)
    booted(panel, "v2")
    fleet.connect(None).hosts["web-2"].unreachable = True  # type: ignore[misc,arg-type,union-attr,attr-defined]
    undo_button(panel).click()
    until(lambda: "web-2" in said(panel))
    assert panel.form.skip.layout.display is None


def test_undo_of_the_panel_itself_takes_back_what_serves_now() -> None:
    fleet = kn.pretend(2, speed=50.0)
    panel = looked(fleet)
    booted(panel, "v2")
    run_of(fleet, "v3")
    panel.undo()
    until(lambda: has_gone_back(panel))
    assert versions(fleet) == ["v2", "v2"]


def test_only_what_is_urgent_waits_and_only_one_of_each_kind() -> None:
    hold, done = threading.Event(), []
    worker = Worker(lambda what: None, lambda text, well: done.append(text))
    assert worker.ask("first", lambda: str(hold.wait(20)))
    assert not worker.ask("plain", lambda: "plain")
    assert worker.ask("urgent", lambda: "urgent", urgent=True)
    assert not worker.ask("urgent", lambda: "urgent twice", urgent=True)
    assert worker.ask("urgent too", lambda: "urgent too", urgent=True)
    hold.set()
    until(lambda: len(done) == 3)
    assert (done[0], set(done[1:])) == ("True", {"urgent", "urgent too"})


def run_of(fleet: Fleet, version: str = "v2", **how: Any) -> Rollout:
    run = fleet.plan(version, **how).rollout(Occasion.WATCHED)
    run.confirm(run.target)
    run.wait(check=False)
    return run


def test_what_a_rollout_did_not_change_is_not_taken_back() -> None:
    fleet = kn.pretend(3)
    fleet["web-1"].boot("v2").wait()
    part = part_to_undo(run_of(fleet))
    assert part is not None
    assert part.names == ("web-2", "web-3")  # web-1 served v2 before


def test_what_was_left_out_is_not_taken_back() -> None:
    part = part_to_undo(run_of(kn.pretend(3, fail={"web-2": "unreachable"}), skip_unreachable=True))
    assert part is not None
    assert part.names == ("web-1", "web-3")


def test_nothing_is_offered_after_a_failure_or_an_undo_or_a_run_without_effect() -> None:
    fleet = kn.pretend(2, fail={"web-2": "never healthy"})
    assert part_to_undo(run_of(fleet)) is None
    fleet = kn.pretend(2)
    assert part_to_undo(run_of(fleet)) is fleet
    back = fleet.plan(verb="undo").rollout(Occasion.WATCHED)
    back.start(back.target)
    back.wait()
    assert part_to_undo(back) is None


def two_roles() -> Fleet:
    """Two hosts that both have two roles, v1 serving."""
    text = "service: app\nimage: app\nregistry: {server: registry.example}\n"
    config = read_config(f"{text}servers: {{web: [a, b], job: {{hosts: [a, b], cmd: work}}}}\n", environ={})
    executor = PretendFleet([PretendHost(name) for name in config.hosts])
    project = Project(root=Path("/"), config=config, sources=(Path("none"),), digest="", environ={})
    fleet = Fleet(connect=lambda project: executor, load=lambda: project, clock=executor.clock)
    assert fleet.boot("v1").wait().ok
    return fleet


def test_roles_of_one_host_that_cannot_be_told_apart_are_not_offered() -> None:
    fleet = two_roles()
    fleet.where(hosts="a", roles="job").boot("v2").wait()
    run = run_of(fleet)
    assert run.report.ok
    assert part_to_undo(run) is None  # job on b, web on a and b: no choice of roles and hosts is just that


def test_offer_in_a_cell_undoes_by_one_click_and_shows_the_undo_in_its_place() -> None:
    fleet = kn.pretend(2, speed=50.0)
    offer = Offer(run_of(fleet))
    assert offer.widget.children == ()
    offer.show()
    offer.button.click()
    offer.button.click()
    until(lambda: offer.undo is not None and offer.undo.history.ended)
    assert offer.undo is not None
    assert offer.undo.report.ok
    assert versions(fleet) == ["v1", "v1"]
    assert offer.button not in offer.widget.children


def test_offer_leaves_what_was_booted_elsewhere_since_and_says_what_to_do() -> None:
    fleet = kn.pretend(2, speed=50.0)
    offer = Offer(run_of(fleet))
    offer.show()
    run_of(fleet["web-2"], "v3")
    offer.button.click()
    until(lambda: "web on web-2 serves v3 now, and this button takes back v2 only." in str(offer._said.widget.frame))
    assert "To go back from what serves now: fleet.undo()" in str(offer._said.widget.frame)
    assert offer.undo is None
    assert versions(fleet) == ["v2", "v3"]


def test_offer_that_cannot_go_back_says_why() -> None:
    fleet = kn.pretend(1)
    offer = Offer(run_of(fleet))
    offer.show()
    fleet.connect(None).hosts["web-1"].unreachable = True  # type: ignore[misc,arg-type,union-attr,attr-defined]
    offer.button.click()
    until(lambda: "nothing answers" in str(offer._said.widget.frame))
    assert not offer.button.disabled


# -- several things at once ------------------------------------------------------------------------------------------


def test_panel_looks_after_a_rollout_also_where_it_was_busy_when_that_ended() -> None:
    panel = looked(kn.pretend(2, speed=50.0))
    run = planned(panel, "v2")
    hold, over = threading.Event(), threading.Event()
    run.when_over(over.set)  # after what the panel does then
    assert panel._worker.ask("planning", lambda: "planned" if hold.wait(20) else "")
    run.confirm(run.target)
    assert over.wait(20)
    hold.set()
    until(lambda: ("web-1   ✓ v2", "web-1") in panel.form.hosts.options)


def test_rollout_that_is_begun_while_another_is_planned_keeps_its_place_and_its_cancel_button() -> None:
    hold = threading.Event()
    hold.set()
    panel = looked(slow_to_read(kn.pretend(2, speed=0.5), hold))
    run = planned(panel, "v2")
    hold.clear()
    panel.form.typed.value = "v3"
    panel.plan()
    until(lambda: said(panel) == "Planning v3…")
    run.confirm(run.target)
    hold.set()
    until(lambda: "under way" in said(panel))
    assert (panel._rollout, run.order.version) == (run, "v2")
    assert "Cancel" in buttons(panel)
    assert not any("v3" in line for line in panel.lines)
    run.cancel()
    run.wait(check=False)


def read_meanwhile(form: Form, widget: Any) -> list[Choice]:
    """What another thread reads of ``form`` at the moment at which ``widget`` changes for the first time."""
    read: list[Choice] = []
    reader = threading.Thread(target=lambda: read.append(form.chosen()))

    def changed(_change: Any) -> None:
        widget.unobserve(changed, "index")
        reader.start()
        reader.join(0.1)  # it may have to wait for us

    widget.observe(changed, "index")
    return read


def seen_serving(version: str) -> Seen:
    rows = tuple({"host": host, "version": version, "mark": "serves"} for host in ("web-1", "web-2"))
    containers_seen = Table(name="containers", columns=containers.COLUMNS, rows=rows)
    return Seen(containers=containers_seen, images=None, commits=(), registry=Listed())


def test_nobody_reads_that_no_host_is_chosen_while_the_hosts_are_listed_anew() -> None:
    form = Panel(kn.pretend(2)).form
    form.hosts.value = ["web-2"]
    read = read_meanwhile(form, form.hosts)
    form.show_seen(seen_serving("v2"))
    until(lambda: read)
    assert read[0].hosts == ("web-2",)


def test_nobody_reads_half_of_what_a_page_tells() -> None:
    form, clicks = Panel(kn.pretend(2)).form, []
    form._status.is_seen = True
    read = read_meanwhile(form, form.hosts)
    form.settled(lambda: clicks.append(form.chosen()))
    inputs = [{}, {}, {"index": [2]}, {}, {}, {"value": "v2"}]  # hosts, and later the version that was typed
    form._status._told({"event": "settled", "ticket": 1, "inputs": inputs})
    until(lambda: read)
    assert (read[0].hosts, read[0].version) == (("web-2",), "v2")
    assert clicks == read


class Line:
    """Stands for the line to a page: keeps what is sent."""

    comm_id = "line"

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []

    def on_msg(self, _heard: Any) -> None: ...

    def send(self, data: dict[str, Any], buffers: Any = None) -> None:
        self.states.append(data["state"])


def test_page_is_never_told_that_no_host_is_chosen_while_the_hosts_are_listed_anew() -> None:
    form = Panel(kn.pretend(2)).form
    form.hosts.value = ["web-2"]
    form.hosts.comm = line = Line()
    form.show_seen(seen_serving("v2"))
    assert [list(state["index"]) for state in line.states if "index" in state] == [[2]]


def test_cancel_button_goes_at_the_end_also_where_the_file_is_broken_by_then() -> None:
    fleet, runs = kn.pretend(2, speed=50.0), []
    load = fleet.load

    def read() -> Project:
        if runs and runs[0].history.ended:
            raise UsageError("deploy.yml is broken")
        return load()

    panel = looked(replace(fleet, load=read))
    runs.append(planned(panel, "v2"))
    runs[0].confirm("web@v2")
    assert runs[0].wait().ok
    until(lambda: not buttons(panel))
