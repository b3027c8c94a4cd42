"""The boot, branch by branch, on a pretend host: how it ends, who serves, what is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from boots import KAMAL_CORD, REPOSITORY, booted, kamal, plan, role, serving

from kamalnb import traefik
from kamalnb.boot import boot
from kamalnb.config.model import Role
from kamalnb.errors import BootError
from kamalnb.events import Phase
from kamalnb.testing import App, Driven, PretendHost, PretendTraefik, drive_on
from kamalnb.testing.containers import life

UP, DOWN = "v1", "v2"
"""What serves before a boot that switches up, or down (v2 came to the upper level by an up-switch)."""


def before(direction: str, **settings: object) -> PretendHost:
    host = serving("v1", **settings)
    if direction == DOWN:
        assert booted(host, "v2").error is None
    return host


def direction_of(done: Driven) -> object:
    return next(fact.data["direction"] for fact in done.facts if fact.kind == "cutover")


def failed(done: Driven) -> BootError:
    assert isinstance(done.error, BootError), (done.value, done.error)
    return done.error


def cord_dirs(host: PretendHost) -> set[str]:
    return {state for path, state in host.cords.items() if path != KAMAL_CORD}


# -- boots that go well ---------------------------------------------------------------------------------------------


def test_first_boot_serves_and_replaces_nothing() -> None:
    host = PretendHost()
    done = booted(host, "v1")
    assert (done.value.version, done.value.replaced) == ("v1", None)
    assert host.serving == "v1"
    assert "cut cord" not in done.names
    assert done.phases == [
        Phase.OBSERVE,
        Phase.PREPARE,
        Phase.START,
        Phase.VERIFY,
        Phase.READY,
        Phase.SWITCH,
        Phase.DONE,
    ]


def test_second_boot_switches_up_and_stops_the_old_one() -> None:
    host = before(UP)
    done = booted(host, "v2")
    assert direction_of(done) == "up"
    assert (done.value.version, done.value.replaced) == ("v2", "v1")
    assert host.running == ["v2"]
    assert host.of("v1").exit_code == 0
    assert host.of("v1").restarts == 0


def test_third_boot_switches_down_and_the_next_one_up_again() -> None:
    host = before(DOWN)
    assert [direction_of(booted(host, version)) for version in ("v3", "v4", "v1")] == ["down", "up", "down"]
    assert host.running == ["v1"]


def test_slots_and_levels_take_turns_so_priorities_do_not_climb() -> None:
    host = PretendHost()
    seen = []
    for version in ("v1", "v2", "v3", "v4", "v1"):
        booted(host, version)
        labels = host.of(version).labels
        seen.append(
            (labels[traefik.SLOT_LABEL], labels[f"traefik.http.routers.app-web-{labels[traefik.SLOT_LABEL]}.priority"])
        )
    assert seen == [("blue", "2"), ("green", "3"), ("blue", "2"), ("green", "3"), ("blue", "2")]


def test_same_version_again_makes_the_running_one_step_aside_by_name() -> None:
    host = before(UP)
    first = host.of("v1")
    done = booted(host, "v1")
    assert done.value.replaced == "v1"
    assert first.name.startswith("app-web-v1_replaced_")
    assert first.status == "exited"
    assert host.find("app-web-v1") is host.of("v1") is not first
    assert host.serving == "v1"


def test_same_version_again_with_a_stopped_namesake() -> None:
    host = before(DOWN)
    done = booted(host, "v1")
    assert done.error is None
    assert host.running == ["v1"]


def test_old_container_without_a_cord_is_shadowed_then_drained_and_stopped() -> None:
    host = PretendHost()
    kamal(host, cord=False)
    done = booted(host, "v2")
    assert done.error is None
    assert host.running == ["v2"]
    assert "cut cord" not in done.names
    assert done.names.index("drain") < done.names.index("still well") < done.names.index("stop container")


@pytest.mark.parametrize("priority", ["2", None, "40"])
def test_container_as_kamal_made_it_is_replaced(priority: str | None) -> None:
    host = PretendHost()
    kamal(host, priority=priority)
    done = booted(host, "v2")
    assert done.error is None
    assert host.serving == "v2"
    assert host.running == ["v2"]
    assert host.cords[KAMAL_CORD] == "cut"


def test_kamal_container_whose_cord_directory_is_gone_is_only_a_leftover_of_a_newer_one() -> None:
    host = serving("v2")
    kamal(host)
    del host.cords[KAMAL_CORD]  # Kamal's own cut removes the directory
    host.time.pass_by(5.0)
    done = booted(host, "v3")
    assert done.error is None
    assert host.serving == "v3"
    assert host.running == ["v3"]


def test_several_old_containers_are_all_cut_and_stopped() -> None:
    host = before(UP)
    kamal(host, "v3", priority="2")
    assert sorted(host.running) == ["v1", "v3"]
    done = booted(host, "v2")
    assert done.error is None
    assert host.running == ["v2"]


def test_dark_leftover_is_stopped_before_the_new_one_starts() -> None:
    host = before(UP)
    left = booted(host, "v2", role(), nonce="ab" * 16)
    assert left.error is None
    old = host.of("v1")
    life(host, old)  # a person started it again: cut and dark
    host.time.pass_by(3.0)
    assert sorted(host.running) == ["v1", "v2"]
    done = booted(host, "v3")
    assert done.error is None
    assert "stop leftover" in done.names[: done.names.index("start container")]
    assert any(fact.kind == "leftover" for fact in done.facts)
    assert host.running == ["v3"]


def test_tied_leftover_below_the_serving_one_is_confirmed_out_before_it_is_stopped() -> None:
    host = before(DOWN)
    old = host.of("v1")
    life(host, old)
    host.cords[str(old.cord)] = "tied"
    host.time.pass_by(3.0)
    assert host.serving == "v2"
    done = booted(host, "v3")
    assert done.error is None
    steps = done.names[: done.names.index("start container")]
    assert [name for name in steps if name in ("cut cord", "wait until out", "drain", "stop leftover")] == [
        "cut cord",
        "wait until out",
        "drain",
        "stop leftover",
    ]


def test_crash_looping_old_one_is_stopped_and_does_not_block_the_boot() -> None:
    host = PretendHost()
    host.add_image("looping", App(exits=3))
    kamal(host, "looping")
    done = booted(host, "v2")
    assert done.error is None
    assert host.serving == "v2"
    assert host.running == ["v2"]
    assert host.of("looping").status == "exited"


def test_missing_image_is_pulled() -> None:
    host = before(UP)
    del host.images[f"{REPOSITORY}:v2"]
    done = booted(host, "v2")
    assert done.error is None
    assert "pull image" in done.names
    assert host.serving == "v2"


@pytest.mark.parametrize("version", ["two-ports", "no-expose"])
def test_port_comes_from_the_health_check_where_the_image_does_not_tell_one(version: str) -> None:
    host = before(UP)
    assert booted(host, version).error is None
    assert host.serving == version


def test_proxy_without_an_api_acknowledges_by_nonce() -> None:
    host = PretendHost(traefik=PretendTraefik(api=False, throttle=2.0, idle=90.0))
    assert booted(host, "v1").error is None
    done = booted(host, "v2")
    assert done.error is None
    assert host.serving == "v2"
    assert not any(fact.kind == "assumed" for fact in done.facts)


def test_kamal_container_behind_a_proxy_without_an_api_is_assumed_out_and_said_so() -> None:
    host = PretendHost(traefik=PretendTraefik(api=False, throttle=2.0, idle=90.0))
    kamal(host)
    done = booted(host, "v2")
    assert done.error is None
    assert any(fact.kind == "assumed" for fact in done.facts)


def test_host_without_a_fetch_tool_asks_from_inside_the_app() -> None:
    host = before(UP)
    host.tools = ()
    done = booted(host, "v2")
    assert done.error is None
    command = next(command for command in done.ran if command.name == "wait for proxy")
    assert command.words[1] == host.of("v2").id


def test_slow_app_is_waited_for() -> None:
    host = before(UP)
    began = host.time.now
    assert booted(host, "slow").error is None
    assert host.time.now - began > 8


def test_stubborn_old_one_is_killed_and_that_is_told() -> None:
    host = PretendHost()
    assert booted(host, "stubborn").error is None
    done = booted(host, "v2")
    assert done.error is None
    assert host.of("stubborn").exit_code == 137
    assert any(fact.kind == "killed" and fact.warning for fact in done.facts)


def test_requests_still_open_at_the_end_of_the_drain_are_told() -> None:
    host = before(UP)
    traffic = host.traffic(every=0.2, lasting=(60.0,))
    host.time.pass_by(0.5)
    done = booted(host, "v2", role(drain_timeout=3.0))
    traffic.end()
    assert done.error is None
    told = [fact.text for fact in done.facts if fact.kind == "cut-short"]
    assert told
    assert "open connections" in told[0]


def test_soak_keeps_the_old_one_until_the_new_one_has_lasted() -> None:
    host = before(UP)
    began = host.time.now
    assert booted(host, "v2", role(min_healthy=5.0)).error is None
    assert host.time.now - began > 6.0


# -- boots that fail: the old version serves before, during and after -----------------------------------------------

FAILING = {
    "never-healthy": "did not become healthy within",
    "exits": "did not stay up",
    "no-sh": "no sh",
    "no-probe": "none of curl, wget",
    "loopback": "loopback address only",
    "wrong-port": "nothing listens on port 8080",
}


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize(("version", "sentence"), FAILING.items())
def test_failing_app_leaves_the_old_version_and_nothing_else(direction: str, version: str, sentence: str) -> None:
    host = before(direction)
    cords = dict(host.cords)
    done = booted(host, version)
    error = failed(done)
    assert sentence in error.why
    assert error.serving == f"{direction} serves, as before."
    assert error.hint
    assert host.serving == direction
    assert host.running == [direction]
    assert host.cords == cords
    with pytest.raises(LookupError):
        host.of(version)
    assert error.log
    assert host.files[error.kept]


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_container_that_cannot_see_its_cord_is_taken_back_before_any_cord_moves(direction: str) -> None:
    host = before(direction)
    host.hides_cords = True
    cords = dict(host.cords)
    done = booted(host, "v3")
    error = failed(done)
    assert "cannot see its cord in /tmp/kamal-cord" in error.why
    assert "SELinux" in error.hint
    assert error.serving == f"{direction} serves, as before."
    assert "tie cord" not in done.names
    assert (host.serving, host.running, host.cords) == (direction, [direction], cords)


def test_role_without_a_cord_needs_to_see_none() -> None:
    host = PretendHost()
    host.hides_cords = True
    assert booted(host, "v1", role(healthcheck={"cord": None})).error is None
    assert host.serving == "v1"


def test_failing_first_boot_says_that_nothing_serves() -> None:
    host = PretendHost()
    error = failed(booted(host, "never-healthy"))
    assert error.serving == "Nothing serves there, as before."
    assert host.running == []


def test_health_log_of_a_failed_one_is_shown() -> None:
    host = before(UP)
    assert failed(booted(host, "never-healthy")).health


def test_failed_boot_of_the_running_version_gives_its_name_back() -> None:
    host = before(UP)
    first = host.of("v1")
    host.fail("start container", 125, "docker: invalid reference format")
    error = failed(booted(host, "v1"))
    assert "exit code 125" in error.why
    assert first.name == "app-web-v1"
    assert host.serving == "v1"


def test_run_that_fails_after_it_made_the_container_is_tidied_up() -> None:
    host = before(UP)
    host.networks["other"] = "10.9.9"
    host.new_in = ("other",)
    error = failed(booted(host, "v2"))
    assert "cannot reach the new container" in error.why
    assert host.running == ["v1"]


def test_several_shared_networks_without_a_label_are_refused() -> None:
    host = before(UP)
    host.networks["second"] = "10.9.9"
    host.find("traefik").networks["second"] = "10.9.9.2"
    host.new_in = ("bridge", "second")
    error = failed(booted(host, "v2"))
    assert "several networks" in error.why
    assert "traefik.docker.network" in error.hint
    assert host.serving == "v1"


def test_missing_image_that_cannot_be_pulled_changes_nothing() -> None:
    host = before(UP)
    did = len(host.did)
    error = failed(booted(host, "v9"))
    assert "cannot be pulled" in error.why
    assert "manifest unknown" in error.why
    assert host.did[did:] == ["pull image", "tidy up"]


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("version", ["dies", "sick"])
def test_new_one_that_fails_in_the_soak_is_undone_on_the_host(direction: str, version: str) -> None:
    host = before(direction)
    traffic = host.traffic()
    done = booted(host, version, role(min_healthy=6.0))
    host.time.pass_by(3.0)
    error = failed(done)
    assert "did not stay up" in error.why
    assert error.serving == f"{direction} serves, as before."
    assert host.serving == direction
    assert host.running == [direction]
    script = next(script for script in done.scripts if script.journal) if done.scripts else None
    assert script is not None
    assert done.names.index("soak") < done.names.index("cut cord" if direction == UP else "wait for old one")
    traffic.end()


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_proxy_that_never_acknowledges_leaves_the_old_version(direction: str) -> None:
    host = before(direction)
    host.traefik.deaf_from = host.time.now
    error = failed(booted(host, "v3"))
    assert "Traefik did not acknowledge" in error.why
    assert error.serving == f"{direction} serves, as before."
    assert host.serving == direction
    assert host.running == [direction]


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_proxy_that_goes_deaf_at_the_cut_keeps_somebody_serving(direction: str) -> None:
    host = before(direction)
    host.time.spawn(_deaf_when_cut(host))
    traffic = host.traffic()
    done = booted(host, "v3")
    host.time.pass_by(5.0)
    traffic.end()
    assert failed(done)
    assert host.serving is not None
    assert not traffic.lost


def _deaf_when_cut(host: PretendHost) -> Iterator[float]:
    while "cut cord" not in host.did[-1:]:
        yield 0.01
    host.traefik.deaf_from = host.time.now


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("first", ["soak", "drain", "wait until out"])
@pytest.mark.parametrize("undo", ["tie cord", "wait for old one"])
def test_new_one_stays_where_the_old_one_may_not_be_back(direction: str, first: str, undo: str) -> None:
    host = before(direction)
    traffic = host.traffic()
    host.time.spawn(_then_fails(host, first, undo))
    done = booted(host, "v3")
    host.time.pass_by(5.0)
    assert failed(done)
    assert host.serving is not None
    assert traffic.end().lost == []


def _then_fails(host: PretendHost, first: str, undo: str) -> Iterator[float]:
    """``first`` fails, and its undo too: the first ``undo`` after the old cord was cut."""
    host.fail(first)
    while "cut cord" not in host.did[-1:]:
        yield 0.01
    host.fail(undo)


def test_no_traefik_is_said_before_anything_is_done() -> None:
    host = PretendHost()
    host.find("traefik").status = "exited"
    error = failed(booted(host, "v1"))
    assert "No Traefik runs" in error.why
    assert "traefik.boot" in error.hint
    assert host.did == []


def test_newer_state_is_refused_in_one_sentence() -> None:
    host = before(UP)
    container = host.of("v1")
    container.labels = {**container.labels, traefik.FORMAT_LABEL: str(traefik.FORMAT + 1)}
    did = len(host.did)
    error = failed(booted(host, "v2"))
    assert "newer kamalnb" in error.why
    assert "pip install" in error.hint
    assert host.did[did:] == []


def test_foreign_router_on_both_levels_is_refused_by_name() -> None:
    host = before(UP)
    for number, priority in enumerate(("1", "3")):
        labels = {
            f"traefik.http.routers.other{number}.rule": "PathPrefix(`/`)",
            f"traefik.http.routers.other{number}.priority": priority,
        }
        host.start(f"other-{number}", f"{REPOSITORY}:v4", labels=labels)
    error = failed(booted(host, "v2"))
    assert "other1 of other-1" in error.why
    assert host.running == ["v1", "v4", "v4"]


# -- a full disk, a lost connection, a lost lock, a person who stops it ------------------------------------------------


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("command", ["env file", "make cord", "start container", "look at container", "tie cord"])
def test_command_that_fails_before_the_switch_is_taken_back(direction: str, command: str) -> None:
    host = before(direction)
    host.fail(command)
    error = failed(booted(host, "v3"))
    assert "no space left on device" in error.why
    assert host.serving == direction
    assert host.running == [direction]


def test_audit_line_that_cannot_be_written_stops_nothing() -> None:
    host = before(UP)
    host.fail("audit", times=5)
    assert booted(host, "v2").error is None


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("command", ["drain", "still well"])
def test_drain_that_fails_ties_the_old_one_again_before_the_new_one_goes(direction: str, command: str) -> None:
    host = before(direction)
    host.fail(command, 1, "dockerd restarts")
    traffic = host.traffic()
    error = failed(booted(host, "v3"))
    host.time.pass_by(3.0)
    assert error.serving == f"{direction} serves, as before."
    assert host.serving == direction
    assert host.running == [direction]
    assert not traffic.end().lost


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_stop_that_fails_leaves_the_new_version_serving(direction: str) -> None:
    host = before(direction)
    host.fail("stop container", 1, "dockerd restarts")
    traffic = host.traffic()
    error = failed(booted(host, "v3"))
    traffic.end()
    assert "The switch stands" in str(error)
    assert error.serving.startswith("v3 serves")
    assert host.serving == "v3"
    assert not traffic.lost
    assert booted(host, "v3").error is None
    assert host.running == ["v3"]


IN_THE_SWITCH = ["soak", "cut cord", "wait until out", "drain", "still well", "stop container"]


@pytest.mark.parametrize(
    ("direction", "command"),
    [(UP, "wait for proxy"), *((direction, name) for direction in (UP, DOWN) for name in IN_THE_SWITCH)],
)
def test_lost_connection_in_the_switch_is_met_again_and_nothing_is_done_twice(direction: str, command: str) -> None:
    host = before(direction)
    host.lose_connection(command)
    done = booted(host, "v3")
    assert done.error is None
    assert any(fact.kind == "lost" for fact in done.facts)
    assert host.did.count("stop container") == (1 if direction == UP else 2)
    assert host.running == ["v3"]


def test_lost_connection_before_the_switch_is_taken_back() -> None:
    host = before(UP)
    host.lose_connection("verify app")
    error = failed(booted(host, "v2"))
    assert "exit status" in error.why
    assert host.running == ["v1"]


def test_host_that_stays_away_in_the_switch_is_named_and_finishes_by_itself() -> None:
    host = before(UP)
    host.lose_connection("soak", times=100)
    host.losing |= dict.fromkeys(IN_THE_SWITCH, 100)
    error = failed(booted(host, "v2", role(min_healthy=60.0)))
    assert "lost in the switch" in error.why
    assert "v2" in error.serving
    assert "v1" in error.serving
    host.time.pass_by(120.0)
    assert host.running == ["v2"]


@pytest.mark.parametrize("phase", ["prepare", "switch"])
def test_lost_lock_is_refused_by_the_host_and_nothing_is_changed(phase: str) -> None:
    host = before(UP)
    host.files[host.path(".kamal/kamalnb-app.lock")] = "somebody-else" if phase == "prepare" else "me\nme since today"
    if phase == "switch":
        host.time.spawn(_stolen_when_verified(host))
    did = len(host.did)
    error = failed(booted(host, "v2", fence=(".kamal/kamalnb-app.lock", "me")))
    assert "lock" in str(error)
    assert phase == "switch" or host.did[did:] == []
    assert host.serving == "v1"
    left = "What was begun of app-web-v2 is left there ("
    assert error.serving.startswith(f"v1 serves, as before. {left}")
    assert error.serving.endswith("ended with 76: this run does not hold the lock any more); the next boot clears it.")


def _stolen_when_verified(host: PretendHost) -> Iterator[float]:
    while "start container" not in host.did[-1:]:
        yield 0.01
    host.files[host.path(".kamal/kamalnb-app.lock")] = "somebody-else"


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_traefik_that_restarted_after_the_first_look_is_asked_at_its_new_address(direction: str) -> None:
    host = before(direction)
    host.time.spawn(_traefik_moves(host))
    done = booted(host, "v3")
    assert done.error is None
    (switch,) = [script for script in done.scripts if script.journal is not None]
    asking = [str(step) for step in switch.commands if step.name in ("wait for proxy", "wait until out", "drain")]
    assert len(asking) >= 2
    assert not any("172.17.0.2:" in line or "020011AC" in line for line in asking)
    assert any("http://172.17.0.77:" in line for line in asking)
    assert any("4D0011AC" in line for line in asking), "whose connections the drain counts"


def _traefik_moves(host: PretendHost) -> Iterator[float]:
    while "start container" not in host.did[-1:]:
        yield 0.01
    host.find("traefik").networks = {"bridge": "172.17.0.77"}


BEFORE_THE_SWITCH = ["make cord", "start container", "verify app", "look at sockets"]


@pytest.mark.parametrize(
    ("direction", "name"),
    [(DOWN, "tie cord"), *((direction, name) for direction in (UP, DOWN) for name in BEFORE_THE_SWITCH)],
)
def test_cancel_before_the_switch_takes_everything_back(direction: str, name: str) -> None:
    host = before(direction)
    done = drive_on(
        host, boot(plan("v3")), lambda run: any(c.name == name for c in run.script.commands) and not run.script.journal
    )
    error = failed(done)
    assert "Cancelled" in error.why
    assert error.serving == f"{direction} serves, as before."
    assert host.serving == direction
    assert host.running == [direction]
    assert host.find("app-web-v3") is None


def test_cancel_while_looking_changes_nothing() -> None:
    host = before(UP)
    did = len(host.did)
    done = drive_on(host, boot(plan("v3")), lambda run: True)
    assert done.error is not None
    assert "Cancelled" in str(done.error)
    assert host.did[did:] == []


# -- roles without a proxy ---------------------------------------------------------------------------------------------


def worker(**changes: object) -> Role:
    return role("job", **changes)


def test_worker_starts_first_and_the_old_one_stops_when_the_new_one_stays_up() -> None:
    host = PretendHost()
    assert booted(host, "v1", worker()).error is None
    done = booted(host, "v2", worker())
    assert done.error is None
    assert (
        done.names.index("start container") < done.names.index("readiness delay") < done.names.index("stop container")
    )
    assert host.running == ["v2"]
    assert host.of("v2").labels["traefik.enable"] == "false"
    assert host.of("v2").cord is None


def test_worker_with_a_check_is_waited_for_until_healthy() -> None:
    host = PretendHost()
    checked = worker(healthcheck={"cmd": "bin/check", "configured": True})
    assert booted(host, "v1", checked).error is None
    done = booted(host, "slow", checked)
    assert done.error is None
    assert "wait for healthy" in done.names
    assert host.running == ["slow"]


def test_worker_that_must_never_run_twice_stops_first() -> None:
    host = PretendHost()
    alone = worker(order="stop-first")
    assert booted(host, "v1", alone).error is None
    done = booted(host, "v2", alone)
    assert done.error is None
    assert done.names.index("stop container") < done.names.index("start container")
    assert host.running == ["v2"]


def test_worker_that_crash_loops_is_removed_and_the_old_one_works_on() -> None:
    host = PretendHost()
    assert booted(host, "v1", worker()).error is None
    error = failed(booted(host, "exits", worker()))
    assert "did not stay up" in error.why
    assert host.running == ["v1"]


def test_stop_first_worker_that_fails_brings_the_old_one_back() -> None:
    host = PretendHost()
    alone = worker(order="stop-first")
    assert booted(host, "v1", alone).error is None
    error = failed(booted(host, "exits", alone))
    assert "did not stay up" in error.why
    assert host.running == ["v1"]
    assert "v1 serves" in error.serving


def test_worker_needs_no_traefik() -> None:
    host = PretendHost()
    host.find("traefik").status = "exited"
    assert booted(host, "v1", worker()).error is None
    assert host.running == ["v1"]


def test_two_roles_on_one_host_do_not_touch_each_other() -> None:
    host = before(UP)
    assert booted(host, "v3", worker()).error is None
    assert sorted(host.running) == ["v1", "v3"]
    assert booted(host, "v2").error is None
    assert sorted(host.running) == ["v2", "v3"]
