"""How a pretend host plays ``docker stats``: what its containers use, in Docker's own spelling."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .containers import PretendContainer
    from .host import PretendHost

Say = Callable[[str], None]
Play = Generator[float, None, "int | tuple[int, str]"]

TAKES = 2.0
"""Docker looks twice, a second apart, and takes its time for both."""
DOWN = (1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
IDLE_PERCENT, PERCENT_EACH = 0.2, 3.0
"""Of a core: at rest, and for each open request."""


def _stats(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    if not host.docker_answers:
        yield 0.01
        return DOWN
    key, _, wanted = words[2].removeprefix("label=").partition("=")
    there = [one for one in host.containers.values() if _is_alive(one) and one.labels.get(key) == wanted]
    yield TAKES if there else 0.01
    for container in there:
        say(json.dumps(_used(host, container)))
    return 0


def _is_alive(container: PretendContainer) -> bool:
    return container.status in ("running", "restarting", "paused")


def _used(host: PretendHost, container: PretendContainer) -> dict[str, str]:
    """One container as ``docker stats`` with our template shows it; one that is between two starts uses nothing."""
    up = container.running
    open_ = sum(not flight.ended for flight in container.flights)
    seconds = max(0.0, host.time.now - container.started) if up else 0.0
    memory = container.app.memory if up else 0
    return {
        "id": container.id,
        "cpu": f"{(IDLE_PERCENT + PERCENT_EACH * open_) * up:.2f}%",
        "memory": f"{_binary(memory)} / {_binary(host.memory if up else 0)}",
        "net": f"{_decimal(2_000 * seconds + len(container.flights) * 700)} / {_decimal(3_000 * seconds)}",
        "block": f"{_decimal(1_200_000 * up)} / {_decimal(0)}",
        "pids": str(5 * up),
    }  # fmt: skip


def _binary(value: float) -> str:
    """As Docker spells memory: four digits."""
    return _spelled(value, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB"), 4)


def _decimal(value: float) -> str:
    """As Docker spells traffic: three digits."""
    return _spelled(value, 1000.0, ("B", "kB", "MB", "GB", "TB"), 3)


def _spelled(value: float, base: float, units: Sequence[str], digits: int) -> str:
    number = 0
    while value >= base and number < len(units) - 1:
        value, number = value / base, number + 1
    return f"{value:.{digits}g}{units[number]}"


PLAYERS = {"k_stats": _stats}
