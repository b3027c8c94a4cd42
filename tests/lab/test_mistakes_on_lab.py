"""Mistakes that only real hosts show: what is wrong, where, and what to do next, in a sentence or two."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import MakeShop
from shop import Shop
from typed import Keyboard, Typed

HOSTS = ("web-1", "web-2")


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    shop = make_shop("mistaken", deploy_timeout=6)
    shop.must_boot("v1")
    return shop


def keys(shop: Shop, **changes: object) -> Keyboard:
    return Keyboard.at(shop.config(**changes))


def refused(typed: Typed, code: int, *parts: str) -> str:
    """It ended so, said that, and each line of it is short enough to be read."""
    assert typed.code == code, typed.said
    for part in parts:
        assert part in typed.said, typed.said
    assert "defect of kamalnb" not in typed.said
    return typed.said


def of_one_host(shop: Shop, text: str, name: str = "ssh_config") -> Path:
    """An ssh_config that says something else of web-1."""
    file = shop.directory / name
    file.write_text(f"Host web-1\n  {text}\nHost *\nInclude {shop.lab.ssh_config}\n")
    return file


def ssh(shop: Shop, text: str) -> dict[str, object]:
    return {"ssh": {"user": "deploy", "config": str(of_one_host(shop, text))}}


def test_wrong_port(shop: Shop) -> None:
    said = refused(
        keys(shop, **ssh(shop, "Port 2299")).kamalnb("boot", "--version=v2"), 69, "no connection to port 2299"
    )
    assert "Try `ssh" in said


def test_wrong_key(shop: Shop, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True)
    there = shop.lab.host("web-1")
    file = tmp_path / "ssh_config"
    file.write_text(
        f"HostName {there.address}\nPort {there.ssh_port}\nIdentityFile {tmp_path / 'id'}\nIdentitiesOnly yes\n"
        f"IdentityAgent none\nUserKnownHostsFile {shop.lab.directory / 'known_hosts'}\n"
    )
    typed = keys(shop, ssh={"user": "deploy", "config": str(file)}).kamalnb("status", "-H", "web-1")
    refused(typed, 69, "web-1", "key")


def test_unknown_host_key(shop: Shop) -> None:
    typed = keys(shop, **ssh(shop, "UserKnownHostsFile /dev/null")).kamalnb("boot", "--version=v2", "-H", "web-1")
    refused(typed, 69, "web-1", "is not in known_hosts. Compare the fingerprint")


def test_host_that_is_not_there_is_a_row_and_the_logs_of_the_others_are_shown(shop: Shop) -> None:
    typed = keys(shop, **ssh(shop, "Port 2299"))
    said = refused(typed.kamalnb("logs", "--lines=2"), 1, "web-1: no connection to port 2299")
    assert "web-2" in said


def test_undo_with_nothing_before(shop: Shop) -> None:
    refused(keys(shop).kamalnb("undo", "-q"), 2, "nothing served before v1", "kamalnb rollback --version=VERSION")


def test_rollback_to_a_version_that_nobody_has(shop: Shop) -> None:
    before = [shop.standing(host) for host in HOSTS]
    refused(keys(shop).kamalnb("rollback", "v99", "-q"), 1, "registry:5000/app:v99", "web-1, web-2")
    assert [shop.standing(host) for host in HOSTS] == before


def test_boot_of_an_image_that_nobody_has(shop: Shop) -> None:
    refused(keys(shop).kamalnb("boot", "--version=v99", "-q"), 1, "registry:5000/app:v99", "v1 serves, as before")


def test_program_that_the_image_has_not(shop: Shop) -> None:
    refused(keys(shop).kamalnb("exec", "no-such-program --now", "-H", "web-1"), 1, "no-such-program")
    refused(keys(shop).kamalnb("exec", "no-such-program", "--reuse", "-H", "web-1"), 1, "no-such-program")


def test_no_traefik(shop: Shop) -> None:
    shop.shell("web-2", "docker stop traefik")
    try:
        refused(keys(shop).kamalnb("boot", "--version=v2"), 1, "web-2", "raefik", "kamalnb traefik.boot")
        assert [shop.standing(host).running for host in HOSTS] == [("mistaken-web-v1",)] * 2
    finally:
        shop.shell("web-2", "docker start traefik")


def test_user_who_may_not_use_docker(shop: Shop) -> None:
    """As one who forgot to join the group docker: seen through a socket that is not there."""
    shop.shell("web-1", "mv /var/run/docker.sock /var/run/docker.sock.away")
    try:
        refused(keys(shop).kamalnb("boot", "--version=v2"), 1, "web-1", "Docker")
        said = refused(keys(shop).kamalnb("status"), 1, "web-1")
        assert "web-2" in said
    finally:
        shop.shell("web-1", "mv /var/run/docker.sock.away /var/run/docker.sock")


def test_network_that_the_host_has_not(shop: Shop) -> None:
    servers = {"web": {"hosts": ["web-1"], "labels": shop.labels(), "options": {"network": "no-such-net"}}}
    typed = keys(shop, servers=servers).kamalnb("boot", "--version=v2")
    refused(typed, 1, "no-such-net", "v1 serves")
    assert shop.standing("web-1").running == ("mistaken-web-v1",)
