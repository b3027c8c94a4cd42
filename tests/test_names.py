"""Kamal reads the version from the container's name: whoever serves has the plain one, whatever way it came to that."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from boots import booted, plan, role, serving
from changes import change, must
from test_crash_anywhere import FAULTS, Faulty, Killed
from test_returning import decided, failed, went_back

from kamalnb.flows.returning import way_flow
from kamalnb.flows.stopping import started, stopped
from kamalnb.testing import App, PretendContainer, PretendHost, drive
from kamalnb.ways import Way


def aside(*versions: str) -> PretendHost:
    """v2 was booted twice, then ``versions``: the older one of v2 is ``app-web-v2_replaced_…``."""
    host = serving("v2")
    assert booted(host, "v2").error is None
    for version in versions:
        assert booted(host, version).error is None
    host.time.pass_by(1.0)
    return host


def names(host: PretendHost) -> list[str]:
    """What runs besides Traefik."""
    return [one.name for one in host.containers.values() if one.running and one.name != "traefik"]


def older(host: PretendHost) -> PretendContainer:
    return next(one for one in host.containers.values() if one.name.startswith("app-web-v2_replaced_"))


def serves_under_the_other_name() -> PretendHost:
    """The newer v2 was broken off in the dark and has the plain name; the older one serves on."""
    host = serving("v2")
    faulty = Faulty(host, "killed after", 9)
    with contextlib.suppress(Killed):
        drive(boot_of("v2"), faulty, pause=host.time.pass_by)
    host.time.pass_by(1.0)
    assert older(host).routable
    assert sorted(names(host))[0] == "app-web-v2"
    return host


def boot_of(version: str):  # type: ignore[no-untyped-def]
    from kamalnb.boot import boot

    return boot(plan(version))


@pytest.mark.parametrize("state", ["stopped", "warm"])
def test_one_that_stepped_aside_gets_its_name_back_when_it_serves_again(state: str) -> None:
    host = aside("v3", "v3")  # what serves has the slot of the newer v2: only the older one fits
    if state == "warm":
        host.start_again(older(host))
        host.time.pass_by(3.0)
    traffic = host.traffic()
    identifier = older(host).id
    assert decided(host, "v2").container.id == identifier  # type: ignore[union-attr]
    assert went_back(host, "v2").error is None
    assert traffic.end().lost == []
    assert names(host) == ["app-web-v2"]
    assert host.of("v2").id == identifier or host.containers[identifier].name == "app-web-v2"
    assert len({one.name for one in host.containers.values()}) == len(host.containers)
    assert [one.name.partition("_replaced_")[0] for one in host.containers.values()].count("app-web-v2") == 2


def test_names_are_changed_only_after_the_switch() -> None:
    host = aside("v3", "v3")
    done = went_back(host, "v2")
    assert done.names[-2:] == ["stop container", "name container"]


def test_way_back_that_fails_leaves_the_names_as_they_were() -> None:
    host = aside("v3", "v3")
    older(host).app = App(healthy=False)
    before = {one.id: one.name for one in host.containers.values()}
    assert failed(went_back(host, "v2", replace(role(), healthcheck=replace(role().healthcheck, deadline=5.0))))
    assert {one.id: one.name for one in host.containers.values()} == before


def test_one_of_another_image_or_other_settings_is_not_what_people_go_back_to() -> None:
    host = aside("v3", "v3")
    older(host).labels = {**older(host).labels, "kamalnb.config": "0123456789ab"}
    assert decided(host, "v2").way is Way.BOOT
    assert went_back(host, "v2").error is None
    assert names(host) == ["app-web-v2"]


def test_rollback_to_what_serves_under_the_other_name_gives_it_the_plain_one() -> None:
    host = serves_under_the_other_name()
    serving_one = older(host).id
    assert decided(host, "v2").way is Way.FINISH
    traffic = host.traffic()
    assert went_back(host, "v2").error is None
    assert traffic.end().lost == []
    assert names(host) == ["app-web-v2"]
    assert host.containers[serving_one].name == "app-web-v2"
    assert decided(host, "v2").way is Way.NOTHING


def test_one_that_serves_alone_under_the_other_name_is_no_finished_boot() -> None:
    host = serving("v2")
    host.of("v2").name = "app-web-v2_replaced_0123456789abcdef"
    assert decided(host, "v2").way is Way.FINISH
    assert went_back(host, "v2").error is None
    assert names(host) == ["app-web-v2"]


@pytest.mark.parametrize("version", ["v2", "v3", "exits"])
def test_boot_over_it_ends_with_the_plain_name(version: str) -> None:
    host = serves_under_the_other_name()
    assert (booted(host, version).error is None) is (version != "exits")
    assert names(host) == ["app-web-v2" if version == "exits" else f"app-web-{version}"]


def test_one_that_a_person_starts_again_gets_its_name() -> None:
    host = serves_under_the_other_name()
    must(host, stopped(change()))
    host.time.pass_by(1.0)
    old = older(host)
    del host.containers[next(one.id for one in host.containers.values() if one.name == "app-web-v2")]
    must(host, started(change()))
    assert (old.name, names(host)) == ("app-web-v2", ["app-web-v2"])


def test_worker_gets_its_name_too() -> None:
    job = role("job")
    host = serving("v2", job)
    assert booted(host, "v2", job).error is None
    newer = next(one for one in host.containers.values() if one.name == "app-job-v2")
    assert booted(host, "v3", job).error is None
    del host.containers[newer.id]
    assert went_back(host, "v2", job).error is None
    assert names(host) == ["app-job-v2"]


def test_name_that_a_person_gave_stays() -> None:
    host = serving("v2")
    host.of("v2").name = "app-web-other_replaced_by_hand"
    assert decided(host, "v2").way is Way.NOTHING


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_on_the_way_the_next_run_puts_the_names_right(fault: str) -> None:
    clean = Faulty(aside("v3", "v3"))
    drive(way_flow(decided(clean.host, "v2"), plan("v2")), clean, pause=clean.host.time.pass_by)
    assert "name container" in clean.names
    for at, command in enumerate(clean.names):
        host = aside("v3", "v3")
        traffic = host.traffic(every=0.3)
        with contextlib.suppress(Killed):
            drive(way_flow(decided(host, "v2"), plan("v2")), Faulty(host, fault, at), pause=host.time.pass_by)
        host.failing.clear()
        host.time.pass_by(40.0)
        assert went_back(host, "v2").error is None, (command, at)
        host.time.pass_by(20.0)
        assert names(host) == ["app-web-v2"], (command, at)
        assert traffic.end().lost == [], (command, at)
