"""Engines and lines unlike ours: the newest Docker, mapped users, a small disk, a crowded host, a slow line. Long."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeShop
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost, until
from spoiled import MARK, data_root, instead_of
from typed import Keyboard

from kamalnb import lab as labs
from kamalnb.lab import Lab
from kamalnb.lab.latency import round_trip, slow_line

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1500)]
HOST = "web-1"
CROWD = 300


def booted_about(shop: Shop, *versions: str) -> None:
    """Boots one after the other, then an undo, all under load."""
    shop.must_boot(versions[0])
    with shop.load(NO_WEBSOCKET) as load:
        pairs = itertools.pairwise(versions)
        directions = [shop.must_boot(new, after=old).direction(HOST) for old, new in pairs]
        load.stage("undo", order=(versions[-1], versions[-2]))
        undone = shop.fleet().undo().wait(check=False)
        assert undone.ok, undone.failures
        load.stop()
    assert_nothing_lost(load.compare_orders(shop.orders()))
    assert directions == (["up", "down"] * len(versions))[: len(directions)]
    assert shop.version_at(HOST) == versions[-2]
    assert shop.standing(HOST).serving == (f"{shop.name}-web-{versions[-2]}",)


# -- the newest Docker ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of its own, of one host; or one that runs already (KAMALNB_LAB_NEWEST=directory)."""
    if running := os.environ.get("KAMALNB_LAB_NEWEST"):
        yield labs.find(Path(running))
        return
    directory = tmp_path_factory.mktemp("newest")
    try:
        yield labs.up(directory, count=1, docker="newest")
    finally:
        labs.down(directory)


def test_the_newest_docker(newest: Lab, tmp_path: Path) -> None:
    (row,) = [row for row in labs.status(newest.directory) if row.name == HOST]
    assert int(row.docker.partition(".")[0]) >= 28, row.docker
    shop = Shop(newest, tmp_path, "newest")
    assert shop.fleet().boot_traefik().wait(check=False).ok
    booted_about(shop, "v1", "v2", "v3", "v4", "v1")
    keys = Keyboard.at(shop.config())
    assert row.docker in keys.kamalnb("check").must().out
    failed = shop.boot("never-healthy", deploy_timeout=4)
    assert failed.failure(HOST).serving == "v4 serves, as before."
    newest.restart_docker(HOST)
    until(lambda: shop.version_at(HOST) == "v4", "what served is back with its engine")


def test_the_newest_docker_with_its_images_in_containerd(newest: Lab, tmp_path: Path) -> None:
    """Docker 29's default for new hosts; an image's id is that of its manifest then."""
    change = (
        f"cp /etc/docker/daemon.json /root/usual.json && rm -f {MARK} && sed -i "
        """'/storage-driver/d; 1a "features": {"containerd-snapshotter": true},' /etc/docker/daemon.json"""
    )
    with data_root(newest, HOST, change, "mv /root/usual.json /etc/docker/daemon.json"):
        shop = Shop(newest, tmp_path, "inside")
        assert "io.containerd.snapshotter" in shop.shell(HOST, "docker info --format '{{json .DriverStatus}}'")
        assert shop.fleet().boot_traefik().wait(check=False).ok
        booted_about(shop, "v1", "v2", "v3", "v4")
        keys = Keyboard.at(shop.config())
        assert len(keys.kamalnb("images", "--json").must().rows) >= 3
        assert keys.kamalnb("prune.all", "-q").code == 0
        assert shop.boot("v3").ok


# -- mapped users --------------------------------------------------------------------------------------------------


def test_users_that_docker_maps(lab: Lab, tmp_path: Path) -> None:
    """Refused where Traefik could not read Docker's socket; with it as the host's user all is as anywhere."""
    remap = f'cp /etc/docker/daemon.json /root/usual.json; rm -f {MARK}; sed -i \'1a "userns-remap": "default",\' '
    back = "mv /root/usual.json /etc/docker/daemon.json; rm -rf /var/lib/docker/[0-9]*.[0-9]*"
    with data_root(lab, HOST, f"{remap} /etc/docker/daemon.json", back):
        shop = Shop(lab, tmp_path, "mapped", (HOST,))
        try:
            assert "name=userns" in shop.shell(HOST, "docker info --format '{{.SecurityOptions}}'")
            refused = Keyboard.at(shop.config()).kamalnb("traefik.boot")
            assert refused.code == 1
            assert "say userns: host under its options" in refused.said
            shop.shell(HOST, "docker run -d --name traefik -v /var/run/docker.sock:/var/run/docker.sock traefik:v3.7")
            ran = shop.boot("v1")
            assert "Docker maps users there" in ran.failure(HOST).error
            assert ran.failure(HOST).serving == "Nothing was changed."
            shop.shell(HOST, "docker rm -f traefik")
            shop.settings["traefik"] = {"image": "traefik:v3.7", "options": {"userns": "host"}}
            assert shop.fleet().boot_traefik().wait(check=False).ok
            booted_about(shop, "v1", "v2", "v3", "v4")
            inside = shop.shell(HOST, "docker inspect --format '{{.State.Pid}}' mapped-web-v3").strip()
            assert int(shop.shell(HOST, 'stat -c %u "/proc/$1"', inside)) > 1000
        finally:
            shop.clean()


# -- a small disk --------------------------------------------------------------------------------------------------


SMALL = (
    "mount -t tmpfs -o size=2g,mode=711 tmpfs /var/lib/docker && mkdir -m 777 /var/lib/docker/ballast && "
    "mkdir /mnt/ballast && mount --bind /var/lib/docker/ballast /mnt/ballast"
)
"""A disk of Docker's own, of 2 GB; the login user, who may not look into Docker's data, can fill it too."""
FILLED = '[ "$1" != run ] || head -c 3G /dev/zero >/mnt/ballast/f 2>/dev/null\nexec /usr/bin/docker "$@"'
"""The disk is full as soon as a container shall be started. Filling it takes its time: beside a boot it comes late."""


def test_a_disk_that_is_nearly_full_and_one_that_fills_up_meanwhile(lab: Lab, tmp_path: Path) -> None:
    with data_root(lab, HOST, SMALL, "umount /mnt/ballast && rmdir /mnt/ballast && umount /var/lib/docker"):
        shop = Shop(lab, tmp_path, "small", (HOST,), volumes=[], env={"clear": {}})
        try:
            assert shop.fleet().boot_traefik().wait(check=False).ok
            shop.must_boot("v1")
            before = shop.standing(HOST)
            with shop.load(NO_WEBSOCKET) as load:
                leave_free(shop, 100)
                ran = shop.boot("v2")
                assert "The disk is full" in ran.failure(HOST).error
                assert "on /var/lib/docker" in ran.failure(HOST).error
                assert ran.failure(HOST).serving == "Nothing was changed."
                leave_free(shop, 1000)
                with instead_of(shop, HOST, "docker", FILLED):
                    ran = shop.boot("v2")
                told = ran.failure(HOST)
                assert told.serving == "v1 serves, as before.", told
                leave_free(shop, 1000)
                load.stop()
            assert_nothing_lost(load.snapshot())
            assert shop.standing(HOST).running == before.running
            shop.must_boot("v2")
        finally:
            shop.clean()


def leave_free(shop: Shop, megabytes: int) -> None:
    """So much is left on the disk of Docker's data."""
    script = (
        'f=/var/lib/docker/ballast/f; rm -f "$f"; '
        'n=$(($(df -Pm /var/lib/docker | awk "END { print \\$4 }") - $1)); '
        'head -c "${n}M" /dev/zero >"$f"; chmod 666 "$f"'
    )
    shop.shell(HOST, script, str(megabytes))


# -- a crowded host ------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(make_shop: MakeShop) -> Iterator[Shop]:
    """Three hundred strangers run on the host, each with a router that Traefik makes for it."""
    shop = make_shop("crowded", (HOST,))
    run = (
        "docker run -d --name crowd-$1 --label crowd=1 --stop-signal KILL --entrypoint sleep registry:5000/app:v1 9999"
    )
    shop.shell(HOST, f"seq {CROWD} | xargs -P 4 -n 1 sh -c '{run} >/dev/null' sh")
    yield shop
    shop.shell(HOST, "docker ps -aq --filter label=crowd=1 | xargs -n 30 docker rm -f >/dev/null")


def test_three_hundred_containers_on_a_host(crowd: Shop) -> None:
    shop = crowd
    assert len(shop.shell(HOST, "docker ps -q").split()) > CROWD
    booted_about(shop, "v1", "v2", "v3", "v4")
    keys, took = Keyboard.at(shop.config()), {}
    for words in (("status",), ("containers",), ("check",), ("plan", "--version=v1"), ("boot", "--version=v1", "-q")):
        began = time.monotonic()
        keys.kamalnb(*words).must()
        took[words[0]] = time.monotonic() - began
    print({name: f"{seconds:.1f} s" for name, seconds in took.items()})
    assert max(took["status"], took["containers"], took["check"]) < 15.0, took
    assert took["boot"] < 30.0, took


# -- a slow line ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="a slow line needs root")
def test_a_line_a_hundred_times_slower(make_shop: MakeShop, tmp_path: Path) -> None:
    """The controller is in a network namespace behind 200 ms of round trip; the load is not."""
    shop = make_shop("distant", (HOST,))
    shop.must_boot("v1")
    there = shop.lab.host(HOST)
    known = tmp_path / "known_hosts"
    lines = (shop.lab.directory / "known_hosts").read_text().splitlines()
    known.write_text("".join(f"{HOST} {line.split(' ', 1)[1]}\n" for line in lines if str(there.ssh_port) in line))
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host {HOST}\n  HostName {there.inside}\n  Port 2222\n  HostKeyAlias {HOST}\n  UserKnownHostsFile {known}\n"
        f"  IdentityFile {shop.lab.directory / 'keys' / 'id_lab'}\n  IdentitiesOnly yes\n"
    )
    near = round_trip(there.inside, 2222)
    with slow_line(0.1) as line, shop.load(NO_WEBSOCKET) as load:
        here = line.address.rpartition(".")
        subprocess.run(
            ["ip", "-n", line.namespace, "route", "add", "default", "via", f"{here[0]}.{int(here[2]) - 1}"], check=True
        )

        def typed(*words: str) -> dict[str, Any]:
            file = shop.config(ssh={"user": "deploy", "config": str(config)})
            began = time.monotonic()
            done = subprocess.run(
                line.inside(sys.executable, "-m", "kamalnb", *words),
                cwd=file.parents[1],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return {"said": done.stdout, "seconds": time.monotonic() - began}

        took = {words[0]: typed(*words)["seconds"] for words in (("status",), ("check",))}
        for name, order, words in (
            ("boot up", ("v1", "v2"), ("boot", "--version=v2")),
            ("boot down", ("v2", "v3"), ("boot", "--version=v3")),
            ("undo", ("v3", "v2"), ("undo",)),
        ):
            load.stage(name, order=order)  # from another process: nobody else tells the load which version is newer
            took[name] = typed(*words, "-q")["seconds"]
        load.stop()
    assert_nothing_lost(load.compare_orders(shop.orders()))
    assert shop.version_at(HOST) == "v2"
    print(f"round trip {near * 1000:.1f} ms otherwise", {name: f"{seconds:.1f} s" for name, seconds in took.items()})
    assert max(took.values()) < 40.0, took
