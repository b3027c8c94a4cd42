"""Who listens and who is connected, from ``/proc/net/tcp`` and ``tcp6``: the one parser of them. No I/O here."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import Unclear

LISTEN = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """One TCP socket of a network namespace. ``state`` is the kernel's hexadecimal code."""

    address: str
    port: int
    state: str

    @property
    def on_loopback(self) -> bool:
        """Only programs inside the same container can reach it."""
        return ipaddress.ip_address(self.address).is_loopback


def listening(text: str) -> tuple[Socket, ...]:
    """The listening sockets in ``text``. Raises ``Unclear`` where nothing in it looks like a socket table."""
    found = tuple(_sockets(text))
    if not found and "local_address" not in text:
        raise Unclear("look at sockets", text, "no socket table")
    return tuple(socket for socket in found if socket.state == LISTEN)


def port_hex(port: int) -> str:
    """``port`` as the kernel writes it."""
    return f"{port:04X}"


def address_hex(address: str) -> str:
    """An IPv4 or IPv6 address as a little-endian kernel writes it (x86, ARM)."""
    packed = ipaddress.ip_address(address).packed
    words = (packed[start : start + 4][::-1] for start in range(0, len(packed), 4))
    return "".join(word.hex().upper() for word in words)


def _sockets(text: str) -> Iterator[Socket]:
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[0].endswith(":") and ":" in words[1]:
            address, _, port = words[1].partition(":")
            yield Socket(address=_address(address), port=int(port, 16), state=words[3])


def _address(text: str) -> str:
    words = (bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8))
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
