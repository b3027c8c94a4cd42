"""Boots that fail on real hosts: who served before serves on, nothing is lost, nothing is left over.

The two hosts stand at different levels, so one failing boot is an up-switch on one and a down-switch on the other.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import MakeShop
from shop import CALM, Shop, assert_nothing_lost, until

from kamalnb.errors import UsageError
from kamalnb.events import Event, Phase, PhaseEntered
from kamalnb.lab.load import RunningLoad
from kamalnb.report import State

UP_HOST, DOWN_HOST = "web-1", "web-2"
HOSTS = (UP_HOST, DOWN_HOST)


@dataclass(frozen=True)
class Failure:
    """A version that cannot be booted, and what people are told."""

    version: str
    phase: Phase
    why: str
    hint: str
    log: str = ""
    health: str = ""


FAILURES = (
    Failure("no-such", Phase.PREPARE, "cannot be pulled", "docker push registry:5000/app:no-such"),
    Failure(
        "never-healthy",
        Phase.VERIFY,
        "did not become healthy within 4 s",
        "deploy_timeout",
        "never-healthy listens",
        "503",
    ),
    Failure("exits", Phase.VERIFY, "did not stay up", "Look at its log", "exits at once"),
    Failure(
        "no-probe", Phase.VERIFY, "none of curl, wget, python3, ruby, node, php", "healthcheck.cmd", "no-probe listens"
    ),
    Failure("no-sh", Phase.VERIFY, "no sh", "Add a shell", "no-sh listens"),
    Failure("wrong-port", Phase.VERIFY, "nothing listens on port 8080", "healthcheck.port", "wrong-port listens"),
    Failure("loopback", Phase.VERIFY, "loopback address only", "bind 0.0.0.0", "loopback listens"),
)
NAMES = [failure.version for failure in FAILURES]


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    """v1 serves on both hosts: on the first at the lower level, on the second at the upper one."""
    shop = make_shop("frail", deploy_timeout=4)
    shop.must_boot("v2", hosts=(DOWN_HOST,))
    shop.must_boot("v1")
    return shop


@pytest.fixture(scope="module")
def load(shop: Shop) -> Iterator[RunningLoad]:
    """One load through every failure of this module."""
    with shop.load(CALM) as load:
        yield load


@pytest.fixture(autouse=True)
def _v1_serves_throughout(request: pytest.FixtureRequest, shop: Shop) -> Iterator[None]:
    """Nothing was lost, nobody saw another version, and the hosts look as they did before."""
    if "load" not in request.fixturenames:
        yield
        return
    load: RunningLoad = request.getfixturevalue("load")
    lost, before = load.snapshot().lost, {host: shop.standing(host) for host in HOSTS}
    yield
    tally = load.snapshot()
    assert tally.lost == lost, tally.losses
    assert tally.versions == ("v1",)
    assert {host: shop.standing(host) for host in HOSTS} == before


@pytest.mark.parametrize("failure", FAILURES, ids=NAMES)
def test_a_version_that_cannot_serve_is_taken_back(shop: Shop, load: RunningLoad, failure: Failure) -> None:
    ran = shop.boot(failure.version)
    assert not ran.ok
    assert [f.host for f in ran.report.failures] == [UP_HOST, DOWN_HOST]  # all failures are listed
    if failure.version != "no-such":
        assert (ran.direction(UP_HOST), ran.direction(DOWN_HOST)) == ("up", "down")
    for told in ran.report.failures:
        assert told.phase is failure.phase
        assert failure.why in told.error
        assert failure.hint in told.hint
        assert told.serving == "v1 serves, as before."
        assert failure.log in "\n".join(told.log)
        if failure.log:
            assert failure.log in shop.shell(told.host, 'cat "$1"', told.kept)
            shop.shell(told.host, 'rm "$1"', told.kept)
        assert failure.health in "\n".join(told.health)
    assert ran.report.finished is not None
    assert "web on web-1, web on web-2 failed" in ran.report.finished.sentence


@pytest.mark.parametrize("word", ["a b", "v1;reboot", "-v1", "v" * 129])
def test_a_word_that_cannot_be_a_version_changes_nothing(shop: Shop, load: RunningLoad, word: str) -> None:
    before = [shop.standing(host) for host in HOSTS]
    with pytest.raises(UsageError, match="cannot be a version"):
        shop.boot(word)
    assert [shop.standing(host) for host in HOSTS] == before


def test_a_network_that_traefik_is_not_in(shop: Shop, load: RunningLoad) -> None:
    for host in HOSTS:
        shop.shell(host, "docker network create frail-net >/dev/null")
    try:
        servers = {"web": {"hosts": list(HOSTS), "labels": shop.labels(), "options": {"network": "frail-net"}}}
        ran = shop.boot("v3", servers=servers)
        for told in ran.report.failures:
            assert "it is in frail-net, Traefik in bridge" in told.error
            assert "v3 listens" in "\n".join(told.log)
            assert told.serving == "v1 serves, as before."
            shop.shell(told.host, 'rm "$1"', told.kept)
        assert (ran.direction(UP_HOST), ran.direction(DOWN_HOST)) == ("up", "down")
    finally:
        for host in HOSTS:
            shop.shell(host, "docker network rm frail-net >/dev/null")


def test_a_host_where_nothing_listens(shop: Shop, load: RunningLoad, tmp_path: Path) -> None:
    ran = shop.boot("v3", **with_host(shop, "web-9", "    HostName 127.0.0.99\n    Port 2299\n", tmp_path))
    assert [line.state for line in ran.report.lines] == [State.WAITING, State.WAITING, State.UNTOUCHED], (
        ran.report.failures
    )
    told = ran.failure("web-9")
    assert told.serving == "Nothing was changed."
    assert "refused" in told.error
    assert ran.report.finished is not None
    assert ran.report.finished.sentence == "Nothing was changed: web-9 cannot be used."


def test_a_host_with_another_key_than_known_hosts_says(shop: Shop, load: RunningLoad, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    address, port = shop.lab.host("web-1").address, shop.lab.host("web-1").ssh_port
    known = tmp_path / "known_hosts"
    known.write_text(f"[{address}]:{port} {key.with_suffix('.pub').read_text()}")
    way = f"    HostName {address}\n    Port {port}\n    UserKnownHostsFile {known}\n    StrictHostKeyChecking yes\n"
    ran = shop.boot("v3", **with_host(shop, "web-9", way, tmp_path))
    assert "key" in ran.failure("web-9").error
    assert ran.report.finished is not None
    assert ran.report.finished.sentence == "Nothing was changed: web-9 cannot be used."


def test_a_user_who_may_not_use_docker(shop: Shop, load: RunningLoad, tmp_path: Path) -> None:
    """Docker is there and does not answer: every host is looked at before any is changed."""
    shop.shell(DOWN_HOST, "chgrp root /var/run/docker.sock")
    try:
        ran = shop.boot("v3")
    finally:
        shop.shell(DOWN_HOST, "chgrp docker /var/run/docker.sock")
    assert "Docker does not answer" in ran.failure(DOWN_HOST).error
    assert "usermod -aG docker" in ran.failure(DOWN_HOST).hint
    assert ran.line(UP_HOST).state is State.WAITING


def test_a_full_home_is_refused_before_anything_is_changed(shop: Shop, load: RunningLoad) -> None:
    with_little_room = (
        'mount -t tmpfs -o size=200k,mode=755 tmpfs "$1" && chown deploy "$1"'
        ' && cat /dev/zero >"$1/full" 2>/dev/null || :'
    )
    shop.shell(DOWN_HOST, with_little_room, "/home/deploy")
    try:
        ran = shop.boot("v3")
    finally:
        shop.shell(DOWN_HOST, 'umount "$1"', "/home/deploy")
    assert "The disk is full" in ran.failure(DOWN_HOST).error
    assert ran.line(UP_HOST).state is State.WAITING


def test_after_a_failed_batch_no_other_begins(shop: Shop, load: RunningLoad) -> None:
    ran = shop.boot("exits", boot={"limit": 1})
    assert ran.line(UP_HOST).state is State.FAILED
    assert ran.line(DOWN_HOST).state is State.WAITING
    assert ran.report.finished is not None
    assert "1 boot not begun" in ran.report.finished.sentence
    shop.shell(UP_HOST, 'rm "$1"', ran.failure(UP_HOST).kept)


def test_the_same_version_again_fails_and_the_old_one_keeps_its_name(shop: Shop, load: RunningLoad) -> None:
    """v1 is asked to boot v1 with a check that never passes: the renamed one gets its name back."""
    ran = shop.boot("v1", healthcheck={"cmd": "false"})
    assert [told.serving for told in ran.report.failures] == ["v1 serves, as before."] * 2
    for told in ran.report.failures:
        shop.shell(told.host, 'rm "$1"', told.kept)


def test_all_in_all_nothing_was_lost(shop: Shop, load: RunningLoad) -> None:
    load.stop()
    assert_nothing_lost(load.compare_orders(shop.orders()))


# -- these have loads of their own: something is lost, and counted, or the run directory is another one ------------


def test_a_version_that_dies_in_the_soak_is_undone_by_the_host(make_shop: MakeShop) -> None:
    """What was in it is lost, in about a second; the old version serves before and after."""
    shop = make_shop("mortal", min_healthy=5)
    shop.must_boot("v2", hosts=(DOWN_HOST,), min_healthy=0)
    shop.must_boot("v1", min_healthy=0)
    before = {host: shop.standing(host) for host in HOSTS}
    with shop.load(CALM) as load:
        ran = shop.boot("dies")
        mark = load.mark("undone")
        tally = load.stop()
    assert (ran.direction(UP_HOST), ran.direction(DOWN_HOST)) == ("up", "down")
    for told in ran.report.failures:
        assert told.phase is Phase.SOAK or Phase.SOAK in ran.phases(told.host)
        assert "did not stay up" in told.error
        assert "v1 serves" in told.serving
        assert "dies dies, as DIE_AFTER asks" in shop.shell(told.host, 'cat "$1"', told.kept)
        shop.shell(told.host, 'rm "$1"', told.kept)
    for host, limit in ((UP_HOST, 1.5), (DOWN_HOST, 3.5)):
        lost = [record for record in load.records() if record.host == host and record.outcome != "ok"]
        died = min((record.end for record in lost), default=0.0)
        assert not [record for record in lost if record.start > died + limit], tally.losses
        assert died < mark.at + load.load.book.began
    assert {host: shop.standing(host) for host in HOSTS} == before


def test_one_host_fails_and_its_neighbour_boots(make_shop: MakeShop) -> None:
    """An image that only one host has: the other one stays as it was, and is told."""
    shop = make_shop("uneven")
    shop.must_boot("v1")
    before = shop.standing(DOWN_HOST)
    shop.shell(UP_HOST, "docker tag registry:5000/app:v1 registry:5000/app:only-here")
    try:
        with shop.load(CALM) as load:
            ran = shop.boot("only-here")
            tally = load.stop()
        assert ran.line(UP_HOST).state is State.BOOTED
        assert ran.failure(DOWN_HOST).serving == "v1 serves, as before."
        assert shop.standing(DOWN_HOST) == before
        assert shop.standing(UP_HOST).serving == ("uneven-web-only-here",)
        assert_nothing_lost(tally)
    finally:
        shop.clean()
        shop.shell(UP_HOST, "docker rmi registry:5000/app:only-here >/dev/null")


@pytest.fixture
def cramped(make_shop: MakeShop) -> Iterator[Shop]:
    """Its run directory is a file system of its own, so small that it can be filled without harm."""
    shop = make_shop("cramped", (UP_HOST,), volumes=[], env={"clear": {"READY_AFTER": "1"}})
    mount = 'mkdir "$1" && mount -t tmpfs -o size=400m,nr_inodes=64,mode=755 tmpfs "$1" && chown deploy "$1"'
    shop.shell(UP_HOST, mount, shop.run_directory)
    yield shop
    remove = 'docker rm --force $(docker ps -aq --filter label=service="$2") >/dev/null; umount "$1"'
    shop.shell(UP_HOST, remove, shop.run_directory, shop.name)


def fill(shop: Shop, blocks: bool = True) -> None:
    """Takes every free inode, and every free block too."""
    script = (
        'i=0; while printf "" >"$1/x$i"; do i=$((i+1)); done 2>/dev/null;'
        ' [ "$2" = no ] || cat /dev/zero >"$1/x0" 2>/dev/null; :'
    )
    shop.shell(UP_HOST, script, shop.run_directory, "yes" if blocks else "no")


def make_room(shop: Shop) -> None:
    shop.shell(UP_HOST, 'rm -f "$1"/x*', shop.run_directory)


@pytest.mark.parametrize(("blocks", "why"), [(True, "The disk is full"), (False, "No space left on device")])
def test_a_full_run_directory_changes_nothing(cramped: Shop, blocks: bool, why: str) -> None:
    shop = cramped
    shop.must_boot("v1")
    before = shop.standing(UP_HOST)
    fill(shop, blocks)
    with shop.load(CALM) as load:
        ran = shop.boot("v2")
        tally = load.stop()
    assert ran.report.finished is not None
    assert ran.report.finished.sentence.startswith("Nothing was changed: ")
    assert why in ran.report.finished.sentence + "".join(told.error for told in ran.report.failures)
    assert shop.standing(UP_HOST) == before
    assert_nothing_lost(tally)


def test_a_run_directory_that_fills_up_during_a_boot(cramped: Shop) -> None:
    """The script that would switch cannot be kept on the host: nothing is switched, the new one is removed."""
    shop = cramped

    def fill_it(event: Event) -> None:
        if isinstance(event, PhaseEntered) and event.phase is Phase.VERIFY:
            fill(shop)

    shop.must_boot("v1")
    with shop.load(CALM) as load:
        for old, new, direction in (("v1", "v2", "up"), ("v2", "v3", "down")):
            before = shop.standing(UP_HOST)
            ran = shop.boot(new, on_event=fill_it)
            told = ran.failure(UP_HOST)
            assert ran.direction(UP_HOST) == direction
            assert "no room" in told.error
            assert told.serving == f"{old} serves, as before."
            assert f"{new} listens" in "\n".join(told.log)  # shown, though it could not be kept
            assert told.kept == ""
            make_room(shop)
            assert shop.standing(UP_HOST).running == before.running
            shop.must_boot(new)
        tally = load.stop()
    assert_nothing_lost(tally)


# -- these break hosts: short, and put back ----------------------------------------------------------------------


@pytest.fixture
def broken(make_shop: MakeShop) -> Shop:
    shop = make_shop("sturdy")
    shop.must_boot("v1")
    return shop


def test_a_host_without_docker(broken: Shop) -> None:
    shop = broken
    shop.lab.stop_docker(DOWN_HOST)
    try:
        with shop.load(CALM, (UP_HOST,)) as load:
            ran = shop.boot("v2")
            tally = load.stop()
    finally:
        shop.lab.start_docker(DOWN_HOST)
    assert "Docker does not answer" in ran.failure(DOWN_HOST).error
    assert "systemctl start docker" in ran.failure(DOWN_HOST).hint
    assert ran.line(UP_HOST).state is State.WAITING
    assert_nothing_lost(tally)
    assert tally.versions == ("v1",)
    until(lambda: shop.standing(DOWN_HOST).serving == ("sturdy-web-v1",), "what served is back with its engine")


def test_a_host_that_is_down_is_refused_or_left_out(broken: Shop) -> None:
    shop = broken
    shop.lab.stop(DOWN_HOST)
    try:
        with shop.load(CALM, (UP_HOST,)) as load:
            refused = shop.boot("v2")
            left_out = shop.boot("v2", skip_unreachable=True)
            tally = load.stop()
    finally:
        shop.lab.start(DOWN_HOST)
    assert refused.line(UP_HOST).state is State.WAITING
    assert refused.failure(DOWN_HOST).kind == "HostUnreachable"
    assert left_out.line(UP_HOST).state is State.BOOTED
    assert any("left out" in note.text and DOWN_HOST in note.text for note in left_out.report.notes)
    assert_nothing_lost(tally)
    until(lambda: shop.standing(DOWN_HOST).serving == ("sturdy-web-v1",), "what served is back with its host")
    assert shop.must_boot("v2").ok


def with_host(shop: Shop, name: str, way: str, directory: Path) -> dict[str, object]:
    """Settings with one host more, which ssh finds by ``way``."""
    config = directory / "ssh_config"
    config.write_text(f"Include {shop.lab.ssh_config}\nHost {name}\n{way}")
    servers = {"web": {"hosts": [*HOSTS, name], "labels": shop.labels()}}
    return {"servers": servers, "ssh": {"user": "deploy", "config": str(config), "connect_timeout": 4}}
