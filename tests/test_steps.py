"""Plans: what they would do, when they are passed over, when they are refused. On pretend hosts."""

from __future__ import annotations

import dataclasses

import pytest
from boots import role

import kamalnb as kn
from kamalnb.fleet import Fleet, Plan
from kamalnb.shell import Secret
from kamalnb.steps import config_digest
from kamalnb.testing import PretendFleet, PretendHost, pretend


def hosts_of(fleet: Fleet) -> dict[str, PretendHost]:
    assert fleet.connect is not None
    executor = fleet.connect(None)  # type: ignore[arg-type]
    assert isinstance(executor, PretendFleet)
    return executor.hosts


def ways(plan: Plan) -> list[tuple[str, str | None, str, str]]:
    return [(step.host, step.before, step.after, str(step.way)) for step in plan.moves]


def confirming(fleet: Fleet) -> Fleet:
    assert fleet.load is not None
    project = fleet.load()
    asks = dataclasses.replace(project, config=dataclasses.replace(project.config, confirm=True))
    return dataclasses.replace(fleet, load=lambda: asks)


def test_a_plan_says_from_what_to_what_and_changes_nothing() -> None:
    fleet = pretend(hosts=2)
    plan = fleet.plan("v2")
    assert ways(plan) == [("web-1", "v1", "v2", "boot"), ("web-2", "v1", "v2", "boot")]
    assert [host.did for host in hosts_of(fleet).values()] == [[], []]
    assert (plan.target, plan.hosts) == ("web@v2", ("web-1", "web-2"))


def test_a_plan_says_which_hosts_have_to_pull() -> None:
    fleet = pretend(hosts=2)
    host = hosts_of(fleet)["web-2"]
    del host.images[f"{host.repository}:v2"]
    assert [way for *_, way in ways(fleet.plan("v2"))] == ["boot", "pull"]


def test_a_plan_has_the_same_id_until_the_fleet_changes() -> None:
    fleet = pretend(hosts=2)
    before = fleet.plan("v2").id
    assert fleet.plan("v2").id == before
    assert fleet.plan("v3").id != before
    fleet["web-1"].boot("v3").wait()
    assert fleet.plan("v2").id != before


def test_a_plan_is_booted_as_it_was_shown() -> None:
    fleet = pretend(hosts=2)
    assert fleet.plan("v2").boot().wait().ok
    assert [host.serving for host in hosts_of(fleet).values()] == ["v2", "v2"]


def test_a_plan_that_is_not_true_any_more_changes_nothing() -> None:
    fleet = pretend(hosts=2)
    plan = fleet.plan("v2")
    fleet["web-1"].boot("v3").wait()
    report = plan.boot().wait(check=False)
    assert report.finished is not None
    assert report.finished.sentence.startswith(f"Nothing was changed: the plan {plan.id} is not what would be done any")
    assert [host.serving for host in hosts_of(fleet).values()] == ["v3", "v1"]


def test_after_an_unfinished_rollout_hosts_that_serve_it_are_passed_over() -> None:
    fleet = pretend(hosts=3)
    fleet["web-1"].boot("v2").wait()
    booted = hosts_of(fleet)["web-1"].of("v2").id
    report = fleet.boot("v2").wait()
    assert hosts_of(fleet)["web-1"].of("v2").id == booted
    assert [host.serving for host in hosts_of(fleet).values()] == ["v2", "v2", "v2"]
    assert any("web on web-1 serves v2 already" in fact.text for fact in report.notes)


def test_force_boots_also_what_serves_already() -> None:
    fleet = pretend(hosts=2)
    fleet["web-1"].boot("v2").wait()
    booted = hosts_of(fleet)["web-1"].of("v2").id
    fleet.boot("v2", force=True).wait()
    assert hosts_of(fleet)["web-1"].of("v2").id != booted


def test_a_version_that_serves_everywhere_is_booted_anew_as_kamal_does() -> None:
    fleet = pretend(hosts=2)
    fleet.boot("v2").wait()
    booted = hosts_of(fleet)["web-1"].of("v2").id
    assert fleet.boot("v2").wait().ok
    assert hosts_of(fleet)["web-1"].of("v2").id != booted


def test_a_host_with_other_settings_is_not_passed_over() -> None:
    fleet = pretend(hosts=2)
    fleet["web-1"].boot("v2").wait()
    host = hosts_of(fleet)["web-1"]
    host.of("v2").labels = {**host.of("v2").labels, "kamalnb.config": "another"}
    assert [way for *_, way in ways(fleet.plan("v2"))] == ["boot", "boot"]


@pytest.mark.parametrize("typed", ["", "web@v3", "web"])
def test_a_fleet_that_asks_for_confirmation_changes_nothing_without_it(typed: str) -> None:
    fleet = confirming(pretend(hosts=1))
    report = fleet.boot("v2", confirm=typed).wait(check=False)
    assert report.finished is not None
    assert (report.finished.exit_code, "--confirm=web@v2" in report.finished.sentence) == (2, True)
    assert [host.serving for host in hosts_of(fleet).values()] == ["v1"]


def test_a_fleet_that_asks_for_confirmation_boots_with_it() -> None:
    fleet = confirming(pretend(hosts=1))
    assert fleet.boot("v2", confirm="web@v2").wait().ok


def test_a_plan_of_a_host_that_cannot_be_reached_is_refused_with_its_name() -> None:
    fleet = pretend(hosts=2, fail={"web-2": "unreachable"})
    with pytest.raises(kn.KamalnbError, match="web-2"):
        fleet.plan("v2")
    assert [step.host for step in fleet.plan("v2", skip_unreachable=True).moves] == ["web-1"]


def test_a_boot_leaves_marks_of_who_did_it_and_from_where() -> None:
    fleet = pretend(hosts=1)
    fleet.boot("v2").wait()
    labels = hosts_of(fleet)["web-1"].of("v2").labels
    assert labels["kamalnb.by"] == "pretend"
    assert labels["kamalnb.hosts"] == "1"
    assert labels["kamalnb.file"] == "pretend"
    assert len(labels["kamalnb.config"]) == 12


def test_the_digest_of_settings_changes_with_every_setting_and_with_secrets() -> None:
    before = config_digest(role(), "web-1", None)
    assert config_digest(role(), "web-1", None) == before
    assert config_digest(role(cmd="bin/other"), "web-1", None) != before
    assert config_digest(role(), "web-1", Secret("A=1\n")) != before
    assert config_digest(role(), "web-1", Secret("A=1\n")) != config_digest(role(), "web-1", Secret("A=2\n"))
