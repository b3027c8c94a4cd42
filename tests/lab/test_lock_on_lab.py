"""The lock on real hosts: free soon after whatever became of its holder, and never two writers.

Two controllers boot one service on random hosts at random moments, some are killed or stopped past their lease; every
script that changes a host writes its begin and its end into a journal there. KAMALNB_CONTENDERS says how many runs.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from conftest import MakeShop
from contenders import Contender, Ended, journal, lock_file, seconds_until_free
from contending import LATE, journal_of
from shop import Shop, until

from kamalnb.lab.load import Profile

BOTH = ("web-1", "web-2")
RUNS = int(os.environ.get("KAMALNB_CONTENDERS", "6"))
SEED = int(os.environ.get("KAMALNB_SEED", "5"))
LEASE = 3.0
LIGHT = Profile(new=4, keepalive=4, post=2, slow=1, slow_seconds=1.5, websockets=1, max_seconds=7200)
"""The WebSocket holds every drain to its limit: the script of a switch is at work for seconds."""
SUBSETS = (("web-1",), ("web-2",), BOTH)


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Iterator[Shop]:
    shop = make_shop("contended", min_healthy=0, stop_wait_time=3)
    for host in BOTH:
        shop.shell(host, 'rm -f "$1"', journal_of(shop.name))
    shop.must_boot("v1")
    yield shop
    for host in BOTH:
        shop.shell(host, 'rm -f "$1"', journal_of(shop.name))


# -- free within five seconds ----------------------------------------------------------------------------------------


def holding(shop: Shop) -> Contender:
    """One that holds every host, and stands in a hook of its own."""
    holder = Contender(shop, "v2", BOTH, lease=LEASE, hook="sleep 120")
    for host in BOTH:
        until(lambda host=host: locked(shop, host), f"{host} is locked")  # type: ignore[misc]
    return holder


def locked(shop: Shop, host: str) -> bool:
    return shop.lab.exec(host, ["flock", "-n", lock_file(shop), "true"]).returncode == 1


def cut_cable(shop: Shop, host: str, how: str = "-I") -> None:
    """From now on (``-D``: no more) not one packet of SSH comes in there."""
    for port in ("22", "2222"):
        shop.shell(host, f"iptables {how} INPUT -p tcp --dport {port} -j DROP")


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP", "cut cable"])
def test_lock_is_free_within_five_seconds(shop: Shop, how: str) -> None:
    holder = holding(shop)
    try:
        if how == "cut cable":
            for host in BOTH:
                cut_cable(shop, host)
            since = time.monotonic()
        else:
            since = holder.send(signal.Signals[how])
        took = {host: seconds_until_free(shop, host, since) for host in BOTH}
    finally:
        holder.close()
        if how == "cut cable":
            for host in BOTH:
                cut_cable(shop, host, "-D")
    print(f"free after {how} (lease {LEASE:g} s): " + ", ".join(f"{host} {took[host]:.2f} s" for host in BOTH))
    assert max(took.values()) < 5.0
    assert [shop.version_at(host) for host in BOTH] == ["v1", "v1"]


def test_deployer_that_wakes_up_late_is_refused_by_every_host(shop: Shop) -> None:
    """It stood in a hook, all hosts locked, when it was stopped; another one deployed meanwhile."""
    go = shop.directory / "go"
    late = Contender(shop, "v2", BOTH, lease=LEASE, hook=f"while [ ! -e {go} ]; do sleep 0.1; done")
    try:
        for host in BOTH:
            until(lambda host=host: locked(shop, host), f"{host} is locked")  # type: ignore[misc]
        since = late.send(signal.SIGSTOP)
        for host in BOTH:
            seconds_until_free(shop, host, since)
        shop.must_boot("v3")
        before = {host: shop.standing(host) for host in BOTH}
        late.send(signal.SIGCONT)
        go.touch()
        ended = late.ended()
    finally:
        late.close()
    assert ended.outcome == "late", ended.out
    assert sorted(ended.told["late"]) == list(BOTH)
    assert {host: shop.standing(host) for host in BOTH} == before
    assert ended.run not in {run for host in BOTH for run in journal(shop, host).runs}
    shop.must_boot("v1")


# -- never two writers -----------------------------------------------------------------------------------------------


def contest(shop: Shop, chance: random.Random) -> list[Ended]:
    """Two controllers, the second a little later; one of them may be killed, or stopped past its lease."""

    def contender() -> Contender:
        version, hosts = f"v{chance.randint(1, 4)}", chance.choice(SUBSETS)
        return Contender(shop, version, hosts, lease=LEASE, wait=chance.choice((0.0, 60.0)))

    fault = chance.choices(("none", "kill", "stop"), (4, 3, 3))[0]
    late_by, moment, first_suffers = chance.uniform(0.0, 4.0), chance.uniform(1.0, 7.0), chance.random() < 0.7
    first = contender()
    try:
        first.at(late_by)
        second = contender()
        try:
            victim = first if first_suffers else second
            victim.at(moment)
            if fault == "kill" and victim.process.poll() is None:
                victim.send(signal.SIGKILL)
            if fault == "stop" and victim.process.poll() is None:
                victim.send(signal.SIGSTOP)
                time.sleep(LEASE + chance.uniform(0.5, 6.0))
                victim.send(signal.SIGCONT)
            return [first.ended(), second.ended()]
        finally:
            second.close()
    finally:
        first.close()


@pytest.mark.timeout(7200)
def test_two_controllers_never_write_on_one_host_at_once(shop: Shop) -> None:
    chance = random.Random(SEED)
    ended: list[Ended] = []
    with shop.load(LIGHT) as load:
        while len(ended) < RUNS:
            ended += contest(shop, chance)
        # Whatever was killed, the next boot brings the hosts to one version.
        shop.must_boot("v1")
        until(lambda: not any(journal(shop, host).at_work for host in BOTH), "every script has ended")
        load.stop()
    journals = {host: journal(shop, host) for host in BOTH}
    outcomes = Counter(one.outcome for one in ended)
    waited = sum(bool(one.told.get("waited")) for one in ended)
    for_scripts = sum("at work" in text for one in ended for text in one.told.get("waited", ()))
    tally = load.compare_orders(shop.orders())
    print(f"seed {SEED}: {len(ended)} runs: {dict(outcomes)}, {waited} waited ({for_scripts} for a script at work)")
    print(f"{sum(one.scripts for one in journals.values())} scripts; {tally.sentence}")
    assert [one.overlaps + one.returned for one in journals.values()] == [[], []]
    assert not [one.out for one in ended if one.outcome == "failed"]
    assert all(text.count(LATE) <= 1 for one in ended for text in one.told.get("failures", ()))
    assert [shop.standing(host).running for host in BOTH] == [(f"{shop.name}-web-v1",)] * 2
    # Versions go up and down here, as the controllers please: nothing but their order may be amiss.
    assert (tally.lost, tally.orders.doubled_count, tally.orders.missing_count) == (0, 0, 0), tally.sentence
