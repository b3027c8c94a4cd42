"""The promise, in virtual time: no request goes to a container that does not serve, whatever the proxy's moods.

Whole boots under a stream of requests, up and down, swept over the proxy's throttle, lag and offset, over health
intervals and over how long requests take. Then the same with the boot's order broken, to see it noticed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from boots import KAMAL_CORD, REPOSITORY, Alter, booted, kamal, role
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamalnb.errors import BootError
from kamalnb.script import Script
from kamalnb.shell import Command, look
from kamalnb.testing import APPS, App, Driven, PretendHost, PretendTraefik, Traffic


@dataclass(frozen=True, kw_only=True)
class World:
    """What the proxy, Docker and the apps of one test are like."""

    throttle: float = 0.1
    lag: float = 0.02
    offset: float = 0.0
    api: bool = True
    idle: float = 1.0
    interval: float = 1.0
    speed: float = 0.0
    lasting: tuple[float, ...] = (0.0, 0.3, 1.5)
    every: float = 0.03
    host_tool: bool = True
    check_takes: float = 0.08

    def host(self) -> PretendHost:
        apps = {tag: replace(app, answers_in=self.speed, check_takes=self.check_takes) for tag, app in APPS.items()}
        proxy = PretendTraefik(throttle=self.throttle, lag=self.lag, offset=self.offset, api=self.api, idle=self.idle)
        host = PretendHost(traefik=proxy, apps=apps)
        host.tools = ("curl",) if self.host_tool else ()
        return host

    def role(self, **changes: object):
        return role(healthcheck={"interval": self.interval, "deadline": 20.0}, **changes)


def swept() -> Iterator[World]:
    """Every throttle with offsets all over its grid, and each other thing that changes the timing."""
    for throttle, parts in ((0.0, 1), (0.1, 3), (0.5, 4), (2.0, 6)):
        for part, interval in itertools.product(range(parts), (0.5, 1.0, 3.0)):
            yield World(throttle=throttle, offset=throttle * part / parts, interval=interval)
    for lag, api, speed in itertools.product((0.0, 0.4), (True, False), (0.0, 0.2)):
        yield World(throttle=2.0, offset=0.7, lag=lag, api=api, speed=speed)
    yield World(api=False, throttle=2.0, idle=90.0, host_tool=False)
    yield World(check_takes=0.6, interval=0.5)


def under_load(
    host: PretendHost, world: World, version: str, alter: Alter | None = None, **changes: object
) -> tuple[Driven, Traffic]:
    traffic = host.traffic(every=world.every, lasting=world.lasting)
    host.time.pass_by(0.5)
    done = booted(host, version, world.role(**changes), alter=alter)
    host.time.pass_by(2.0)
    return done, traffic.end()


def first(host: PretendHost, world: World, version: str) -> None:
    assert booted(host, version, world.role()).error is None
    host.time.pass_by(1.0)


@pytest.mark.parametrize("world", list(swept()), ids=str)
def test_up_and_down_switches_lose_nothing_and_no_version_goes_back(world: World) -> None:
    host = world.host()
    first(host, world, "v1")
    for old, new in (("v1", "v2"), ("v2", "v3")):
        done, traffic = under_load(host, world, new)
        assert done.error is None
        assert traffic.lost == []
        assert traffic.versions == [old, new]
        assert len(traffic.answers) > 50
        assert host.running == [new]


@given(
    throttle=st.sampled_from([0.0, 0.1, 1.0, 2.0]),
    offset=st.floats(0, 2),
    lag=st.floats(0, 0.5),
    interval=st.floats(0.3, 5),
    speed=st.floats(0, 1),
    api=st.booleans(),
    host_tool=st.booleans(),
    check_takes=st.floats(0.05, 1.0),
    down=st.booleans(),
    rude=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_timing_loses_nothing(down: bool, rude: bool, **timing: float) -> None:
    world = World(**timing, every=0.05)
    host = world.host()
    versions = ["rude-1", "rude-2", "rude-3"] if rude else ["v1", "v2", "v3"]
    first(host, world, versions[0])
    if down:
        first(host, world, versions[1])
    done, traffic = under_load(host, world, versions[2])
    assert done.error is None
    assert traffic.lost == []
    assert traffic.versions == [versions[1] if down else versions[0], versions[2]]


PROXIES = [
    World(),
    World(throttle=2.0, offset=1.3),
    World(throttle=2.0, api=False, idle=90.0),
    World(throttle=0.5, offset=0.2, host_tool=False),
]


@pytest.mark.parametrize("world", PROXIES, ids=str)
@pytest.mark.parametrize("priority", ["2", None, "40"])
@pytest.mark.parametrize("cord", [True, False])
def test_container_as_kamal_made_it_is_replaced_without_a_loss(world: World, priority: str | None, cord: bool) -> None:
    host = world.host()
    kamal(host, priority=priority, cord=cord)
    done, traffic = under_load(host, world, "v2")
    assert done.error is None
    assert traffic.lost == []
    assert traffic.versions == ["v1", "v2"]
    assert host.running == ["v2"]
    assert not cord or host.cords[KAMAL_CORD] == "cut"


@pytest.mark.parametrize("world", PROXIES, ids=str)
def test_same_version_again_and_again_loses_nothing(world: World) -> None:
    host = world.host()
    first(host, world, "v1")
    for _ in range(3):
        done, traffic = under_load(host, world, "v1")
        assert done.error is None
        assert traffic.lost == []


@pytest.mark.parametrize("world", PROXIES, ids=str)
def test_changed_labels_lose_nothing(world: World) -> None:
    host = world.host()
    first(host, world, "v1")
    labels = {
        "traefik.http.middlewares.more.headers.customresponseheaders.X-More": "1",
        "traefik.http.routers.app-web.middlewares": "more",
    }
    done, traffic = under_load(host, world, "v2", labels=labels)
    assert done.error is None
    assert traffic.lost == []
    done, traffic = under_load(
        host, world, "v3", labels={"traefik.http.routers.app-web.rule": "Host(`example.com`) && PathPrefix(`/`)"}
    )
    assert done.error is None
    assert traffic.lost == []
    assert traffic.versions == ["v2", "v3"]


def test_websockets_live_until_sigterm_and_hold_the_drain_to_its_limit() -> None:
    world = World()
    host = world.host()
    first(host, world, "v1")
    from kamalnb.testing.traffic import sent

    flight, _, _ = sent(host, "example.com", "/", held=True)
    assert flight is not None
    began = host.time.now
    done, traffic = under_load(host, world, "v2", drain_timeout=5.0)
    assert done.error is None
    assert host.time.now - began > 5.0
    assert flight.ended
    assert flight.lost == ""
    assert traffic.lost == []
    assert [fact.text for fact in done.facts if fact.kind == "cut-short"]


# -- boots that fail -----------------------------------------------------------------------------------------

HARMLESS = ["never-healthy", "exits", "no-sh", "no-probe", "loopback", "wrong-port", "missing"]


@pytest.mark.parametrize("world", [World(), World(throttle=2.0, offset=0.9), World(throttle=2.0, api=False)], ids=str)
@pytest.mark.parametrize("old", ["v1", "v2"])
@pytest.mark.parametrize("version", HARMLESS)
def test_failing_boot_is_not_noticed_by_anybody(world: World, old: str, version: str) -> None:
    host = world.host()
    first(host, world, "v1")
    if old == "v2":
        first(host, world, "v2")
    done, traffic = under_load(host, world, version)
    assert isinstance(done.error, BootError)
    assert traffic.lost == []
    assert traffic.versions == [old]
    assert host.running == [old]
    done, traffic = under_load(host, world, "v4")
    assert done.error is None
    assert traffic.lost == []
    assert traffic.versions == [old, "v4"]


@pytest.mark.parametrize("world", [World(), World(throttle=2.0, offset=0.9), World(throttle=0.5, api=False)], ids=str)
@pytest.mark.parametrize("old", ["v1", "v2"])
@pytest.mark.parametrize("version", ["dies", "sick"])
def test_new_one_that_fails_after_the_switch_costs_only_what_was_in_it(world: World, old: str, version: str) -> None:
    host = world.host()
    first(host, world, "v1")
    if old == "v2":
        first(host, world, "v2")
    done, traffic = under_load(host, world, version, min_healthy=8.0)
    assert isinstance(done.error, BootError)
    # Down, the old one was cut and has to be found healthy again: until then nobody is there.
    assert {answer.version for answer in traffic.lost} <= {version, *([""] if old == "v2" else [])}
    assert traffic.versions[0] == traffic.versions[-1] == old
    assert host.serving == old
    assert host.running == [old]
    window = [answer.began for answer in traffic.lost] or [0.0]
    # Up: as long as Traefik takes to notice. Down: the old one has to be tied and found healthy again, too.
    allowed = world.throttle + 2.0 if old == "v1" else 2 * world.throttle + 4.0
    assert max(window) - min(window) < allowed


@pytest.mark.parametrize("direction", ["v1", "v2"])
@pytest.mark.parametrize(
    "command", ["tie cord", "wait for proxy", "soak", "cut cord", "wait until out", "drain", "stop container"]
)
@pytest.mark.parametrize("way", ["fails", "lost", "lost for good"])
def test_step_of_the_switch_that_fails_loses_nothing(direction: str, command: str, way: str) -> None:
    world = World(throttle=0.5, offset=0.3)
    host = world.host()
    first(host, world, "v1")
    if direction == "v2":
        first(host, world, "v2")
    if way == "fails":
        host.fail(command)
    else:
        host.lose_connection(command, times=1 if way == "lost" else 100)
    _, traffic = under_load(host, world, "v3")
    assert traffic.lost == []
    assert host.serving is not None
    host.losing.clear()
    host.time.pass_by(60.0)
    done, traffic = under_load(host, world, "v4")
    assert done.error is None
    assert traffic.lost == []
    assert host.running == ["v4"]


@pytest.mark.parametrize("direction", ["v1", "v2"])
@pytest.mark.parametrize("moment", [0.5 + 0.25 * number for number in range(24)])
def test_proxy_that_goes_deaf_at_any_moment_loses_nothing(direction: str, moment: float) -> None:
    world = World(throttle=0.5, offset=0.3)
    host = world.host()
    first(host, world, "v1")
    if direction == "v2":
        first(host, world, "v2")
    host.traefik.deaf_from = host.time.now + moment
    _, traffic = under_load(host, world, "v3")
    assert traffic.lost == []
    assert host.serving is not None


# -- the judge is judged: broken orders are caught -----------------------------------------------------------


def _without(*names: str) -> Alter:
    nothing = look("nothing", "true")

    def alter(script: Script) -> Script:
        sections = tuple(
            replace(
                section,
                steps=tuple(nothing if step.name in names else step for step in section.steps),
                undo=tuple(nothing if step.name in names else step for step in section.undo),
            )
            for section in script.sections
        )
        return replace(script, sections=sections)

    return alter


def _never_dark(script: Script) -> Script:
    """The cord is tied before anything was verified."""
    return _each(
        script, lambda step: replace(step, words=("k_lit", *step.words[1:])) if step.name == "make cord" else step
    )


def _one_slot(script: Script) -> Script:
    """Both versions define the same names."""

    def blue(step: Command) -> Command:
        if step.name != "start container":
            return step
        labels = {
            key.replace("-green", "-blue"): value.replace("-green", "-blue")
            for key, value in dict(step.detail("labels")).items()
        }
        words = tuple(str(word).replace("-green", "-blue") for word in step.words)
        return replace(step, words=words, details=(("labels", labels), ("cord", step.detail("cord"))))

    return _each(script, blue)


def _one_priority(script: Script) -> Script:
    """Both versions stand on the same level."""

    def level(step: Command) -> Command:
        if step.name != "start container":
            return step
        labels = {key: "2" if value == "3" else value for key, value in dict(step.detail("labels")).items()}
        words = tuple(
            "=2".join(str(word).rsplit("=3", 1)) if str(word).endswith(".priority=3") else word for word in step.words
        )
        return replace(step, words=words, details=(("labels", labels), ("cord", step.detail("cord"))))

    return _each(script, level)


def _no_undo(script: Script) -> Script:
    return replace(script, sections=tuple(replace(section, undo=()) for section in script.sections))


def _stop_first(script: Script) -> Script:
    """The old one is stopped before it is cut."""
    steps = [step for section in script.sections for step in section.steps]
    if script.journal is None or "stop container" not in [step.name for step in steps]:
        return script
    return replace(script, sections=(replace(script.sections[0], steps=(steps[-1], *steps[:-1]), undo=()),))


def _each(script: Script, change: Callable[[Command], Command]) -> Script:
    return replace(
        script, sections=tuple(replace(section, steps=tuple(map(change, section.steps))) for section in script.sections)
    )


STALE = World(throttle=2.0)
SLOW_PROBES = World(throttle=0.1, interval=3.0)
QUICK_PROBES = World(throttle=0.0, lag=0.0, interval=0.1, check_takes=0.02)
LONG = World(throttle=0.1, lasting=(0.0, 4.0))

# Up, the new one stands above the old one from the acknowledgement on: there, to leave out the cut or the wait for
# "out" loses nothing. They keep who serves over a reboot, which test_boot.py looks at.
BROKEN: dict[str, tuple[Alter, list[str], str, World]] = {
    "up, no drain": (_without("drain"), ["rude-1"], "v3", LONG),
    "up, no wait for proxy": (_without("wait for proxy", "soak"), ["v1"], "v3", SLOW_PROBES),
    "up, stop first": (_stop_first, ["v1"], "v3", STALE),
    "up, tied before verified": (_never_dark, ["v1"], "late-and-wrong", QUICK_PROBES),
    "up, one slot": (_one_slot, ["v1"], "v3", STALE),
    "up, one priority": (_one_priority, ["v1"], "v3", STALE),
    "down, no wait for out": (_without("wait until out", "drain"), ["v1", "v2"], "v3", STALE),
    "down, no drain": (_without("drain"), ["rude-1", "rude-2"], "v3", LONG),
    "down, no cut": (_without("cut cord", "wait until out", "drain"), ["v1", "v2"], "v3", STALE),
    "down, no wait for proxy": (_without("wait for proxy", "soak"), ["v1", "v2"], "v3", SLOW_PROBES),
    "down, stop first": (_stop_first, ["v1", "v2"], "v3", STALE),
    "down, no undo": (_no_undo, ["v1", "v2"], "dies", STALE),
}


def trials(world: World) -> Iterator[tuple[World, float]]:
    """The same world at several moments of its proxy and of its health checks."""
    for part in range(4):
        yield replace(world, offset=world.throttle * part / 4), world.interval * part / 4


def noticed(name: str, alter: Alter | None) -> int:
    _, olds, new, kind = BROKEN[name]
    count = 0
    for world, delay in trials(kind):
        host = world.host()
        host.add_image("late-and-wrong", App(exposes=(8080,), ready_after=1.1))
        for old in olds:
            first(host, world, old)
        host.time.pass_by(delay)
        done, traffic = under_load(host, world, new, alter, **({"min_healthy": 6.0} if new == "dies" else {}))
        losses = [lost for lost in traffic.lost if new != "dies"]
        count += bool(losses) or (len(traffic.versions) > 2 and done.error is None) or host.serving is None
    return count


@pytest.mark.parametrize("name", BROKEN)
def test_broken_order_is_noticed(name: str) -> None:
    assert noticed(name, BROKEN[name][0])


@pytest.mark.parametrize("name", BROKEN)
def test_right_order_in_the_same_world_is_quiet(name: str) -> None:
    assert not noticed(name, None)


def test_the_judge_sees_a_container_that_is_simply_killed() -> None:
    host = World().host()
    first(host, World(), "v1")
    traffic = host.traffic()
    host.time.pass_by(0.5)
    host.of("v1").app = App(exits=1)
    from kamalnb.testing.containers import died

    died(host, host.of("v1"), 137)
    host.time.pass_by(0.5)
    assert traffic.end().lost
    assert REPOSITORY in host.of("v1").image
