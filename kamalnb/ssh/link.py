"""One kept connection per target: opened when needed, shared, opened again when it died. Imported late, with Fabric."""

from __future__ import annotations

import contextlib
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import paramiko

from ..errors import HostUnreachable
from . import wire
from .door import Door
from .hold import SshHold
from .keys import KeyRing
from .live import SshLive
from .login import Entry, HostKeyCheck, short_type
from .talk import Exchange
from .target import Login, Target
from .transport import Pulse, Transports
from .wire import Connection, ConnectionLost, NoRoom

SESSIONS = 8
"""Scripts at once on one connection: sshd's MaxSessions is 10, and it frees a slot later than it says."""

START_ATTEMPTS = 5
"""Tries where sshd drops new connections before its banner (MaxStartups)."""

LOGIN_PATIENCE = 75.0
"""Seconds for handshake and login together. An agent may be asking a person to touch a key."""

EVALUATE = "exec /bin/sh -c 'eval \"$(head -c {})\"'"
"""Reads so many bytes of script from stdin and leaves what follows to the script. Login shells all read it alike."""

_FULL = "it allows no more sessions on one connection (MaxSessions)."

TRUSTED = 5.0
"""Seconds since its last packet for which a jump host's connection is used without asking."""

GATEWAY_PATIENCE = 10.0
"""Seconds for a jump host's sign of life."""


@dataclass(slots=True)
class Shop:
    """What all links of one executor share."""

    keys: KeyRing
    connect_timeout: float
    idle_timeout: float
    starts: threading.Semaphore
    """Logins at once, over all hosts."""
    guard: Callable[[float, Callable[[], None]], contextlib.AbstractContextManager[None]]
    """``guard(seconds, abort)`` calls ``abort`` when its block is not left within ``seconds``."""


class Link:
    """The one connection to a target."""

    def __init__(self, target: Target, shop: Shop, via: Link | None) -> None:
        self.target = target
        self.via = via
        self.login: Login | None = None
        self.carries = False
        """Other links go through it."""
        if via is not None:
            via.carries = True
        self._shop = shop
        self._opening = threading.Lock()
        self._counting = threading.Lock()
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self._connection: Connection | None = None
        self._door: Door | None = None
        self._used = 0.0
        self._running = 0
        self._holds: weakref.WeakSet[SshHold] = weakref.WeakSet()
        self._failed: tuple[float, HostUnreachable] | None = None

    def converse(self, host: str, begin: Callable[[], Exchange]) -> Exchange:
        """Runs one script over it: ``begin`` is called once it is open, so that getting in is on nobody's clock.

        Raises HostUnreachable only where nothing was sent.
        """
        with self._sessions, self._noted():
            connection = self.open(host)
            exchange = begin()
            lost = self._try(host, connection, exchange)
            if lost is not None and not exchange.sent:
                lost = self._try(host, self.open(host), exchange)
            if lost is not None and not exchange.sent:
                raise self._no_session(host, f"logged in, but no shell could be opened ({lost}).")
            return exchange

    def hold(self, host: str, line: str, heartbeat: float) -> SshHold:
        """A session that stays open until it is released. Raises HostUnreachable.

        Not one of the ``SESSIONS``: the two that sshd has beyond those are for this.
        """
        _connection, channel = self._session(host, line.encode())
        self._holds.add(hold := SshHold(channel, line, heartbeat))
        return hold

    def stream(self, host: str, live: SshLive) -> None:
        """Runs ``live`` to its end in a session of its own. Raises HostUnreachable where nothing was sent."""
        with self._sessions, self._noted():
            connection, channel = self._session(host, live.text)
            live.run(channel, Pulse(connection.transport))
            if live.dead:
                self._drop(connection)

    def _session(self, host: str, text: bytes) -> tuple[Connection, paramiko.Channel]:
        """A session that reads ``text`` first and leaves what comes after it to that."""
        for last_try in (False, True):
            connection = self.open(host)
            try:
                with self._shop.guard(2 * wire.SESSION_PATIENCE, connection.abort):
                    return connection, connection.start_session(EVALUATE.format(len(text)))
            except NoRoom:
                raise self._no_session(host, _FULL) from None
            except ConnectionLost as lost:
                self._drop(connection)
                if last_try:
                    raise self._no_session(host, f"logged in, but no shell could be opened ({lost}).") from None
        raise AssertionError("the loop returns or raises")

    def open(self, host: str) -> Connection:
        """The open connection. ``host`` is whom an error is about."""
        asked = time.monotonic()
        with self._opening:
            if self._failed is not None and self._failed[0] > asked:
                # Somebody tried while we waited: fifty hosts behind a dead jump host wait for it once.
                raise self._about(self._failed[1], host)
            connection = self._connection
            if connection is not None and connection.is_connected and not self._is_stale():
                return connection
            self._let_go()
            self._connection = self._start(host)
            self._used = time.monotonic()
            return self._connection

    def close(self) -> None:
        """Lets it go; what runs over it is cut off."""
        self._let_go()

    def _try(self, host: str, connection: Connection, exchange: Exchange) -> ConnectionLost | None:
        exchange.guard = lambda seconds: self._shop.guard(seconds, connection.abort)
        try:
            # Opening the session has its own limit, starting the shell has none.
            with exchange.guard(exchange.limit + 2 * wire.SESSION_PATIENCE):
                connection.converse(exchange)
        except ConnectionLost as lost:
            self._drop(connection)
            return lost
        except NoRoom:
            # What runs on this connection is left in peace.
            raise self._no_session(host, _FULL) from None
        if exchange.dead:
            self._drop(connection)
        return None

    def _no_session(self, host: str, sentence: str) -> HostUnreachable:
        return HostUnreachable(host, "session", f"{sentence} Try `{self.target.command} true`.")

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        with self._counting:
            self._running += 1
        try:
            yield
        finally:
            with self._counting:
                self._running -= 1
            self._used = time.monotonic()

    def _is_stale(self) -> bool:
        """Nothing went over it for long. Never while something runs over it besides the one who asks."""
        idle = time.monotonic() - self._used > self._shop.idle_timeout
        return idle and self._running <= 1 and not self.carries and not any(hold.held for hold in self._holds)

    def _drop(self, connection: Connection) -> None:
        connection.abort()
        with self._opening:
            if self._connection is connection:
                self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        door, self._door = self._door, None
        if connection is not None:
            connection.abort()
        if door is not None:
            door.close()

    def _start(self, host: str) -> Connection:
        try:
            return self._persist(host)
        except HostUnreachable as error:
            self._failed = (time.monotonic(), error)
            raise self._about(error, host) from None

    def _persist(self, host: str) -> Connection:
        why = ""
        for attempt in range(START_ATTEMPTS):
            if attempt:
                # Jitter, so that a fleet behind one jump host does not come back all at once.
                time.sleep(random.uniform(0.125, 0.25) * 2**attempt)  # noqa: S311
            try:
                return self._attempt(host)
            except _HungUp as hung_up:
                why = str(hung_up)
        sentence = f"{self.target.place} hangs up before it says anything ({why})."
        question = "Is it an SSH server, or one that is overrun (MaxStartups)?"
        raise HostUnreachable(host, "connect", f"{sentence} {question} Try `{self.target.command}`.")

    def _gateway(self, host: str) -> Connection | None:
        """The jump host's connection, one that answers."""
        if self.via is None:
            return None
        connection = self.via.open(host)
        if time.monotonic() - connection.heard > TRUSTED and not connection.answers(GATEWAY_PATIENCE):
            self.via._drop(connection)
            connection = self.via.open(host)
        return connection

    def _about(self, error: HostUnreachable, host: str) -> HostUnreachable:
        """The error as ``host``'s own: what happened at its jump host says so."""
        sentence = str(error).removeprefix(f"{error.host}: ")
        if self.target.alias != host and not sentence.startswith("the jump host "):
            sentence = f"the jump host {self.target.alias}: {sentence}"
        return HostUnreachable(host, error.step, sentence)

    def _attempt(self, host: str) -> Connection:
        begun = time.monotonic()
        gateway = self._gateway(host)  # before the throttle: it takes its own turn
        with self._shop.starts:
            door = Door(host, self.target, self._shop.connect_timeout, gateway)
            entry = Entry(host, self.target, self._shop.keys)
            check = HostKeyCheck(host, self.target)
            connection = wire.new_connection(
                self.target.hostname,
                self.target.port,
                door.open,
                Transports(key_types=check.key_types, patience=self._shop.connect_timeout),
                check,
                entry,
            )
            try:
                with self._shop.guard(self._shop.connect_timeout + LOGIN_PATIENCE, connection.abort):
                    connection.dial()
            except BaseException as error:
                readable = _readable(error, self.target, door)
                connection.abort()
                door.close()
                raise readable from None
        self._door = door
        self.login = self._describe(connection, door, entry, time.monotonic() - begun)
        return connection

    def _describe(self, connection: Connection, door: Door, entry: Entry, seconds: float) -> Login:
        key = connection.transport.get_remote_server_key()
        return Login(
            host=self.target.alias,
            address=door.address,
            port=self.target.port,
            user=self.target.user,
            key=entry.opened,
            host_key=f"{short_type(key.get_name())} {key.fingerprint}",
            jump=self.target.way or None,
            server=connection.transport.remote_version.removeprefix("SSH-2.0-"),
            seconds=seconds,
            notes=tuple(entry.notes),
        )


class _HungUp(Exception):
    """The server closed the connection before its banner: it may have no room at the moment."""


def _readable(error: BaseException, target: Target, door: Door) -> BaseException:
    """What went wrong while connecting, as the error to raise."""
    if isinstance(error, HostUnreachable) or not isinstance(error, Exception):
        return error
    text = door.complaint() or str(error) or "connection closed"
    if isinstance(error, EOFError | ConnectionError) or "protocol banner" in str(error):
        if door.seconds_open >= door.timeout:
            sentence = f"{target.place} is open, but says nothing for {door.timeout:g} s."
            return HostUnreachable(door.host, "connect", f"{sentence} Is it an SSH server? Try `{target.command}`.")
        return _HungUp(text)
    if isinstance(error, paramiko.SSHException | OSError | ConnectionLost):
        sentence = f"the SSH handshake with {target.place} failed ({text}). Compare with `ssh -v {target.alias}`."
        return HostUnreachable(door.host, "connect", sentence)
    return error
