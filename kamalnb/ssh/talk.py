"""One script over one channel: what goes in and what comes out, in the calling thread. No Fabric in here."""

from __future__ import annotations

import codecs
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import paramiko

OUTPUT_CAP = 32 << 20
"""Bytes of output taken from one script."""

ASK_AFTER = 15.0
"""Seconds without any packet after which the host is asked for a sign of life."""

DEAD_AFTER = 60.0
"""Seconds without any packet, and with questions unanswered, after which it is taken for dead."""

LEFTOVERS = 2.0
"""Seconds for output of things a dead shell left behind."""

TICK = 0.25
"""Seconds between two looks at the clock while nothing comes."""

_PIECE = 1 << 20
_PACKET = 32 << 10


class Line:
    """The connection below a conversation, as far as it says whether anybody is there. This one never asks."""

    def heard(self) -> float:
        """When the last packet came in, on the monotonic clock."""
        return time.monotonic()

    def ask(self) -> None:
        """Asks for a sign of life, without waiting for it."""


@dataclass(slots=True)
class Exchange:
    """A script on its way, and how it went."""

    text: bytes
    out: Callable[[str], None]
    err: Callable[[str], None]
    done: Callable[[], bool]
    limit: float
    """Seconds from the first byte sent."""
    abort: Callable[[], bool] = lambda: False
    """Asked a few times a second; True ends it."""
    guard: Callable[[float], contextlib.AbstractContextManager[None]] = lambda seconds: contextlib.nullcontext()
    """``guard(seconds)`` ends the connection when its block is not left in time: writes cannot be given a limit."""
    line: Line = field(default_factory=Line)
    sent: bool = False
    """Something of ``text`` has left: from now on nothing may be tried again."""
    note: str = ""
    """Why it was given up, if it was."""
    dead: bool = False
    """The host did not answer any more: the connection is of no use."""
    failure: Exception | None = None
    """What ``out`` or ``err`` raised."""
    taken: int = 0
    _decoders: dict[bool, codecs.IncrementalDecoder] = field(default_factory=dict)

    def take(self, data: bytes, error: bool) -> None:
        """Hands on a piece of output."""
        if error not in self._decoders:
            self._decoders[error] = codecs.getincrementaldecoder("utf-8")("replace")
        self.taken += len(data)
        text = self._decoders[error].decode(data)
        try:
            (self.err if error else self.out)(text)
        except Exception as failure:  # the listener's; kept apart from errors of the connection
            self.failure = failure

    @property
    def over(self) -> bool:
        """Nothing more is wanted."""
        return self.failure is not None or bool(self.note) or self.done()


class Signal:
    """Wakes the reader when either stream has something. paramiko clears it when *one* is empty: ignored."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.set = self._event.set
        self.reset = self._event.clear
        self.wait = self._event.wait

    def clear(self) -> None:
        """Called by paramiko."""


class Conversation:
    """Sends the script and takes its output, both at once, until it is done, given up or cut off."""

    def __init__(self, channel: paramiko.Channel, exchange: Exchange) -> None:
        self._channel = channel
        self._exchange = exchange
        self._rest = memoryview(exchange.text)
        self._deadline = time.monotonic() + exchange.limit
        self._asked = 0.0
        self._exited = 0.0
        self._signal = Signal()
        channel.in_buffer.set_event(self._signal)  # type: ignore[arg-type]
        channel.in_stderr_buffer.set_event(self._signal)  # type: ignore[arg-type]

    def hold(self) -> None:
        """Returns when it is over. Leftovers of a script that is done are not waited for."""
        with self._exchange.guard(self._exchange.limit + 1.0):
            while not self._exchange.over:
                self._signal.reset()
                ended = bool(self._channel.closed or self._channel.eof_received)
                moved = self._send() | self._receive()
                now = time.monotonic()
                self._give_up(now)
                if not moved:
                    if ended or self._left_alone(now):
                        return
                    self._signal.wait(0.05 if self._rest else max(0.0, min(TICK, self._deadline - now)))

    def _send(self) -> bool:
        """Sends what the host has room for, never more: a script and its output must not wait for each other."""
        if not self._rest:
            return False
        before = len(self._rest)
        with contextlib.suppress(OSError):
            while self._rest and self._channel.send_ready() and not self._channel.closed:
                self._exchange.sent = True
                self._rest = self._rest[self._channel.send(bytes(self._rest[:_PACKET])) :]
                if self._channel.recv_ready() or self._channel.recv_stderr_ready():
                    break
            if not self._rest:
                self._channel.shutdown_write()
        return len(self._rest) < before

    def _receive(self) -> bool:
        out, err = self._channel.recv_ready(), self._channel.recv_stderr_ready()
        if out:
            self._exchange.take(self._channel.recv(_PIECE), error=False)
        if err:
            self._exchange.take(self._channel.recv_stderr(_PIECE), error=True)
        return out or err

    def _left_alone(self, now: float) -> bool:
        """The shell is gone, and something it left behind holds its output open."""
        if not self._channel.exit_status_ready():
            return False
        self._exited = self._exited or now
        return now - self._exited > LEFTOVERS

    def _give_up(self, now: float) -> None:
        exchange = self._exchange
        heard = exchange.line.heard()
        if exchange.taken > OUTPUT_CAP:
            exchange.note = f"it printed more than {OUTPUT_CAP >> 20} MiB and was cut off"
        elif exchange.abort():
            exchange.note = "stopped on request"
        elif now >= self._deadline:
            exchange.note = f"given up after {exchange.limit:g} s, its time limit"
        elif now - heard > DEAD_AFTER and self._asked > heard:
            exchange.note, exchange.dead = f"the host has not answered for {DEAD_AFTER:g} s", True
        elif now - max(heard, self._asked) > ASK_AFTER:
            self._asked = now
            exchange.line.ask()
