"""Where everything in a lab is, and the files that say so to people and tools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from kamalnb.errors import LabError
from kamalnb.lab import files
from kamalnb.lab import hosts as containers
from kamalnb.lab.images import APP_VERSIONS
from kamalnb.lab.plan import BLOCKS, LabPlan, Publish, check_count, check_docker, lab_id, no_block

PLAN = LabPlan(id="0123abcd", count=3)
KEYS = {name: f"ssh-ed25519 KEY-{name}" for name in ("jump", "web-1", "web-2", "web-3")}


def ssh_config(plan: LabPlan = PLAN, directory: Path = Path("/lab")) -> str:
    return files.ssh_config(
        plan, known_hosts=directory / "known_hosts", key=directory / "id_lab", agent_socket=directory / "agent.sock"
    )


def block_of(text: str, host: str) -> str:
    return text.split(f"Host {host}\n", 1)[1].split("\nHost ", 1)[0]


def test_first_host_has_its_sshd_on_port_2222() -> None:
    assert PLAN.hosts[0].ssh == Publish(address="127.0.0.11", port=2222, inside=2222)
    assert PLAN.hosts[0].proxy_url == "http://127.0.0.11:80"


def test_second_host_publishes_no_sshd_and_lets_only_the_jump_host_in() -> None:
    assert PLAN.hosts[1].ssh is None
    assert PLAN.hosts[1].only_from == PLAN.jump.inside
    assert [publish.inside for publish in PLAN.hosts[1].published] == [80]


def test_other_hosts_are_ordinary() -> None:
    assert PLAN.hosts[2].ssh == Publish(address="127.0.0.13", port=22, inside=22)
    assert not PLAN.hosts[2].agent_key


def test_one_host_needs_no_jump_host() -> None:
    assert [machine.name for machine in replace(PLAN, count=1).machines] == ["web-1"]


@pytest.mark.parametrize("ports", [False, True])
def test_no_two_blocks_share_a_port(ports: bool) -> None:
    plans = [LabPlan(id="x", count=9, ports=ports, block=block) for block in BLOCKS]
    used = [(publish.address, publish.port) for plan in plans for publish in plan.published]
    assert len(used) == len(set(used))


def test_an_engine_of_another_kind_gets_a_volume_of_its_own() -> None:
    """Docker 20.10 does not read what a newer one wrote; and lab.up may change its mind."""
    words = {
        docker: containers.machine_words(replace(PLAN, docker=docker), PLAN.hosts[0], "image", ())
        for docker in ("stable", "newest")
    }
    assert "klab-0123abcd-web-1-docker:/var/lib/docker" in words["stable"]
    assert "klab-0123abcd-web-1-docker-newest:/var/lib/docker" in words["newest"]


def test_docker_of_another_name_is_refused() -> None:
    with pytest.raises(LabError, match="stable or newest, not “29”"):
        check_docker("29")


def test_ports_of_one_address_are_used_where_asked_for() -> None:
    plan = replace(PLAN, ports=True)
    assert {publish.address for publish in plan.published} == {"127.0.0.1"}
    assert plan.hosts[0].ssh == Publish(address="127.0.0.1", port=2211, inside=2222)
    assert plan.hosts[0].proxy_url == "http://127.0.0.1:8011"


def test_bridge_name_fits_into_linux() -> None:
    assert len(LabPlan(id=lab_id(Path("/some/lab")), count=1).network) <= 15


def test_a_directory_has_one_lab_and_another_directory_another() -> None:
    assert lab_id(Path("/a/lab")) == lab_id(Path("/a/lab")) != lab_id(Path("/b/lab"))


@pytest.mark.parametrize("count", [0, -1, 10])
def test_impossible_counts_are_refused(count: int) -> None:
    with pytest.raises(LabError, match="1 to 9 hosts"):
        check_count(count)


@pytest.mark.parametrize(
    ("address", "why", "advice"),
    [("127.0.0.11", "no address", "--ports"), ("127.0.0.11", "taken", "--ports"), ("127.0.0.1", "taken", "Free it")],
)
def test_each_reason_for_having_no_address_ends_with_advice(address: str, why: str, advice: str) -> None:
    error = no_block([(Publish(address=address, port=80, inside=80), why)])
    assert address in str(error)
    assert advice in str(error).rsplit(". ", 1)[-1]


def test_ssh_config_leads_through_the_jump_host_with_the_agents_key_only() -> None:
    block = block_of(ssh_config(), "web-2")
    assert f"HostName {PLAN.hosts[1].inside}" in block
    assert "ProxyJump jump" in block
    assert "IdentityAgent /lab/agent.sock" in block
    assert "IdentityFile" not in block


def test_ssh_config_gives_the_other_hosts_the_plain_key_only() -> None:
    block = block_of(ssh_config(), "web-1")
    assert "HostName 127.0.0.11\n    Port 2222" in block
    assert "IdentitiesOnly yes" in block
    assert "IdentityAgent none" in block


def test_ssh_config_checks_host_keys_and_never_speaks_of_hosts_outside_the_lab() -> None:
    text = ssh_config()
    assert "StrictHostKeyChecking yes" in text
    assert "Host *" not in text


def test_ssh_config_survives_blanks_and_percent_signs_in_paths() -> None:
    text = ssh_config(directory=Path("/my lab/100%"))
    assert 'UserKnownHostsFile "/my lab/100%%/known_hosts"' in text


def test_known_hosts_has_each_way_a_host_is_reached() -> None:
    lines = dict(line.split(" ", 1) for line in files.known_hosts(PLAN, KEYS).splitlines())
    assert lines["web-1,[10.213.71.11]:2222,[127.0.0.11]:2222"] == "ssh-ed25519 KEY-web-1"
    assert lines["web-2,10.213.71.12"] == "ssh-ed25519 KEY-web-2"
    assert lines["web-3,10.213.71.13,127.0.0.13"] == "ssh-ed25519 KEY-web-3"


def test_deploy_yml_is_what_the_lab_is() -> None:
    config = yaml.safe_load(files.deploy_yml(PLAN, Path("/lab/ssh_config")))
    assert config == {
        "service": "app",
        "image": "app",
        "registry": {"server": "registry:5000"},
        "servers": {"web": ["web-1", "web-2", "web-3"]},
        "healthcheck": {"path": "/up", "port": 3000},
        "traefik": {"image": "traefik:v3.7", "host_port": 80},
        "ssh": {"user": "deploy", "config": "/lab/ssh_config"},
    }


def test_deploy_yml_names_every_version_there_is() -> None:
    text = files.deploy_yml(PLAN, Path("/lab/ssh_config"))
    assert all(f"#   {version.tag} " in text for version in APP_VERSIONS)


@pytest.mark.parametrize("path", ["/my lab/ssh_config", '/a"b/#c: d/ssh_config', "/plain/ssh_config"])
def test_deploy_yml_survives_any_path(path: str) -> None:
    assert yaml.safe_load(files.deploy_yml(PLAN, Path(path)))["ssh"]["config"] == path


def test_hosts_are_made_with_their_engine_on_a_volume_and_run_on_tmpfs() -> None:
    words = containers.machine_words(PLAN, PLAN.hosts[0], "image", ["--privileged"])
    assert "klab-0123abcd-web-1-docker:/var/lib/docker" in words
    assert words[words.index("--tmpfs") + 1].startswith("/run:")
    assert words[-2:] == ["--privileged", "image"]


def test_jump_host_runs_no_engine_and_gets_no_rights_for_one() -> None:
    words = containers.machine_words(PLAN, PLAN.jump, "image", ["--privileged"])
    assert "JUMP=1" in words
    assert "--privileged" not in words


def test_containers_are_made_anew_when_anything_about_them_changes() -> None:
    words = containers.machine_words(PLAN, PLAN.hosts[0], "image", [])
    assert containers.spec_of(words, "key") == containers.spec_of(list(words), "key")
    assert containers.spec_of(words, "key") != containers.spec_of(words, "other key")
    assert containers.spec_of(words, "key") != containers.spec_of([*words[:-1], "other image"], "key")
