"""The way back on real hosts, under load: undo, redo, rollback, and a container that is broken."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from conftest import MakeShop
from kamal import Kamal
from shop import NO_WEBSOCKET, REPOSITORY, Shop, assert_nothing_lost, until

from kamalnb.events import Event, FactLearned, Phase, PhaseEntered
from kamalnb.report import Report
from kamalnb.ways import DOES, Way

HOST = "web-1"


@dataclass(frozen=True)
class Back:
    """One way back that has ended."""

    report: Report
    events: tuple[Event, ...]
    seconds: float

    @property
    def way(self) -> Way:
        (note,) = (e.fact.text for e in self.events if isinstance(e, FactLearned) and e.fact.kind == "way")
        return next(way for way in Way if DOES[way] in note and way is not Way.NOTHING)

    @property
    def direction(self) -> str:
        found = [
            e.fact.data["direction"] for e in self.events if isinstance(e, FactLearned) and e.fact.kind == "cutover"
        ]
        return str(found[0])

    @property
    def timed(self) -> str:
        """Seconds from the beginning of the run to the beginning of each phase."""
        phases = ", ".join(f"{e.phase} {e.at:.2f}" for e in self.events if isinstance(e, PhaseEntered))
        return f"{phases}, the whole run {self.seconds:.2f}"

    def took(self, phase: Phase) -> float:
        """Seconds from the first look at the host until ``phase`` began."""
        entered = [e for e in self.events if isinstance(e, PhaseEntered)]
        return next(e.at for e in entered if e.phase is phase) - entered[0].at


def back(shop: Shop, to: str, *, rollback: bool = False, **changes: object) -> Back:
    """Undoes, which should bring ``to`` back, or rolls back to it. However it ends."""
    now = shop.version_at(HOST)
    for load in shop._loads:
        load.stage(f"back to {to}", order=(now, to))
    fleet = shop.fleet(**changes)
    began = time.monotonic()
    rollout = fleet.rollback(to) if rollback else fleet.undo()
    events = tuple(rollout)
    return Back(rollout.report, events, time.monotonic() - began)


def must(found: Back) -> Back:
    assert found.report.ok, (found.report.finished, found.report.failures)
    return found


def served_by(shop: Shop, version: str) -> None:
    standing = shop.standing(HOST)
    assert standing.running == standing.serving == (f"{shop.name}-web-{version}",)
    assert list(standing.cords.values()).count("tied") == 1
    assert shop.version_at(HOST) == version


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    return make_shop("back", (HOST,))


def test_undo_and_redo_under_load_lose_nothing(shop: Shop) -> None:
    shop.must_boot("v1")
    shop.must_boot("v2")
    took = []
    with shop.load(NO_WEBSOCKET) as load:
        for version, direction in (("v1", "down"), ("v2", "up"), ("v1", "down"), ("v2", "up")):
            done = must(back(shop, version))
            assert (done.way, done.direction) == (Way.START, direction)
            line = done.report.line(HOST, "web")
            assert line is not None
            assert (line.version, line.replaced) == (version, "v2" if version == "v1" else "v1")
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
        done = must(back(shop, old))
        load.stop()
    assert done.way is Way.SWITCH_BACK
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
        done = must(back(shop, "two-ports", rollback=True))
        load.stop()
    assert done.way is Way.PULL
    served_by(shop, "two-ports")
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_rollback_to_a_container_that_is_gone_boots_its_image(shop: Shop) -> None:
    shop.clean()
    shop.must_boot("v1")
    shop.must_boot("v2")
    shop.shell(HOST, 'docker rm "$1" >/dev/null', f"{shop.name}-web-v1")
    done = must(back(shop, "v1", rollback=True))
    assert done.way is Way.BOOT
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
            done = back(shop, "v3", rollback=True, deploy_timeout=5)
            load.stop()
        assert done.way is Way.START
        assert done.direction == direction
        (failure,) = done.report.failures
        assert "did not stay up" in failure.error
        assert failure.serving == "v2 serves, as before."
        shop.shell(HOST, 'rm "$1"', failure.kept)
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
        assert must(back(shop, "v1")).way is Way.START
        served_by(shop, "v1")
        assert must(back(shop, "v2")).way is Way.START
        served_by(shop, "v2")
        load.stop()
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_undo_of_the_first_boot_is_refused_before_anything_changes(shop: Shop) -> None:
    shop.clean()
    shop.must_boot("v1")
    before = shop.standing(HOST)
    done = back(shop, "v1")
    assert not done.report.ok
    assert done.report.finished is not None
    assert "nothing served before v1 for web on web-1" in done.report.finished.sentence
    assert shop.standing(HOST) == before
