"""Stop and start on a pretend host: what is cut and drained first, who serves after it, and what is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from boots import KAMAL_CORD, booted, kamal, role, serving
from changes import change, must, told

from kamalnb.errors import BootError, HostUnreachable
from kamalnb.flows.stopping import stale_stopped, started, stopped
from kamalnb.script import Script
from kamalnb.testing import App, PretendHost, PretendTraefik, drive_on
from kamalnb.testing.traffic import sent


def error_of(host: PretendHost, flow: object) -> BootError:
    done = drive_on(host, flow)  # type: ignore[arg-type]
    assert isinstance(done.error, BootError), (done.value, done.error)
    return done.error


# -- stop -----------------------------------------------------------------------------------------------------------


def test_what_serves_is_cut_confirmed_out_and_drained_before_it_is_stopped() -> None:
    host = serving("v1")
    done = drive_on(host, stopped(change()))
    names = [name for name in done.names if name in ("cut cord", "wait until out", "drain", "stop container")]
    assert names == ["cut cord", "wait until out", "drain", "stop container"]
    assert done.value.sentence == "web: v1 was stopped; nothing of it runs there now."
    assert host.running == []


def test_requests_in_flight_finish_and_later_ones_find_nobody() -> None:
    host = serving("rude-1")  # it drops at SIGTERM what is in flight
    traffic = host.traffic(every=0.1, lasting=(0.0, 2.0))
    host.time.pass_by(3.0)
    must(host, stopped(change()))
    host.time.pass_by(1.0)
    lost = traffic.end().lost
    assert lost
    assert all(answer.lost.startswith(("404", "503")) for answer in lost), lost[:3]


def test_the_whole_stop_is_one_detached_script() -> None:
    done = drive_on(serving("v1"), stopped(change()))
    detached = [script for script in done.scripts if script.journal]
    assert len(detached) == 1
    names = [command.name for command in detached[0].commands]
    assert names == ["cut cord", "wait until out", "tie cord", "drain", "stop container", "audit"]


def test_two_roles_of_one_host_have_journals_of_their_own() -> None:
    both = change().nonce, change().of(role("job")).nonce
    assert both[0] != both[1]
    assert all(len(nonce) == 32 for nonce in both)


def test_nothing_running_is_said_and_changes_nothing() -> None:
    host = PretendHost()
    assert must(host, stopped(change())).sentence == "web: nothing ran there; nothing was changed."
    assert host.did == []


def test_another_version_than_the_one_that_runs_is_not_stopped() -> None:
    host = serving("v1")
    done = must(host, stopped(change(), "v9"))
    assert done.sentence == "web: v9 did not run there (v1 does); nothing was changed."
    assert host.serving == "v1"


def test_kamals_container_is_cut_by_its_own_cord() -> None:
    host = PretendHost()
    kamal(host)
    must(host, stopped(change()))
    assert host.cords[KAMAL_CORD] == "cut"
    assert host.running == []


def test_container_without_a_cord_is_drained_and_the_risk_is_said() -> None:
    host = PretendHost()
    kamal(host, cord=False)
    done = drive_on(host, stopped(change()))
    assert done.error is None
    assert "drain" in done.names
    assert "app-web-v1 has no cord" in told(done)
    assert host.running == []


def test_worker_is_simply_stopped() -> None:
    host = serving("v1", role("job"))
    done = drive_on(host, stopped(change(role("job"))))
    assert [name for name in done.names if name in ("cut cord", "drain")] == []
    assert done.value.sentence == "job: v1 was stopped; nothing of it runs there now."


def test_without_traefik_the_container_is_stopped_all_the_same() -> None:
    host = serving("v1")
    host.find("traefik").status = "exited"
    must(host, stopped(change()))
    assert host.running == []


def test_proxy_that_does_not_let_go_leaves_it_serving() -> None:
    host = serving("v1")
    host.traefik.deaf_from = host.time.now
    error = error_of(host, stopped(change()))
    assert error.why == "Traefik did not let the container go in time."
    assert error.serving == "v1 serves, as before: its cord was tied again."
    assert host.cords[host.of("v1").cord] == "tied"
    host.time.pass_by(5.0)
    assert host.of("v1").routable


def test_leftover_in_the_dark_stays_dark_where_the_stop_fails() -> None:
    host = serving("v1")
    booted(host, "v2", alter=_unstopped)
    dark = host.of("v1").cord
    assert (host.cords[dark], host.of("v1").running) == ("cut", True)
    host.traefik.deaf_from = host.time.now
    error_of(host, stopped(change()))
    assert host.cords[dark] == "cut"


def test_docker_that_does_not_stop_it_is_told_with_what_to_do() -> None:
    host = serving("v1").fail("stop container", said="cannot stop container: tried to kill container")
    error = error_of(host, stopped(change()))
    assert "tried to kill container" in error.why
    assert "v1 was not stopped" in error.serving
    assert "Traefik does not route to it any more" in error.serving
    assert must(host, stopped(change())).data["stopped"] == ("v1",)


def test_lost_connection_is_met_again_and_the_host_has_finished() -> None:
    host = serving("v1").lose_connection("drain")
    assert must(host, stopped(change())).data["stopped"] == ("v1",)
    assert host.did.count("stop container") == 1


def test_host_that_never_comes_back_is_said() -> None:
    host = serving("v1").lose_connection("drain", times=99)
    sent(host, "example.com", "/", held=True)  # a WebSocket holds the drain to its limit
    error = error_of(host, stopped(change(replace(role(), drain_timeout=300.0))))
    assert "the host goes on by itself." in str(error)


def test_lock_of_another_run_changes_nothing() -> None:
    host = serving("v1")
    host.files["/home/deploy/.kamal/lock"] = "theirs\n"
    error = error_of(host, stopped(change(fence=(".kamal/lock", "ours"))))
    assert "does not hold the host's lock" in error.why
    assert host.serving == "v1"


def test_stubborn_container_is_told_as_killed() -> None:
    host = serving("stubborn")
    done = drive_on(host, stopped(change(replace(role(), stop_wait_time=2.0))))
    assert "was killed" in told(done)


def test_stop_is_written_into_the_audit_log() -> None:
    host = serving("v1")
    must(host, stopped(change()))
    assert (
        host.files["/home/deploy/.kamal/app-audit.log"].splitlines()[-1].endswith("[jana] [web] Stopped app version v1")
    )


# -- stale ----------------------------------------------------------------------------------------------------------


def _unstopped(script: Script) -> Script:
    """A switch whose end, drain and stop, did not come."""
    if script.journal is None:
        return script
    return replace(script, sections=script.sections[:-2])


def test_stale_containers_are_stopped_and_the_serving_one_is_not_touched() -> None:
    host = serving("v1")
    booted(host, "v2", alter=_unstopped)
    assert host.running == ["v1", "v2"]
    traffic = host.traffic()
    done = must(host, stale_stopped(change()))
    assert done.sentence == "web: stopped app-web-v1; v2 runs on."
    assert host.running == ["v2"]
    host.time.pass_by(1.0)
    assert traffic.end().lost == []


def test_without_a_stale_container_nothing_is_changed() -> None:
    host = serving("v1")
    host.did.clear()
    assert must(host, stale_stopped(change())).sentence == "web: no stale container runs there."
    assert host.did == []


# -- start ----------------------------------------------------------------------------------------------------------


def halted(version: str = "v1", **settings: object) -> PretendHost:
    host = serving(version, **settings)
    must(host, stopped(change()))
    host.did.clear()
    return host


def test_stopped_container_starts_in_the_dark_is_checked_and_then_tied() -> None:
    host = halted()
    done = drive_on(host, started(change()))
    assert done.value.sentence == "web: v1 serves again."
    assert host.serving == "v1"
    order = [n for n in done.names if n in ("cut cord", "start again", "verify app", "tie cord", "wait for proxy")]
    assert order == ["cut cord", "start again", "verify app", "tie cord", "wait for proxy"]


def test_the_one_that_ran_last_is_started() -> None:
    host = serving("v1")
    booted(host, "v2")
    must(host, stopped(change()))
    assert must(host, started(change())).data["started"] == "v2"


def test_named_version_is_started() -> None:
    host = serving("v1")
    booted(host, "v2")
    must(host, stopped(change()))
    must(host, started(change(), "v1"))
    assert host.serving == "v1"


def test_kamals_container_whose_cord_was_taken_away_gets_a_new_one() -> None:
    host = PretendHost()
    kamal(host)
    must(host, stopped(change()))
    del host.cords[KAMAL_CORD]
    must(host, started(change()))
    assert host.serving == "v1"


def test_container_that_was_stopped_by_hand_with_its_cord_tied_starts_dark() -> None:
    host = serving("v1")
    cord = host.of("v1").cord
    must(host, stopped(change()))
    host.cords[cord] = "tied"
    done = drive_on(host, started(change()))
    assert done.names.index("cut cord") < done.names.index("start again")
    assert host.serving == "v1"


def test_another_version_is_not_started_beside_the_one_that_serves() -> None:
    host = serving("v1")
    booted(host, "v2")
    host.did.clear()
    error = error_of(host, started(change(), "v1"))
    assert error.why == "v2 serves there already, so v1 was not started."
    assert "invoke rollback --version=v1" in error.hint
    assert host.did == []


def test_version_that_runs_already_is_said() -> None:
    host = serving("v1")
    host.did.clear()
    assert must(host, started(change())).sentence == "web: v1 runs already."
    assert host.did == []


def test_version_without_a_container_names_those_that_are_there() -> None:
    error = error_of(halted(), started(change(), "v7"))
    assert error.why == "There is no container of v7 there (there are: v1)."
    assert error.hint == "Boot it: invoke boot --version=v7."


def test_app_that_does_not_get_well_is_cut_and_stopped_again_and_its_log_shown() -> None:
    host = halted()
    host.of("v1").app = App(healthy=False, says=("the database is away",))
    error = error_of(host, started(change(replace(role(), healthcheck=replace(role().healthcheck, deadline=3.0)))))
    assert error.why == "The app did not become healthy within 3 s."
    assert error.serving == "It was stopped again; nothing serves there, as before."
    assert error.log == ("the database is away",)
    assert host.running == []


def test_proxy_that_does_not_acknowledge_it_gets_it_stopped_again() -> None:
    host = halted()
    host.traefik.deaf_from = host.time.now
    error = error_of(host, started(change()))
    assert error.why == "Traefik did not acknowledge it in time."
    assert host.running == []


def test_without_traefik_nothing_is_started() -> None:
    host = halted()
    host.find("traefik").status = "exited"
    assert error_of(host, started(change())).hint == "Start it: invoke traefik.boot."
    assert host.running == []


def test_worker_is_started_and_must_stay_up() -> None:
    host = serving("v1", role("job"))
    must(host, stopped(change(role("job"))))
    assert must(host, started(change(role("job")))).sentence == "job: v1 runs again."
    assert host.running == ["v1"]


def test_start_without_an_api_is_acknowledged_by_nonce() -> None:
    host = halted(traefik=PretendTraefik(api=False))
    must(host, started(change()))
    assert host.serving == "v1"


@pytest.mark.parametrize("moment", ["verify app", "wait for proxy"])
def test_start_whose_connection_is_lost_can_be_run_again(moment: str) -> None:
    host = halted().lose_connection(moment)
    done = drive_on(host, started(change()))
    assert done.error is not None
    assert isinstance(done.error, BootError | HostUnreachable)
    must(host, started(change()))
    assert host.serving == "v1"
