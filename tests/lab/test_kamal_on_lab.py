"""Kamal v1 and kamalnb on one host: each boots over what the other left, and no request is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import MakeShop
from kamal import Kamal
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost

HOST = "web-1"
NO_VOLUME: dict[str, Any] = {"volumes": [], "env": {"clear": {}}}
RELEASES = ["seed", "1.9.3"]


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    return make_shop("moved", (HOST,))


@pytest.fixture(autouse=True)
def _clean(shop: Shop) -> Iterator[None]:
    shop.clean()
    yield
    shop.clean()


def at(shop: Shop, priority: int) -> dict[str, object]:
    return {"web": {"hosts": [HOST], "labels": shop.labels(priority=priority)}}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("priority", "direction"), [(100, "up"), (10, "down")])
def test_we_boot_over_kamals_container(shop: Shop, release: str, priority: int, direction: str) -> None:
    """The seed's router has no priority (Traefik takes the rule's length, 18), the one of 1.9.3 is given one here."""
    kamal = Kamal(shop, HOST, release, "" if release == "seed" else "50")
    kamal.boot("v1")
    with shop.load(NO_WEBSOCKET) as load:
        ran = shop.must_boot("v2", servers=at(shop, priority), after="v1")
        shop.must_boot("v3", servers=at(shop, priority), after="v2")
        load.stop()
    assert ran.direction(HOST) == direction
    assert ran.line(HOST).replaced == "v1"
    assert shop.standing(HOST).serving == ("moved-web-v3",)
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_we_boot_over_kamals_container_at_the_same_priority(shop: Shop) -> None:
    Kamal(shop, HOST, "1.9.3", "100").boot("v1")
    with shop.load(NO_WEBSOCKET) as load:
        ran = shop.must_boot("v2", after="v1")
        load.stop()
    assert (ran.direction(HOST), ran.fact("cutover", HOST)["level"]) == ("up", 1)
    assert_nothing_lost(load.compare_orders(shop.orders()))


@pytest.mark.parametrize("release", RELEASES)
def test_kamal_boots_over_our_container(shop: Shop, release: str) -> None:
    """Names, labels and the cord's mount are what Kamal looks for; it cuts by removing the directory."""
    kamal = Kamal(shop, HOST, release, "100", volumes=False)
    shop.must_boot("v1", **NO_VOLUME)
    shop.must_boot("v2", **NO_VOLUME)
    assert kamal.current() == "v2"
    with shop.load(NO_WEBSOCKET) as load:
        kamal.boot("v3")
        tally = load.stop()
    assert (tally.lost, tally.orders.doubled_count) == (0, 0), tally.losses
    assert shop.standing(HOST).serving == ("moved-web-v3",)
    assert kamal.current() == "v3"


def test_kamal_boots_the_same_version_over_ours_and_we_over_that(shop: Shop) -> None:
    kamal = Kamal(shop, HOST, "1.9.3", "100", volumes=False)
    shop.must_boot("v1", **NO_VOLUME)
    with shop.load(NO_WEBSOCKET) as load:
        kamal.boot("v1")
        shop.must_boot("v1", **NO_VOLUME)
        tally = load.stop()
    assert (tally.lost, tally.orders.doubled_count) == (0, 0), tally.losses
    standing = shop.standing(HOST)
    assert standing.running == standing.serving == ("moved-web-v1",)
    assert len([name for name in standing.containers if "_replaced_" in name]) == 2


def test_a_boot_that_fails_leaves_kamals_container_serving(shop: Shop) -> None:
    Kamal(shop, HOST, "1.9.3", "100").boot("v1")
    before = shop.standing(HOST)
    with shop.load(NO_WEBSOCKET) as load:
        told = shop.boot("exits").failure(HOST)
        tally = load.stop()
    assert told.serving == "v1 serves, as before."
    assert shop.standing(HOST) == before
    assert_nothing_lost(tally)


def test_the_audit_log_and_the_env_file_are_where_kamal_has_them(shop: Shop) -> None:
    shop.must_boot("v1")
    log = shop.shell(HOST, 'cat "$1"/moved-audit.log', shop.run_directory)
    assert "] [web] Booted app version v1" in log
    assert shop.shell(HOST, 'stat -c %a "$1"/env/roles/moved-web.env', shop.run_directory).strip() == "600"
