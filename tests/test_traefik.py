"""What Traefik will make of labels: routers, slots, priorities, durations, and what may meet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamalnb import traefik
from kamalnb.docker import Container
from kamalnb.errors import Unclear
from kamalnb.traefik import Router, in_slot, routers, seconds, services, with_priority

LABELS = {
    "service": "app",
    "traefik.http.routers.web.rule": "Host(`a.example`)",
    "traefik.http.routers.web.entrypoints": "websecure, http",
    "traefik.http.routers.web.tls.certresolver": "le",
    "traefik.http.routers.web.service": "web",
    "traefik.http.routers.web.middlewares": "retry@docker,auth@file,other",
    "traefik.http.services.web.loadbalancer.server.port": "3000",
    "traefik.http.middlewares.retry.retry.attempts": "5",
    "traefik.tcp.routers.db.rule": "HostSNI(`*`)",
    "traefik.tcp.routers.db.priority": "9",
}


def test_routers_are_read_with_their_settings() -> None:
    tcp, web = sorted(routers(LABELS, "c1"), key=lambda router: router.protocol, reverse=True)
    assert (web.name, web.entry_points, web.tls, web.service, web.owner) == (
        "web",
        ("websecure", "http"),
        True,
        "web",
        "c1",
    )
    assert web.priority is None
    assert web.effective_priority == len("Host(`a.example`)")
    assert (tcp.name, tcp.protocol, tcp.effective_priority) == ("db", "tcp", 9)


def test_rules_count_in_bytes() -> None:
    assert Router(name="x", rule="Host(`ä.example`)").effective_priority == len("Host(`ä.example`)") + 1


@pytest.mark.parametrize("word", ["false", "False", "FALSE"])
def test_disabled_container_has_no_routers(word: str) -> None:
    assert routers({**LABELS, "traefik.enable": word}) == ()


@pytest.mark.parametrize("key", ["traefik.HTTP.Routers.web.RULE", "Traefik.http.routers.web.Rule"])
def test_label_names_have_no_case(key: str) -> None:
    (router,) = routers({key: "Path(`/`)"})
    assert (router.name, router.rule) == ("web", "Path(`/`)")


def test_slot_renames_what_the_labels_define_and_nothing_else() -> None:
    moved = in_slot(LABELS, "blue")
    assert moved["service"] == "app"
    assert moved["traefik.http.routers.web-blue.rule"] == "Host(`a.example`)"
    assert moved["traefik.http.routers.web-blue.service"] == "web-blue"
    assert moved["traefik.http.routers.web-blue.middlewares"] == "retry-blue@docker,auth@file,other"
    assert moved["traefik.tcp.routers.db-blue.rule"] == "HostSNI(`*`)"
    assert len(moved) == len(LABELS)


def test_reference_of_another_provider_with_a_name_of_ours_stays() -> None:
    labels = {
        "traefik.http.middlewares.auth.x": "1",
        "traefik.http.routers.w.middlewares": "auth@file,auth@docker,auth",
    }
    assert (
        in_slot(labels, "green")["traefik.http.routers.w-green.middlewares"] == "auth@file,auth-green@docker,auth-green"
    )


def test_dots_in_a_destination_become_dashes() -> None:
    assert traefik.slot_name("app-web-v1.2", "blue") == "app-web-v1-2-blue"


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_blue_and_green_never_share_a_name(names: list[str]) -> None:
    labels = {f"traefik.http.routers.{name}.rule": "x" for name in names} | {
        f"traefik.http.services.{name}.y": "1" for name in names
    }
    blue, green = in_slot(labels, "blue"), in_slot(labels, "green")
    assert not set(blue) & set(green)
    assert (
        {router.base_name for router in routers(blue)} == {router.base_name for router in routers(green)} == set(names)
    )


def test_priority_replaces_whatever_was_there() -> None:
    changed = with_priority({**LABELS, "traefik.http.routers.web.Priority": "7"}, {"web": 3, "db": 4})
    assert {(router.name, router.priority) for router in routers(changed)} == {("web", 3), ("db", 4)}
    assert sum(key.lower() == "traefik.http.routers.web.priority" for key in changed) == 1


def test_acknowledging_router_answers_with_the_header_on_the_same_entry_points() -> None:
    main = Router(name="web-blue", rule="Host(`a`)", entry_points=("websecure",), tls=True)
    labels = traefik.acknowledging(main, "web-blue", "abc", "/up")
    (router,) = routers(labels)
    assert router.for_acknowledging
    assert router.effective_priority > 1000
    assert (router.entry_points, router.tls, router.service) == (("websecure",), True, "web-blue")
    assert labels["traefik.http.middlewares.web-blue-boot-header.headers.customresponseheaders.X-Kamalnb-Boot"] == "abc"
    assert labels["traefik.http.middlewares.web-blue-boot-path.replacepath.path"] == "/up"


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("PathPrefix(`/`)", "Host(`a`)", True),
        ("Host(`a`)", "Host(`b`)", False),
        ("Host(`a`)", "Host(`A`)", True),
        ("Host(`a`) || Host(`b`)", "Host(`b`)", True),
        ("Host(`a`, `b`)", "Host(`c`)", False),
        ("Host(`a`) || PathPrefix(`/x`)", "Host(`b`)", True),
        ("!Host(`a`)", "Host(`b`)", True),
        ("HostRegexp(`.*`)", "Host(`b`)", True),
    ],
)
def test_who_may_meet(one: str, other: str, meet: bool) -> None:
    assert Router(name="x", rule=one).may_meet(Router(name="y", rule=other)) is meet
    assert Router(name="y", rule=other).may_meet(Router(name="x", rule=one)) is meet


def test_entry_points_keep_routers_apart() -> None:
    one, other = (
        Router(name="x", rule="Host(`a`)", entry_points=("http",)),
        Router(name="y", rule="Host(`a`)", entry_points=("websecure",)),
    )
    assert not one.may_meet(other)
    assert one.may_meet(Router(name="z", rule="Host(`a`)"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2s", 2.0),
        ("200ms", 0.2),
        ("1m30s", 90.0),
        ("0", 0.0),
        ("2", 2.0),
        ("1h", 3600.0),
        ("500us", 0.0005),
        ("", 7.0),
        (None, 7.0),
        ("soon", 7.0),
    ],
)
def test_durations(text: str | None, value: float) -> None:
    assert seconds(text, 7.0) == pytest.approx(value)


def proxy_of(*args: str) -> traefik.Proxy:
    return traefik.proxy(Container(id="x", name="traefik", args=args))


def test_traefik_without_words_has_its_own_defaults() -> None:
    found = proxy_of("--providers.docker")
    assert (found.throttle, found.idle_timeout, found.api_port, dict(found.entry_points)) == (
        2.0,
        90.0,
        None,
        {"http": 80},
    )
    assert found.assumed_delay == 5.0
    assert not found.host_network


def test_traefik_says_its_settings_in_any_case() -> None:
    found = proxy_of(
        "--providers.ProvidersThrottleDuration=4s",
        "--entryPoints.web.address=:8000", "--entrypoints.websecure.address=:8443/tcp",
        "--entrypoints.websecure.http.tls=true", "--entrypoints.dns.address=:53/udp",
        "--api.insecure=true", "--entrypoints.traefik.address=:9000",
        "--providers.docker.network=kamal", "--providers.docker.exposedByDefault=false",
    )  # fmt: skip
    assert found.throttle == 4.0
    assert found.assumed_delay == 9.0
    assert dict(found.entry_points) == {"web": 8000, "websecure": 8443}
    assert found.secure_entry_points == {"websecure"}
    assert (found.api_port, found.network, found.exposed_by_default) == (9000, "kamal", False)


@pytest.mark.parametrize(
    ("args", "port"), [(("--api.insecure",), 8080), (("--api.insecure=false",), None), (("--api",), None), ((), None)]
)
def test_api_is_open_only_where_it_says_so(args: tuple[str, ...], port: int | None) -> None:
    assert proxy_of(*args).api_port == port


def test_services_are_named_once() -> None:
    assert services(LABELS) == ("web",)
    assert services(
        {"traefik.http.services.a.x": "1", "traefik.http.services.a.y": "1", "traefik.tcp.services.b.x": "1"}
    ) == ("a",)


def test_number_of_a_label_is_a_number_or_unclear() -> None:
    assert traefik.number({"kamalnb.level": "-1"}, "kamalnb.level") == -1
    assert traefik.number({}, "kamalnb.level") == 0
    with pytest.raises(Unclear):
        traefik.number({"kamalnb.level": "high"}, "kamalnb.level")
