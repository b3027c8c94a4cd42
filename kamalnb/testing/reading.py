"""How a pretend host plays the commands that read: logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from .containers import PretendContainer
from .streams import log_of

if TYPE_CHECKING:
    from .host import PretendHost

Say = Callable[[str], None]
Play = Generator[float, None, "int | tuple[int, str]"]


def _logs(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    """``k_logs``: its patterns are Python's here, which is near enough for what tests and people look for."""
    yield 0.02
    service, role, destination, prefix, version, wanted, _since, tail, most, _cap, grep, *pattern = words[1:]
    mine = [
        one
        for one in host.containers.values()
        if (one.labels.get("service"), one.labels.get("role"), one.labels.get("destination") or "")
        == (service, role, destination)
    ]
    for container in _picked(mine, prefix, version, wanted):
        say(f"={role} {container.id} {container.name} v{container.labels.get('kamalnb.version', '')}")
        lines = list(log_of(container))
        if grep == "+":
            lines = [line for line in lines if re.search(pattern[0].replace("\037", "$"), line.partition(" ")[2])]
        elif tail != "all":
            lines = lines[-int(tail) :]
        for line in lines[-int(most) :]:
            say(f">{container.id[:12]} {line}")
    return 0


def _picked(mine: list[PretendContainer], prefix: str, version: str, wanted: str) -> list[PretendContainer]:
    if (version, wanted) != ("-", "-"):
        return [
            one
            for one in mine
            if (version == "-" or one.name.removeprefix(f"{prefix}-").partition("_replaced_")[0] == version)
            and (wanted in ("-", one.name) or one.id.startswith(wanted))
        ]
    return [one for one in mine if one.running] or mine[-1:]


PLAYERS = {"k_logs": _logs}
