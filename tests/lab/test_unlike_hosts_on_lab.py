"""Hosts unlike ours: each works, under load, with nothing lost, or is refused with a reason before any cord moves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import MakeShop
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost, until
from spoiled import busybox, instead_of, login_shell, sshd_says, without
from typed import ROOT, Keyboard

from kamalnb.commands.host import HOST_TOOLS
from kamalnb.events import Phase

HOST = "web-1"
DAY = 86_400
LIAR = "import os, time\ntrue = time.time\ntime.time = lambda: true() + float(os.environ['CLOCK_OFF'])\n"
"""Each Python that finds it as sitecustomize has a clock that is wrong."""


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    shop = make_shop("unlike", (HOST,), drain_timeout=3)
    shop.must_boot("v1")
    return shop


@contextmanager
def served(shop: Shop) -> Iterator[None]:
    """Everything in it happens under load, and loses nothing."""
    with shop.load(NO_WEBSOCKET) as load:
        yield
        load.stop()
    assert_nothing_lost(load.compare_orders(shop.orders()))


def up_and_down(shop: Shop) -> None:
    """Two boots: one switches up, the other down."""
    now = shop.version_at(HOST)
    versions = [version for version in ("v1", "v2", "v3") if version != now][:2]
    assert {shop.must_boot(version).direction(HOST) for version in versions} == {"up", "down"}


def looked_at(shop: Shop, now: str) -> None:
    """What reads, and what runs a command, works as anywhere."""
    keys = Keyboard.at(shop.config())
    assert now in keys.kamalnb("status").said
    assert "listens" in keys.kamalnb("logs", "--lines=20").must().out
    assert keys.kamalnb("exec", "sh -c 'echo \"a  b $VERSION\"'", "--reuse").must().out.count(f"a  b {now}") == 1
    assert keys.kamalnb("server.exec", "echo 'c  d'").must().out.count("c  d") == 1
    assert "Booted app version" in keys.kamalnb("audit").must().out


@pytest.mark.parametrize("shell", ["/usr/bin/fish", pytest.param("/bin/tcsh", marks=pytest.mark.thorough)])
def test_login_shell_that_is_not_posix(shop: Shop, shell: str) -> None:
    with login_shell(shop, HOST, shell), served(shop):
        assert shop.as_deploy(HOST, "echo $SHELL").stdout.strip() == shell
        up_and_down(shop)
        looked_at(shop, shop.version_at(HOST))


def test_busybox_userland(shop: Shop) -> None:
    with busybox(shop, HOST), served(shop):
        for program in ("sed", "timeout", "date", "df", "sh"):
            assert shop.as_deploy(HOST, f"readlink -f $(command -v {program})").stdout.strip().endswith("/busybox")
        up_and_down(shop)
        looked_at(shop, shop.version_at(HOST))


@pytest.mark.parametrize("also", [(), ("bash",)], ids=["bash asks", "a container asks"])
def test_host_without_curl_and_wget(shop: Shop, also: tuple[str, ...]) -> None:
    """Nor another program that could ask the proxy: bash does it, and without bash a container has to."""
    tools = (*(tool for tool in HOST_TOOLS if tool != "bash"), *also)
    with login_shell(shop, HOST, "/bin/sh"), without(shop, HOST, *tools), served(shop):
        has = shop.as_deploy(HOST, f"for p in {' '.join(HOST_TOOLS)}; do command -v $p; done").stdout.split()
        assert [Path(path).name for path in has] == ([] if also else ["bash"])
        up_and_down(shop)
        looked_at(shop, shop.version_at(HOST))


def test_sshd_with_one_session_a_connection_and_few_starts(shop: Shop) -> None:
    """Hardened. The defaults (MaxSessions 10, MaxStartups 10:30:100) are those that all other tests meet."""
    with sshd_says(shop, HOST, "MaxSessions 1", "MaxStartups 2:50:4"), served(shop):
        keys = Keyboard.at(shop.config())
        follower = keys.begin("logs", "--follow")
        try:
            up_and_down(shop)
            assert keys.kamalnb("check", "-q").code == 0
            assert "a  b" in keys.kamalnb("exec", "echo 'a  b'", "--reuse").must().out
        finally:
            follower.terminate()
            followed, complaint = follower.communicate(timeout=20)
        assert f"{shop.version_at(HOST)} listens" in followed, complaint


@pytest.mark.parametrize(("settings", "logins"), [("", 40), ("MaxStartups 2:100:4", 8)], ids=["defaults", "hardened"])
def test_many_logins_at_once(shop: Shop, tmp_path: Path, settings: str, logins: int) -> None:
    """One sshd under many names: sshd drops what is too much before it says a word, and is asked again."""
    there, names = shop.lab.host(HOST), [f"alias-{number}" for number in range(logins)]
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host alias-*\n  HostName {there.address}\n  Port {there.ssh_port}\n  HostKeyAlias {HOST}\n"
        f"Include {shop.lab.ssh_config}\n"
    )
    known = tmp_path / "known_hosts"
    lines = (shop.lab.directory / "known_hosts").read_text().splitlines()
    known.write_text("".join(f"{HOST} {line.split(' ', 1)[1]}\n" for line in lines if str(there.ssh_port) in line))
    key = shop.lab.directory / "keys" / "id_lab"
    text = config.read_text()
    config.write_text(text.replace("  Port", f"  UserKnownHostsFile {known}\n  IdentityFile {key}\n  Port"))
    servers = {"web": {"hosts": names, "labels": shop.labels()}}
    keys = Keyboard.at(shop.config(servers=servers, ssh={"user": "deploy", "config": str(config)}))
    with sshd_says(shop, HOST, *filter(None, [settings])):
        rows = keys.kamalnb("version", "--json").must().rows
    assert sorted(row["host"] for row in rows) == sorted(names)
    assert {row["version"] for row in rows} == {shop.version_at(HOST)}, rows


def test_cord_that_the_container_may_not_see(shop: Shop) -> None:
    """As under SELinux: the kernel forbids the container's root what is mounted there. No cord moves."""
    before, now = shop.standing(HOST), shop.version_at(HOST)
    options = {"cap-drop": ["DAC_OVERRIDE", "DAC_READ_SEARCH"]}
    servers = {"web": {"hosts": [HOST], "labels": shop.labels(), "options": options}}
    forbid = f'[ "$1" != run ] || chmod 700 {shop.run_directory}/cords/*/\nexec /usr/bin/docker "$@"'
    with instead_of(shop, HOST, "docker", forbid), served(shop):
        for _ in range(2):
            ran = shop.boot("v4", servers=servers)
            told = ran.failure(HOST)
            assert told.phase is Phase.VERIFY
            assert "cannot see its cord in /tmp/kamal-cord" in told.error
            assert "SELinux" in told.hint
            assert told.serving == f"{now} serves, as before."
            shop.shell(HOST, 'rm "$1"', told.kept)
    assert shop.standing(HOST) == before


@pytest.mark.thorough  # 45 s each
@pytest.mark.parametrize("offset", [-DAY, DAY], ids=["a day behind", "a day ahead"])
def test_clocks_that_differ_by_a_day(shop: Shop, offset: int, tmp_path: Path) -> None:
    """The controller's clock is wrong here, the host's and Docker's are right: seen from either, the other one lies.

    Durations are measured by each on its own monotonic clock, ages by whose clock wrote the time.
    """
    (tmp_path / "sitecustomize.py").write_text(LIAR)
    keys = Keyboard.at(shop.config(), PYTHONPATH=f"{tmp_path}:{ROOT}", CLOCK_OFF=str(offset))
    now = shop.version_at(HOST)
    new = next(version for version in ("v1", "v2", "v3") if version != now)
    assert re.search(r"The host's clock is 86(399|4\d\d) s off", keys.kamalnb("check").must().said)
    with served(shop):
        follower = keys.begin("logs", "--follow", "--lines=1")
        try:
            keys.kamalnb("boot", f"--version={new}", "-q").must()
            until(lambda: shop.version_at(HOST) == new, f"{new} serves")
            looked_at(shop, new)
        finally:
            follower.terminate()
            followed, complaint = follower.communicate(timeout=20)
    assert f"{new} listens" in followed, complaint
    with served(shop):
        keys.kamalnb("undo", "-q").must()
    assert shop.version_at(HOST) == now
    assert f"{now} " in keys.kamalnb("logs", "--since=10m").must().out
    assert re.search(r"UTC, [\d.]+ s ago", keys.kamalnb("status").must().out)
    assert keys.kamalnb("audit", "--since=10m", "--json").must().rows
    locked = keys.kamalnb("lock.acquire", "-m", "time")
    try:
        assert locked.must()
        assert "time" in keys.kamalnb("lock.status").must().out
        assert keys.kamalnb("boot", f"--version={new}", "-q").code == 75
    finally:
        keys.kamalnb("lock.release").must()
