"""The controller is killed at any moment, or interrupted, or a host restarts: who should serve serves, at no loss.

Each boot runs in a process of its own. Afterwards the same boot again brings the host to one serving container.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from conftest import MakeShop
from shop import NO_WEBSOCKET, Controller, Shop, assert_nothing_lost, until

HOST = "web-1"
OTHER = "web-2"
Moment = Callable[[Controller], None]


def phase(name: str) -> Moment:
    return lambda controller: controller.phase(name)


def finished(name: str) -> Moment:
    return lambda controller: controller.until(lambda e: e["event"] == "StepFinished" and e["name"] == name)


def switching(controller: Controller) -> None:
    """The host runs the script of the switch: its first step has ended. (The phase begins when it is sent.)"""
    controller.phase("switch")
    began = next(i for i, event in enumerate(controller.events) if event.get("phase") == "switch")
    controller.until(lambda e: e["event"] == "StepFinished" and controller.events.index(e) > began)


BEFORE: dict[str, Moment] = {
    "observing": phase("observe"),
    "preparing": phase("prepare"),
    "starting": phase("start"),
    "started in the dark": finished("start container"),
    "verifying": phase("verify"),
    "ready": phase("ready"),
    "sending the switch": phase("switch"),
}
AFTER: dict[str, Moment] = {
    "switching": switching,
    "soaking": phase("soak"),
    "draining": phase("drain"),
    "stopping": phase("stop"),
}


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    """Two hosts at different levels: a boot of both is an up-switch on one, a down-switch on the other."""
    shop = make_shop("hardy", min_healthy=1, env={"clear": {"READY_AFTER": "1", "ORDERS_LOG": "/orders/log"}})
    shop.must_boot("v2", hosts=(OTHER,))
    shop.must_boot("v1")
    return shop


def serving(shop: Shop, host: str) -> str:
    """The version of the one container that runs and serves; empty while there are others, or none."""
    standing = shop.standing(host)
    if len(standing.running) == 1 and standing.running == standing.serving:
        return standing.running[0].removeprefix(f"{shop.name}-web-")
    return ""


def other_version(shop: Shop) -> tuple[str, str]:
    old = serving(shop, HOST)
    if not old or old != serving(shop, OTHER):  # a test before this one failed
        old = "v1"
        shop.must_boot(old)
    return old, "v2" if old == "v1" else "v1"


@pytest.mark.parametrize("moment", BEFORE)
def test_killed_before_the_switch_the_old_version_serves_and_the_next_boot_converges(shop: Shop, moment: str) -> None:
    old, new = other_version(shop)
    with shop.load(NO_WEBSOCKET) as load:
        controller = Controller(shop, new)
        BEFORE[moment](controller)
        controller.kill()
        assert controller.wait() == -signal.SIGKILL
        at_once = {host: shop.version_at(host) for host in shop.hosts}
        shop.must_boot(new, after=old)
        load.stop()
    if moment not in ("ready", "sending the switch"):
        assert at_once == {HOST: old, OTHER: old}
    assert [serving(shop, host) for host in shop.hosts] == [new, new]
    assert_nothing_lost(load.compare_orders(shop.orders()))


@pytest.mark.parametrize("moment", AFTER)
def test_killed_from_the_switch_on_the_host_finishes_by_itself(shop: Shop, moment: str) -> None:
    old, new = other_version(shop)
    with shop.load(NO_WEBSOCKET) as load:
        controller = Controller(shop, new, (HOST,))
        AFTER[moment](controller)
        controller.kill()
        assert controller.wait() == -signal.SIGKILL
        until(lambda: serving(shop, HOST) == new, f"{new} serves alone, drained and stopped by the host itself")
        assert shop.version_at(HOST) == new
        shop.must_boot(new, after=old)
        load.stop()
    assert [serving(shop, host) for host in shop.hosts] == [new, new]
    assert_nothing_lost(load.compare_orders(shop.orders()))


@pytest.mark.parametrize("moment", ["switching", "soaking", "draining"])
def test_killed_and_booted_again_at_once(shop: Shop, moment: str) -> None:
    """The host still finishes the first boot while the second one begins."""
    old, new = other_version(shop)
    with shop.load(NO_WEBSOCKET) as load:
        controller = Controller(shop, new)
        AFTER[moment](controller)
        controller.kill()
        controller.wait()
        shop.must_boot(new, after=old)
        until(lambda: [serving(shop, host) for host in shop.hosts] == [new, new], "one container serves on each host")
        load.stop()
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_interrupted_before_the_switch_everything_is_undone(shop: Shop) -> None:
    old, _ = other_version(shop)
    before = {host: shop.standing(host) for host in shop.hosts}
    with shop.load(NO_WEBSOCKET) as load:
        controller = Controller(shop, "slow", deploy_timeout=30)
        controller.phase("verify")
        controller.kill(signal.SIGINT)
        began = time.monotonic()
        assert controller.wait() != 0
        took = time.monotonic() - began
        tally = load.stop()
    assert took < 6
    failures = [event for event in controller.events if event["event"] == "HostFailed"]
    assert [event["serving"] for event in failures] == [f"{old} serves, as before."] * 2
    assert "Cancelled before the switch" in failures[0]["error"]
    for event in failures:
        shop.shell(event["host"], 'rm -f "$1"', event["kept"])
    assert {host: shop.standing(host) for host in shop.hosts} == before
    assert_nothing_lost(tally)
    assert tally.versions == (old,)


def test_interrupted_from_the_switch_on_the_boot_finishes(shop: Shop) -> None:
    _, new = other_version(shop)
    with shop.load(NO_WEBSOCKET) as load:
        controller = Controller(shop, new, (HOST,))
        controller.phase("switch")
        controller.kill(signal.SIGINT)
        controller.wait()
        assert serving(shop, HOST) == new
        load.stop()
    assert any(event["event"] == "HostBooted" for event in controller.events)
    assert_nothing_lost(load.compare_orders(shop.orders()))
    shop.must_boot(new, hosts=(OTHER,))


def test_a_restarted_host_shows_who_served(shop: Shop) -> None:
    """Restarted after a good boot: nothing changes. Its neighbour does not notice."""
    old, _ = other_version(shop)
    before = shop.standing(OTHER)
    with shop.load(NO_WEBSOCKET, (HOST,)) as load:
        restart(shop, OTHER)
        until(lambda: shop.version_at(OTHER) == old, f"{old} serves again")
        tally = load.stop()
    assert shop.standing(OTHER) == before
    assert_nothing_lost(tally)


def test_a_host_that_restarts_with_a_container_in_the_dark(shop: Shop) -> None:
    """Dark stays dark."""
    old, new = other_version(shop)
    killed_in_the_dark(shop, new)
    restart(shop, OTHER)
    until(lambda: shop.standing(OTHER).serving == (f"{shop.name}-web-{old}",), "the old one is healthy again")
    until(lambda: shop.version_at(OTHER) == old, f"{old} serves again")
    assert {shop.version_at(OTHER) for _ in range(20)} == {old}
    with shop.load(NO_WEBSOCKET) as load:
        shop.must_boot(new, after=old)
        load.stop()
    assert [serving(shop, host) for host in shop.hosts] == [new, new]
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_a_host_that_restarts_with_a_container_tied_below_the_old_one(shop: Shop) -> None:
    """Tied below stays below: who served serves. The way there is a down-switch that was killed when it was ready."""
    for _ in range(2):
        old, new = other_version(shop)
        controller = killed_in_the_dark(shop, new)
        facts = [event["fact"]["data"] for event in controller.events if event["event"] == "FactLearned"]
        if "down" in [data.get("direction") for data in facts]:
            break
        shop.must_boot(new)
    shop.shell(OTHER, 'mv "$1/cord.cut" "$1/cord"', cord_of(shop, OTHER, f"{shop.name}-web-{new}"))
    until(lambda: len(shop.standing(OTHER).serving) == 2, "both are healthy")
    assert shop.version_at(OTHER) == old
    restart(shop, OTHER)
    until(lambda: len(shop.standing(OTHER).serving) == 2, "both are healthy again")
    until(lambda: shop.version_at(OTHER) == old, f"{old} serves again")
    assert {shop.version_at(OTHER) for _ in range(20)} == {old}
    with shop.load(NO_WEBSOCKET) as load:
        shop.must_boot(new, after=old)
        load.stop()
    assert [serving(shop, host) for host in shop.hosts] == [new, new]
    assert_nothing_lost(load.compare_orders(shop.orders()))


def killed_in_the_dark(shop: Shop, version: str) -> Controller:
    controller = Controller(shop, version, (OTHER,))
    BEFORE["started in the dark"](controller)
    controller.kill()
    controller.wait()
    return controller


def cord_of(shop: Shop, host: str, name: str) -> str:
    """Where the cord of a container is on its host."""
    mounts = '{{range .Mounts}}{{if eq .Destination "/tmp/kamal-cord"}}{{.Source}}{{end}}{{end}}'
    return shop.shell(host, 'docker inspect --format "$1" "$2"', mounts, name).strip()


def restart(shop: Shop, host: str) -> None:
    """As when its power goes and comes back."""
    shop.lab.stop(host)
    shop.lab.start(host)
