"""What of a running Traefik is not as in the file, and which Traefik is too old or of another major version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kamalnb import traefik
from kamalnb.commands import traefik as commands
from kamalnb.commands.running_traefik import Running
from kamalnb.config.model import Env, SecretSource, TraefikSettings
from kamalnb.docker import Container, Mount
from kamalnb.flows.traefik_difference import Difference, difference, published, unseen
from kamalnb.flows.traefik_host import carried, grace, losing

FILE = TraefikSettings(image="traefik:v3.7")


def running(settings: TraefikSettings = FILE, **changes: Any) -> Running:
    """One that runs as ``settings`` say."""
    container = Container(
        id="t", name="traefik", image=settings.image, args=commands.arguments(settings),
        networks={"bridge": "172.17.0.2"},
        labels={**commands.labels(settings), "org.opencontainers.image.version": "v3.7.15"},
    )  # fmt: skip
    return Running(
        container=container, env=frozenset({"PATH"}), image_env=frozenset({"PATH"}), publish=published(settings),
        image_labels={"org.opencontainers.image.version": "v3.7.15"}, options={"network": "bridge"},
        volumes=frozenset({"/var/run/docker.sock:/var/run/docker.sock"}), **changes,
    )  # fmt: skip


def test_one_that_runs_as_the_file_says_has_no_difference() -> None:
    assert difference(running(), FILE) == ()


NETWORK = {"network": "private"}
CASES: list[tuple[dict[str, Any], list[Difference]]] = [
    ({"image": "traefik:v3.6.1"}, [Difference("image", "traefik:v3.7", "traefik:v3.6.1")]),
    ({"args": {"log.level": "DEBUG"}}, [Difference("--log.level", "INFO", "DEBUG")]),
    ({"args": {"LOG.Level": "INFO"}}, []),
    ({"args": {"accesslog": True}}, [Difference("--accesslog", "", "true")]),
    ({"args": {"api.insecure": False}}, [Difference("--api.insecure", "true", "")]),
    ({"labels": {"traefik.enable": "true"}}, [Difference("label traefik.enable", "", "true")]),
    (
        {"labels": {"traefik.http.routers.catchall.priority": "3"}},
        [Difference("label traefik.http.routers.catchall.priority", "1", "3")],
    ),
    (
        {"host_port": 8000},
        [Difference("publish", "0.0.0.0:80:80/tcp", ""), Difference("publish", "", "0.0.0.0:8000:80/tcp")],
    ),
    ({"options": {"publish": ("443:443",)}}, [Difference("publish", "", "0.0.0.0:443:443/tcp")]),
    ({"options": {"volume": "acme:/acme"}}, [Difference("volume", "", "acme:/acme")]),
    ({"env": Env(clear={"A": "1"})}, [Difference("env A", "", "set")]),
    ({"env": Env(secret={"B": SecretSource(env="B")})}, [Difference("env B", "", "set")]),
    ({"options": NETWORK}, [Difference("--network", "bridge", "private")]),
    ({"options": {"memory": "512m"}}, [Difference("--memory", "", str(512 * 2**20))]),
    ({"options": {"cpus": "1.50"}}, [Difference("--cpus", "", "1.5")]),
    ({"options": {"add-host": ("b:1", "a:1")}}, [Difference("--add-host", "", "a:1,b:1")]),
]


@pytest.mark.parametrize(("changes", "found"), CASES, ids=str)
def test_every_setting_of_the_file_that_is_not_so_is_named(changes: dict[str, Any], found: list[Difference]) -> None:
    assert list(difference(running(), replace(FILE, **changes))) == found


def test_what_the_file_asks_for_no_longer_is_named_too() -> None:
    there = running(
        replace(FILE, args={"accesslog": True}, labels={"mine": "1"}, options={"publish": ("443:443/udp",)})
    )
    there = replace(there, env=frozenset({"PATH", "OLD"}), options={"network": "bridge", "user": "1000"})
    assert list(difference(there, FILE)) == [
        Difference("--accesslog", "true", ""),
        Difference("label mine", "1", ""),
        Difference("publish", "0.0.0.0:443:443/udp", ""),
        Difference("env OLD", "set", ""),
        Difference("--user", "1000", ""),
    ]


def test_a_secret_never_shows_in_a_difference() -> None:
    secret = replace(FILE, env=Env(clear={"TOKEN": "hush"}))
    assert "hush" not in str(difference(running(), secret))


def test_options_that_docker_does_not_show_are_named_as_not_compared() -> None:
    assert unseen(replace(FILE, options={"ulimit": "nofile=9", "network": "x"})) == ("--ulimit",)


@pytest.mark.parametrize(
    ("word", "spelled"),
    [
        ("443:443", {"0.0.0.0:443:443/tcp"}),
        ("127.0.0.1:8080:8080", {"127.0.0.1:8080:8080/tcp"}),
        ("[::1]:80:80", {"::1:80:80/tcp"}),
        ("443:443/udp", {"0.0.0.0:443:443/udp"}),
        ("9000", {"0.0.0.0:0:9000/tcp"}),
        ("81-82:91-92", {"0.0.0.0:81:91/tcp", "0.0.0.0:82:92/tcp"}),
    ],
)
def test_published_ports_are_read_as_docker_reads_them(word: str, spelled: set[str]) -> None:
    found = published(replace(FILE, publish=False, options={"publish": (word,)}))
    assert found - {"127.0.0.1:8080:8080/tcp"} == spelled - {"127.0.0.1:8080:8080/tcp"}


@pytest.mark.parametrize(
    ("reference", "label", "said", "version"),
    [
        ("traefik:v3.7", "", "", (3, 7)),
        ("traefik:v3.7", "v3.7.15", "", (3, 7, 15)),
        ("traefik:v3.7", "v3.7.15", "3.7.16", (3, 7, 16)),
        ("traefik:2.11-alpine", "", "", (2, 11)),
        ("registry:5000/traefik", "", "", ()),
        ("registry:5000/traefik:v2@sha256:abc", "", "", (2,)),
        ("traefik:latest", "", "", ()),
        ("traefik:20250101", "", "", ()),
        ("traefik:latest", "", "dev", ()),
    ],
)
def test_version_of_traefik(reference: str, label: str, said: str, version: tuple[int, ...]) -> None:
    labels = {"org.opencontainers.image.version": label} if label else {}
    assert traefik.release(reference, labels, said) == version


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ((3, 6, 0), True), ((3, 6, 1), False), ((3, 7), False), ((3, 6), False), ((3, 5), True), ((3,), False),
        ((2, 11, 30), True), ((2, 11, 31), False), ((2, 10), True), ((2,), False), ((1, 7, 34), True), ((4, 0), False),
        ((), False),
    ],
)  # fmt: skip
def test_too_old_for_docker_29(version: tuple[int, ...], old: bool) -> None:
    assert traefik.too_old(version) is old


# -- certificates and the end of requests ----------------------------------------------------------------------


def keeping(path: str | None, *mounts: str) -> Running:
    storage = {"certificatesresolvers.le.acme.storage": path} if path else {}
    args = {"certificatesResolvers.le.acme.email": "a@example.com", **storage}
    there = running(replace(FILE, args=args))
    container = replace(
        there.container, mounts=tuple(Mount(source="x", destination=one) for one in mounts), status="running"
    )
    return replace(there, container=container)


def stored(path: str, **options: Any) -> TraefikSettings:
    return replace(FILE, args={"certificatesresolvers.le.acme.storage": path}, options=options)


@pytest.mark.parametrize(
    ("there", "file", "lost", "kept"),
    [
        (keeping("/le/acme.json", "/le"), stored("/le/acme.json", volume=("/le:/le",)), (), ()),
        (keeping("/acme.json", "/acme.json"), stored("/acme.json", volume="x:/acme.json"), (), ()),
        (keeping("/lexicon/acme.json", "/le"), FILE, ("/lexicon/acme.json",), ()),
        (keeping("/acme.json"), stored("/acme.json"), (), ("/acme.json",)),
        (keeping("/acme.json"), stored("/acme.json", volume="x:/acme.json"), ("/acme.json",), ()),
        (keeping("/acme.json"), stored("/le/acme.json"), ("/acme.json",), ()),
        (keeping(None), stored("acme.json"), (), ("/acme.json",)),
        (running(), FILE, (), ()),
    ],
)
def test_certificates_that_a_reboot_loses_or_carries(
    there: Running, file: TraefikSettings, lost: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    assert (losing(there, file), carried(there, file)) == (lost, kept)


@pytest.mark.parametrize(
    ("args", "seconds"),
    [
        ({}, 10.0),
        ({"entryPoints.web.address": ":80", "entryPoints.web.transport.lifeCycle.graceTimeOut": "3s"}, 3.0),
        (
            {
                "entryPoints.web.address": ":80",
                "entryPoints.web.transport.lifeCycle.graceTimeOut": "3s",
                "entryPoints.web.transport.lifeCycle.requestAcceptGraceTimeout": "5s",
            },
            8.0,
        ),
        (
            {
                "entryPoints.web.address": ":80",
                "entryPoints.web.transport.lifeCycle.graceTimeOut": "3s",
                "entryPoints.websecure.address": ":443",
            },
            10.0,
        ),
    ],
)
def test_grace_is_that_of_the_slowest_entry_point(args: dict[str, str], seconds: float) -> None:
    assert grace(running(replace(FILE, args=args))) == seconds
