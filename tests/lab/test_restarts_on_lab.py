"""dockerd, Traefik or the whole host restarts right before a command of a boot: who serves then, and what is said.

Commands come from boots that went well, up and down; a step waits at a gate meanwhile. KAMALNB_RESTARTS (12) of all are
tried, KAMALNB_SEED chooses which. What is lost while a host is down was to be expected; nothing else may be.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from anywhere import LONG, converges, in_turn, ready_for, used, wrong
from conftest import MakeShop
from shop import Shop, until
from test_faults_on_lab import HOSTS, SEED, Case, booted, sample, steps, unclear
from wire import Wire

from kamalnb.lab import Lab
from kamalnb.lab.load import Outcome, Record, RunningLoad

pytestmark = pytest.mark.thorough

MANY = int(os.environ.get("KAMALNB_RESTARTS", "12"))
AFTERWARDS = 3.0
"""Seconds from the first answer on in which a proxy that came back may still miss one."""


def docker(lab: Lab, host: str) -> None:
    lab.restart_docker(host)


def traefik(lab: Lab, host: str) -> None:
    assert lab.exec(host, ["docker", "restart", "--time", "1", "traefik"]).returncode == 0


def reboot(lab: Lab, host: str) -> None:
    lab.stop(host)
    lab.start(host)


RESTARTS: dict[str, Callable[[Lab, str], None]] = {
    "dockerd restarts": docker,
    "Traefik restarts": traefik,
    "the host reboots": reboot,
}


@dataclass
class Outages:
    """When a host was down, so that requests may be lost."""

    shop: Shop
    spans: list[tuple[float, float]] = field(default_factory=list)

    def during(self, restart: Callable[[Lab, str], None]) -> Callable[[str], None]:
        def happen(host: str) -> None:
            began = time.monotonic()
            restart(self.shop.lab, host)
            until(lambda: self.shop.version_at(host) != "", "somebody answers again")
            time.sleep(AFTERWARDS)
            self.spans.append((began, time.monotonic()))

        return happen

    def lost(self, load: RunningLoad) -> tuple[list[Record], int]:
        """What was lost, and how much of it while the host was down."""
        lost = [record for record in load.records() if record.outcome is not Outcome.OK]
        others = [r for r in lost if not any(r.start <= end and r.end >= began for began, end in self.spans)]
        return others, len(lost) - len(others)


def trouble(shop: Shop, load: RunningLoad, case: Case, outages: Outages, outcomes: Counter[str]) -> str:
    """What came of the restart that must not; empty where all is well."""
    (host,) = shop.hosts
    old = new = "?"
    try:
        old, new = ready_for(shop, host, case.way)
        load.stage(str(case), order=(old, new))
        wire = Wire(None, shop.lab, "meanwhile", case.at, outages.during(RESTARTS[case.fault]))  # type: ignore[arg-type]
        tried = booted(shop, new, wire)
        assert tried.wire.happened == case.name, f"it happened at “{tried.wire.happened}”"
        served = shop.version_at(host)
        outcomes[f"{case.fault}: {tried.outcome}".replace(old, "OLD").replace(new, "NEW")] += 1
        print(f"{case}: {tried.outcome if tried.ok else tried.text}", flush=True)
        assert served in (old, new), f"“{served}” answers"
        assert not (told := unclear(tried, host, old, new, served)), told
        converges(shop, host, old, new)
    except AssertionError as error:
        print(told := f"{case}: {error}; {wrong(shop, host, new)}", flush=True)
        return told
    return ""


@pytest.mark.timeout(5400)
@pytest.mark.parametrize("host", HOSTS)
def test_a_restart_between_any_two_commands(make_shop: MakeShop, host: str) -> None:
    shop = make_shop(f"restarts-{host}", (host,), min_healthy=1)
    used(shop)
    found, chance = [*steps(shop, "up"), *steps(shop, "down")], random.Random(SEED)
    cases = sample(found, MANY, chance, tuple(RESTARTS))[HOSTS.index(host) :: 2]
    in_order = in_turn(*([case for case in cases if case.way == way] for way in ("up", "down")))
    outages, outcomes = Outages(shop), Counter[str]()
    with shop.load(LONG) as load:
        troubles = [told for case in in_order if (told := trouble(shop, load, case, outages, outcomes))]
        load.stop()
    lost, excused = outages.lost(load)
    tally = load.compare_orders(shop.orders())
    print(f"{host}: {len(cases)} restarts, {len(troubles)} not as they must be, {excused} lost while a host was down")
    print(tally.sentence)
    print("\n".join(f"{many} × {told}" for told, many in sorted(outcomes.items())))
    assert troubles == []
    assert lost == []
    assert (tally.orders.doubled_count, tally.orders.missing_count) == (0, 0)
