"""How a pretend host plays the loops that wait: each follows its function in ``commands/host.py`` line by line."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from ..commands.host import BLIND, GONE, LATE, NO_SHELL, NO_TOOL, UNROUTED
from .traffic import landed, sent

if TYPE_CHECKING:
    from .host import PretendHost

Say = Callable[[str], None]
Play = Generator[float, None, "int | tuple[int, str]"]

LOOK = 0.03
"""Seconds that one look at Docker or at the proxy takes."""


def state(host: PretendHost, word: str) -> str | None:
    """What ``k_state`` prints: status, restarts, health; None where the container is gone."""
    container = host.find(word)
    if container is None or not host.docker_answers:
        return None
    return f"{container.status} {container.restarts} {container.health or 'none'}"


def _verify(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    until = host.time.now + int(words[2]) / 100
    said = ""
    while True:
        yield LOOK
        container, stands = host.find(words[1]), state(host, words[1])
        if container is None or stands is None:
            return GONE
        if not stands.startswith("running 0 "):
            say(f"state {stands}")
            return GONE
        yield container.app.check_takes
        if not container.app.shell:
            return NO_SHELL
        if host.hides_cords and words[4] != "-":
            return BLIND
        if not container.app.tool:
            return NO_TOOL
        if container.well(host.time.now):
            return 0
        if not said:
            said = "curl: (22) The requested URL returned error: 503"
            say(said)
        if host.time.now >= until:
            return LATE
        yield 0.2


def _sockets(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield LOOK
    container = host.find(words[1])
    if container is None or not container.running:
        return 1, "Error response from daemon: container is not running"
    say("sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode")
    address = "0100007F" if container.app.loopback else "00000000"
    for port in container.app.listens_on if container.listens(host.time.now) else ():
        say(f"0: {address}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100 0 0 10 0")
    return 0


def _alive(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    until = host.time.now + int(words[2]) / 100
    while True:
        yield LOOK
        stands = state(host, words[1])
        if stands is None:
            return GONE
        well = stands in ("running 0 healthy", "running 0 none")
        if not well and not (stands.startswith("running 0 ") and words[3] == "any"):
            say(f"state {stands}")
            return GONE
        if host.time.now >= until:
            return 0
        yield 0.1


def _healthy(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    until = host.time.now + int(words[2]) / 100
    while True:
        yield LOOK
        stands = state(host, words[1])
        if stands is None:
            return GONE
        if stands in ("running 0 healthy", "running 0 none"):
            return 0
        if not stands.startswith("running 0 "):
            say(f"state {stands}")
            return GONE
        if host.time.now >= until:
            return LATE
        yield 0.1


def _routed(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    by, word, hundredths, nonce, api, routers, service, address, *urls = words[1:]
    until = host.time.now + int(hundredths) / 100
    said = ""
    while True:
        yield LOOK
        stands = state(host, word)
        if stands is None:
            return GONE
        if not stands.startswith("running "):
            say(f"state {stands}")
            return GONE
        why = "" if stands.endswith((" healthy", " none")) else "health"
        if not why:
            found, _, reached = seen(host, by, nonce) if urls else (True, True, True)
            why = "" if found and reached else "proxy"
        if not why and api != "-":
            yield LOOK
            enabled = [_can_ask(host, by) and _enabled(host, router) for router in routers.split()]
            why = "" if all(enabled) else "router"
            why = why if listed(host, by, service, address) == 0 else "service"
        if not why:
            say("acknowledged")
            return 0
        if said != why:
            say(f"waiting for {why}")
            said = why
        if host.time.now >= until:
            return UNROUTED
        yield 0.05


def _out(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    by, word, hundredths, nonce, api, service, address, assumed, *urls = words[1:]
    until = host.time.now + int(hundredths) / 100
    while True:
        yield LOOK
        stands = state(host, word) or "vanished"
        if not (stands.startswith("running ") and stands.endswith((" healthy", " none"))):
            if api != "-" and listed(host, by, service, address) == 0:
                pass
            elif nonce != "-" and urls:
                found, answered, _ = seen(host, by, nonce)
                if not found and answered:
                    say("confirmed")
                    return 0
                if not answered and not stands.startswith(("running ", "paused ")):
                    say("gone")
                    return 0
            elif api != "-":
                if listed(host, by, service, address) == 1:
                    say("confirmed")
                    return 0
            else:
                say("assumed")
                yield float(assumed)
                return 0
        if host.time.now >= until:
            return UNROUTED
        yield 0.05


def _assume(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    say("assumed")
    yield float(words[1])
    return 0


def _drain(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    until = host.time.now + int(words[4]) / 100
    said: int | None = None
    zero = 0
    while True:
        yield LOOK
        container = host.find(words[1])
        if container is None or not container.running:
            say("left 0")
            return 0
        count = container.connections(host.time.now, host.traefik.idle)
        if said != count:
            say(f"open {count}")
            said = count
        zero = zero + 1 if count == 0 else 0
        if zero == 2:
            say("left 0")
            return 0
        if host.time.now >= until:
            say(f"left {count}")
            return 0
        yield 0.2


def _can_ask(host: PretendHost, by: str) -> bool:
    if by == "host":
        return bool(host.tools)
    container = host.find(by)
    return container is not None and container.running and container.app.tool and container.app.shell


def seen(host: PretendHost, by: str, nonce: str) -> tuple[bool, bool, bool]:
    """Whether our header came back through the proxy, whether the proxy answered at all, and whether the app did."""
    if not _can_ask(host, by) or not host.proxy_answers():
        return False, False, False
    route, _ = host.traefik.pick("", f"/.kamalnb/{nonce}")
    flight, container, _why = sent(host, "", f"/.kamalnb/{nonce}")
    if flight is not None and container is not None:
        landed(host, container, flight)
    # Traefik puts the header on its own 502 as well: on the lab's 3.7 it did.
    return route is not None and route.header == nonce, True, flight is not None


def _enabled(host: PretendHost, router: str) -> bool:
    return any(route.name == router for route in host.traefik.table.routes)


def listed(host: PretendHost, by: str, service: str, address: str) -> int:
    """0 it is, 1 it is not, 2 nobody can tell."""
    if not _can_ask(host, by) or not host.traefik.api or not host.proxy_answers():
        return 2
    servers = host.traefik.table.services.get(service, ())
    return 0 if any(f"{server.address}:{server.port}" == address for server in servers) else 1


PLAYERS = {
    "k_verify": _verify,
    "k_sockets": _sockets,
    "k_alive": _alive,
    "k_healthy": _healthy,
    "k_routed": _routed,
    "k_out": _out,
    "k_assume": _assume,
    "k_drain": _drain,
}
