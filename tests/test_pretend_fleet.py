"""``pretend``: a whole fleet that exists nowhere, through the same Fleet that people hold."""

from __future__ import annotations

import time

import pytest

from kamalnb import events
from kamalnb.errors import RolloutFailed, UsageError
from kamalnb.report import State
from kamalnb.testing import FAILURES, PretendFleet, pretend


def hosts_of(fleet: object) -> PretendFleet:
    return fleet.connect(None)


def test_eight_hosts_boot_in_no_time() -> None:
    fleet = pretend(hosts=8)
    began = time.monotonic()
    report = fleet.boot("v2").wait()
    assert report.ok
    assert report.count(State.BOOTED) == 8
    assert {line.replaced for line in report.lines} == {"v1"}
    assert time.monotonic() - began < 10
    assert {host.serving for host in hosts_of(fleet).hosts.values()} == {"v2"}


def test_one_boot_after_the_other_up_and_down() -> None:
    fleet = pretend(2)
    for version in ("v2", "v3", "v4", "v1", "v1"):
        assert fleet.boot(version).wait().ok
    assert {host.serving for host in hosts_of(fleet).hosts.values()} == {"v1"}


def test_who_waits_for_a_rollout_that_has_ended_does_not_start_it_again() -> None:
    fleet = pretend(1)
    rollout = fleet.boot("v2")
    assert len(list(rollout)) > 10
    did = list(hosts_of(fleet).hosts["web-1"].did)
    assert (rollout.wait().ok, list(rollout)) == (True, [])
    assert hosts_of(fleet).hosts["web-1"].did == did
    failed = pretend(1, fail={"web-1": "unreachable"}).boot("v2")
    assert len(list(failed)) > 1
    with pytest.raises(RolloutFailed):
        failed.wait()


BEFORE_ANYTHING = ["unreachable", "no docker", "disk full", "no traefik"]


@pytest.mark.parametrize("how", BEFORE_ANYTHING)
def test_host_that_cannot_be_used_is_refused_before_any_change(how: str) -> None:
    fleet = pretend(3, fail={"web-2": how})
    with pytest.raises(RolloutFailed):
        fleet.boot("v2").wait()
    hosts = hosts_of(fleet).hosts.values()
    assert all(host.running == ["v1"] for host in hosts)
    assert all("start container" not in host.did for host in hosts)


@pytest.mark.parametrize("how", sorted(set(FAILURES) - set(BEFORE_ANYTHING)))
def test_host_whose_boot_fails_keeps_its_version_and_the_others_go_on(how: str) -> None:
    fleet = pretend(3, fail={"web-2": how})
    here = hosts_of(fleet)
    traffic = here.hosts["web-2"].traffic()
    report = fleet.boot("v2").wait(check=False)
    traffic.end()
    assert not report.ok
    assert [failure.host for failure in report.failures] == ["web-2"]
    assert {name: host.running for name, host in here.hosts.items()} == {
        "web-1": ["v2"],
        "web-2": ["v1"],
        "web-3": ["v2"],
    }
    assert report.failures[0].log
    assert "v1 serves" in report.failures[0].serving


def test_host_and_failure_that_there_is_none_of_name_the_choices() -> None:
    with pytest.raises(UsageError, match="web-1, web-2"):
        pretend(2, fail={"web-9": "exits"})
    with pytest.raises(UsageError, match="never healthy"):
        pretend(2, fail={"web-1": "hiccups"})


def test_virtual_time_can_last() -> None:
    fleet = pretend(1, speed=50.0)
    began = time.monotonic()
    list(fleet.boot("v2"))
    assert 0.02 < time.monotonic() - began < 10


def test_lock_of_another_run_is_respected() -> None:
    fleet = pretend(2)
    host = hosts_of(fleet).hosts["web-1"]
    host.files[host.path(".kamal/kamalnb-app.lock")] = "other\nana since noon: boot v9\n"
    report = fleet.boot("v2").wait(check=False)
    assert not report.ok
    assert all(one.running == ["v1"] for one in hosts_of(fleet).hosts.values())


def test_lock_is_free_again_after_a_run() -> None:
    fleet = pretend(2)
    fleet.boot("v2").wait()
    assert all(not host.files[host.path(".kamal/kamalnb-app.lock")] for host in hosts_of(fleet).hosts.values())


def test_dry_run_changes_nothing_and_shows_what_would_run() -> None:
    fleet = pretend(2)
    found = list(fleet.boot("v2", dry_run=True))
    assert [host.did for host in hosts_of(fleet).hosts.values()] == [[], []]
    skipped = [event for event in found if isinstance(event, events.StepSkipped)]
    names = [event.name for event in skipped if event.host == "web-1"]
    assert "start container" in names
    assert "cut cord" in names
    assert "stop container" in names
    assert isinstance(found[-1], events.RunFinished)
    assert found[-1].ok
