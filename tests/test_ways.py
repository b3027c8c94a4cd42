"""Which way back there is, and which version served before: decided from what a host shows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace

import pytest
from boots import KAMAL_CORD, REPOSITORY, booted, kamal, plan, role, serving
from test_crash_anywhere import Faulty, Killed
from test_returning import decided, shown

from kamalnb import history
from kamalnb.boot import boot
from kamalnb.candidates import candidates
from kamalnb.config.model import Role
from kamalnb.docker import Container, Mount
from kamalnb.errors import UsageError
from kamalnb.flows.returning import way_flow
from kamalnb.testing import App, PretendHost, drive, drive_on
from kamalnb.testing.containers import life
from kamalnb.ways import Way, undone, ways_back

WEB = role()
CORD = "/home/deploy/.kamal/cords/"


def at(second: float) -> str:
    return f"2026-01-01T00:00:{second:06.3f}Z"


def container(version: str, started: float, ended: float | None = None, **changes: object) -> Container:
    """One of the role ``web`` that was made and started at one second and ended at another."""
    given = {
        "id": version, "name": f"app-web-{version}", "labels": {"service": "app", "role": "web"},
        "status": "running" if ended is None else "exited", "health": "healthy" if ended is None else "unhealthy",
        "started": at(started), "created": at(started), "finished": "" if ended is None else at(ended),
        "mounts": (Mount(source=CORD + version, destination="/tmp/kamal-cord"),),
    }  # fmt: skip
    return Container(**{**given, **changes})


def served(*found: Container, **cords: str) -> tuple[str, ...]:
    return history.served(WEB, found, {CORD + version: state for version, state in cords.items()})


# -- which version served before ---------------------------------------------------------------------------------------


def test_the_one_that_stopped_last_served_before() -> None:
    assert served(container("v1", 1, 3), container("v2", 2, 5), container("v3", 4)) == ("v3", "v2", "v1")


def test_one_that_was_brought_back_is_the_current_one_and_what_it_replaced_served_before() -> None:
    brought = container("v1", 9, created=at(1))
    assert served(container("v0", 0, 2), brought, container("v2", 4, 10)) == ("v1", "v2", "v0")


def test_leftover_that_a_later_boot_stopped_is_older_than_what_served() -> None:
    """v3 was broken off in the dark, then v4 stopped it first and v2 last."""
    assert served(container("v2", 1, 9), container("v3", 4, 6), container("v4", 7))[:2] == ("v4", "v2")


def test_what_a_broken_off_boot_left_running_in_the_dark_never_served() -> None:
    dark = container("v3", 5, health="unhealthy")
    assert served(container("v1", 1, 3), container("v2", 2), dark, v2="tied", v3="cut") == ("v2", "v1")


def test_what_a_broken_off_way_back_left_running_served_before() -> None:
    dark = container("v1", 5, created=at(1), health="unhealthy")
    assert served(container("v0", 0, 1), dark, container("v2", 2), v2="tied", v1="cut") == ("v2", "v1", "v0")


def test_one_that_a_person_started_again_served_before() -> None:
    again = container("v2", 8, created=at(2), finished=at(6), health="unhealthy")
    assert served(container("v1", 5, created=at(1)), again, v1="tied", v2="cut") == ("v1", "v2")


def test_leftover_to_which_no_switch_went_never_served_however_late_it_was_stopped() -> None:
    """v3 was broken off in the dark; the same boot of v2 again, or an undo, stopped it while v2 served."""
    found = (container("v1", 1, 3), container("v2", 2), container("v3", 4, 6))
    assert served(*found, v1="cut", v2="tied", v3="dark") == ("v2", "v1")
    assert served(*found, v1="cut", v2="tied", v3="cut") == ("v2", "v3", "v1"), "killed after its switch, it did serve"


def test_dark_leftover_is_not_the_current_one_where_nothing_runs() -> None:
    assert served(container("v2", 1, 5), container("v3", 4, 6), v2="cut", v3="dark") == ("v2",)


def test_worker_that_came_and_went_while_another_worked_on_never_served() -> None:
    def job(*about: object, **changes: object) -> Container:
        labels = {"service": "app", "role": "job"}
        return container(*about, name=f"app-job-{about[0]}", labels=labels, mounts=(), **changes)  # type: ignore[arg-type]

    found = (job("v1", 1, 3), job("v2", 2), job("v3", 4, 6))
    assert history.served(role("job"), found) == ("v2", "v1")


def test_warm_one_served_before() -> None:
    warm = container("v1", 1, health="unhealthy")
    assert served(container("v0", 0, 2), warm, container("v2", 2), v2="tied", v1="cut") == ("v2", "v1", "v0")


def test_boot_of_kamals_that_failed_never_served() -> None:
    failed = container("v3", 3, 4, probes=(1, 1, 1))
    assert served(container("v1", 0, 1), container("v2", 2), failed, v2="tied", v3="tied") == ("v2", "v1")


def test_one_that_was_well_when_somebody_stopped_it_did_serve() -> None:
    stopped = container("v3", 3, 4, probes=(1, 0, 0))
    assert served(container("v1", 0, 1), container("v2", 2), stopped, v2="tied", v3="tied") == ("v2", "v3", "v1")


def test_container_that_was_only_created_never_served() -> None:
    created = replace(container("v3", 3, 4), status="created", started="0001-01-01T00:00:00Z")
    assert served(container("v2", 2), created) == ("v2",)


def test_where_nothing_runs_the_last_started_one_is_the_current_one() -> None:
    assert served(container("v1", 1, 8), container("v2", 2, 9)) == ("v2", "v1")


def test_same_version_twice_counts_once() -> None:
    again = container("v2", 1, 4, id="x", name="app-web-v2_replaced_0123456789abcdef")
    assert served(container("v1", 0, 2), again, container("v2", 3)) == ("v2", "v1")


def test_where_nothing_is_there_nothing_served() -> None:
    assert served() == ()


# -- undo over several hosts -------------------------------------------------------------------------------------------


def fleet(**hosts: tuple[str, ...]) -> dict[str, PretendHost]:
    """Pretend hosts on which these versions were booted one after the other."""
    made = {}
    for number, (name, versions) in enumerate(hosts.items()):
        host = PretendHost(name.replace("_", "-"))
        host.time.pass_by(float(number))
        for version in versions:
            assert booted(host, version).error is None
            host.time.pass_by(1.0)
        made[host.name] = host
    return made


def goes_back(hosts: Mapping[str, PretendHost], *roles: Role) -> dict[tuple[str, str], str]:
    pairs = [(name, one) for name in hosts for one in roles or (WEB,)]
    return undone([shown(host) for host in hosts.values()], pairs)


def test_every_host_goes_back_to_what_served_before_it_there() -> None:
    hosts = fleet(web_1=("v1", "v2"), web_2=("v3", "v2"))
    assert goes_back(hosts) == {("web-1", "web"): "v1", ("web-2", "web"): "v3"}


def test_host_that_a_broken_off_rollout_never_reached_stays_as_it_is() -> None:
    hosts = fleet(web_1=("v1",), web_2=("v1", "v2", "v3"), web_3=("v1", "v2"))
    assert goes_back(hosts) == {("web-2", "web"): "v2"}


def test_hosts_where_nothing_served_before_are_refused_each_by_name() -> None:
    hosts = fleet(web_1=("v1", "v2"), web_2=("v2",), web_3=("v2",))
    with pytest.raises(UsageError, match=r"web on web-2, web on web-3.*invoke rollback") as refused:
        goes_back(hosts)
    assert "web-1" not in str(refused.value)


def test_undo_where_nothing_is_there_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to undo"):
        goes_back({"web-1": PretendHost("web-1")})


BROKEN_OFF = ("never-healthy", "v3")
"""What was booted when the controller died in the dark: one that would never have served, one that would have."""


@pytest.mark.parametrize("version", BROKEN_OFF)
@pytest.mark.parametrize("again", ["boot", "rollback"])
def test_undo_goes_back_to_what_served_before_never_to_what_a_dead_boot_left(version: str, again: str) -> None:
    host = fleet(web_1=("v1", "v2"))["web-1"]
    with contextlib.suppress(Killed):
        drive(boot(plan(version)), Faulty(host, "killed before", 9), pause=host.time.pass_by)
    assert sorted(host.running) == sorted(["v2", version])
    assert goes_back({"web-1": host}) == {("web-1", "web"): "v1"}
    flow = boot(plan("v2")) if again == "boot" else way_flow(decided(host, "v2"), plan("v2"))
    assert drive_on(host, flow).error is None
    assert host.running == ["v2"]
    assert goes_back({"web-1": host}) == {("web-1", "web"): "v1"}


@pytest.mark.parametrize("before", [("v1",), ("v1", "v2")])
def test_boot_that_was_killed_after_its_switch_did_serve(before: tuple[str, ...]) -> None:
    host, new = fleet(web_1=before)["web-1"], "v3"
    clean = Faulty(fleet(web_1=before)["web-1"])
    drive(boot(plan(new)), clean, pause=clean.host.time.pass_by)
    with contextlib.suppress(Killed):
        drive(boot(plan(new)), Faulty(host, "killed there", clean.names.index("drain")), pause=host.time.pass_by)
    host.time.pass_by(3.0)
    assert host.serving == new
    old = before[-1]
    assert drive_on(host, way_flow(decided(host, old), plan(old))).error is None
    assert host.running == [old]
    assert goes_back({"web-1": host}) == {("web-1", "web"): new}


# -- the way --------------------------------------------------------------------------------------------------------


def test_ways_from_the_quickest_to_the_slowest() -> None:
    host = serving("v1")
    assert booted(host, "v2").error is None
    del host.images[f"{REPOSITORY}:v4"]
    ways = {version: decided(host, version).way for version in ("v2", "v1", "v3", "v4")}
    assert ways == {"v2": Way.NOTHING, "v1": Way.START, "v3": Way.BOOT, "v4": Way.PULL}
    host.start_again(host.of("v1"))
    assert decided(host, "v1").way is Way.SWITCH_BACK
    assert decided(host, "v2").way is Way.FINISH


def test_way_says_who_serves_until_then_and_what_it_does() -> None:
    host = serving("v1")
    assert booted(host, "v2").error is None
    found = decided(host, "v1")
    assert found.replaces == "v2"
    assert found.sentence == "v1 is started from its stopped container, checked, and switched to."
    assert found.row == {
        "host": "web-1", "role": "web", "from": "v2", "to": "v1", "way": "start", "container": "app-web-v1", "note": "",
    }  # fmt: skip


def test_one_that_crash_loops_is_booted_anew() -> None:
    host = serving("v1")
    assert booted(host, "v2").error is None
    old = host.of("v1")
    old.app = App(exits=3)
    life(host, old)
    host.time.pass_by(2.0)
    found = decided(host, "v1")
    assert found.way is Way.BOOT
    assert "restarted" in found.reason


def test_one_that_runs_tied_and_is_not_well_is_booted_anew() -> None:
    host = serving("v1")
    assert booted(host, "v2").error is None
    old = host.of("v1")
    old.app = App(healthy=False)
    host.cords[str(old.cord)] = "tied"
    life(host, old)
    host.time.pass_by(2.0)
    found = decided(host, "v1")
    assert (found.way, found.reason) == (Way.BOOT, "app-web-v1 runs but is not well.")


@pytest.mark.parametrize("state", ["empty", None])
def test_stopped_one_without_a_usable_cord_is_booted_anew(state: str | None) -> None:
    host = serving("v1")
    assert booted(host, "v2").error is None
    cord = str(host.of("v1").cord)
    if state is None:
        del host.cords[cord]
    else:
        host.cords[cord] = state
    found = decided(host, "v1")
    assert (found.way, found.reason) == (Way.BOOT, "the cord of app-web-v1 is gone.")


def test_two_of_kamals_share_their_names_so_the_old_one_is_booted_anew() -> None:
    host = PretendHost()
    kamal(host, "v1").cord = None
    first = host.of("v1")
    first.status, first.cord = "exited", KAMAL_CORD + "0"
    host.cords[KAMAL_CORD + "0"] = "cut"
    kamal(host, "v2")
    found = decided(host, "v1")
    assert found.way is Way.BOOT
    assert "share the Traefik name app-web" in found.reason


def test_level_that_a_neighbour_took_meanwhile_is_booted_elsewhere() -> None:
    high = role(labels={"traefik.http.routers.app-web.priority": "20"})
    host = serving("v1", high)
    for version in ("v2", "v3"):
        assert booted(host, version, high).error is None
    labels = {"traefik.http.routers.other.rule": "PathPrefix(`/`)", "traefik.http.routers.other.priority": "21"}
    host.start("other", f"{REPOSITORY}:v4", labels=labels)
    found = decided(host, "v2", high)
    assert "neither clearly above nor clearly below other of other" in found.reason
    assert found.way is Way.BOOT


def test_what_cannot_be_booted_either_is_refused_with_the_reason() -> None:
    host = serving("v1")
    for number, priority in enumerate(("1", "3")):
        labels = {
            f"traefik.http.routers.other{number}.rule": "PathPrefix(`/`)",
            f"traefik.http.routers.other{number}.priority": priority,
        }
        host.start(f"other-{number}", f"{REPOSITORY}:v4", labels=labels)
    found = decided(host, "v2")
    assert found.way is Way.REFUSED
    assert "other1 of other-1" in found.reason
    assert found.hint


def test_newer_kamalnb_is_refused_for_that_host() -> None:
    host = serving("v1")
    host.of("v1").labels = {**host.of("v1").labels, "kamalnb.format": "2"}
    (found,) = ways_back([shown(host)], [("web-1", WEB)], {("web-1", "web"): "v1"}, REPOSITORY)
    assert found.way is Way.REFUSED
    assert "newer kamalnb" in found.reason
    assert "pip install" in found.hint


def test_hosts_without_a_version_have_no_way() -> None:
    hosts = fleet(web_1=("v1", "v2"), web_2=("v1",))
    pairs = [(name, WEB) for name in hosts]
    seen = [shown(host) for host in hosts.values()]
    found = ways_back(seen, pairs, undone(seen, pairs), REPOSITORY)
    assert [(one.host, one.version, one.way) for one in found] == [("web-1", "v1", Way.START)]


def test_worker_is_there_stopped_or_by_its_image() -> None:
    job = role("job")
    host = serving("v1", job)
    assert booted(host, "v2", job).error is None
    traefik = host.find("traefik")
    assert traefik is not None
    traefik.status = "exited"
    ways = [decided(host, version, job).way for version in ("v1", "v2", "v3")]
    assert ways == [Way.START, Way.NOTHING, Way.BOOT]


# -- what can be chosen ----------------------------------------------------------------------------------------------


def test_candidates_say_where_each_version_is_and_when_it_was_started() -> None:
    hosts = fleet(web_1=("v1", "v2"), web_2=("v1", "v3"))
    del hosts["web-1"].images[f"{REPOSITORY}:v4"]
    labels = dict(hosts["web-1"].of("v2").labels)
    hosts["web-1"].of("v2").labels = {**labels, "kamalnb.by": "ann", "kamalnb.revision": "abc1234"}
    found = candidates([shown(host) for host in hosts.values()], [(name, WEB) for name in hosts], REPOSITORY)
    rows = {one.version: one for one in found}
    assert rows["v1"].containers == ("web-1", "web-2")
    assert (rows["v2"].containers, rows["v2"].images, rows["v2"].serving) == (
        ("web-1",),
        ("web-1", "web-2"),
        ("web-1",),
    )
    assert (rows["v2"].by, rows["v2"].revision) == ("ann", "abc1234")
    assert (rows["v3"].serving, rows["v3"].by) == (("web-2",), None)
    assert (rows["v4"].containers, rows["v4"].images, rows["v4"].started) == ((), ("web-2",), None)
    assert [one.version for one in found[:2]] == ["v3", "v2"]  # started last comes first
    assert all(one.row["version"] == one.version for one in found)
