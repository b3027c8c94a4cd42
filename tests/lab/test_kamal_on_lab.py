"""Kamal v1 and kamalnb on one host: each boots over what the other left, and no request is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import MakeShop
from kamal import Kamal
from kamal_sessions import Line, changes, locked, looks, released, shown
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost, until

from kamalnb.commands.log_options import LogOptions
from kamalnb.events import Event, Phase, PhaseEntered
from kamalnb.reads import containers, locks, logs, status

HOST = "web-1"
NO_VOLUME: dict[str, Any] = {"volumes": [], "env": {"clear": {}}}
RELEASES = ["seed", "1.9.3"]


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    return make_shop("moved", (HOST,))


@pytest.fixture(autouse=True)
def _clean(shop: Shop) -> Iterator[None]:
    shop.clean()
    yield
    shop.clean()


def at(shop: Shop, priority: int) -> dict[str, object]:
    return {"web": {"hosts": [HOST], "labels": shop.labels(priority=priority)}}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("priority", "direction"), [(100, "up"), (10, "down")])
def test_we_boot_over_kamals_container(shop: Shop, release: str, priority: int, direction: str) -> None:
    """The seed's router has no priority (Traefik takes the rule's length, 18), the one of 1.9.3 is given one here."""
    kamal = Kamal(shop, HOST, release, "" if release == "seed" else "50")
    kamal.boot("v1")
    with shop.load(NO_WEBSOCKET) as load:
        ran = shop.must_boot("v2", servers=at(shop, priority), after="v1")
        shop.must_boot("v3", servers=at(shop, priority), after="v2")
        load.stop()
    assert ran.direction(HOST) == direction
    assert ran.line(HOST).replaced == "v1"
    assert shop.standing(HOST).serving == ("moved-web-v3",)
    assert_nothing_lost(load.compare_orders(shop.orders()))


def test_we_boot_over_kamals_container_at_the_same_priority(shop: Shop) -> None:
    Kamal(shop, HOST, "1.9.3", "100").boot("v1")
    with shop.load(NO_WEBSOCKET) as load:
        ran = shop.must_boot("v2", after="v1")
        load.stop()
    assert (ran.direction(HOST), ran.fact("cutover", HOST)["level"]) == ("up", 1)
    assert_nothing_lost(load.compare_orders(shop.orders()))


@pytest.mark.parametrize("release", RELEASES)
def test_kamal_boots_over_our_container(shop: Shop, release: str) -> None:
    """Names, labels and the cord's mount are what Kamal looks for; it cuts by removing the directory."""
    kamal = Kamal(shop, HOST, release, "100", volumes=False)
    shop.must_boot("v1", **NO_VOLUME)
    shop.must_boot("v2", **NO_VOLUME)
    assert kamal.current() == "v2"
    with shop.load(NO_WEBSOCKET) as load:
        kamal.boot("v3")
        tally = load.stop()
    assert (tally.lost, tally.orders.doubled_count) == (0, 0), tally.losses
    assert shop.standing(HOST).serving == ("moved-web-v3",)
    assert kamal.current() == "v3"


def test_kamal_boots_the_same_version_over_ours_and_we_over_that(shop: Shop) -> None:
    kamal = Kamal(shop, HOST, "1.9.3", "100", volumes=False)
    shop.must_boot("v1", **NO_VOLUME)
    with shop.load(NO_WEBSOCKET) as load:
        kamal.boot("v1")
        shop.must_boot("v1", **NO_VOLUME)
        tally = load.stop()
    assert (tally.lost, tally.orders.doubled_count) == (0, 0), tally.losses
    standing = shop.standing(HOST)
    assert standing.running == standing.serving == ("moved-web-v1",)
    assert len([name for name in standing.containers if "_replaced_" in name]) == 2


def test_a_boot_that_fails_leaves_kamals_container_serving(shop: Shop) -> None:
    Kamal(shop, HOST, "1.9.3", "100").boot("v1")
    before = shop.standing(HOST)
    with shop.load(NO_WEBSOCKET) as load:
        told = shop.boot("exits").failure(HOST)
        tally = load.stop()
    assert told.serving == "v1 serves, as before."
    assert shop.standing(HOST) == before
    assert_nothing_lost(tally)


def test_the_audit_log_and_the_env_file_are_where_kamal_has_them(shop: Shop) -> None:
    shop.must_boot("v1")
    log = shop.shell(HOST, 'cat "$1"/moved-audit.log', shop.run_directory)
    assert "] [web] Booted app version v1" in log
    assert shop.shell(HOST, 'stat -c %a "$1"/env/roles/moved-web.env', shop.run_directory).strip() == "600"


# -- its sessions, line by line, against our containers --------------------------------------------------------


def answered(kamal: Kamal, session: str, lines: tuple[Line, ...]) -> list[str]:
    """What of a session was answered otherwise than Kamal's own containers are."""
    wrong = []
    for line in lines:
        done = kamal.shop.as_deploy(HOST, line.run)
        if done.returncode != line.exits or not re.fullmatch(line.looks, done.stdout.strip()):
            wrong.append(f"{session}: {line.run}\n  ended with {done.returncode}: {done.stdout}{done.stderr}")
    return wrong


@pytest.mark.parametrize("release", RELEASES)
def test_kamals_sessions_see_our_containers_as_they_see_its_own(shop: Shop, release: str) -> None:
    kamal = Kamal(shop, HOST, release, "100", volumes=False)
    shop.must_boot("v1", **NO_VOLUME)
    shop.must_boot("v2", **NO_VOLUME)
    wrong = []
    for session, lines in {**looks(kamal, "v2", "v1"), **changes(kamal, "v2", "v1")}.items():
        wrong += answered(kamal, session, lines)
    assert wrong == []
    until(lambda: shop.version_at(HOST) == "v2", "started again by Kamal, it serves")
    assert [name for name in shop.standing(HOST).containers if name.endswith("-v1")] == []
    shop.must_boot("v3", **NO_VOLUME)
    assert shop.standing(HOST).serving == ("moved-web-v3",)


@pytest.mark.parametrize("release", RELEASES)
def test_kamals_rollback_over_our_containers(shop: Shop, release: str) -> None:
    """It finds the stopped container by its name, renames it, and boots its version anew."""
    kamal = Kamal(shop, HOST, release, "100", volumes=False)
    shop.must_boot("v1", **NO_VOLUME)
    shop.must_boot("v2", **NO_VOLUME)
    with shop.load(NO_WEBSOCKET) as load:
        kamal.boot("v1")
        tally = load.stop()
    assert (tally.lost, tally.orders.doubled_count) == (0, 0), tally.losses
    standing = shop.standing(HOST)
    assert standing.serving == ("moved-web-v1",)
    assert any(name.startswith("moved-web-v1_replaced_") for name in standing.containers)
    assert kamal.current() == "v1"


@pytest.mark.parametrize("release", RELEASES)
def test_kamals_lock_refuses_our_boot_and_ours_refuses_kamals(shop: Shop, release: str) -> None:
    kamal = Kamal(shop, HOST, release, "100", volumes=False)
    shop.must_boot("v1", **NO_VOLUME)
    before = shop.standing(HOST)
    kamal.run(f"mkdir -p .{shop.name}/locks")
    kamal.run(locked(kamal))
    refused = shop.boot("v2", **NO_VOLUME)
    assert answered(kamal, "lock status", (shown(kamal),)) == []
    assert not refused.ok
    assert refused.report.finished is not None
    assert "Kamal holds the lock" in refused.report.finished.sentence
    kamal.run(released(kamal))
    assert shop.standing(HOST) == before

    met: list[str] = []

    def meanwhile(event: Event) -> None:
        if isinstance(event, PhaseEntered) and event.phase is Phase.START:
            done = shop.as_deploy(HOST, locked(kamal))
            met.append(f"{done.returncode} {done.stderr.strip()}")
            met.extend(answered(kamal, "lock status while ours is held", (shown(kamal),)))

    shop.must_boot("v2", on_event=meanwhile, **NO_VOLUME)
    (told,) = met
    assert told.startswith("1 mkdir: cannot create directory")
    assert told.endswith("File exists")
    kamal.run(locked(kamal))
    kamal.run(released(kamal))


# -- our verbs against its containers --------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_our_verbs_see_and_change_kamals_containers(shop: Shop, release: str) -> None:
    kamal = Kamal(shop, HOST, release, "100", volumes=False)
    kamal.boot("v1")
    kamal.boot("v2")
    fleet = shop.fleet(**NO_VOLUME)
    (row,) = fleet.table(status.READ).rows
    assert (row["version"], row["status"], row["previous"]) == ("v2", "serves", "v1")
    found = {str(one["version"]): one["mark"] for one in fleet.table(containers.READ).rows}
    assert found == {"v2": "serves", "v1": "previous"}
    assert any("v2 listens" in str(one["message"]) for one in fleet.table(logs.read(LogOptions(lines=50))).rows)
    (said,) = fleet.exec("cat /etc/hostname", reuse=True).wait()
    assert said.exited == 0
    assert fleet.table(locks.READ).rows[0]["status"] == "free"
    with shop.load(NO_WEBSOCKET) as load:
        load.stage("undo", order=("v2", "v1"))
        assert fleet.undo().wait(check=False).ok
        assert shop.standing(HOST).serving == ("moved-web-v1",)
        load.stage("rollback", order=("v1", "v2"))
        assert fleet.rollback("v2").wait(check=False).ok
        assert shop.standing(HOST).serving == ("moved-web-v2",)
        assert fleet.prune("containers").wait(check=False).ok
        tally = load.stop()
    assert (tally.lost, tally.orders.doubled_count) == (0, 0), tally.losses
    assert fleet.stop().wait(check=False).ok
    assert shop.standing(HOST).running == ()
    assert fleet.start().wait(check=False).ok
    assert shop.version_at(HOST) == "v2"
    assert fleet.remove_container("v1").wait(check=False).ok
    assert "moved-web-v1" not in shop.standing(HOST).containers
