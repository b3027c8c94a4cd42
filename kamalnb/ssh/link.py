"""One kept connection per target: opened when needed, shared, opened again when it died. Imported late, with Fabric.

Where sshd lets few sessions in on one connection (``MaxSessions``), there are as many more as it takes.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import paramiko

from ..errors import HostUnreachable
from . import lines, wire
from .door import Door
from .hold import SshHold
from .keys import KeyRing
from .lines import Line, Lines
from .live import SshLive
from .login import Entry, HostKeyCheck, short_type
from .talk import Exchange
from .target import Login, Target
from .transport import Pulse, Transports
from .wire import Connection, ConnectionLost, NoRoom

START_ATTEMPTS = 5
"""Tries where sshd drops new connections before its banner (MaxStartups)."""

LOGIN_PATIENCE = 75.0
"""Seconds for handshake and login together. An agent may be asking a person to touch a key."""

EVALUATE = "exec /bin/sh -c 'eval \"$(head -c {})\"'"
"""Reads so many bytes of script from stdin and leaves what follows to the script. Login shells all read it alike."""

_SILENT = "logged in, but no shell could be opened ({})."
_FULL = "it allows no session on a connection (MaxSessions)."

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
    """The way to a target: one connection, or a few."""

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
        self._sessions = threading.BoundedSemaphore(lines.SESSIONS)
        self._lines = Lines()
        self._used = 0.0
        self._running = 0
        self._failed: tuple[float, HostUnreachable] | None = None

    def converse(self, host: str, begin: Callable[[], Exchange]) -> Exchange:
        """Runs one script over it: ``begin`` is called once it is open, so that getting in is on nobody's clock.

        Raises HostUnreachable only where nothing was sent.
        """
        with self._sessions, self._noted():
            self.open(host)
            exchange = begin()
            lost = self._try(host, exchange)
            if lost is not None and not exchange.sent:
                lost = self._try(host, exchange)
            if lost is not None and not exchange.sent:
                raise self._no_session(host, _SILENT.format(lost))
            return exchange

    def hold(self, host: str, text: str, heartbeat: float) -> SshHold:
        """A session that stays open until it is released. Raises HostUnreachable. Not one of the ``SESSIONS``."""
        with self._session(host, text.encode()) as (line, channel):
            line.holds.add(hold := SshHold(channel, text, heartbeat))
            return hold

    def stream(self, host: str, live: SshLive) -> None:
        """Runs ``live`` to its end in a session of its own. Raises HostUnreachable where nothing was sent."""
        with self._sessions, self._noted(), self._session(host, live.text) as (line, channel):
            live.run(channel, Pulse(line.connection.transport))
            if live.dead:
                self.dropped(line.connection)

    @contextlib.contextmanager
    def _session(self, host: str, text: bytes) -> Iterator[tuple[Line, paramiko.Channel]]:
        """A session that reads ``text`` first and leaves what comes after it to that."""
        line, channel = self._started(host, EVALUATE.format(len(text)))
        try:
            yield line, channel
        finally:
            self._left(line, had=True)

    def _started(self, host: str, command: str) -> tuple[Line, paramiko.Channel]:
        lost: ConnectionLost | None = None
        self.open(host)
        while True:
            line = self._entered(host)
            try:
                with self._shop.guard(2 * wire.SESSION_PATIENCE, line.connection.abort):
                    return line, line.connection.start_session(command)
            except NoRoom:
                self._narrow(host, line)
            except ConnectionLost as error:
                self.dropped(line.connection)
                if lost is not None:
                    raise self._no_session(host, _SILENT.format(error)) from None
                lost = error

    def _entered(self, host: str) -> Line:
        """A connection with room for one session more, which is counted from now on."""
        with self._opening:
            line = self._lines.roomy() or self._lines.add(self._start(host))
            line.busy += 1
            return line

    def _left(self, line: Line, *, had: bool) -> None:
        with self._opening:
            line.busy -= 1
            line.had += had

    def _narrow(self, host: str, line: Line) -> None:
        """The next session goes over another connection. Raises HostUnreachable where none would take it."""
        with self._opening:
            lets_in = self._lines.narrow(line)
        self._left(line, had=False)
        if not lets_in:
            raise self._no_session(host, _FULL) from None

    def open(self, host: str) -> Connection:
        """The open connection. ``host`` is whom an error is about."""
        asked = time.monotonic()
        with self._opening:
            if self._failed is not None and self._failed[0] > asked:
                # Somebody tried while we waited: fifty hosts behind a dead jump host wait for it once.
                raise self._about(self._failed[1], host)
            line = self._lines.first
            if line is None or not line.alive or self._is_stale():
                line = self._lines.put_first(self._start(host))
                self._used = time.monotonic()
            return line.connection

    def close(self) -> None:
        """Lets everything go; what runs over it is cut off."""
        self._lines.let_go(lambda line: True)

    def dropped(self, connection: Connection) -> None:
        """Lets a connection go that does not answer any more."""
        connection.abort()
        with self._opening:
            self._lines.let_go(lambda line: line.connection is connection)

    def _try(self, host: str, exchange: Exchange) -> ConnectionLost | None:
        while True:
            line = self._entered(host)
            exchange.guard = partial(self._guarded, line)
            try:
                # Opening the session has its own limit, starting the shell has none.
                with exchange.guard(exchange.limit + 2 * wire.SESSION_PATIENCE):
                    line.connection.converse(exchange)
            except NoRoom:  # what runs on this connection is left in peace
                self._narrow(host, line)
                continue
            except ConnectionLost as lost:
                self.dropped(line.connection)
                return lost
            except BaseException:
                self._left(line, had=True)
                raise
            self._left(line, had=True)
            if exchange.dead:
                self.dropped(line.connection)
            return None

    def _guarded(self, line: Line, seconds: float) -> contextlib.AbstractContextManager[None]:
        return self._shop.guard(seconds, line.connection.abort)

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
        return idle and self._running <= 1 and not self.carries and not self._lines.held

    def _start(self, host: str) -> Line:
        try:
            return self._persist(host)
        except HostUnreachable as error:
            self._failed = (time.monotonic(), error)
            raise self._about(error, host) from None

    def _persist(self, host: str) -> Line:
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
            self.via.dropped(connection)
            connection = self.via.open(host)
        return connection

    def _about(self, error: HostUnreachable, host: str) -> HostUnreachable:
        """The error as ``host``'s own: what happened at its jump host says so."""
        sentence = str(error).removeprefix(f"{error.host}: ")
        if self.target.alias != host and not sentence.startswith("the jump host "):
            sentence = f"the jump host {self.target.alias}: {sentence}"
        return HostUnreachable(host, error.step, sentence)

    def _attempt(self, host: str) -> Line:
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
        self.login = self._describe(connection, door, entry, time.monotonic() - begun)
        return Line(connection, door)

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
