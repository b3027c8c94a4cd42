"""The way back on real hosts, under load: undo, redo, rollback, and a container that is broken."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from conftest import MakeShop
from kamal import Kamal
from shop import NO_WEBSOCKET, REPOSITORY, Shop, assert_nothing_lost, until

from kamalnb.engine import Engine
from kamalnb.events import Event, FactLearned, Phase, PhaseEntered
from kamalnb.flow import Flow
from kamalnb.flows.returning import way_flow
from kamalnb.plan import BootPlan
from kamalnb.rollout import Job, Outcome
from kamalnb.runs.survey import side_by_side
from kamalnb.shown import Shown, look
from kamalnb.ssh import SshExecutor
from kamalnb.ways import Way, WayBack, undone, ways_back

HOST = "web-1"
NO_VOLUME = {"volumes": [], "env": {"clear": {}}}


@dataclass(frozen=True)
class Back:
    """One way back that has ended."""

    way: WayBack
    outcome: Outcome
    events: tuple[Event, ...]
    seconds: float

    @property
    def direction(self) -> str:
        found = [
            e.fact.data["direction"] for e in self.events if isinstance(e, FactLearned) and e.fact.kind == "cutover"
        ]
        return str(found[0])

    @property
    def timed(self) -> str:
        phases = ", ".join(
            f"{e.phase} {e.at - self.events[0].at:.2f}" for e in self.events if isinstance(e, PhaseEntered)
        )
        return f"{phases}; with both connections {self.seconds:.2f} s"

    def took(self, phase: Phase) -> float:
        """Seconds until ``phase`` began."""
        return next(e.at for e in self.events if isinstance(e, PhaseEntered) and e.phase is phase) - self.events[0].at


def back(shop: Shop, version: str | None = None, **changes: object) -> Back:
    """Goes back on the one host of ``shop``: to ``version``, or to what served before."""
    fleet = shop.fleet(**changes)
    project = fleet._project()
    config, pairs = project.config, fleet._select(project.config).pairs
    (host, role), executor = pairs[0], SshExecutor(project.config.ssh, secrets=project.secret, directory=project.root)
    try:
        began = time.monotonic()
        shown = run(executor, host, "", look(config, host))[0].value
        assert isinstance(shown, Shown)
        versions = {(host, role.name): version} if version else undone((shown,), pairs)
        (way,) = ways_back((shown,), pairs, versions, config.repository)
        chosen = BootPlan(
            host=host, role=role, version=way.version, reference=f"{config.repository}:{way.version}",
            nonce=secrets.token_hex(16), performer="the tests", run_directory=config.run_directory,
        )  # fmt: skip
        for load in shop._loads:
            load.stage(f"back to {way.version}", order=(way.replaces, way.version) if way.replaces else ())
        outcome, events = run(executor, host, role.name, way_flow(way, chosen))
        return Back(way, outcome, events, time.monotonic() - began)
    finally:
        executor.close()


def run(executor: SshExecutor, host: str, role: str, flow: Flow[object]) -> tuple[Outcome, tuple[Event, ...]]:
    events: list[Event] = []
    stream = Engine(executor).drive(side_by_side((Job(host, role, flow),)))
    while True:
        try:
            events.append(next(stream))
        except StopIteration as stop:
            return stop.value[0], tuple(events)


def must(found: Back) -> Back:
    assert found.outcome.ok, found.outcome.error
    return found


def served_by(shop: Shop, version: str) -> None:
    standing = shop.standing(HOST)
    assert standing.running == standing.serving == (f"{shop.name}-web-{version}",)
    assert list(standing.cords.values()).count("tied") == 1
    assert shop.version_at(HOST) == version


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Iterator[Shop]:
    return make_shop("back", (HOST,))


def test_undo_and_redo_under_load_lose_nothing(shop: Shop) -> None:
    shop.must_boot("v1")
    shop.must_boot("v2")
    took = []
    with shop.load(NO_WEBSOCKET) as load:
        for version, direction in (("v1", "down"), ("v2", "up"), ("v1", "down"), ("v2", "up")):
            done = must(back(shop))
            assert (done.way.way, done.way.version, done.direction) == (Way.START, version, direction)
            assert done.outcome.value.replaced == ("v2" if version == "v1" else "v1")
            assert done.took(Phase.SOAK) < 10
            served_by(shop, version)
            took.append((direction, done.timed))
        load.stop()
    assert_nothing_lost(load.compare_orders(shop.orders()))
    print("undo from the stopped container:", took)
    shop.must_boot("v3")
    served_by(shop, "v3")


@pytest.mark.parametrize("newest", ["v2", "v3"])
def test_undo_while_the_old_one_is_warm_takes_about_a_second(shop: Shop, newest: str) -> None:
    shop.clean()
    shop.must_boot("v1")
    shop.must_boot("v2")
    if newest == "v3":
        shop.must_boot("v3")
    old = "v1" if newest == "v2" else "v2"
    shop.shell(HOST, f"docker start {shop.name}-web-{old} >/dev/null")
    until(lambda: shop.standing(HOST).containers[f"{shop.name}-web-{old}"] == ("running", "unhealthy"), "it is warm")
    with shop.load(NO_WEBSOCKET) as load:
        done = must(back(shop))
        load.stop()
    assert (done.way.way, done.way.version) == (Way.SWITCH_BACK, old)
    assert done.direction == ("down" if newest == "v2" else "up")
    served_by(shop, old)
    assert_nothing_lost(load.compare_orders(shop.orders()))
    print("undo while warm:", done.direction, done.timed)
    assert done.took(Phase.SOAK) < 6


def test_rollback_to_a_version_that_only_the_registry_has(shop: Shop) -> None:
    shop.clean()
    shop.must_boot("v1")
    shop.shell(HOST, 'docker rmi --force "$1" >/dev/null 2>&1 || :', f"{REPOSITORY}:two-ports")
    with shop.load(NO_WEBSOCKET) as load:
        done = must(back(shop, "two-ports"))
        load.stop()
    assert done.way.way is Way.PULL
    served_by(shop, "two-ports")
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_rollback_to_a_container_that_is_gone_boots_its_image(shop: Shop) -> None:
    shop.clean()
    shop.must_boot("v1")
    shop.must_boot("v2")
    shop.shell(HOST, 'docker rm "$1" >/dev/null', f"{shop.name}-web-v1")
    done = must(back(shop, "v1"))
    assert done.way.way is Way.BOOT
    served_by(shop, "v1")


@pytest.mark.parametrize(("versions", "direction"), [(("breaks", "v2"), "down"), (("v1", "breaks", "v2"), "up")])
def test_container_that_is_broken_leaves_the_current_one_serving(
    shop: Shop, versions: tuple[str, ...], direction: str
) -> None:
    """It dies as soon as it is started again: what it needs has been taken away."""
    shop.clean()
    flag = f"{shop.run_directory}/orders/flag"
    own_start = {
        "servers": {"web": {"hosts": [HOST], "labels": shop.labels(), "cmd": BREAKS}},
    }
    try:
        for version in versions:
            if version == "breaks":
                shop.as_deploy(HOST, f"mkdir -p {shop.run_directory}")
                shop.shell(HOST, 'mkdir -p "${1%/*}" && touch "$1"', flag)
                shop.must_boot("v3", **own_start)
            else:
                shop.must_boot(version)
        shop.shell(HOST, 'rm "$1"', flag)
        before = shop.standing(HOST)
        with shop.load(NO_WEBSOCKET) as load:
            done = back(shop, "v3", deploy_timeout=5)
            load.stop()
        assert done.way.way is Way.START
        assert done.direction == direction
        error = done.outcome.error
        assert "did not stay up" in str(error)
        assert "v2 serves, as before." in str(error)
        after = shop.standing(HOST)
        assert (after.running, after.serving, after.cords) == (before.running, before.serving, before.cords)
        assert shop.version_at(HOST) == "v2"
        assert_nothing_lost(load.compare_orders(shop.orders()))
    finally:
        shop.shell(HOST, 'rm -f "$1"', flag)


BREAKS = "sh -c '[ -e /orders/flag ] || exit 3; exec python3 /app/app.py'"


@pytest.mark.parametrize("release", ["seed", "1.9.3"])
def test_container_of_kamals_comes_back_after_ours(shop: Shop, release: str) -> None:
    shop.clean()
    Kamal(shop, HOST, release, "" if release == "seed" else "100").boot("v1")
    shop.must_boot("v2")
    with shop.load(NO_WEBSOCKET) as load:
        done = must(back(shop))
        assert (done.way.way, done.way.version) == (Way.START, "v1")
        served_by(shop, "v1")
        again = must(back(shop))
        assert (again.way.way, again.way.version) == (Way.START, "v2")
        served_by(shop, "v2")
        load.stop()
    assert_nothing_lost(load.compare_orders(shop.orders()))
