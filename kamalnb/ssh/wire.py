"""One connection to one host: Fabric, through its public hooks. The only file that imports Fabric.

Imported late, since Fabric takes 0.4 s to import. What is changed of Fabric and paramiko, and what each change
is worth, was measured: TCP_NODELAY (45 ms a command on a LAN, 80 ms at 40 ms RTT), no I/O threads and no polls
(10 to 20 ms a command, and output in linear time), host keys checked (Fabric 3.2 accepts any), keys parsed once.
"""

from __future__ import annotations

import atexit
import contextlib
import socket
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import fabric
import invoke.runners
import paramiko
from fabric.runners import Remote

from .talk import Conversation, Exchange
from .transport import HostKeyPolicy, Pulse, Transports

SHELL = "exec /bin/sh -s"
"""The command line of every script, so no script and no secret is in a process list, whatever the login shell."""

SESSION_PATIENCE = 10.0
"""Seconds for a session to open. A connection that does not answer in that time is dead."""


ROOM_PATIENCE = 1.0
"""Seconds for which sshd may say that it has no room for a session: it frees one later than it says."""


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


class Connection(fabric.Connection):  # type: ignore[misc]
    """Fabric's, with a socket and a host key check of ours. ``gateway`` is a function that opens the socket."""

    inline_ssh_env = True
    """Declared, since Fabric sets it in each new connection: else that is written into the shared ``Config``, which is
    empty for a moment meanwhile, and a host that connects in that moment finds no settings at all."""

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

        Raises ConnectionLost where there is no answer, NoRoom where it is no for ``ROOM_PATIENCE``.
        """
        until = time.monotonic() + ROOM_PATIENCE
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
