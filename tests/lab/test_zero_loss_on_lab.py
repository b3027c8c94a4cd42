"""Boots under load on real hosts: no request is lost, doubled, or answered by an older version afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from conftest import MakeShop
from shop import CALM, NO_WEBSOCKET, REPOSITORY, Ran, Shop, assert_nothing_lost, until

from kamalnb.events import Phase
from kamalnb.lab.load import Kind, Profile, Tally

BOOTS = 12
"""On each of two hosts: 24 in all."""
UP = (Phase.OBSERVE, Phase.PREPARE, Phase.START, Phase.VERIFY, Phase.READY, Phase.SWITCH, Phase.SOAK, Phase.COMMIT)
DOWN = tuple(phase for phase in UP if phase is not Phase.COMMIT)
END = (Phase.DRAIN, Phase.STOP, Phase.DONE)


@dataclass(frozen=True)
class Marathon:
    """Many boots in a row on one host, under one load."""

    shop: Shop
    host: str
    boots: tuple[Ran, ...]
    tally: Tally


def run_marathon(shop: Shop, versions: tuple[str, ...], profile: Profile) -> Marathon:
    (host,) = shop.hosts
    shop.must_boot(versions[-1])
    following = itertools.pairwise(itertools.islice(itertools.cycle((versions[-1], *versions[:-1])), BOOTS + 1))
    boots = []
    with shop.load(profile) as load:
        for old, new in following:
            boots.append(shop.boot(new, after=old))
        load.stop()
    return Marathon(shop, host, tuple(boots), load.compare_orders(shop.orders()))


@pytest.fixture(scope="module")
def marathons(make_shop: MakeShop) -> dict[str, Marathon]:
    """A graceful app on the first host and a rude one on the second, at the same time."""
    graceful, rude = make_shop("graceful", ("web-1",)), make_shop("rude", ("web-2",))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run_marathon, graceful, ("v1", "v2", "v3", "v4"), CALM)
        second = pool.submit(run_marathon, rude, ("rude-1", "rude-2", "rude-3", "rude-4"), NO_WEBSOCKET)
        return {"graceful": first.result(), "rude": second.result()}


@pytest.fixture(params=["graceful", "rude"])
def marathon(request: pytest.FixtureRequest, marathons: dict[str, Marathon]) -> Marathon:
    return marathons[request.param]


def test_no_request_is_lost_doubled_or_answered_by_an_older_version(marathon: Marathon) -> None:
    assert len(marathon.boots) == BOOTS
    assert [boot.report.failures for boot in marathon.boots if not boot.ok] == []
    assert_nothing_lost(marathon.tally)
    assert marathon.tally.orders.compared
    assert marathon.tally.mixed_seconds == 0


def test_every_kind_of_request_was_under_way(marathons: dict[str, Marathon]) -> None:
    tally = marathons["graceful"].tally
    counts = {row.kind: row.requests for row in tally.rows}
    assert counts[Kind.NEW] > 500
    assert counts[Kind.KEEPALIVE] > 500
    assert counts[Kind.POST] > 300
    assert tally.orders.answered == counts[Kind.POST]
    assert counts[Kind.SLOW] > BOOTS
    assert tally.websockets_closed >= BOOTS - 1  # each drain ends one with a close frame
    assert tally.echoes > 100


def test_up_and_down_switches_alternate_by_themselves(marathon: Marathon) -> None:
    directions = [boot.direction(marathon.host) for boot in marathon.boots]
    assert directions == ["up", "down"] * (BOOTS // 2)


def test_the_priorities_do_not_climb(marathon: Marathon) -> None:
    assert {boot.fact("cutover", marathon.host)["level"] for boot in marathon.boots} == {0, 1}


def test_people_see_the_phases_in_their_order(marathon: Marathon) -> None:
    for boot in marathon.boots:
        start = UP if boot.direction(marathon.host) == "up" else DOWN
        assert boot.phases(marathon.host) == (*start, *END)


def test_each_boot_says_which_version_it_replaced(marathon: Marathon) -> None:
    lines = [boot.line(marathon.host) for boot in marathon.boots]
    assert [line.replaced for line in lines[1:]] == [line.version for line in lines[:-1]]


def test_a_websocket_lives_through_the_drain_and_is_counted(marathons: dict[str, Marathon]) -> None:
    graceful = marathons["graceful"]
    for boot in graceful.boots:
        assert "1 open connection was closed at the end of the drain" in boot.told(graceful.host)


def test_afterwards_one_container_runs_and_one_cord_is_tied(marathon: Marathon) -> None:
    standing = marathon.shop.standing(marathon.host)
    last = marathon.boots[-1].line(marathon.host).version
    assert standing.running == standing.serving == (f"{marathon.shop.name}-web-{last}",)
    assert list(standing.cords.values()).count("tied") == 1
    assert standing.runs == ()


# -- one shop on both hosts, everything under one load ---------------------------------------------------------


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    shop = make_shop("shop", drain_timeout=3)
    shop.must_boot("v1")
    return shop


@pytest.fixture(autouse=True)
def _shop_is_served(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests that use the shop run under load, and lose nothing."""
    if "shop" not in request.fixturenames:
        yield
        return
    shop: Shop = request.getfixturevalue("shop")
    with shop.load(NO_WEBSOCKET) as load:
        yield
        load.stop()
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_the_same_version_again(shop: Shop) -> None:
    shop.must_boot("v1")
    ran = shop.must_boot("v1")
    for host in shop.hosts:
        assert ran.line(host).replaced == "v1"
        standing = shop.standing(host)
        assert standing.running == standing.serving == ("shop-web-v1",)
        assert any(name.startswith("shop-web-v1_replaced_") for name in standing.containers)


def test_changed_traefik_labels(shop: Shop) -> None:
    labels = {
        **shop.labels(),
        "traefik.http.middlewares.extra.headers.customresponseheaders.X-Extra": "yes",
        "traefik.http.routers.shop-web.middlewares": "extra",
        "traefik.http.services.shop-web.loadbalancer.server.scheme": "http",
        "traefik.http.services.shop-web.loadbalancer.passhostheader": "false",
    }
    shop.must_boot("v2", servers={"web": {"hosts": list(shop.hosts), "labels": labels}})
    headers = shop.headers_at("web-1")
    assert (headers["X-Extra"], headers["X-Version"]) == ("yes", "v2")
    shop.must_boot("v3")
    assert "X-Extra" not in shop.headers_at("web-1")


def test_a_changed_priority(shop: Shop) -> None:
    for priority in (120, 80, 100):
        ran = shop.must_boot(
            "v1",
            servers={"web": {"hosts": list(shop.hosts), "labels": shop.labels(priority=priority)}},
            hosts=("web-1",),
        )
        assert ran.direction("web-1") == ("down" if priority == 80 else "up")


@pytest.mark.parametrize("version", ["no-curl", "own-check", "two-ports", "no-expose"])
def test_images_of_every_shape(shop: Shop, version: str) -> None:
    shop.must_boot(version)
    for host in shop.hosts:
        assert shop.standing(host).serving == (f"shop-web-{version}",)


def test_an_app_that_needs_8_seconds_to_get_ready(shop: Shop) -> None:
    ran = shop.must_boot("slow", hosts=("web-1",))
    assert ran.seconds > 8
    shop.must_boot("v2", hosts=("web-1",))


def test_a_container_that_answers_nobody_is_a_leftover_and_goes_first(shop: Shop) -> None:
    name = start_dark(shop, "web-1", "v4")
    ran = shop.must_boot("v3", hosts=("web-1",))
    assert f"{name} runs but does not serve" in ran.told("web-1")
    assert shop.standing("web-1").running == ("shop-web-v3",)


def test_an_old_container_without_a_cord(shop: Shop) -> None:
    no_cord = {"path": "/up", "port": 3000, "cord": False}
    shop.must_boot("v1", healthcheck=no_cord, hosts=("web-1",))
    shop.must_boot("v2", hosts=("web-1",))
    shop.must_boot("v3", hosts=("web-1",))
    assert shop.standing("web-1").serving == ("shop-web-v3",)


def test_another_app_behind_the_same_traefik_keeps_its_requests(shop: Shop, make_shop: MakeShop) -> None:
    other = make_shop("other", ("web-1",))
    other.must_boot("rude-1")
    with other.load(NO_WEBSOCKET) as load:
        for version in ("v1", "v2", "v3"):
            shop.must_boot(version, hosts=("web-1",))
        tally = load.stop()
    assert_nothing_lost(tally)
    assert tally.versions == ("rude-1",)


def test_a_neighbour_on_the_second_level_is_never_swallowed(shop: Shop, make_shop: MakeShop) -> None:
    """A router of another app at base + 1, for part of our own address: base and base - 1 are the two levels then."""
    neighbour = make_shop("neighbour", ("web-1",))
    rule = {
        "traefik.http.routers.neighbour-web.rule": f"Host(`{shop.host_header}`) && PathPrefix(`/version`)",
        "traefik.http.routers.neighbour-web.priority": "101",
    }
    shop.must_boot("v1", hosts=("web-1",), servers=at_priority(shop, 100))
    neighbour.must_boot("rude-1", servers={"web": {"hosts": ["web-1"], "labels": rule}})
    levels = []
    for version in ("v2", "v3", "v4"):
        ran = shop.must_boot(version, hosts=("web-1",), servers=at_priority(shop, 100))
        levels.append(ran.fact("cutover", "web-1")["level"])
        assert shop.version_at("web-1", "/version") == "rude-1"
        assert shop.version_at("web-1") == version
    assert set(levels) <= {0, -1}
    neighbour.clean()


def test_two_web_roles_and_a_worker_on_one_host(shop: Shop, make_shop: MakeShop) -> None:
    twins = make_shop("twins", ("web-1",), readiness_delay=1, drain_timeout=2)
    servers = {
        "web": {"hosts": ["web-1"], "labels": twins.labels()},
        "api": {"hosts": ["web-1"], "labels": twins.labels("api", "api.twins.test"), "traefik": True},
        "job": {"hosts": ["web-1"], "cmd": "sleep 600", "stop_wait_time": 1},
    }
    twins.must_boot("v1", servers=servers)
    with twins.load(NO_WEBSOCKET) as web, twins.load(NO_WEBSOCKET, header="api.twins.test") as api:
        for version in ("v2", "v3"):
            ran = twins.must_boot(version, servers=servers)
        tallies = web.stop(), api.stop()
    for tally in tallies:
        assert_nothing_lost(tally)
        assert tally.versions == ("v1", "v2", "v3")
    assert [line.version for line in ran.report.lines] == ["v3"] * 3
    assert twins.standing("web-1").running == ("twins-api-v3", "twins-job-v3", "twins-web-v3")


def test_several_hosts_in_batches(shop: Shop) -> None:
    ran = shop.must_boot("v3", boot={"limit": 1, "wait": 1})
    first, second = (ran.line(host) for host in shop.hosts)
    assert first.ended is not None
    assert second.started is not None
    assert second.started >= first.ended + 1


def test_extra_volumes_are_there(shop: Shop) -> None:
    shop.must_boot("v2", hosts=("web-1",), volumes=[*mounts(shop), "shop-data:/data", "/etc/hostname:/given:ro"])
    found = shop.shell("web-1", "docker exec shop-web-v2 sh -c 'cat /given; touch /data/x && ls /data'")
    assert found.split()[-1] == "x"
    shop.must_boot("v3", hosts=("web-1",))
    shop.shell("web-1", "docker rm --volumes shop-web-v2 >/dev/null; docker volume rm shop-data")


def test_without_a_version_the_one_tagged_latest_is_booted(shop: Shop) -> None:
    shop.must_boot("v3")
    ran = shop.boot(None)
    assert ran.ok
    assert ran.line("web-1").version == "v3"
    assert any("tagged latest is version v3" in note.text for note in ran.report.notes)


def test_current_and_previous_are_understood(shop: Shop) -> None:
    shop.must_boot("v1", hosts=("web-1",))
    shop.must_boot("v2", hosts=("web-1",))
    assert shop.must_boot("previous", hosts=("web-1",)).line("web-1").version == "v1"
    assert shop.must_boot("current", hosts=("web-1",)).line("web-1").version == "v1"


def at_priority(shop: Shop, priority: int) -> dict[str, object]:
    return {"web": {"hosts": list(shop.hosts), "labels": shop.labels(priority=priority)}}


def mounts(shop: Shop) -> list[str]:
    return [f"{shop.run_directory}/orders:/orders"]


def start_dark(shop: Shop, host: str, version: str) -> str:
    """What a crashed boot leaves in the dark: a container that runs, its cord cut, at the other level."""
    name, cord = f"shop-web-{version}", f"{shop.run_directory}/cords/shop-web-crashed"
    labels = {
        "service": "shop",
        "role": "web",
        "kamalnb.slot": "green",
        "traefik.http.routers.shop-web-green.rule": f"Host(`{shop.host_header}`)",
        "traefik.http.routers.shop-web-green.priority": "105",
    }
    script = (
        'cord=$1; name=$2; image=$3; shift 3; mkdir -p "$cord" && : >"$cord/cord.cut";'
        ' docker rm --force "$name" 2>/dev/null;'
        ' docker run --detach --name "$name" --mount "type=bind,source=$cord,target=/tmp/kamal-cord" --health-retries 1'
        ' --health-cmd "[ -e /tmp/kamal-cord/cord ]" --health-interval 1s "$@" "$image"'
    )
    words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    shop.shell(host, script, cord, name, f"{REPOSITORY}:{version}", *words)
    until(lambda: shop.standing(host).containers[name] == ("running", "unhealthy"), f"{name} is dark")
    return name
