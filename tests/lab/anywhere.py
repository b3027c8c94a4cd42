"""What the tests share that break a boot at any of its commands: which way it switches, what must be there after it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import TypeVar

from shop import NO_WEBSOCKET, Shop, until

T = TypeVar("T")
LONG = replace(NO_WEBSOCKET, max_seconds=5400)
"""Requests for as long as it takes to try every point."""
# $1 service, $2 run directory. A line for each thing, all in one call: many hundreds of them are asked.
LOOK = """\
health='{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}'
cord='{{range .Mounts}}{{if eq .Destination "/tmp/kamal-cord"}}{{.Source}}{{end}}{{end}}'
ids=$(docker ps --all --quiet --no-trunc --filter label=service="$1")
[ -z "$ids" ] || docker inspect --format "container {{.Name}} {{.State.Status}} $health $cord" $ids
for c in "$2"/cords/*/; do
  [ -d "$c" ] || continue
  s=dark; [ ! -e "$c/cord" ] || s=tied; echo "cord ${c%/} $s"
done
for r in "$2"/runs/*/; do [ ! -d "$r" ] || echo "left $r"; done
find "$2" -name '*.tmp*' -o -name 'exec-*' | sed 's/^/left /'
flock --nonblock "$2/kamalnb-$1.lock" true || echo "left lock"
"""
BASE = 100
"""The priority that the shop's label gives; the other slot stands one above it."""


def spread(points: Sequence[T], many: int) -> list[T]:
    """``many`` of them, the first and the last of all and as evenly as can be what is between."""
    if many >= len(points):
        return list(points)
    return [points[round(number * (len(points) - 1) / max(1, many - 1))] for number in range(many)]


def in_turn(*some: Iterable[T]) -> list[T]:
    """One of each in turn: each boot switches the other way than the one before it, so up and down are mixed."""
    return [one for one in chain.from_iterable(zip_longest(*some)) if one is not None]


def used(shop: Shop) -> None:
    """Both versions were there, so that every boot finds a container of its own name, and has the same commands."""
    for version in ("v1", "v2", "v1"):
        shop.must_boot(version)


def direction(shop: Shop, host: str) -> str:
    """Which way the next boot switches there: ``up`` from the lower slot, ``down`` from the upper one."""
    name = shop.standing(host).serving[0]
    labels = json.loads(shop.shell(host, 'docker inspect --format "{{json .Config.Labels}}" "$1"', name))
    levels = [int(value) for key, value in labels.items() if key.endswith(".priority") and int(value) <= BASE + 1]
    assert levels, labels
    return "up" if max(levels) == BASE else "down"


def ready_for(shop: Shop, host: str, wanted: str) -> tuple[str, str]:
    """The version that serves there and the one to boot next, so that the boot switches as ``wanted``."""
    old = shop.version_at(host)
    if direction(shop, host) != wanted:
        shop.must_boot("v2" if old == "v1" else "v1", after=old)
        old = shop.version_at(host)
    assert direction(shop, host) == wanted
    return old, "v2" if old == "v1" else "v1"


def wrong(shop: Shop, host: str, version: str, *, loose_cords: bool = False) -> str:
    """What is not as it must be, one container that serves and nothing else; empty where all is well.

    A command that begins after the next boot has looked may leave a cord behind, which the boot after that clears.
    """
    running, cords, tied, mounted, left = [], set[str](), set[str](), set[str](), []
    for line in shop.shell(host, LOOK, shop.name, shop.run_directory).splitlines():
        kind, name, *rest = line.split()
        if kind == "container":
            state, health, path = (*rest, "")[:3]
            mounted.add(path)
            running += [(name.strip("/"), state, health, path)] if state != "exited" else []
        elif kind == "cord":
            cords.add(name)
            tied |= {name} if rest == ["tied"] else set()
        else:
            left.append(name)
    if [one[:3] for one in running] != [(f"{shop.name}-web-{version}", "running", "healthy")]:
        return f"{running} instead of {version} alone"
    if tied != {running[0][3]}:
        return f"tied are {tied}"
    left += [] if loose_cords else cords - mounted
    return f"left over: {left}" if left else ""


def converges(shop: Shop, host: str, old: str, new: str, *, loose_cords: bool = False) -> None:
    """The same boot once more ends with ``new`` alone, whatever became of the first one."""
    shop.must_boot(new, after=old)
    until(lambda: not wrong(shop, host, new, loose_cords=loose_cords), "all is well")
    assert shop.version_at(host) == new
