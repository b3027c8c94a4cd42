"""A Traefik that is not as we start it. These replace the proxy of one host, and put it back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import MakeShop
from kamal import Kamal
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost, until

HOST = "web-2"
AS_KAMAL = (
    "docker run --name traefik --detach --restart unless-stopped --publish 80:80"
    " --volume /var/run/docker.sock:/var/run/docker.sock --log-opt max-size=10m"
    " --label 'traefik.http.routers.catchall.entryPoints=http'"
    " --label 'traefik.http.routers.catchall.rule=PathPrefix(`/`)'"
    " --label 'traefik.http.routers.catchall.service=unavailable'"
    " --label 'traefik.http.routers.catchall.priority=1'"
    " --label 'traefik.http.services.unavailable.loadbalancer.server.port=0'"
    " traefik:v3.7 --providers.docker --log.level=INFO"
)
"""As Kamal 1.9.3 starts it: API off, Traefik's own throttle (2 s) and idle time (90 s)."""


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    return make_shop("plain", (HOST,))


@pytest.fixture(scope="module")
def kamals_traefik(shop: Shop) -> Iterator[Shop]:
    replace_traefik(shop, AS_KAMAL)
    yield shop
    shop.shell(HOST, "docker rm --force traefik >/dev/null")
    assert shop.fleet().boot_traefik().wait().ok


def replace_traefik(shop: Shop, line: str) -> None:
    shop.shell(HOST, f"docker rm --force traefik >/dev/null 2>&1; {line} >/dev/null")


def test_the_nonce_acknowledges_where_the_api_is_off_and_nothing_is_lost(kamals_traefik: Shop) -> None:
    shop = kamals_traefik
    shop.must_boot("v1")
    with shop.load(NO_WEBSOCKET) as load:
        boots = [shop.must_boot(new, after=old) for old, new in (("v1", "v2"), ("v2", "rude-1"), ("rude-1", "v3"))]
        load.stop()
    assert [ran.direction(HOST) for ran in boots] == ["up", "down", "up"]
    assert not any("assumed out" in ran.told(HOST) for ran in boots)
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_preflight_says_what_a_traefik_with_kamals_settings_costs(kamals_traefik: Shop) -> None:
    ran = kamals_traefik.must_boot("v4")
    told = " ".join(note.text for note in ran.report.notes if note.warning)
    assert "after up to 2 s" in told
    assert "idle connections 90 s" in told
    assert "API is off" in told


def test_an_old_container_that_cannot_be_asked_for_is_waited_for_and_said_so(kamals_traefik: Shop) -> None:
    """API off and no nonce of ours: out is assumed, after more than the throttle can take."""
    shop = kamals_traefik
    shop.clean()
    Kamal(shop, HOST, "1.9.3", "100").boot("v1")
    with shop.load(NO_WEBSOCKET) as load:
        ran = shop.must_boot("v2", after="v1")
        load.stop()
    assert "assumed out after a wait" in ran.told(HOST)
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_a_restarted_traefik_shows_who_served(shop: Shop) -> None:
    shop.must_boot("v1")
    for version in ("v2", "v3"):
        shop.must_boot(version)
        before = shop.standing(HOST)
        shop.shell(HOST, "docker restart --time 1 traefik >/dev/null")
        until(lambda version=version: shop.version_at(HOST) == version, f"{version} serves again")
        assert shop.standing(HOST) == before


def test_a_host_without_traefik_is_refused_with_the_command_that_helps(shop: Shop) -> None:
    shop.must_boot("v1")
    shop.shell(HOST, "docker stop --time 1 traefik >/dev/null")
    try:
        ran = shop.boot("v2")
    finally:
        assert shop.fleet().boot_traefik().wait().ok
    assert "Traefik is exited" in ran.failure(HOST).error
    assert "traefik.boot" in ran.failure(HOST).hint
    assert shop.standing(HOST).serving == ("plain-web-v1",)


def test_boot_traefik_never_touches_one_that_runs(shop: Shop) -> None:
    ask = "docker inspect --format '{{.Id}} {{.State.StartedAt}}' traefik"
    before = shop.shell(HOST, ask)
    (line,) = shop.fleet().boot_traefik().wait().lines
    assert line.doing.startswith("Traefik runs already.")
    assert shop.shell(HOST, ask) == before
