"""One session for a command that prints as it runs. Heartbeats go in; without them the host ends it."""

from __future__ import annotations

import contextlib
import secrets as randomness
import threading
import time

import paramiko

from ..executor import Abort
from ..live import HEARTBEAT, AfterMark, OnPiece, render
from ..shell import Command, Result
from .talk import ASK_AFTER, DEAD_AFTER, TICK, Line, Signal

FAREWELL = 3.0
"""Seconds that a host is given to end what it was asked to end."""

_BEAT = b".\n"
_PIECE = 256 << 10


class SshLive:
    """A live command: ``text`` goes to a shell, its output to ``on_piece``, in the calling thread."""

    def __init__(self, command: Command, over: Command | None, on_piece: OnPiece, abort: Abort, limit: float) -> None:
        mark = "k" + randomness.token_hex(8)
        self.text = render(command, mark, over).encode(errors="surrogateescape")
        self.dead = False
        """The host did not answer any more: the connection is of no use."""
        self._command = command
        self._on_piece = on_piece
        self._abort = abort
        self._limit = limit
        self._streams = {False: AfterMark(mark), True: AfterMark(mark)}
        self._note = ""
        self._exited: int | None = None
        self._seconds = 0.0
        self._over = threading.Event()

    def run(self, channel: paramiko.Channel, line: Line) -> None:
        """Returns when it has ended, or was given up. What ``on_piece`` raises goes through."""
        began = time.monotonic()
        beats = threading.Thread(target=self._beat, args=(channel,), name="kamalnb-live", daemon=True)
        try:
            channel.sendall(self.text + _BEAT)
            beats.start()
            self._listen(channel, line, began + self._limit)
        except (OSError, EOFError) as error:
            self._note = self._note or f"the connection was lost ({error or type(error).__name__})"
        finally:
            self._seconds = time.monotonic() - began
            self._leave(channel)

    def result(self) -> Result:
        """How it ended."""
        name, line = self._command.name, str(self._command)
        note = self._note or ("" if self._exited is not None else "the connection was lost")
        return Result(name=name, line=line, exited=self._exited, stderr=note, seconds=self._seconds)

    def _listen(self, channel: paramiko.Channel, line: Line, until: float) -> None:
        signal = Signal()
        channel.in_buffer.set_event(signal)  # type: ignore[arg-type]
        channel.in_stderr_buffer.set_event(signal)  # type: ignore[arg-type]
        asked = 0.0
        while not self._note:
            signal.reset()
            ended = bool(channel.closed or channel.eof_received)
            moved = self._receive(channel)
            now = time.monotonic()
            if self._abort():
                self._note = "stopped on request"
            elif now >= until:
                self._note = f"ended after {self._limit:g} s, its time limit"
            elif moved:
                continue
            elif ended:
                self._exited = _exit_code(channel)
                return
            elif now - line.heard() > DEAD_AFTER and asked > line.heard():
                self._note, self.dead = f"the host has not answered for {DEAD_AFTER:g} s", True
            elif now - max(line.heard(), asked) > ASK_AFTER:
                asked = now
                line.ask()
            else:
                signal.wait(TICK)

    def _receive(self, channel: paramiko.Channel) -> bool:
        out, err = channel.recv_ready(), channel.recv_stderr_ready()
        if out:
            self._hand_on(False, channel.recv(_PIECE))
        if err:
            self._hand_on(True, channel.recv_stderr(_PIECE))
        return out or err

    def _hand_on(self, error: bool, data: bytes) -> None:
        printed = self._streams[error].feed(data)
        if printed:
            self._on_piece(error, printed)

    def _leave(self, channel: paramiko.Channel) -> None:
        """The end of stdin is what makes the host end the command, if it still runs."""
        self._over.set()
        with contextlib.suppress(OSError, EOFError):
            channel.shutdown_write()
            if not self.dead:
                channel.status_event.wait(FAREWELL)
        channel.close()

    def _beat(self, channel: paramiko.Channel) -> None:
        while not self._over.wait(HEARTBEAT):
            try:
                channel.sendall(_BEAT)
            except (OSError, EOFError):
                return


def _exit_code(channel: paramiko.Channel) -> int | None:
    """paramiko says -1 where the channel was closed without one."""
    channel.status_event.wait(FAREWELL)
    return channel.exit_status if channel.exit_status_ready() and channel.exit_status != -1 else None
