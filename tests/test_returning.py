"""The way back on a pretend host: a version that served before serves again, and no request is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from boots import KAMAL_CORD, REPOSITORY, Alter, booted, kamal, plan, role, serving

from kamalnb.boot import Booted
from kamalnb.config.model import Role
from kamalnb.errors import BootError
from kamalnb.events import Phase
from kamalnb.flow import Run
from kamalnb.flows.returning import way_flow
from kamalnb.plan import BootPlan
from kamalnb.script import Script
from kamalnb.shell import look as looks
from kamalnb.shown import Shown, look
from kamalnb.testing import App, Driven, PretendHost, PretendTraefik, drive_on
from kamalnb.testing.containers import life
from kamalnb.ways import Way, WayBack, way_back

UP, DOWN = "up", "down"
VERSIONS = {DOWN: ("v1", "v2"), UP: ("v2", "v3")}
"""Who comes back and who serves: v1 stands below v2, and v2 above v3."""
SAME: Alter = lambda script: script  # noqa: E731


def shown(host: PretendHost) -> Shown:
    from boots import config

    done = drive_on(host, look(config(), host.name))
    assert isinstance(done.value, Shown), done.error
    return done.value


def decided(host: PretendHost, version: str, of: Role | None = None) -> WayBack:
    chosen = of or role()
    return way_back(host.name, chosen, version, shown(host).situation(chosen, f"{REPOSITORY}:{version}"))


def went_back(
    host: PretendHost, version: str, of: Role | None = None, *, alter: Alter = SAME, **changes: object
) -> Driven:
    """The way back to ``version``, whatever comes of it."""
    chosen: BootPlan = plan(version, of, **changes)
    return drive_on(host, way_flow(decided(host, version, of), chosen), alter=alter)


def before(direction: str, of: Role | None = None, **settings: object) -> PretendHost:
    """v2 (down) or v3 (up) serves; what served before it is stopped."""
    host = serving("v1", of, **settings)
    for version in ("v2", "v3")[: 1 if direction == DOWN else 2]:
        assert booted(host, version, of).error is None
    host.time.pass_by(1.0)
    return host


def warm(direction: str, **settings: object) -> PretendHost:
    """The same, and what served before still runs, its cord cut."""
    host = before(direction, **settings)
    host.start_again(host.of(VERSIONS[direction][0]))
    host.time.pass_by(3.0)
    return host


def failed(done: Driven) -> BootError:
    assert isinstance(done.error, BootError), (done.value, done.error)
    return done.error


BEGINNING = [Phase.OBSERVE, Phase.PREPARE, Phase.START, Phase.VERIFY, Phase.READY, Phase.SWITCH]


# -- it goes well ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("state", ["stopped", "warm"])
def test_old_version_comes_back_and_no_request_is_lost(direction: str, state: str) -> None:
    host = warm(direction) if state == "warm" else before(direction)
    old, now = VERSIONS[direction]
    assert decided(host, old).way is (Way.SWITCH_BACK if state == "warm" else Way.START)
    traffic = host.traffic(lasting=(0.0, 0.3, 1.5))
    host.time.pass_by(0.5)
    done = went_back(host, old)
    host.time.pass_by(2.0)
    traffic.end()
    assert done.error is None
    assert done.value == Booted(version=old, replaced=now, container=host.of(old).id)
    assert done.phases == [*BEGINNING, Phase.DONE]
    assert next(fact.data["direction"] for fact in done.facts if fact.kind == "cutover") == direction
    assert traffic.lost == []
    assert traffic.versions == [now, old]
    assert host.running == [old]
    assert "start container" not in done.names
    assert ("start it again" in done.names) is (state == "stopped")


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_undo_of_an_undo_is_a_redo(direction: str) -> None:
    host = before(direction)
    old, now = VERSIONS[direction]
    traffic = host.traffic(lasting=(0.0, 0.3))
    for version in (old, now, old, now):
        assert went_back(host, version).error is None
        assert host.running == [version]
        host.time.pass_by(1.0)
    assert traffic.end().lost == []
    assert booted(host, "v4").error is None
    assert host.running == ["v4"]


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_stopped_one_starts_in_the_dark_even_if_its_cord_was_left_tied(direction: str) -> None:
    host = before(direction)
    old = VERSIONS[direction][0]
    host.cords[str(host.of(old).cord)] = "tied"
    done = went_back(host, old)
    assert done.error is None
    assert done.names.index("cut cord") < done.names.index("start it again") < done.names.index("tie cord")


def test_one_that_is_tied_below_is_switched_to_by_the_cut_alone() -> None:
    host = warm(DOWN)
    host.cords[str(host.of("v1").cord)] = "tied"
    host.time.pass_by(3.0)
    traffic = host.traffic()
    done = went_back(host, "v1")
    assert done.error is None
    assert traffic.end().lost == []
    assert host.running == ["v1"]
    assert "start it again" not in done.names


def test_warm_one_takes_about_a_second() -> None:
    host = warm(UP)
    began = host.time.now
    traffic = host.traffic(every=0.02)
    assert went_back(host, "v2").error is None
    first = min(answer.began for answer in traffic.end().answers if answer.version == "v2")
    assert first - began < 1.7


def test_journal_of_a_way_back_is_its_own() -> None:
    host = before(DOWN)
    journals = set()
    for version in ("v1", "v2", "v1"):
        done = went_back(host, version)
        journals |= {script.journal for script in done.scripts if script.journal}
    assert len(journals) == 3


@pytest.mark.parametrize(
    "proxy",
    [
        PretendTraefik(),
        PretendTraefik(throttle=2.0, offset=1.3),
        PretendTraefik(throttle=2.0, api=False, idle=90.0),
        PretendTraefik(throttle=0.5, lag=0.4),
    ],
    ids=["ours", "slow", "no api", "late"],
)
@pytest.mark.parametrize("cord", ["cut", "tied"])
def test_kamals_container_comes_back_with_its_cord(proxy: PretendTraefik, cord: str) -> None:
    host = PretendHost(traefik=proxy)
    kamal(host)
    assert booted(host, "v2").error is None
    host.cords[KAMAL_CORD] = cord
    host.time.pass_by(1.0)
    traffic = host.traffic(lasting=(0.0, 0.3))
    host.time.pass_by(0.5)
    done = went_back(host, "v1")
    host.time.pass_by(3.0)
    assert done.error is None
    assert traffic.end().lost == []
    assert traffic.versions == ["v2", "v1"]
    assert host.running == ["v1"]
    assert any("Kamal's: assumed" in fact.text for fact in done.facts) is not proxy.api
    assert booted(host, "v3").error is None
    assert host.running == ["v3"]


def test_kamals_container_without_its_cord_is_booted_anew() -> None:
    host = PretendHost()
    kamal(host)
    assert booted(host, "v2").error is None
    del host.cords[KAMAL_CORD]
    found = decided(host, "v1")
    assert (found.way, found.reason) == (Way.BOOT, "the cord of app-web-v1 is gone.")
    assert went_back(host, "v1").error is None
    assert host.running == ["v1"]


def test_slot_that_is_taken_again_is_booted_anew() -> None:
    host = before(UP)
    assert booted(host, "v4").error is None  # green, as v2 was
    found = decided(host, "v2")
    assert found.way is Way.BOOT
    assert "share the Traefik name" in found.reason
    assert went_back(host, "v2").error is None
    assert host.running == ["v2"]


def test_image_that_is_not_there_is_pulled() -> None:
    host = before(DOWN)
    del host.images[f"{REPOSITORY}:v4"]
    assert decided(host, "v4").way is Way.PULL
    done = went_back(host, "v4")
    assert done.error is None
    assert "pull image" in done.names
    assert host.running == ["v4"]


def test_version_that_serves_alone_is_passed_over() -> None:
    host = before(DOWN)
    did = len(host.did)
    done = went_back(host, "v2")
    assert done.value == Booted(version="v2", replaced="v2", container=host.of("v2").id)
    assert done.phases == [Phase.OBSERVE, Phase.DONE]
    assert host.did[did:] == []


@pytest.mark.parametrize("tied", [True, False])
def test_version_that_serves_beside_others_ends_up_alone(tied: bool) -> None:
    host = warm(DOWN)
    if tied:
        host.cords[str(host.of("v1").cord)] = "tied"
        host.time.pass_by(3.0)
    traffic = host.traffic()
    assert decided(host, "v2").way is Way.FINISH
    done = went_back(host, "v2")
    assert done.error is None
    assert traffic.end().lost == []
    assert traffic.versions == ["v2"]
    assert host.running == ["v2"]
    assert done.phases == [Phase.OBSERVE, Phase.PREPARE, Phase.STOP, Phase.DONE]


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_broken_one_that_runs_does_not_block_the_way_back(direction: str) -> None:
    host = before(direction)
    old, now = VERSIONS[direction]
    broken = host.of(now)
    broken.app = App(exits=3)
    life(host, broken)
    host.time.pass_by(3.0)
    assert host.serving is None
    assert decided(host, old).way is Way.START
    assert went_back(host, old).error is None
    assert host.running == [old]


def test_dark_leftover_is_stopped_first() -> None:
    host = before(UP)
    life(host, host.of("v1"))
    host.time.pass_by(3.0)
    done = went_back(host, "v2")
    assert done.error is None
    assert "stop leftover" in done.names[: done.names.index("start it again")]
    assert host.running == ["v2"]


# -- it fails: what serves now serves on ---------------------------------------------------------------------------

BROKEN = {
    "exits": App(exits=3),
    "never healthy": App(healthy=False),
    "wrong port": App(listens_on=(8080,)),
    "loopback": App(loopback=True),
}


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("how", BROKEN)
def test_broken_container_is_put_back_and_the_current_one_serves(direction: str, how: str) -> None:
    host = before(direction)
    old, now = VERSIONS[direction]
    host.of(old).app = BROKEN[how]
    traffic = host.traffic()
    done = went_back(host, old, replace(role(), healthcheck=replace(role().healthcheck, deadline=5.0)))
    error = failed(done)
    assert error.serving == f"{now} serves, as before."
    assert traffic.end().lost == []
    assert traffic.versions == [now]
    assert host.running == [now]
    assert host.of(old).status == "exited"
    assert host.cords[str(host.of(old).cord)] == "cut"
    assert error.log
    assert done.phases[-1] is Phase.UNDO


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("state", ["stopped", "warm"])
def test_one_that_fails_in_the_soak_gives_way_to_the_current_one(direction: str, state: str) -> None:
    host = warm(direction) if state == "warm" else before(direction)
    old, now = VERSIONS[direction]
    host.of(old).app = App(sick_after=1.0) if state == "warm" else App(dies_after=1.0)
    traffic = host.traffic()
    error = failed(went_back(host, old, role(min_healthy=6.0)))
    host.time.pass_by(3.0)
    traffic.end()
    assert "did not stay up" in error.why
    assert error.serving == f"{now} serves, as before."
    assert host.serving == now
    assert traffic.versions[0] == traffic.versions[-1] == now
    assert host.cords[str(host.of(old).cord)] == "cut"
    assert state == "warm" or host.running == [now]


@pytest.mark.slow
@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("state", ["stopped", "warm"])
@pytest.mark.parametrize("way", ["fails", "lost", "lost for good", "cancelled"])
def test_any_step_that_fails_loses_nothing_and_can_be_run_again(direction: str, state: str, way: str) -> None:
    made = warm if state == "warm" else before
    old, now = VERSIONS[direction]
    steps = list(dict.fromkeys(went_back(made(direction), old).names))
    assert "drain" in steps
    for step in steps:
        host = made(direction)
        traffic = host.traffic(lasting=(0.0, 0.3))
        back, chosen = decided(host, old), plan(old)
        if way == "fails":
            host.fail(step)
        elif way != "cancelled":
            host.lose_connection(step, times=1 if way == "lost" else 100)

        def stop(run: Run, step: str = step) -> bool:
            return way == "cancelled" and not run.script.journal and step in [c.name for c in run.script.commands]

        done = drive_on(host, way_flow(back, chosen), stop)
        assert isinstance(done.error, BootError) or isinstance(done.value, Booted), step
        host.losing.clear()
        host.failing.clear()
        host.time.pass_by(60.0)
        assert traffic.lost == [], step
        assert host.serving in (old, now), step
        assert went_back(host, old).error is None, step
        assert traffic.end().lost == [], step
        assert host.running == [old], step


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("moment", [0.3 * number for number in range(16)])
def test_proxy_that_goes_deaf_at_any_moment_loses_nothing(direction: str, moment: float) -> None:
    host = before(direction, traefik=PretendTraefik(throttle=0.5, offset=0.3))
    host.traefik.deaf_from = host.time.now + moment
    traffic = host.traffic()
    went_back(host, VERSIONS[direction][0])
    host.time.pass_by(3.0)
    assert traffic.end().lost == []
    assert host.serving is not None


def test_lost_lock_changes_nothing() -> None:
    host = before(DOWN)
    host.files[host.path(".kamal/kamalnb-app.lock")] = "somebody-else"
    did = len(host.did)
    error = failed(went_back(host, "v1", fence=(".kamal/kamalnb-app.lock", "me")))
    assert "lock" in str(error)
    assert host.did[did:] == []
    assert host.running == ["v2"]


def test_host_that_changed_since_it_was_decided_is_left_alone() -> None:
    host = before(DOWN)
    back = decided(host, "v1")
    del host.containers[host.of("v1").id]
    did = len(host.did)
    error = failed(drive_on(host, way_flow(back, plan("v1"))))
    assert "web-1 changed meanwhile" in error.why
    assert host.did[did:] == []


def test_refused_way_changes_nothing() -> None:
    host = before(DOWN)
    traefik = host.find("traefik")
    assert traefik is not None
    traefik.status = "exited"
    back = decided(host, "v1")
    assert back.way is Way.REFUSED
    error = failed(drive_on(host, way_flow(back, plan("v1"))))
    assert "no Traefik runs" in error.why
    assert "traefik.boot" in error.hint


# -- the judge is judged -------------------------------------------------------------------------------------------


def without(*names: str) -> Alter:
    nothing = looks("nothing", "true")

    def alter(script: Script) -> Script:
        return replace(
            script,
            sections=tuple(
                replace(section, steps=tuple(nothing if step.name in names else step for step in section.steps))
                for section in script.sections
            ),
        )

    return alter


@pytest.mark.parametrize(
    ("direction", "missing"),
    [
        (DOWN, ("wait for proxy", "soak", "still well")),
        (DOWN, ("wait until out", "drain")),
        (UP, ("wait for proxy", "soak", "wait until out", "drain", "still well")),
    ],
)
def test_broken_order_is_noticed(direction: str, missing: tuple[str, ...]) -> None:
    slow = role(healthcheck={"interval": 3.0})

    def lost(alter: Alter) -> int:
        count = 0
        for part in range(4):
            host = before(direction, slow, traefik=PretendTraefik(throttle=2.0, offset=0.5 * part))
            traffic = host.traffic(every=0.03, lasting=(0.0, 1.5))
            host.time.pass_by(0.5)
            went_back(host, VERSIONS[direction][0], slow, alter=alter)
            host.time.pass_by(3.0)
            count += len(traffic.end().lost)
        return count

    assert lost(without(*missing)) > 0
    assert lost(SAME) == 0


def test_one_started_with_a_tied_cord_would_be_seen_unchecked() -> None:
    """Up, a stopped one whose cord is tied takes requests as soon as Docker calls it healthy."""

    def seen(alter: Alter) -> bool:
        quick = role(healthcheck={"interval": 0.1})
        host = before(UP, quick, traefik=PretendTraefik(throttle=0.0, lag=0.0))
        host.cords[str(host.of("v2").cord)] = "tied"
        host.of("v2").app = App(listens_on=(8080,), ready_after=1.1, check_takes=0.02)
        traffic = host.traffic(every=0.02)
        went_back(host, "v2", quick, alter=alter)
        return bool(traffic.end().lost)

    assert seen(lambda script: without("cut cord")(script) if script.journal is None else script)
    assert not seen(SAME)


# -- roles without a proxy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_worker_is_started_again_and_the_other_stopped(order: str) -> None:
    job = role("job", order=order)
    host = serving("v1", job)
    assert booted(host, "v2", job).error is None
    assert decided(host, "v1", job).way is Way.START
    done = went_back(host, "v1", job)
    assert done.value == Booted(version="v1", replaced="v2", container=host.of("v1").id)
    assert host.running == ["v1"]
    first, second = ("start it again", "stop container")[:: 1 if order == "start-first" else -1]
    assert done.names.index(first) < done.names.index(second)


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_worker_that_is_broken_is_stopped_again_and_the_other_works_on(order: str) -> None:
    job = role("job", order=order)
    host = serving("v1", job)
    assert booted(host, "v2", job).error is None
    host.of("v1").app = App(exits=3)
    error = failed(went_back(host, "v1", job))
    assert error.serving == "v2 serves, as before."
    assert host.running == ["v2"]
    assert host.of("v1").status == "exited"


def test_second_worker_is_stopped_where_the_wanted_one_runs() -> None:
    job = role("job")
    host = serving("v1", job)
    assert booted(host, "v2", job).error is None
    host.start_again(host.of("v1"))
    host.time.pass_by(1.0)
    assert decided(host, "v2", job).way is Way.FINISH
    assert went_back(host, "v2", job).error is None
    assert host.running == ["v2"]
