"""The controller is killed with -9 right before or after a remote command of a boot; the same boot again converges.

The commands come from a boot that went well, so that a new one is among them by itself. A sample of them, spread over
all, is tried: KAMALNB_CRASHES says how many, of about 80.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import MakeShop
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost, until

pytestmark = pytest.mark.thorough

HOST = "web-1"
SAMPLES = int(os.environ.get("KAMALNB_CRASHES", "6"))
PROGRAM = Path(__file__).with_name("crashing.py")


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    shop = make_shop("anywhere", (HOST,), min_healthy=1)
    shop.must_boot("v1")
    return shop


def crashed(shop: Shop, version: str, number: int, side: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(PROGRAM), str(shop.config()), version, HOST, str(number), side]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def points(shop: Shop) -> list[tuple[int, str, str]]:
    """Every (number, name, side) of an up-switch; a down-switch has the same commands and a few more."""
    done = crashed(shop, "v2", -1, "after")
    assert done.returncode == 0, done.stderr
    ran = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ran) > 20
    return [(number, name, side) for number, name in ran for side in ("before", "after")]


def spread(points: list[tuple[int, str, str]], sample: int) -> tuple[int, str, str]:
    """The first and the last of all, and as evenly as can be what is between."""
    return points[round(sample * (len(points) - 1) / max(1, SAMPLES - 1))]


def wrong(shop: Shop, version: str) -> str:
    """What is not as it must be, one container that serves and nothing else; empty where all is well."""
    standing = shop.standing(HOST)
    name = f"{shop.name}-web-{version}"
    if standing.running != (name,) or standing.serving != (name,):
        return f"{standing.containers} instead of {name} alone"
    if list(standing.cords.values()).count("tied") != 1 or standing.runs:
        return f"cords {standing.cords}, runs {standing.runs}"
    mounts = '{{range .Mounts}}{{if eq .Destination "/tmp/kamal-cord"}}{{.Source}}{{end}}{{end}}'
    script = 'docker inspect --format "$1" $(docker ps --all --quiet --filter label=service="$2")'
    mounted = {path.rpartition("/")[2] for path in shop.shell(HOST, script, mounts, shop.name).split()}
    if unused := set(standing.cords) - mounted:
        return f"cords of no container: {unused}"
    lock = f'flock --nonblock "{shop.run_directory}/kamalnb-{shop.name}.lock" echo free || echo held'
    return "" if shop.shell(HOST, lock).strip() == "free" else "the lock is held"


@pytest.mark.parametrize("sample", range(SAMPLES))
def test_killed_anywhere_and_run_again(shop: Shop, points: list[tuple[int, str, str]], sample: int) -> None:
    number, name, side = spread(points, sample)
    old = shop.version_at(HOST)
    new = "v2" if old == "v1" else "v1"
    with shop.load(NO_WEBSOCKET) as load:
        load.stage(f"killed {side} {name}", order=(old, new))
        done = crashed(shop, new, number, side)
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        assert shop.version_at(HOST) in (old, new)
        shop.must_boot(new, after=old)
        until(lambda: not wrong(shop, new), f"killed {side} “{name}”: {wrong(shop, new)}")
        load.stop()
    assert shop.version_at(HOST) == new
    assert_nothing_lost(load.compare_orders(shop.orders()))
    print(f"{side} “{name}” (number {number}): {'killed' if done.returncode else 'ran to its end'}")
