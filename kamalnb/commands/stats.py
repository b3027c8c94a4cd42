"""What containers use now, as ``docker stats`` shows it once. Nothing here may do I/O.

Docker gives sizes rounded for people (three or four digits), so they are that exact and no more.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ..shell import Question, look

FORMAT = (
    '{"id":{{json .ID}},"cpu":{{json .CPUPerc}},"memory":{{json .MemUsage}},"net":{{json .NetIO}},'
    '"block":{{json .BlockIO}},"pids":{{json .PIDs}}}'
)
LIMIT = 60.0
"""Seconds: Docker looks twice, a second apart, at all containers side by side."""

# A container that vanishes between the two commands is asked for again, as in k_inspect.
STATS = """\
k_stats() {
  k_try=0
  while :; do
    k_ids=$(docker ps --quiet --no-trunc --filter "$2") || return 1
    [ -n "$k_ids" ] || return 0
    k_out=$(docker stats --no-stream --no-trunc --format "$1" $k_ids) && { printf '%s\\n' "$k_out"; return 0; }
    k_try=$((k_try + 1)); [ $k_try -lt 4 ] || return 1; sleep 0.1
  done
}"""

_UNITS = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50,
}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([kKMGTP]?i?B)")
_UNKNOWN = "--"
"""What Docker shows where the kernel does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one container uses; None is "not known". ``cpu`` is in percent of one core, sizes are in bytes.

    ``received``, ``sent``, ``read`` and ``written`` (network, then disks) count from its start.
    """

    id: str
    cpu: float | None
    memory: int | None
    limit: int | None
    received: int | None
    sent: int | None
    read: int | None
    written: int | None
    pids: int | None


def usage(service: str) -> Question[tuple[Usage, ...]]:
    """What every running container of ``service`` uses; Docker takes about two seconds for it."""
    command = look("look at usage", "k_stats", FORMAT, f"label=service={service}", uses=(STATS,), limit=LIMIT)
    return Question(command, usages)


def usages(text: str) -> tuple[Usage, ...]:
    """Reads lines of ``FORMAT``. ValueError for what no Docker prints."""
    return tuple(_usage(line) for line in filter(str.strip, text.split("\n")))


def _usage(line: str) -> Usage:
    document = json.loads(line)
    told = {key: str(document[key]).strip() for key in ("id", "cpu", "memory", "net", "block", "pids")}
    memory, limit = _pair(told["memory"])
    received, sent = _pair(told["net"])
    read, written = _pair(told["block"])
    return Usage(
        id=told["id"], cpu=_percent(told["cpu"]), memory=memory, limit=limit, received=received, sent=sent,
        read=read, written=written, pids=None if told["pids"] == _UNKNOWN else int(told["pids"]),
    )  # fmt: skip


def _percent(word: str) -> float | None:
    return None if word == _UNKNOWN else float(word.removesuffix("%"))


def _pair(words: str) -> tuple[int | None, int | None]:
    """``12.3MiB / 7.6GiB`` as bytes."""
    if words == _UNKNOWN:
        return None, None
    first, slash, second = words.partition("/")
    if not slash:
        raise ValueError(f"{words!r} is no pair of sizes")
    return _bytes(first.strip()), _bytes(second.strip())


def _bytes(word: str) -> int | None:
    if word == _UNKNOWN:
        return None
    found = _SIZE.fullmatch(word)
    if not found or found[2] not in _UNITS:
        raise ValueError(f"{word!r} is no size")
    return round(float(found[1]) * _UNITS[found[2]])
