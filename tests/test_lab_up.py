"""What a lab promises once it is up. Runs on the real thing; each test leaves the lab as it found it."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kamalnb import lab as labs
from kamalnb.lab import Lab
from kamalnb.lab.images import APP_VERSIONS

pytestmark = pytest.mark.lab

QUICK = 15.0
"""Seconds: what "takes seconds" means for the second lab.up, on a busy machine."""


def ssh(lab: Lab, host: str, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = ["ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", *options, host, command]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def said(lab: Lab, host: str, command: str) -> str:
    done = ssh(lab, host, command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def container(lab: Lab) -> Iterator[str]:
    """A container of the demo app on web-1 that comes again by itself; Docker's port 8181 there leads to it."""
    name = "lab-test"
    said(lab, "web-1", f"docker run -d --name {name} --restart unless-stopped -p 8181:3000 registry:5000/app:v2")
    yield name
    said(lab, "web-1", f"docker rm -f {name}")


def answers(lab: Lab, host: str, port: int, seconds: float = 20) -> str:
    """What the app on a host answers, asked over the lab's own network."""
    inside, deadline = lab.host(host).inside, time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://{inside}:{port}/", timeout=2) as answer:
                return str(answer.read().decode()).strip()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("host", ["web-1", "web-2"])
def test_docker_answers_over_ssh_for_a_plain_user(lab: Lab, host: str) -> None:
    assert said(lab, host, "id -un && docker ps -q | wc -l").splitlines()[0] == "deploy"
    assert said(lab, host, "id -u") != "0"
    assert "docker" in said(lab, host, "id -Gn").split()


@pytest.mark.parametrize("host", ["web-1", "web-2"])
def test_root_and_passwords_are_refused(lab: Lab, host: str) -> None:
    assert ssh(lab, host, "true", "-l", "root").returncode == 255
    refused = ssh(lab, host, "true", "-o", "PreferredAuthentications=password,keyboard-interactive")
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr


def test_second_host_answers_nobody_but_the_jump_host(lab: Lab) -> None:
    assert ssh(lab, "web-2", "true").returncode == 0
    past = ssh(lab, "web-2", "true", "-o", "ProxyJump=none", "-o", "ConnectTimeout=2")
    assert past.returncode == 255


def test_second_host_takes_no_key_but_the_agents(lab: Lab) -> None:
    plain = ("-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes", "-o", f"IdentityFile={lab.directory}/keys/id_lab")
    assert ssh(lab, "web-2", "true", *plain).returncode == 255


def test_wrong_host_key_is_refused(lab: Lab, tmp_path: Path) -> None:
    known = (lab.directory / "known_hosts").read_text().splitlines()
    keys = {line.split()[0]: line.split(" ", 1)[1] for line in known}
    jump = next(key for names, key in keys.items() if names.startswith("jump"))
    wrong = tmp_path / "known_hosts"
    wrong.write_text("".join(f"{names} {jump}\n" for names in keys))
    done = ssh(lab, "web-1", "true", "-o", f"UserKnownHostsFile={wrong}")
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


@pytest.mark.parametrize("host", ["web-1", "web-2"])
def test_inner_engines_layer_images_on_overlay2(lab: Lab, host: str) -> None:
    assert said(lab, host, "docker info --format '{{.Driver}}'") == "overlay2"


@pytest.mark.parametrize("host", ["web-1", "web-2"])
def test_every_version_and_traefik_are_on_every_host(lab: Lab, host: str) -> None:
    names = said(lab, host, "docker image ls --format '{{.Repository}}:{{.Tag}}'").split()
    assert {f"registry:5000/app:{version.tag}" for version in APP_VERSIONS} <= set(names)
    assert "traefik:v3.7" in names


def test_hosts_pull_from_the_labs_registry(lab: Lab) -> None:
    said(lab, "web-2", "docker rmi registry:5000/app:own-check && docker pull -q registry:5000/app:own-check")
    assert ssh(lab, "web-2", "docker pull -q registry:5000/app:no-such-version").returncode != 0


@pytest.mark.parametrize(
    ("version", "program", "there"),
    [
        ("v1", "curl", True),
        ("no-curl", "curl", False),
        ("no-curl", "python3", True),
        ("no-probe", "curl", False),
        ("no-probe", "python3", False),
    ],
)
def test_images_have_the_programs_they_say(lab: Lab, version: str, program: str, there: bool) -> None:
    done = ssh(lab, "web-1", f"docker run --rm --entrypoint sh registry:5000/app:{version} -c 'command -v {program}'")
    assert (done.returncode == 0) is there


def test_image_without_a_shell_runs(lab: Lab) -> None:
    name = "lab-test-no-sh"
    said(lab, "web-1", f"docker run -d --name {name} -p 8182:3000 registry:5000/app:no-sh")
    try:
        assert answers(lab, "web-1", 8182) == "no-sh"
        assert ssh(lab, "web-1", f"docker exec {name} sh -c true").returncode != 0
    finally:
        said(lab, "web-1", f"docker rm -f {name}")


@pytest.mark.parametrize("version", ["never-healthy", "loopback", "no-probe"])
def test_version_with_a_fault_starts_and_stays(lab: Lab, version: str) -> None:
    name = f"lab-test-{version}"
    said(lab, "web-1", f"docker run -d --name {name} registry:5000/app:{version}")
    try:
        time.sleep(0.5)
        assert said(lab, "web-1", f"docker inspect --format '{{{{.State.Running}}}}' {name}") == "true"
    finally:
        said(lab, "web-1", f"docker rm -f {name}")


def test_version_that_exits_is_gone_at_once(lab: Lab) -> None:
    assert ssh(lab, "web-1", "docker run --rm registry:5000/app:exits").returncode == 1


def test_published_port_of_this_machine_reaches_the_proxy(lab: Lab) -> None:
    busy = said(lab, "web-1", "docker ps --filter publish=80 --format '{{.Names}}'")
    if busy:
        pytest.skip(f"port 80 of web-1 is used by {busy}")
    said(lab, "web-1", "docker run -d --name lab-test-80 -p 80:3000 registry:5000/app:v3")
    try:
        answers(lab, "web-1", 80)
        with urllib.request.urlopen(f"{lab.hosts[0].proxy_url}/", timeout=5) as answer:  # noqa: S310
            assert answer.read() == b"v3\n"
    finally:
        said(lab, "web-1", "docker rm -f lab-test-80")


def test_deploy_yml_passes_kamalnbs_own_validation(lab: Lab) -> None:
    from kamalnb import project

    config = project.load(str(lab.config_file)).config
    assert config.hosts == tuple(host.name for host in lab.hosts)
    assert config.repository == "registry:5000/app"


def test_second_up_takes_seconds_and_changes_no_container(lab: Lab) -> None:
    before = lab.engine.docker("ps", "--quiet", "--no-trunc").stdout.split()
    started = time.monotonic()
    again = labs.up(lab.directory, len(lab.hosts))
    assert time.monotonic() - started < QUICK
    assert again.hosts == lab.hosts
    assert lab.engine.docker("ps", "--quiet", "--no-trunc").stdout.split() == before


def test_status_tells_each_host(lab: Lab) -> None:
    rows = {row.name: row for row in labs.status(lab.directory)}
    assert set(rows) == {"jump", "web-1", "web-2"}
    assert all(row.state == "running" for row in rows.values())
    assert rows["web-1"].docker
    assert "registry:5000/app:v1" in rows["web-2"].images
    assert rows["web-1"].ssh_port in (2222, 2211)


def test_ssh_command_opens_a_shell_on_a_host(lab: Lab) -> None:
    words = labs.ssh_command(lab.directory, "web-2")
    done = subprocess.run([*words, "hostname"], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "web-2\n"


def test_containers_come_again_after_docker_was_restarted(lab: Lab, container: str) -> None:
    assert answers(lab, "web-1", 8181) == "v2"
    lab.restart_docker("web-1")
    assert answers(lab, "web-1", 8181) == "v2"


def test_docker_comes_again_after_a_crash(lab: Lab, container: str) -> None:
    # Docker 20.10 without live-restore ends what survived its crash, and does not start it again by itself
    lab.restart_docker("web-1", signal="KILL")
    said(lab, "web-1", f"docker start {container}")
    assert answers(lab, "web-1", 8181) == "v2"


def test_host_without_docker_still_takes_logins(lab: Lab, container: str) -> None:
    lab.stop_docker("web-1")
    try:
        assert ssh(lab, "web-1", "docker ps").returncode != 0
        assert ssh(lab, "web-1", "true").returncode == 0
    finally:
        lab.start_docker("web-1")
    assert answers(lab, "web-1", 8181) == "v2"


def test_host_comes_again_after_its_power_went(lab: Lab, container: str) -> None:
    lab.stop("web-1")
    try:
        assert ssh(lab, "web-1", "true", "-o", "ConnectTimeout=2").returncode == 255
        assert {row.name: row.state for row in labs.status(lab.directory)}["web-1"] == "exited"
    finally:
        lab.start("web-1")
    assert answers(lab, "web-1", 8181) == "v2"
    assert ssh(lab, "web-1", "docker ps").returncode == 0


def test_up_starts_a_host_that_was_stopped(lab: Lab) -> None:
    lab.stop("web-2")
    labs.up(lab.directory, len(lab.hosts))
    assert ssh(lab, "web-2", "docker ps").returncode == 0
