"""paramiko's transport, tuned, and watched. No Fabric in here."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paramiko
from paramiko.packet import Packetizer

from .talk import Line

LOG = "kamalnb.ssh"
"""The logger that paramiko writes to; ``ssh.log_level`` sets its level."""

_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_KEX = (
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "mlkem768x25519-sha256",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
)


class HostKeyPolicy(paramiko.MissingHostKeyPolicy):
    """Asks ``check`` about every host key, before anything is said about users. It raises to refuse."""

    def __init__(self, check: Callable[[paramiko.PKey], None]) -> None:
        self._check = check

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """paramiko's hook; its own known_hosts are left empty, so it is called for every key."""
        self._check(key)


class Packets(Packetizer):
    """paramiko's packets, with acknowledgements sent at once until the first script has run.

    sshd turns Nagle off only when the first command starts, and our kernel holds back ACKs for 40 ms: together
    45 ms (LAN) for each new connection. ``heard`` is when the last bytes came in, on the monotonic clock.
    """

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._raw = sock if isinstance(sock, socket.socket) and hasattr(socket, "TCP_QUICKACK") else None
        self.heard = time.monotonic()

    def settle(self) -> None:
        """The connection is set up: ordinary acknowledgements will do."""
        self._raw = None

    def close(self) -> None:
        """Closes the socket. Through a jump host that is gone, saying so fails, in a thread where nobody catches it."""
        with contextlib.suppress(OSError, EOFError):
            super().close()

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Reads ``n`` bytes."""
        if self._raw is not None:
            with contextlib.suppress(OSError):
                self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        data: bytes = super().read_all(n, check_rekey)
        self.heard = time.monotonic()
        return data


class Pulse(Line):
    """Whether the server still answers. paramiko's own keepalive asks for no answer."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport

    def heard(self) -> float:
        """When its last bytes came in."""
        heard: float = self._transport.packetizer.heard  # type: ignore[attr-defined]
        return heard

    def ask(self) -> None:
        """Sends a keepalive that wants an answer, from a thread of its own: a full pipe would hold it up."""
        threading.Thread(target=self._question, daemon=True).start()

    def _question(self) -> None:
        with contextlib.suppress(Exception):  # nobody listens: no answer says it all
            self._transport.global_request("keepalive@openssh.com", wait=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transports:
    """Makes paramiko's transports: fast ciphers first, the host key types that are known first."""

    key_types: tuple[str, ...]
    patience: float
    """Seconds for the server's banner."""

    def __call__(self, sock: Any, disabled_algorithms: Any = None, **_older: Any) -> paramiko.Transport:
        """paramiko's ``transport_factory`` (older versions pass GSS-API options as well)."""
        transport = paramiko.Transport(sock, disabled_algorithms=disabled_algorithms, packetizer_class=Packets)
        transport.set_log_channel(LOG)
        sock.settimeout(min(1.0, self.patience))
        transport.banner_timeout = self.patience
        options = transport.get_security_options()
        options.ciphers = _CIPHERS
        options.kex = [name for name in _KEX if name in options.kex]
        options.digests = [name for name in options.digests if "sha2" in name or name == "hmac-sha1"]
        options.key_types = self._preferred(tuple(options.key_types))
        return transport

    def _preferred(self, offered: tuple[str, ...]) -> tuple[str, ...]:
        rsa = ("rsa-sha2-512", "rsa-sha2-256")
        wanted = [name for kind in self.key_types for name in (rsa if kind == "ssh-rsa" else (kind,))]
        return tuple(dict.fromkeys([*(name for name in wanted if name in offered), *offered]))
