"""HTTPS as Kamal's users have it: websecure, redirect, resolver labels, a certificate of their own. Nothing is lost."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest
from certificates import self_signed
from conftest import MakeShop
from proxied import as_lab_starts_it, must
from shop import CALM, Shop, assert_nothing_lost

from kamalnb.flows import proxying
from kamalnb.traefik import NONCE_LABEL

DYNAMIC = """\
tls:
  certificates:
    - certFile: /etc/traefik/dynamic/cert.pem
      keyFile: /etc/traefik/dynamic/key.pem
"""
TRAEFIK = {
    "image": "traefik:v3.7",
    "args": {
        "entryPoints.web.address": ":80",
        "entryPoints.websecure.address": ":443",
        "entryPoints.web.http.redirections.entryPoint.to": "websecure",
        "entryPoints.web.http.redirections.entryPoint.scheme": "https",
        "providers.file.directory": "/etc/traefik/dynamic",
        "certificatesResolvers.letsencrypt.acme.email": "somebody@tls.test",
        "certificatesResolvers.letsencrypt.acme.storage": "/letsencrypt/acme.json",
        "certificatesResolvers.letsencrypt.acme.caServer": "https://127.0.0.1:1/directory",
        "certificatesResolvers.letsencrypt.acme.httpChallenge.entryPoint": "web",
    },
    "options": {
        "publish": ["443:443"],
        "volume": ["/srv/tls-dynamic:/etc/traefik/dynamic", "kamalnb-tests-letsencrypt:/letsencrypt"],
    },
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("certificate"), "tls.test")


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop, certificate: tuple[Path, Path]) -> Iterator[Shop]:
    """A service over HTTPS behind a Traefik of its own settings, on every host of the lab."""
    shop = make_shop("tls", traefik=TRAEFIK)
    router = "traefik.http.routers.tls-web"
    labels = {
        **shop.labels(),
        f"{router}.entrypoints": "websecure",
        f"{router}.tls": "true",
        f"{router}.tls.certresolver": "letsencrypt",
    }
    shop.settings["servers"] = {"web": {"hosts": list(shop.hosts), "labels": labels}}
    files = {"cert.pem": certificate[0].read_text(), "key.pem": certificate[1].read_text(), "certificate.yml": DYNAMIC}
    for host in shop.hosts:
        for name, text in files.items():
            shop.shell(host, 'mkdir -p "$1" && printf %s "$2" >"$1/$3"', "/srv/tls-dynamic", text, name)
        must(shop, host, proxying.reboot)
    yield shop
    shop.clean()
    plain = {"traefik": {"image": "traefik:v3.7"}}
    for host in shop.hosts:
        shop.settings.update(plain)
        as_lab_starts_it(shop, host)
        shop.shell(host, "docker volume rm kamalnb-tests-letsencrypt >/dev/null; rm -rf /srv/tls-dynamic")


def asked(shop: Shop, host: str, path: str = "/") -> dict[str, str]:
    """The headers of an answer over HTTPS, whoever's certificate."""
    context = ssl._create_unverified_context()  # noqa: S323  without a name it is Traefik's own; the load believes ours only
    connection = HTTPSConnection(shop.lab.host(host).inside, context=context, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": shop.host_header})
        return dict(connection.getresponse().getheaders())
    finally:
        connection.close()


def test_boots_up_and_down_over_https_lose_nothing(shop: Shop, certificate: tuple[Path, Path]) -> None:
    shop.must_boot("v1")
    with shop.load(CALM, trust=certificate[0]) as load:
        boots = [shop.must_boot(new, after=old) for old, new in (("v1", "v2"), ("v2", "v1"))]
        load.stop()
    for host in shop.hosts:
        assert [ran.direction(host) for ran in boots] == ["up", "down"]
        assert not any("assumed" in ran.told(host) for ran in boots)
    tally = load.compare_orders(shop.orders())
    assert tally.requests > 100
    assert_nothing_lost(tally)


def test_the_acknowledging_router_answers_on_the_entry_point_with_tls(shop: Shop) -> None:
    shop.must_boot("v3")
    for host in shop.hosts:
        name = shop.standing(host).serving[0]
        labels = json.loads(shop.shell(host, "docker inspect --format '{{json .Config.Labels}}' \"$1\"", name))
        nonce = labels[NONCE_LABEL]
        assert asked(shop, host, f"/.kamalnb/{nonce}")["X-Kamalnb-Boot"] == nonce
        assert not [key for key in labels if key.endswith("-boot.tls.certresolver")]


def test_plain_http_is_sent_on_to_https(shop: Shop) -> None:
    shop.must_boot("v3")
    for host in shop.hosts:
        connection = HTTPConnection(shop.lab.host(host).proxy_url.removeprefix("http://"), timeout=5)
        connection.request("GET", "/x", headers={"Host": shop.host_header})
        answer = connection.getresponse()
        assert (answer.status // 100, answer.getheader("Location")) == (3, f"https://{shop.host_header}/x")
        connection.close()


def test_a_failed_boot_over_https_changes_nothing_for_users(shop: Shop, certificate: tuple[Path, Path]) -> None:
    shop.must_boot("v1")
    with shop.load(CALM, trust=certificate[0]) as load:
        ran = shop.boot("never-healthy", deploy_timeout=5)
        load.stop()
    assert not ran.ok
    tally = load.snapshot()
    assert tally.versions == ("v1",)
    assert_nothing_lost(tally)


def test_a_reboot_of_a_traefik_with_tls_routes_as_before_and_keeps_its_volume(shop: Shop) -> None:
    shop.must_boot("v1")
    host = shop.hosts[0]
    ask = "docker run --rm --entrypoint sh -v kamalnb-tests-letsencrypt:/v registry:5000/app:v1 -c 'cat /v/mark'"
    shop.shell(host, ask.replace("cat /v/mark", "echo kept >/v/mark"))
    done, told = must(shop, host, proxying.reboot)
    assert "as it was" in done.sentence
    assert "a reboot changes nothing" in told
    assert asked(shop, host)["X-Version"] == "v1"
    assert shop.shell(host, ask) == "kept\n"
