"""Prune: the way back always stays, others' things always stay, a failure is told and stops nothing."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from boots import REPOSITORY, booted, config, plan, role, serving
from changes import must, on_host, told
from hypothesis import given
from hypothesis import strategies as st
from test_crash_anywhere import Faulty, Killed

from kamalnb.boot import boot
from kamalnb.cutover import belongs, version_of
from kamalnb.docker import Container
from kamalnb.errors import CommandFailed
from kamalnb.flows.pruning import containers_pruned, images_pruned, pruned, surplus
from kamalnb.testing import PretendHost, drive, drive_on


def keeping(retain: int) -> object:
    return on_host(config=replace(config(), retain_containers=retain))


def grown(count: int = 4) -> PretendHost:
    host = serving("v1")
    for number in range(2, count + 1):
        assert booted(host, f"v{number}").error is None
    return host


containers = st.builds(
    lambda number, role_name, destination, status, started, version: Container(
        id=str(number), name=f"app-{role_name}-{version}", status=status,
        labels={"service": "app", "role": role_name, **({"destination": destination} if destination else {})},
        started=f"2026-01-{started:02d}T00:00:00Z", created=f"2026-01-{started:02d}T00:00:00Z",
    ),
    st.integers(0, 10**9), st.sampled_from(["web", "job"]), st.sampled_from(["", "staging"]),
    st.sampled_from(["running", "restarting", "paused", "exited", "created", "dead"]), st.integers(1, 28),
    st.sampled_from([f"v{number}" for number in range(6)]),
)  # fmt: skip


@given(st.lists(containers, max_size=14, unique_by=lambda one: one.id), st.integers(0, 6))
def test_what_runs_and_the_way_back_are_never_pruned(found: list[Container], retain: int) -> None:
    web = role()
    mine = [one for one in found if belongs(one, web)]
    stopped = sorted((one for one in mine if not one.running), key=lambda one: one.started)
    running = {version_of(one, web) for one in mine if one.running}
    gone = surplus(found, web, retain)
    assert not [one for one in gone if one.running or not belongs(one, web)]
    left = [one for one in stopped if one not in gone]
    assert len(left) <= max(retain, 1) + 1
    assert list(gone) == sorted(gone, key=lambda one: one.started), "the oldest goes first"
    if stopped:
        newest = max(one.started for one in stopped)
        assert any(one.started == newest for one in left), "the one that served last stays"
    others = [one for one in stopped if version_of(one, web) not in running]
    if others:
        newest = max(one.started for one in others)
        assert any(one.started == newest for one in left if one in others), "the version before stays"
    assert len(left) >= min(retain, len(stopped))


def test_oldest_stopped_containers_go_with_their_cords() -> None:
    host = grown()
    done = must(host, containers_pruned(keeping(1)))
    assert done.data["containers"] == ("app-web-v1", "app-web-v2")
    assert done.sentence == "prune: 2 old containers removed, 2 loose cords removed."
    assert host.serving == "v4"
    assert set(host.cords) == {host.of("v3").cord, host.of("v4").cord}


def test_retaining_none_still_leaves_the_way_back() -> None:
    host = grown()
    must(host, containers_pruned(keeping(0)))
    assert host.of("v3").status == "exited"


def test_what_never_served_goes_first_and_is_no_way_back() -> None:
    host = grown(2)
    with contextlib.suppress(Killed):
        drive(boot(plan("v3")), Faulty(host, "killed before", 9), pause=host.time.pass_by)
    assert booted(host, "v2").error is None
    assert must(host, containers_pruned(keeping(1))).data["containers"][-1] == "app-web-v3"
    assert host.of("v1").status == "exited", "the way back stays, though something was started after it"


def test_prune_takes_the_journals_of_dead_runs_away() -> None:
    host = grown(2)
    assert host.journals()
    must(host, containers_pruned(on_host()))
    assert host.journals() == []


def test_containers_of_another_destination_stay_and_so_do_their_cords() -> None:
    host = grown(2)
    staging = replace(role(), destination="staging")
    for version in ("v1", "v2", "v3"):
        booted(host, version, staging)
    before = {one.name for one in host.containers.values() if "staging" in one.name}
    host.cords["/home/deploy/.kamal/cords/app-web-staging-0123456789abcdef"] = "cut"
    must(host, containers_pruned(keeping(0)))
    assert {one.name for one in host.containers.values() if "staging" in one.name} == before
    assert host.cords["/home/deploy/.kamal/cords/app-web-staging-0123456789abcdef"] == "cut"


def test_cord_of_nobody_goes_and_anything_else_in_that_directory_stays() -> None:
    host = serving("v1")
    below = "/home/deploy/.kamal/cords"
    host.cords |= {f"{below}/app-web-0123456789abcdef": "cut", f"{below}/shop-web-0123456789abcdef": "cut"}
    done = must(host, containers_pruned(on_host()))
    assert done.data["cords"] == (f"{below}/app-web-0123456789abcdef",)
    assert f"{below}/shop-web-0123456789abcdef" in host.cords


def test_old_logs_of_ours_go_and_those_of_another_destination_stay() -> None:
    host = serving("v1")
    booted(host, "v1", replace(role(), destination="staging"))
    logs = "/home/deploy/.kamal/logs"
    host.files |= {f"{logs}/app-web-v9-0a1b2c3d.log": "x", f"{logs}/app-web-staging-v9-0a1b2c3d.log": "x"}
    host.files[f"{logs}/other-web-v1-0a1b2c3d.log"] = "x"
    assert must(host, containers_pruned(on_host())).data["logs"] == (f"{logs}/app-web-v9-0a1b2c3d.log",)


def test_unused_images_go_and_latest_kept_and_used_ones_stay() -> None:
    host = serving("v1")
    reference = f"{REPOSITORY}:latest"
    host.images = {name: host.images[name] for name in (f"{REPOSITORY}:v{n}" for n in (1, 2, 3, 4))}
    latest = host.images[f"{REPOSITORY}:v2"]
    host.images |= dict.fromkeys((f"{REPOSITORY}:v2", reference), replace(latest, tags=(*latest.tags, reference)))
    done = must(host, images_pruned(on_host(), keep=["v3"]))
    assert done.data["images"] == (f"{REPOSITORY}:v4",)
    assert sorted(host.images) == [f"{REPOSITORY}:latest", *(f"{REPOSITORY}:v{n}" for n in (1, 2, 3))]


def test_failure_is_raised_when_asked_for_and_only_told_in_a_deploy() -> None:
    host = grown().fail("prune containers", said="the disk is on fire")
    assert isinstance(drive_on(host, pruned(keeping(1))).error, CommandFailed)
    host.fail("prune containers", said="the disk is on fire")
    done = drive_on(host, pruned(keeping(1), best_effort=True))
    assert done.error is None
    assert "the disk is on fire" in told(done)
    assert "remove images" in done.names, "the images are pruned all the same"


def test_container_that_was_started_meanwhile_stays() -> None:
    host = grown()
    flow = containers_pruned(keeping(1))
    done = drive_on(host, flow, alter=lambda script: _restarting(host, script))
    assert "1 container could not be" in done.value.sentence
    assert host.of("v1").status == "running"


def _restarting(host: PretendHost, script: object) -> object:
    if any(command.name == "prune containers" for command in script.commands):  # type: ignore[attr-defined]
        host.of("v1").status = "running"
    return script


def test_nothing_to_prune_is_said() -> None:
    host = serving("v1")
    assert must(host, containers_pruned(on_host())).sentence == "prune: no old container to remove."


@pytest.mark.parametrize("retain", [1, 5])
def test_pruning_twice_is_pruning_once(retain: int) -> None:
    host = grown()
    must(host, pruned(keeping(retain)))
    names = [one.name for one in host.containers.values()]
    must(host, pruned(keeping(retain)))
    assert [one.name for one in host.containers.values()] == names
