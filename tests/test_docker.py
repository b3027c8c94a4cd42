"""What Docker said, as values: recorded on a lab host (Docker 20.10), never edited."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamalnb.commands import app
from kamalnb.docker import Container, containers, images
from kamalnb.errors import Unclear
from kamalnb.traefik import proxy

RECORDED = Path(__file__).parent / "docker"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def test_recorded_containers_are_read() -> None:
    found = containers(recorded("containers.json"))
    running = [one for one in found if one.running]
    assert len(running) == 1
    (serving,) = running
    assert serving.routable
    assert serving.health == "healthy"
    assert (serving.interval, serving.timeout, serving.retries) == (1.0, 12.0, 1)
    assert serving.ports == (3000,)
    assert serving.source_of("/tmp/kamal-cord").startswith("/home/deploy/.kamal/cords/app-web-")
    assert serving.networks["bridge"].startswith("172.")
    assert serving.pid > 0
    assert len(serving.id) == 64
    assert not serving.name.startswith("/")
    assert serving.args


def test_recorded_stopped_containers_are_not_running() -> None:
    stopped = [one for one in containers(recorded("containers.json")) if not one.running]
    assert stopped
    assert not any(one.routable for one in stopped)
    assert {one.status for one in stopped} == {"exited"}


def test_no_environment_travels() -> None:
    assert '"env"' not in recorded("containers.json").lower()
    assert "PATH=" not in recorded("containers.json")


def test_recorded_traefik_tells_its_settings() -> None:
    (found,) = containers(recorded("traefik.json"))
    said = proxy(found)
    assert (said.throttle, said.idle_timeout, said.api_port) == (0.1, 1.0, 8080)
    assert dict(said.entry_points) == {"http": 80}
    assert found.published == {80: (("0.0.0.0", 80),), 8080: (("127.0.0.1", 8080),)}


def test_recorded_image_tells_its_version_and_port() -> None:
    (image,) = images(recorded("image.json"))
    assert image.versions("registry:5000/app") == ("v1",)
    assert image.ports == (3000,)


def test_recorded_images_are_all_there() -> None:
    found = images(recorded("images.json"))
    by_version = {version: one for one in found for version in one.versions("registry:5000/app")}
    assert by_version["two-ports"].ports == (3000, 9090)
    assert by_version["no-expose"].ports == ()
    assert all(one.size > 1000 for one in found)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_nothing_is_no_container(text: str) -> None:
    assert containers(text) == ()


@pytest.mark.parametrize("text", ["x", "[]", "null", "3", "{}", '{"id":"x"}', "{" * 50, '{"id":'])
def test_what_is_no_container_is_unclear(text: str) -> None:
    with pytest.raises(Unclear):
        containers(text)
    with pytest.raises(Unclear):
        images(text)


@given(st.text())
def test_any_text_is_read_or_unclear(text: str) -> None:
    with contextlib.suppress(Unclear):
        containers(text)


@pytest.mark.parametrize("key", sorted(json.loads(recorded("traefik.json").strip())))
@pytest.mark.parametrize("value", ["x", 3, [1], {"x": 1}])
def test_field_of_another_kind_is_unclear_or_harmless(key: str, value: object) -> None:
    document = json.loads(recorded("traefik.json"))
    document[key] = value
    question = app.container("traefik")
    try:
        found = question.read(json.dumps(document))
    except Unclear:
        return
    assert isinstance(found, Container)
    assert isinstance(found.name, str)
    assert all(isinstance(one, str) for one in found.labels.values())


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\x1c"])
def test_label_with_a_strange_line_end_is_read(separator: str) -> None:
    document = json.loads(recorded("traefik.json"))
    document["labels"] = {"note": f"a{separator}b"}
    (found,) = containers(json.dumps(document, ensure_ascii=False))
    assert found.labels["note"] == f"a{separator}b"


@pytest.mark.parametrize(
    ("status", "health", "running", "routable"),
    [
        ("running", None, True, True),
        ("running", "healthy", True, True),
        ("running", "starting", True, False),
        ("running", "unhealthy", True, False),
        ("restarting", None, True, False),
        ("paused", "healthy", True, False),
        ("exited", "healthy", False, False),
        ("created", None, False, False),
        ("dead", None, False, False),
    ],
)
def test_who_runs_and_who_can_be_routed(status: str, health: str | None, running: bool, routable: bool) -> None:
    container = Container(id="x", name="x", status=status, health=health)
    assert (container.running, container.routable) == (running, routable)


def test_unhealthy_is_known_after_every_retry() -> None:
    kamal = Container(id="x", name="x", interval=1.0, timeout=30.0, retries=3)
    assert kamal.unhealthy_within == 94.0
