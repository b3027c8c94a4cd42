"""How a pretend host plays what tables ask: routes, locks, switches under way; and a person's lock."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .host import PretendHost

Say = Callable[[str], None]
Play = Generator[float, None, "int | tuple[int, str]"]

TAKES = 0.01


def _servers(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if host.traefik.api and host.proxy_answers():
        services = host.traefik.table.services.items()
        told = [
            {
                "name": f"{name}@docker",
                "loadBalancer": {"servers": [{"url": f"http://{one.address}:{one.port}"} for one in servers]},
            }
            for name, servers in services
        ]
        say(json.dumps(told))
    return 0


def _lock(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    lock, work, person, *kamals = words[1:]
    kinds = [("held", lock), ("work", work), ("person", person), *(("kamal", f"{one}/details") for one in kamals)]
    for kind, path in kinds:
        text = host.files.get(host.path(path), "")
        if kind == "work" and (host.files.get(host.path(lock)) or not host.at_work(host.path(lock))):
            continue
        if text:
            say(kind)
            for line in text.splitlines():
                say(f" {line}")
    return 0


def _person(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    path = host.path(words[1])
    if host.files.get(path):
        say(host.files[path])
        return 75
    host.files[path] = words[2]
    return 0


def _unperson(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    for path in (words[1], *(f"{one}/details" for one in words[2:])):
        text = host.files.pop(host.path(path), "")
        if text:
            say(text)
    return 0


PLAYERS = {
    "k_servers": _servers,
    "k_lock": _lock,
    "k_person": _person,
    "k_unperson": _unperson,
}
