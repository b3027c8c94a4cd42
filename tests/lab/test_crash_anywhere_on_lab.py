"""The controller is killed with -9 right before or after a remote command of a boot; the same boot again converges.

The commands come from two boots that went well, one up and one down, so that a new one is among them by itself. Some of
all points are tried, spread over them; KAMALNB_CRASHES says how many, or ``all``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from anywhere import LONG, converges, in_turn, ready_for, spread, used, wrong
from conftest import MakeShop
from shop import Shop, assert_nothing_lost

from kamalnb.lab.load import RunningLoad

HOSTS = ("web-1", "web-2")
"""Each tries one half of the points."""
WANTED = os.environ.get("KAMALNB_CRASHES", "8")
PROGRAM = Path(__file__).with_name("crashing.py")
Point = tuple[str, int, str, str]
"""Direction, number of the command, its name, before or after it."""


def crashed(shop: Shop, version: str, number: int, side: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(PROGRAM), str(shop.config()), version, *shop.hosts, str(number), side]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def points(shop: Shop, way: str) -> list[Point]:
    """Every point of a boot that switches this way. After one command is before the next one of the same script."""
    _old, new = ready_for(shop, *shop.hosts, way)
    done = crashed(shop, new, -1, "after")
    assert done.returncode == 0, done.stderr
    ran = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ran) > 20
    before = [(way, number, name, "before") for number, name, first in ran if first]
    return sorted([*before, *((way, number, name, "after") for number, name, _ in ran)], key=lambda one: one[1])


def chosen(shop: Shop) -> list[Point]:
    """This host's half of the points."""
    mine = HOSTS.index(*shop.hosts)
    both = [points(shop, way) for way in ("up", "down")]
    many = None if WANTED == "all" else int(WANTED) // 4
    halves = [some[mine::2] if many is None else spread(some, 2 * many)[mine::2] for some in both]
    return in_turn(*halves)


def trouble(shop: Shop, load: RunningLoad, point: Point, ended: Counter[str]) -> str:
    """What came of a crash that must not; empty where all is well."""
    way, number, name, side = point
    (host,) = shop.hosts
    where = f"{way}: {side} “{name}” (number {number})"
    try:
        old, new = ready_for(shop, host, way)
        load.stage(f"killed {where}", order=(old, new))
        done = crashed(shop, new, number, side)
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        ended["killed" if done.returncode else "ran to its end"] += 1
        served = shop.version_at(host)
        assert served in (old, new), f"“{served}” answers"
        converges(shop, host, old, new)
    except AssertionError as error:
        print(told := f"{where}: {error}; {wrong(shop, host, new)}", flush=True)
        return told
    return ""


@pytest.mark.timeout(5400)
@pytest.mark.parametrize("host", HOSTS)
def test_killed_anywhere_and_run_again(make_shop: MakeShop, host: str) -> None:
    shop = make_shop(f"anywhere-{host}", (host,), min_healthy=1)
    used(shop)
    some, ended = chosen(shop), Counter[str]()
    with shop.load(LONG) as load:
        troubles = [told for point in some if (told := trouble(shop, load, point, ended))]
        load.stop()
    tally = load.compare_orders(shop.orders())
    print(f"{host}: {len(some)} points, {dict(ended)}, {len(troubles)} not as they must be; {tally.sentence}")
    assert troubles == []
    assert_nothing_lost(tally)
