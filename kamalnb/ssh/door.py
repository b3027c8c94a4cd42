"""The socket to a target: TCP, a channel through the jump host, or a proxy command's pipe."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any, Protocol

import paramiko

from ..errors import HostUnreachable
from .target import Target

_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}


class Gateway(Protocol):
    """An open connection to a jump host."""

    transport: paramiko.Transport


class Door:
    """One way in, opened once. ``host`` is whom errors are about, ``timeout`` is in seconds."""

    def __init__(self, host: str, target: Target, timeout: float, gateway: Gateway | None) -> None:
        self.host = host
        self.target = target
        self.address = target.hostname
        """The IP address, once it is open; the name where the jump host resolves it."""
        self.timeout = timeout
        self._opened: float | None = None
        self._gateway = gateway
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None

    def open(self) -> socket.socket | paramiko.Channel:
        """Opens it. Raises HostUnreachable (resolve, connect)."""
        sock = self._way_in()
        self._opened = time.monotonic()
        return sock

    @property
    def seconds_open(self) -> float:
        """How long ago it was opened; 0 before."""
        return 0.0 if self._opened is None else time.monotonic() - self._opened

    def close(self) -> None:
        """Ends the proxy command, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()
            process.wait()
        if self._complaints is not None:
            self._complaints.close()

    def complaint(self) -> str:
        """The proxy command's last line of standard error. Ask before ``close``."""
        if self._complaints is None:
            return ""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _way_in(self) -> socket.socket | paramiko.Channel:
        if self._gateway is not None:
            return self._through(self._gateway)
        if self.target.proxy_command is not None:
            return self._piped(self.target.proxy_command)
        return self._direct()

    def _direct(self) -> socket.socket:
        failures: dict[str, OSError] = {}
        for family, address in self._addresses():
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(self.timeout)
                sock.connect(address)
            except OSError as error:
                sock.close()
                failures[str(address[0])] = error
                continue
            self.address = str(address[0])
            return _tuned(sock)
        why = "; ".join(f"{address}: {_reason(error, self.timeout)}" for address, error in failures.items())
        raise self._closed(f"no connection to port {self.target.port} ({why}). Is it up, and sshd running?")

    def _addresses(self) -> Iterator[tuple[socket.AddressFamily, Any]]:
        target = self.target
        for again in (True, True, False):
            try:
                found = socket.getaddrinfo(target.hostname, target.port, _FAMILIES[target.family], socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                if again and isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
                    time.sleep(0.5)  # the resolver itself says: try again
                    continue
                why = getattr(error, "strerror", None) or str(error)
                sentence = f"no address for the name {target.hostname} ({why})."
                advice = f"Check its spelling: `getent hosts {target.hostname}`."
                raise HostUnreachable(self.host, "resolve", f"{sentence} {advice}") from None
            yield from ((family, address) for family, _type, _proto, _name, address in found)
            return

    def _through(self, gateway: Gateway) -> paramiko.Channel:
        target = self.target
        place = (target.hostname, target.port)
        try:
            return gateway.transport.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=self.timeout)
        except (paramiko.SSHException, EOFError, OSError) as error:
            why = str(error) or "connection closed"
            raise self._closed(f"the jump host {target.way} cannot connect to {target.place} ({why}).") from None

    def _piped(self, command: str) -> socket.socket:
        """A socket pair in place of paramiko's ``ProxyCommand``, which polls and leaves zombies."""
        ours, theirs = socket.socketpair()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  kept open as long as the process
        with theirs:
            self._process = subprocess.Popen(
                ("/bin/sh", "-c", f"exec {command}"),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._complaints,
                start_new_session=True,  # Ctrl-C is ours to act on: it must not cut the way to a host in mid-undo
            )
        return ours

    def _closed(self, sentence: str) -> HostUnreachable:
        return HostUnreachable(self.host, "connect", f"{sentence} Try `{self.target.command}`.")


def _tuned(sock: socket.socket) -> socket.socket:
    """No Nagle, and a peer that vanished is noticed within half a minute."""
    options: list[tuple[int, str, int]] = [
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 15),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 30_000),  # milliseconds; also for a peer that takes no more bytes
    ]
    for level, name, value in options:
        if hasattr(socket, name):
            with contextlib.suppress(OSError):
                sock.setsockopt(level, getattr(socket, name), value)
    return sock


def _reason(error: OSError, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {timeout:g} s"
    return (error.strerror or str(error)).lower()
