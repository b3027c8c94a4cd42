"""One connection to one host: Fabric, through its public hooks. The only file that imports Fabric.

Imported late, since Fabric takes 0.4 s to import. What is changed of Fabric and paramiko, and what each change
is worth, was measured: TCP_NODELAY (45 ms a command on a LAN, 80 ms at 40 ms RTT), no I/O threads and no polls
(10 to 20 ms a command, and output in linear time), host keys checked (Fabric 3.2 accepts any), keys parsed once.
"""

from __future__ import annotations

import atexit
import contextlib
import socket
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import fabric
import invoke.runners
import paramiko
from fabric.runners import Remote
from paramiko.packet import Packetizer

from .ssh_talk import Conversation, Exchange, Line

SHELL = "exec /bin/sh -s"
"""The command line of every script, so no script and no secret is in a process list, whatever the login shell."""

SESSION_PATIENCE = 10.0
"""Seconds for a session to open. A connection that does not answer in that time is dead."""

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


class ConnectionLost(Exception):
    """The connection is gone, or as good as."""


class NoRoom(Exception):
    """The server refuses one more session on this connection, which works otherwise."""


class InlineRemote(Remote):  # type: ignore[misc]
    """Fabric's runner for an ``Exchange``: reads and writes in the calling thread, and waits on an event.

    With any other ``in_stream`` it is the stock runner.
    """

    def create_io_threads(self) -> tuple[dict[Any, Any], list[str], list[str]]:
        """None for an exchange: its one thread is the caller's."""
        if isinstance(self.streams["in"], Exchange):
            return {}, [], []
        threads: tuple[dict[Any, Any], list[str], list[str]] = super().create_io_threads()
        return threads

    def wait(self) -> None:
        """Returns as soon as the exchange is over; leftovers on the host are not waited for."""
        exchange = self.streams["in"]
        if isinstance(exchange, Exchange):
            Conversation(self.channel, exchange).hold()
        else:
            super().wait()

    def returncode(self) -> int | None:
        """The exit status, None where there is none yet."""
        if isinstance(self.streams["in"], Exchange) and not self.channel.exit_status_ready():
            return None
        code: int = super().returncode()
        return code

    def stop(self) -> None:
        """Closes the channel. Fabric would also reset the process's SIGWINCH handler, terminal or not."""
        invoke.runners.Runner.stop(self)
        if hasattr(self, "channel"):
            self.channel.close()


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


class Connection(fabric.Connection):  # type: ignore[misc]
    """Fabric's, with a socket and a host key check of ours. ``gateway`` is a function that opens the socket."""

    def dial(self) -> None:
        """Connects and logs in. Raises what socket, paramiko, the host key check and the login raise."""
        super().open()
        self.transport.set_keepalive(30)
        # paramiko wakes up at this pace; by default ten times a second, which costs 22 % of a core at 500 hosts.
        self.transport.sock.settimeout(5.0)

    def open(self) -> None:
        """Fabric opens by itself where it likes; here a lost connection is not replaced behind our back."""
        if not self.is_connected:
            raise ConnectionLost("the connection was closed")

    def open_gateway(self) -> Any:
        """The socket to talk over."""
        return self.gateway()

    def create_session(self) -> paramiko.Channel:
        """A session channel. A host that has no free one (``MaxSessions``) is asked again for a while.

        Raises ConnectionLost where there is no answer, NoRoom where it is no for ``SESSION_PATIENCE``.
        """
        until = time.monotonic() + SESSION_PATIENCE
        while True:
            asked = time.monotonic()
            try:
                channel: paramiko.Channel = self.transport.open_session(timeout=SESSION_PATIENCE)
                return channel
            except (paramiko.SSHException, EOFError, OSError) as error:
                # Not told apart by type: a refusal can come as a bare SSHException.
                if not self.is_connected or time.monotonic() - asked >= SESSION_PATIENCE:
                    raise ConnectionLost(str(error)) from error
                if time.monotonic() > until:
                    raise NoRoom(str(error)) from error
            time.sleep(0.1)

    def start_session(self, line: str) -> paramiko.Channel:
        """A session in which ``line`` runs. Raises ConnectionLost, NoRoom."""
        try:
            channel = self.create_session()
            channel.exec_command(line)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise ConnectionLost(str(error) or "the connection was closed") from error
        return channel

    @property
    def heard(self) -> float:
        """When the server's last bytes came in, on the monotonic clock."""
        return Pulse(self.transport).heard()

    def answers(self, seconds: float) -> bool:
        """Whether the server gives a sign of life within ``seconds``."""
        pulse, asked = Pulse(self.transport), time.monotonic()
        pulse.ask()
        while self.is_connected and pulse.heard() <= asked and time.monotonic() - asked < seconds:
            time.sleep(0.05)
        return bool(self.is_connected and pulse.heard() > asked)

    def converse(self, exchange: Exchange) -> None:
        """Runs one script. Raises ConnectionLost where the connection broke on the way."""
        exchange.line = Pulse(self.transport)
        try:
            self.run(SHELL, in_stream=exchange, hide=True, warn=True)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise ConnectionLost(str(error) or "the connection was closed") from error
        self.transport.packetizer.settle()

    def abort(self) -> None:
        """Lets go at once, from any thread: wakes everybody who waits for this connection."""
        transport = self.client.get_transport()
        if transport is None:
            return
        with contextlib.suppress(OSError, EOFError, AttributeError):
            # Closing a socket does not wake the thread that reads it; shutting it down does.
            transport.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, EOFError):
            transport.sock.close()
        with contextlib.suppress(Exception):
            self.client.close()


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
        transport.channel_timeout = SESSION_PATIENCE
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


class Login(Protocol):
    """What logs in, once the host key is accepted."""

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Raises where nobody is let in."""
        ...


def new_connection(
    host: str,
    port: int,
    open_socket: Callable[[], Any],
    transports: Transports,
    check_host_key: Callable[[paramiko.PKey], None],
    login: Login,
) -> Connection:
    """A connection that is not open yet."""
    connection = Connection(
        host,
        port=port,
        user="",
        config=_config(),
        gateway=open_socket,
        forward_agent=False,
        connect_kwargs={"transport_factory": transports, "auth_strategy": login},
    )
    connection.client.set_missing_host_key_policy(HostKeyPolicy(check_host_key))
    _everyone[id(connection)] = connection
    return connection


_shared: list[fabric.Config] = []
_everyone: weakref.WeakValueDictionary[int, Connection] = weakref.WeakValueDictionary()


def _config() -> fabric.Config:
    """One for all, and of no file: making one takes longer than a command on a LAN."""
    if not _shared:
        overrides = {"runners": {"remote": InlineRemote}, "load_ssh_configs": False}
        _shared.append(fabric.Config(overrides=overrides, ssh_config=paramiko.SSHConfig(), lazy=True))
    return _shared[0]


@atexit.register
def _let_go() -> None:
    """Registered after paramiko's own, hence run before it: that one waits for readers nobody woke."""
    for connection in list(_everyone.values()):
        connection.abort()
