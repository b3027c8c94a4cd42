"""The hosts themselves: ready or not, a person's command, host keys, the tables, and leaving for good."""

from __future__ import annotations

import time
from typing import Any

import pytest
from conftest import MakeShop
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost
from surroundings import Surroundings, done

from kamalnb.flows.env_files import pushed
from kamalnb.flows.servers import bootstrapped, everything_removed, executed, readiness
from kamalnb.flows.stopping import stopped
from kamalnb.plan import select
from kamalnb.reads import Answers, Read, Scene
from kamalnb.reads.audit import audits
from kamalnb.reads.images import IMAGES
from kamalnb.shell import Secret
from kamalnb.ssh import SshExecutor
from kamalnb.ssh.known_hosts import Verdict


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    return make_shop("servershop")


def table(shop: Shop, read: Read, **changes: Any) -> list[dict[str, Any]]:
    around = Surroundings(shop, **changes)
    config = around.project.config

    def look(change: Any) -> Any:
        return read.look(Scene(config=config, host=change.host, roles=change.roles, now=time.time()))

    outcomes = around.each(look)
    rows = [row for host in config.hosts for row in outcomes[host].value]
    answers = Answers(config=config, selection=select(config), rows=tuple(rows))
    return [dict(row) for row in read.whole(answers)]


def test_hosts_of_the_lab_are_ready_but_for_the_run_directory(shop: Shop) -> None:
    outcomes = Surroundings(shop).each(readiness)
    found = outcomes["web-1"].value
    assert found.facts.docker[0].isdigit()
    assert found.facts.user == "deploy"
    assert "Debian" in found.facts.os
    assert found.would == (f"make the directory {shop.run_directory}",)
    assert done(Surroundings(shop).each(bootstrapped)) == f"done: make the directory {shop.run_directory}."
    assert all(outcome.value.ready for outcome in Surroundings(shop).each(readiness).values())


def test_docker_that_does_not_answer_is_told_and_a_person_without_rights_gets_the_line(shop: Shop) -> None:
    shop.shell("web-1", "chmod 600 /var/run/docker.sock")
    try:
        found = Surroundings(shop).each(readiness, hosts=("web-1",))["web-1"].value
    finally:
        shop.shell("web-1", "chmod 660 /var/run/docker.sock")
    assert found.facts.docker == "denied"
    assert found.blocked == ("deploy may not use Docker: usermod -aG docker deploy, as root",)


def test_command_runs_on_each_host_with_its_exit_code_and_its_shell_syntax(shop: Shop) -> None:
    line = "echo \"$(hostname) 'quoted'\" | tr a-z A-Z; echo oops >&2; exit 4"
    outcomes = Surroundings(shop).each(lambda change: executed(change, line))
    assert done(outcomes) == "exit code 4."
    assert outcomes["web-1"].value.data["stdout"].strip() == "WEB-1 'QUOTED'"
    assert outcomes["web-2"].value.data["stdout"].strip() == "WEB-2 'QUOTED'"
    assert outcomes["web-2"].value.data["stderr"].strip() == "oops"


def test_host_keys_are_those_that_the_lab_made_also_behind_the_jump_host(shop: Shop) -> None:
    config = Surroundings(shop).project.config
    executor = SshExecutor(config.ssh)
    try:
        first, second = executor.host_keys("web-1"), executor.host_keys("web-2")
    finally:
        executor.close()
    known = (shop.lab.directory / "known_hosts").read_text()
    assert [key.alias for key in second.keys] == ["jump", "web-2"]
    assert first.error is second.error is None
    for key in (*first.keys, *second.keys):
        assert f" {key.key_type} {key.key}" in known
        assert key.verdict is Verdict.KNOWN


def test_images_say_what_is_used(shop: Shop) -> None:
    shop.must_boot("v1")
    shop.must_boot("v2")
    rows = table(shop, IMAGES)
    here = {(row["host"], row["version"]): row for row in rows}
    assert here["web-1", "v2"]["status"] == "running"
    assert "servershop-web-v2" in here["web-1", "v2"]["used_by"]
    assert here["web-2", "v1"]["status"] in ("stopped", "running")
    assert here["web-2", "dies"]["status"] == "unused"
    assert here["web-1", "v2"]["size"] > 10_000_000
    listed = shop.shell("web-1", "docker image ls --quiet --no-trunc registry:5000/app:v2").strip()
    assert here["web-1", "v2"]["id"] == listed.removeprefix("sha256:")[:12]


def test_audit_shows_what_was_done_on_all_hosts(shop: Shop) -> None:
    Surroundings(shop).roles(stopped, hosts=("web-2",))
    shop.shell("web-1", f"echo 'not a line of ours' >>{shop.run_directory}/servershop-audit.log")
    rows = table(shop, audits())
    assert any(row["message"] == "not a line of ours" and row["at"] is None for row in rows)
    latest = next(row for row in rows if row["host"] == "web-2")
    assert (latest["message"], latest["performer"], latest["role"]) == ("Stopped app version v2", "lab", "web")
    told = [row["message"] for row in rows if row["host"] == "web-1"]
    assert told.index("Booted app version v2") < told.index("Booted app version v1"), "the newest first"
    assert abs(latest["at"] - time.time()) < 120
    assert len(table(shop, audits(lines=1))) == 2


def test_host_that_is_left_has_nothing_of_ours_and_neighbours_notice_nothing(shop: Shop, make_shop: MakeShop) -> None:
    neighbour = make_shop("servershop-two")
    neighbour.must_boot("v3")
    Surroundings(shop).each(lambda change: pushed(change, {"web": {"KEY": Secret("canary")}}))
    with neighbour.load(NO_WEBSOCKET) as load:
        outcomes = Surroundings(shop, image="serverapp").each(everything_removed, hosts=("web-1",))
    assert_nothing_lost(load.stop())
    sentence = done(outcomes)
    assert "removed 2 containers" in sentence
    assert "Traefik stays: " in sentence
    standing = shop.standing("web-1")
    assert (standing.containers, standing.cords, standing.runs) == ({}, {}, ())
    left = shop.shell("web-1", f"find {shop.run_directory} -type f -not -path '*/orders/*'").split()
    held = [f"{shop.run_directory}/kamalnb-servershop.{kind}" for kind in ("lock", "work")]
    assert sorted(left) == held, "the run itself holds them"
    assert shop.version_at("web-1") == ""
    assert neighbour.version_at("web-1") == "v3"
    assert set(shop.standing("web-2").containers) == {"servershop-web-v1", "servershop-web-v2"}
