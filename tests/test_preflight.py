"""What a run looks at before it changes anything: on pretend hosts with one thing wrong each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from boots import config, kamal, serving

from kamalnb.preflight import Survey, survey
from kamalnb.script import Script
from kamalnb.shell import look
from kamalnb.testing import PretendHost, PretendTraefik, drive_on


def looked(host: PretendHost, now: float | None = None) -> Survey:
    found = config()
    done = drive_on(host, survey(found, "web-1", found.roles, host.wall_clock() if now is None else now))
    assert done.error is None
    return done.value


def test_host_that_is_well_has_only_good_marks_and_one_round_trip() -> None:
    host = serving("v1")
    found = config()
    done = drive_on(host, survey(found, "web-1", found.roles, host.wall_clock()))
    assert {check.verdict for check in done.value.checks} == {"ok"}
    assert len(done.scripts) == 1
    assert [container.name for container in done.value.containers] == ["app-web-v1"]
    assert done.value.images
    assert done.value.proxy is not None
    assert host.did[-1] == "stop container" or "tie cord" in host.did


def no_docker(host: PretendHost) -> None:
    host.docker_answers = False


def no_right(host: PretendHost) -> None:
    host.fail("docker", 1, "Got permission denied while trying to connect to the Docker daemon socket")


def no_program(host: PretendHost) -> None:
    host.fail("docker", 127, "sh: docker: not found")


def full(host: PretendHost) -> None:
    host.free_kib = 1000


def nearly_full(host: PretendHost) -> None:
    host.free_kib = 1024 * 1024


def wrong_clock(host: PretendHost) -> None:
    host.began += 3600


def no_traefik(host: PretendHost) -> None:
    del host.containers[host.find("traefik").id]


def stopped_traefik(host: PretendHost) -> None:
    host.find("traefik").status = "exited"


def no_df(host: PretendHost) -> None:
    host.fail("disk", 1, "df: no such file system")


def lost(host: PretendHost) -> None:
    host.lose_connection("docker")


def lost_later(host: PretendHost) -> None:
    host.lose_connection("clock")


def rootless(host: PretendHost) -> None:
    host.security = ("seccomp,profile=builtin", "rootless")


def maps_users(host: PretendHost) -> None:
    host.security = ("userns",)


WRONG = [
    (lost, "connection", "failed", "Run it again."),
    (lost_later, "connection", "failed", "Run it again."),
    (no_docker, "docker", "failed", "systemctl start docker"),
    (no_right, "docker", "failed", "usermod -aG docker"),
    (no_program, "docker", "failed", "Install Docker"),
    (full, "disk", "failed", "docker system prune"),
    (nearly_full, "disk", "warning", "docker system prune"),
    (wrong_clock, "clock", "warning", "timedatectl"),
    (no_traefik, "traefik", "failed", "traefik.boot"),
    (stopped_traefik, "traefik", "failed", "traefik.boot"),
    (rootless, "docker", "failed", "as root"),
    (maps_users, "traefik", "failed", "userns: host"),
    (no_df, "disk", "failed", "Try it there"),
]


@pytest.mark.parametrize(("spoil", "name", "verdict", "fix"), WRONG, ids=[wrong[0].__name__ for wrong in WRONG])
def test_what_is_wrong_is_named_with_the_command_that_fixes_it(
    spoil: Callable[[PretendHost], None], name: str, verdict: str, fix: str
) -> None:
    host = PretendHost()
    now = host.wall_clock()
    spoil(host)
    found = looked(host, now)
    (check,) = [check for check in found.checks if check.verdict != "ok"]
    assert (check.name, check.verdict) == (name, verdict)
    assert fix in check.fix
    assert bool(found.failed) is (verdict == "failed")


def test_a_host_that_does_not_tell_its_time_is_not_taken_for_one_that_is_right() -> None:
    host, found = PretendHost(), config()

    def mute(script: Script) -> Script:
        (section,) = script.sections
        steps = (look("clock", "true") if step.name == "clock" else step for step in section.steps)
        return Script.of(*steps)

    done = drive_on(host, survey(found, "web-1", found.roles, host.wall_clock()), alter=mute)
    assert "the answer to “clock” cannot be understood" in str(done.error)


def test_traefik_as_kamal_starts_it_is_a_warning() -> None:
    (check,) = [
        check
        for check in looked(PretendHost(traefik=PretendTraefik(throttle=2.0, idle=90.0, api=False))).checks
        if check.verdict != "ok"
    ]
    assert check.name == "traefik"
    assert check.verdict == "warning"
    for word in ("2 s", "90 s", "API"):
        assert word in check.sentence


def with_traefik(image: str, docker: dict[str, str]) -> PretendHost:
    host = PretendHost()
    host.find("traefik").image, host.docker = image, docker
    return host


DOCKER_29 = {"Version": "29.0.1", "ApiVersion": "1.52", "MinAPIVersion": "1.44"}
DOCKER_28 = {"Version": "28.0.0", "ApiVersion": "1.48", "MinAPIVersion": "1.24"}


@pytest.mark.parametrize(
    ("image", "docker", "verdict"),
    [
        ("traefik:v3.6.0", DOCKER_28, "warning"),
        ("traefik:v3.6.0", DOCKER_29, "failed"),
        ("traefik:v3.6.1", DOCKER_29, "ok"),
        ("traefik:v2.11.30", DOCKER_29, "failed"),
        ("traefik:v2.11.31", DOCKER_29, "ok"),
        ("traefik:v3", DOCKER_29, "ok"),
        ("traefik:latest", DOCKER_29, "ok"),
    ],
)
def test_a_traefik_too_old_for_docker_29_is_told_and_stops_a_boot_there(
    image: str, docker: dict[str, str], verdict: str
) -> None:
    (check,) = [check for check in looked(with_traefik(image, docker)).checks if check.name == "traefik"]
    assert check.verdict == verdict
    if verdict != "ok":
        assert "traefik.reboot" in check.fix
        assert "3.6.1" in check.fix
    if verdict == "failed":
        assert "cannot talk to Docker 29.0.1, which takes API 1.44 or newer" in check.sentence


def test_looking_changes_nothing() -> None:
    host = PretendHost()
    kamal(host)
    looked(host)
    assert host.did == []
