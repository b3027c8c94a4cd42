"""Traefik rebooted, restarted, stopped and removed on the lab's hosts. At the end it runs as the lab starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeShop
from proxied import as_lab_starts_it, changed, must, rows
from shop import Shop, assert_nothing_lost, until

from kamalnb.errors import BootError
from kamalnb.flows import proxying
from kamalnb.lab.load import Outcome as Lost
from kamalnb.lab.load import Profile
from kamalnb.reads import proxies

HOST = "web-2"
SHORT = Profile(new=30, keepalive=20, post=10, slow=0, websockets=0)
"""Nothing is open for long: what is lost is lost in the gap."""
DEBUG = {"traefik": {"image": "traefik:v3.7", "args": {"log.level": "DEBUG"}}}
AT_GAP = {Lost.REFUSED, Lost.RESET, Lost.CLOSED, Lost.BAD_STATUS, Lost.TIMEOUT}


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Iterator[Shop]:
    """A service on one host, v1 serves."""
    shop = make_shop("reboot", (HOST,))
    shop.must_boot("v1")
    yield shop
    as_lab_starts_it(shop, HOST)


@pytest.fixture(autouse=True)
def as_before(shop: Shop) -> Iterator[None]:
    """Each test begins and ends with a Traefik as the lab starts it, and v1."""
    yield
    done, _ = must(shop, HOST, proxying.boot)
    if done.data.get("differences"):
        as_lab_starts_it(shop, HOST)
    until(lambda: shop.version_at(HOST) == "v1", "v1 serves")


def ids(shop: Shop) -> dict[str, str]:
    """Every Traefik on the host by name: its id."""
    script = "docker ps --all --no-trunc --format '{{.Names}} {{.ID}}'"
    lines = (line.split() for line in shop.shell(HOST, script).splitlines())
    return {name: identifier for name, identifier in lines if name.startswith("traefik")}


def args(shop: Shop) -> list[str]:
    return json.loads(shop.shell(HOST, "docker inspect --format '{{json .Args}}' traefik"))


def refused(shop: Shop, **settings: Any) -> BootError:
    outcome, _ = changed(shop, HOST, proxying.reboot, **settings)
    assert isinstance(outcome.error, BootError), outcome
    return outcome.error


def test_a_reboot_shows_the_difference_and_loses_only_what_comes_in_the_gap(shop: Shop) -> None:
    before = ids(shop)["traefik"]
    with shop.load(SHORT) as load:
        time.sleep(1.0)
        done, told = must(shop, HOST, proxying.reboot, **DEBUG)
        time.sleep(1.0)
        load.stop()
    assert "--log.level: INFO now, DEBUG in the file" in told
    assert "serves nothing for about" in told
    assert "--log.level=DEBUG" in args(shop)
    assert list(ids(shop)) == ["traefik"]
    assert ids(shop)["traefik"] != before
    tally = load.snapshot()
    lost = [record for record in load.records() if record.outcome != Lost.OK]
    assert tally.versions == ("v1",)
    assert {record.outcome for record in lost} <= AT_GAP
    seen = max(record.end for record in lost) - min(record.start for record in lost) if lost else 0.0
    assert seen <= done.data["gap"] + 1.0, f"said {done.data['gap']} s, requests were lost over {seen:.2f} s"
    print(f"gap said {done.data['gap']} s, requests were lost over {seen:.2f} s, {len(lost)} of {tally.requests}")


def test_a_reboot_without_a_difference_says_so_and_is_done(shop: Shop) -> None:
    before = ids(shop)["traefik"]
    done, told = must(shop, HOST, proxying.reboot)
    assert "What runs is as the file says" in told
    assert "rebooted, as it was" in done.sentence
    assert ids(shop)["traefik"] != before
    assert shop.version_at(HOST) == "v1"
    audit = shop.shell(HOST, 'tail -n 1 "$1"', f"{shop.run_directory}/reboot-audit.log")
    assert audit.strip().endswith("[tests] Rebooted traefik")


def test_the_old_one_runs_again_where_the_new_one_ends_at_once(shop: Shop) -> None:
    before = ids(shop)
    error = refused(shop, traefik={"image": "traefik:v3.7", "args": {"nonsense": "1"}})
    assert "The old one runs again" in error.serving
    assert any("nonsense" in line for line in error.log), error.log
    assert ids(shop) == before
    assert shop.version_at(HOST) == "v1"


def test_the_old_one_runs_again_where_the_new_one_routes_nothing(shop: Shop) -> None:
    before = ids(shop)
    error = refused(
        shop, traefik={"image": "traefik:v3.7", "args": {"providers.docker.constraints": "Label(`no`,`one`)"}}
    )
    assert "does not route as before (reboot-web-v1" in error.why
    assert ids(shop) == before
    assert shop.version_at(HOST) == "v1"


def test_what_can_be_known_before_stops_nothing(shop: Shop) -> None:
    before = ids(shop)
    with shop.load(SHORT) as load:
        wrong_option = refused(shop, traefik={"image": "traefik:v3.7", "options": {"no-such": "1"}})
        no_image = refused(shop, traefik={"image": "registry:5000/traefik:v3.99"})
        shop.shell(HOST, "docker network create tests-elsewhere >/dev/null")
        elsewhere = refused(shop, traefik={"image": "traefik:v3.7", "options": {"network": "tests-elsewhere"}})
        shop.shell(HOST, "docker network rm tests-elsewhere; docker tag registry:5000/app:v1 traefik:v2.11.31")
        older = refused(shop, traefik={"image": "traefik:v2.11.31"})
        shop.shell(HOST, "docker image rm traefik:v2.11.31")
        load.stop()
    assert "unknown flag: --no-such" in wrong_option.why
    assert "cannot be pulled" in no_image.why
    assert "would not reach it" in elsewhere.why
    assert "is v3, the file asks for v2" in older.why
    assert ids(shop) == before
    assert_nothing_lost(load.snapshot())


def test_certificates_in_the_containers_own_layer_are_carried_over_or_not_given_away(shop: Shop) -> None:
    acme = {"certificatesresolvers.le.acme.storage": "/acme.json", "certificatesresolvers.le.acme.email": "a@b.test"}
    inside = {"traefik": {"image": "traefik:v3.7", "args": acme}}
    must(shop, HOST, proxying.reboot, **inside)
    shop.shell(HOST, "umask 077; printf '{}' >/tmp/acme.json; docker cp /tmp/acme.json traefik:/; rm /tmp/acme.json")
    must(shop, HOST, proxying.reboot, **inside)
    kept = shop.shell(HOST, "docker cp traefik:/acme.json - | tar -tvf -; docker cp traefik:/acme.json - | tar -xOf -")
    assert kept.startswith("-rw-------")
    assert kept.endswith("{}")
    error = refused(shop)
    assert "keeps its certificates inside its container, in /acme.json" in error.why


def test_a_reboot_goes_on_where_its_controller_is_killed(shop: Shop) -> None:
    before, runs = ids(shop)["traefik"], shop.standing(HOST).runs
    file = shop.config(**DEBUG)
    script = Path(__file__).with_name("proxied.py")
    argv = [sys.executable, str(script), str(file), HOST]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=script.parent)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "switch":  # it is sent then; what the host has begun it ends by itself
            until(lambda: set(shop.standing(HOST).runs) - set(runs), "the host has the script")
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    until(lambda: list(ids(shop)) == ["traefik"] and ids(shop)["traefik"] != before, "the new one stands alone")
    until(lambda: shop.version_at(HOST) == "v1", "v1 serves")
    assert "--log.level=DEBUG" in args(shop)


def test_what_a_dying_host_left_half_done_is_put_right_by_the_next_boot(shop: Shop) -> None:
    before = ids(shop)["traefik"]
    shop.shell(
        HOST,
        "docker rename traefik traefik_replaced_0123456789abcdef; docker create --name traefik traefik:v3.7 >/dev/null;"
        " docker stop traefik_replaced_0123456789abcdef >/dev/null;"
        " docker create --name traefik_new_0123456789abcdef traefik:v3.7 >/dev/null",
    )
    done, _ = must(shop, HOST, proxying.boot)
    assert "started again" in done.sentence
    assert ids(shop) == {"traefik": before}


def test_stop_start_and_restart(shop: Shop) -> None:
    before = ids(shop)
    done, _ = must(shop, HOST, proxying.stop)
    assert "nothing answers there" in done.sentence
    assert shop.version_at(HOST) == ""
    assert rows(shop, HOST, proxies.details())[0]["status"] == "exited"
    must(shop, HOST, proxying.start)
    until(lambda: shop.version_at(HOST) == "v1", "v1 serves")
    done, _ = must(shop, HOST, proxying.restart)
    assert shop.version_at(HOST) == "v1"
    assert 0.2 < done.data["gap"] < 20
    assert ids(shop) == before


def test_details_and_differences_show_what_runs(shop: Shop) -> None:
    (row,) = rows(shop, HOST, proxies.details())
    assert (row["status"], row["version"], row["image"]) == ("running", "3.7.15", "traefik:v3.7")
    assert row["ports"] == "127.0.0.1:8080:8080, 80:80"
    assert (row["throttle"], row["as_in_file"]) == (0.1, True)
    assert time.time() - row["since"] < 3600
    (same,) = rows(shop, HOST, proxies.differences())
    assert same["status"] == "same"
    (one,) = rows(shop, HOST, proxies.differences(), **DEBUG)
    assert (one["setting"], one["running"], one["file"]) == ("--log.level", "INFO", "DEBUG")


def test_the_log_is_read_with_its_times_and_filtered_on_the_host(shop: Shop) -> None:
    found = rows(shop, HOST, proxies.logs())
    assert 0 < len(found) <= 100
    assert all(row["at"] and "\x1b" not in row["message"] for row in found)
    docker = rows(shop, HOST, proxies.logs(grep="docker.Provider"))
    assert docker
    assert all("docker.Provider" in row["message"] for row in docker)
    assert rows(shop, HOST, proxies.logs(grep="-no $(such) 'line")) == ()
    assert len(rows(shop, HOST, proxies.logs(lines=1))) == 1


def test_remove_takes_container_and_image_and_boot_makes_it_again(shop: Shop) -> None:
    shop.shell(HOST, "docker tag traefik:v3.7 kamalnb-tests/spare:v3.7")
    try:
        done, _ = must(shop, HOST, proxying.remove)
        assert "its image too" in done.sentence
        assert ids(shop) == {}
        assert shop.shell(HOST, "docker image ls --quiet traefik:v3.7") == ""
        assert rows(shop, HOST, proxies.details())[0]["status"] == "missing"
        assert rows(shop, HOST, proxies.logs())[0]["status"] == "missing"
    finally:
        shop.shell(HOST, "docker tag kamalnb-tests/spare:v3.7 traefik:v3.7; docker image rm kamalnb-tests/spare:v3.7")
    done, _ = must(shop, HOST, proxying.boot)
    assert done.sentence == "Traefik was started."
