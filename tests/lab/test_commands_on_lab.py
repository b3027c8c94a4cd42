"""Every command as people type it, on real hosts: what the hosts show afterwards, and what programs are given.

One after the other in the order of the file: v1 and then v2 were booted, and each test leaves v2 serving.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import MakeShop
from shop import Shop
from typed import Keyboard

from kamalnb.reads import audit, containers, images, locks, proxies, stats, status, versions

HOSTS = ("web-1", "web-2")
RUN_DIRECTORY = "/home/deploy/.typed"
READS = {
    "status": status.READ, "containers": containers.READ, "details": containers.READ,
    "stale-containers": containers.STALE, "version": versions.READ, "images": images.IMAGES, "audit": audit.audits(),
    "stats": stats.READ, "lock.status": locks.READ, "traefik.details": proxies.details(),
}  # fmt: skip


class Typing:
    """A service and somebody who types at its project."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.keys = Keyboard.at(shop.config(), CANARY="canary-1")
        self.kamalnb = self.keys.kamalnb
        self.invoke = self.keys.invoke

    def events(self, *words: str) -> list[dict[str, Any]]:
        """What a change tells programs, its end last."""
        found = self.kamalnb(*words, "--json").must().rows
        assert (found[0]["event"], found[-1]["event"], found[-1]["ok"]) == ("RunStarted", "RunFinished", True)
        return found

    def running(self, host: str) -> tuple[str, ...]:
        return self.shop.standing(host).running

    def there(self, host: str) -> set[str]:
        return {name.removeprefix("typed-web-") for name in self.shop.standing(host).containers}

    def tags(self, host: str) -> set[str]:
        return set(self.shop.shell(host, "docker image ls registry:5000/app --format '{{.Tag}}'").split())

    def env(self, host: str) -> str:
        return self.shop.shell(host, 'cat "$1"/env/roles/* 2>/dev/null || :', RUN_DIRECTORY).strip()

    def held(self, host: str = "web-1") -> str:
        return self.shop.shell(host, 'cat "$1"/kamalnb-typed.held 2>/dev/null || :', RUN_DIRECTORY).strip()

    def traefik(self, host: str) -> str:
        """Its id and when it was started."""
        return self.shop.shell(host, "docker inspect --format '{{.Id}} {{.State.StartedAt}}' traefik").strip()


@pytest.fixture(scope="module")
def typing(make_shop: MakeShop) -> Iterator[Typing]:
    shop = make_shop("typed", env={"clear": {"ORDERS_LOG": "/orders/log"}, "secret": ["CANARY"]})
    typing = Typing(shop)
    before = {host: typing.tags(host) for host in HOSTS}
    for version in ("v1", "v2"):
        typing.kamalnb("boot", f"--version={version}", "-q").must()
    yield typing
    for host in HOSTS:  # other tests want the images that were pruned and removed here
        for tag in before[host] - typing.tags(host) - {"<none>"}:
            shop.shell(host, 'docker pull --quiet "registry:5000/app:$1" || :', tag)


@pytest.fixture
def v2(typing: Typing) -> Typing:
    """v2 serves on both hosts."""
    if any(typing.running(host) != ("typed-web-v2",) for host in HOSTS):
        typing.kamalnb("boot", "--version=v2", "-q").must()
    return typing


@pytest.mark.parametrize("task", READS)
def test_table_as_rows_with_the_documented_columns(typing: Typing, task: str) -> None:
    rows = typing.kamalnb(task, "--json").must().rows
    names = [column.name for column in READS[task].columns]
    assert [list(row) for row in rows] == [names] * len(rows)
    if task != "stale-containers":
        assert {row["host"] for row in rows} == set(HOSTS)


def test_status_says_who_serves_what_and_what_to_type(typing: Typing) -> None:
    typed = typing.invoke("status").must()
    assert [line.split()[:4] for line in typed.out.splitlines() if line.startswith("web-")] == [
        [host, "web", "v2", "serves"] for host in HOSTS
    ]
    assert "python -m invoke undo (to v1)" in typed.out
    rows = typing.kamalnb("status", "--json").rows
    assert {(row["version"], row["previous"], row["by"]) for row in rows} == {("v2", "v1", "jana")}


def test_containers_marks_what_serves_and_what_an_undo_goes_back_to(typing: Typing) -> None:
    rows = typing.kamalnb("containers", "--json", "--hosts=web-1").must().rows
    assert {(row["host"], row["version"], row["mark"], row["routed"]) for row in rows} == {
        ("web-1", "v2", "serves", True),
        ("web-1", "v1", "previous", False),
    }


def test_details_names_images_and_ids(typing: Typing) -> None:
    told = typing.invoke("details", "--roles=web").must().out
    found = typing.shop.shell("web-2", "docker ps -q --no-trunc --filter label=service=typed").strip()
    assert found[:12] in told
    assert "jana" in told


def test_version_of_one_host(typing: Typing) -> None:
    rows = typing.kamalnb("version", "-p", "--json").must().rows
    assert [(row["host"], row["version"], row["previous"]) for row in rows] == [("web-1", "v2", "v1")]


def test_images_that_are_there(typing: Typing) -> None:
    rows = typing.kamalnb("images", "--json", "--hosts=web-2").must().rows
    text = json.dumps(rows)
    assert all(f'"{tag}' in text or tag in text for tag in ("v1", "v2"))


def test_audit_says_who_did_what(typing: Typing) -> None:
    told = typing.invoke("audit", "--lines=20").must().out
    assert "jana" in told
    assert "v2" in told
    on_host = typing.shop.shell("web-1", 'cat "$1"/*-audit.log', RUN_DIRECTORY)
    rows = typing.kamalnb("audit", "--lines=1", "--hosts=web-1", "--json").must().rows
    assert rows[0]["message"] in on_host.splitlines()[-1]


def test_plan_is_one_document_with_an_id_and_changes_nothing(typing: Typing) -> None:
    before = [typing.shop.standing(host) for host in HOSTS]
    (made,) = typing.kamalnb("plan", "--version=v3", "--json").must().rows
    assert (made["version"], made["target"], made["hosts"]) == ("v3", "web@v3", list(HOSTS))
    assert [(step["host"], step["before"], step["after"]) for step in made["steps"]] == [
        (host, "v2", "v3") for host in HOSTS
    ]
    (again,) = typing.kamalnb("plan", "--version=v3", "--json").must().rows
    assert again["plan"] == made["plan"]
    assert [typing.shop.standing(host) for host in HOSTS] == before


def test_config_is_redacted(typing: Typing) -> None:
    (shown,) = typing.kamalnb("config", "--json").must().rows
    assert shown["service"] == "typed"
    assert "canary-1" not in json.dumps(shown)
    assert "typed" in typing.invoke("config").must().out


def test_logs_of_all_hosts_merged(typing: Typing) -> None:
    told = typing.kamalnb("logs", "--lines=50", "--grep=listens").must().out
    assert {line.split()[0] for line in told.splitlines()} == set(HOSTS)
    rows = typing.kamalnb("logs", "--json", "--lines=1", "--hosts=web-1").must().rows
    assert {row["host"] for row in rows} == {"web-1"}


def test_exec_in_its_modes(typing: Typing) -> None:
    new = typing.kamalnb("exec", "printenv VERSION CANARY", "--hosts=web-1", "--raw").must()
    assert new.out == "v2\ncanary-1\n"
    old = typing.kamalnb("exec", "printenv VERSION", "--hosts=web-1", "--raw", "--version=v1").must()
    assert old.out == "v1\n"
    name = typing.kamalnb("exec", "cat /etc/hostname", "--reuse", "--raw", "-H", "web-2").must().out.strip()
    assert name == typing.shop.shell("web-2", "docker exec typed-web-v2 cat /etc/hostname").strip()
    assert typing.kamalnb("exec", "sh -c 'exit 7'", "--reuse", "--raw", "-H", "web-2").code == 7
    assert typing.kamalnb("exec", "printenv X", "-e", "X=y z", "--raw", "-p").must().out == "y z\n"
    assert typing.shop.shell("web-1", "docker ps -aq --filter label=kamalnb.exec=typed").split() == []


def test_server_exec_runs_on_the_host_itself(typing: Typing) -> None:
    typing.invoke("server.exec", "touch .typed/was-here && echo $HOME").must()
    for host in HOSTS:
        assert typing.shop.shell(host, "ls /home/deploy/.typed/was-here")
    assert typing.kamalnb("server.exec", "exit 3", "-q").code == 1


def test_server_keys_are_those_of_the_hosts(typing: Typing) -> None:
    told = typing.kamalnb("server.keys").must().out
    known = {line.split()[2] for line in (typing.shop.lab.directory / "known_hosts").read_text().splitlines()}
    shown = {word for line in told.splitlines() for word in line.split() if word.startswith("AAAA")}
    assert len(shown) >= len(HOSTS)
    assert shown & known


def test_undo_and_undo_again(v2: Typing) -> None:
    told = v2.events("undo")
    assert any("v1" in str(event.get("fact", "")) or "v1" in json.dumps(event) for event in told)
    assert [v2.shop.version_at(host) for host in HOSTS] == ["v1", "v1"]
    v2.invoke("rollback", "--version=v2").must()
    assert [v2.running(host) for host in HOSTS] == [("typed-web-v2",)] * 2


def test_rollback_to_a_version_and_its_candidates(v2: Typing) -> None:
    rows = v2.kamalnb("rollback", "--candidates", "--json").must().rows
    assert {"v1", "v2"} <= {row["version"] for row in rows}
    v2.kamalnb("rollback", "v1").must()
    assert [v2.shop.version_at(host) for host in HOSTS] == ["v1", "v1"]
    v2.kamalnb("rollback").must()
    assert [v2.shop.version_at(host) for host in HOSTS] == ["v2", "v2"]


def test_stop_and_start(v2: Typing) -> None:
    v2.events("stop", "--hosts=web-2")
    assert (v2.running("web-1"), v2.running("web-2")) == (("typed-web-v2",), ())
    assert v2.kamalnb("status").must().out.count("Nothing serves web on web-2") == 1
    v2.kamalnb("start", "--hosts=web-2", "--version=v2").must()
    assert v2.shop.version_at("web-2") == "v2"


def test_stale_containers_are_listed_and_stopped(v2: Typing) -> None:
    v2.shop.shell("web-1", "docker start typed-web-v1")
    rows = v2.kamalnb("stale-containers", "--json").must().rows
    assert [(row["host"], row["version"]) for row in rows] == [("web-1", "v1")]
    v2.invoke("stale-containers", "--stop").must()
    assert v2.running("web-1") == ("typed-web-v2",)
    assert v2.shop.version_at("web-1") == "v2"


def test_lock_of_a_person(v2: Typing) -> None:
    v2.invoke("lock.acquire", "-m", "database is moved").must()
    assert "database is moved" in v2.held()
    refused = v2.kamalnb("boot", "--version=v1", "-q")
    assert refused.code == 75
    assert "database is moved" in refused.said
    assert "kamalnb lock.release" in refused.said
    rows = v2.kamalnb("lock.status", "--json").must().rows
    assert {row["holder"] for row in rows if row["status"] == "held"} == {"a person"}
    again = v2.kamalnb("lock.acquire", "-m", "me too", "-q")
    assert again.code == 75
    v2.kamalnb("lock.release").must()
    assert v2.held() == ""
    assert [v2.running(host) for host in HOSTS] == [("typed-web-v2",)] * 2


def test_env_is_pushed_with_a_difference_of_keys_and_deleted(v2: Typing) -> None:
    told = v2.kamalnb("env.push", CANARY="canary-2").must().said
    assert "changed" in told
    assert "CANARY" in told
    assert "canary-2" not in told
    assert [v2.env(host) for host in HOSTS] == ["CANARY=canary-2"] * 2
    assert v2.kamalnb("env.delete", "-q").code == 2
    v2.kamalnb("env.delete", "--yes", "--hosts=web-2").must()
    assert (v2.env("web-1"), v2.env("web-2")) == ("CANARY=canary-2", "")
    v2.kamalnb("env.push").must()


def test_prune_keeps_what_runs_and_what_served_before(v2: Typing) -> None:
    v2.shop.shell("web-1", "docker tag registry:5000/app:v4 registry:5000/app:unused-1")
    for task in ("prune.containers", "prune.images", "prune.all"):
        v2.events(task)
    for host in HOSTS:
        assert {"v1", "v2"} <= v2.there(host)
        assert {"v1", "v2"} <= v2.tags(host)
        assert v2.shop.version_at(host) == "v2"


def test_traefik_restarted_one_host_after_the_other(v2: Typing) -> None:
    before = [v2.traefik(host) for host in HOSTS]
    v2.events("traefik.restart", "--rolling")
    after = [v2.traefik(host) for host in HOSTS]
    assert [one.split()[0] for one in before] == [one.split()[0] for one in after]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert [v2.shop.version_at(host) for host in HOSTS] == ["v2", "v2"]
    v2.invoke("traefik.boot").must()
    assert [v2.traefik(host) for host in HOSTS] == after
    assert v2.kamalnb("traefik.logs", "--lines=5").code == 0


def test_boot_again_with_a_dry_run_first(v2: Typing) -> None:
    before = v2.shop.standing("web-1")
    told = v2.invoke("boot", "--version=v1", "--dry-run", "--hosts=web-1").must().out
    assert "docker" in told
    assert v2.shop.standing("web-1") == before


@pytest.mark.parametrize(
    "words",
    [
        ("remove",), ("remove-container", "v1"), ("remove-containers",), ("remove-images",), ("env.delete",),
        ("server.remove", "web-2"), ("traefik.stop",), ("traefik.remove",), ("traefik.reboot",),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_back_needs_a_yes_where_nobody_can_be_asked(v2: Typing, words: tuple[str, ...]) -> None:
    typed = v2.kamalnb(*words)
    assert typed.code == 2
    assert "Nothing was changed. Say --yes where nobody can be asked." in typed.err
    assert [v2.running(host) for host in HOSTS] == [("typed-web-v2",)] * 2


def test_remove_commands_from_the_smallest_to_everything(v2: Typing) -> None:
    v2.kamalnb("remove-container", "v1", "--yes").must()
    assert [v2.there(host) for host in HOSTS] == [{"v2"}, {"v2"}]
    for host in HOSTS:  # an image that no container of any service is made from
        v2.shop.shell(host, "docker pull --quiet registry:5000/app:exits")
    v2.invoke("remove-images", "--yes", "--hosts=web-2").must()
    assert "v2" in v2.tags("web-2")  # a container is made from it
    assert "exits" not in v2.tags("web-2")
    assert v2.shop.version_at("web-2") == "v2"
    v2.kamalnb("remove-containers", "--yes", "--hosts=web-2").must()
    assert (v2.there("web-1"), v2.there("web-2")) == ({"v2"}, set())
    v2.kamalnb("boot", "--version=v2", "--hosts=web-2", "-q").must()
    v2.kamalnb("server.remove", "web-2", "--yes").must()
    assert v2.there("web-2") == set()
    left = v2.shop.shell("web-2", 'find "$1/env" "$1/cords" "$1/runs" -type f 2>/dev/null || :', RUN_DIRECTORY)
    assert left.split() == []
    v2.invoke("remove", "--yes", "--hosts=web-1").must()
    assert v2.there("web-1") == set()
    assert "exits" not in v2.tags("web-1")
