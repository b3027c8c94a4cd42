"""The WebSocket lane: one open connection, an echo every fifth of a second, opened again as soon as it closes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from .exchange import Lane, Pace, Result
from .http import Connection, Lost
from .values import Kind, Outcome
from .websocket import EchoSocket, handshake

RETRY = 0.05  # seconds between handshakes while they fail, so that a dead host does not make us spin
GOODBYE = 1.0  # seconds a server has to answer our close frame


@dataclass(eq=False, kw_only=True)
class EchoLane(Lane):
    """Keeps a WebSocket open and counts what happens to it."""

    async def websocket(self) -> None:
        """One WebSocket after the other, until the load ends."""
        due = 0.0
        while await self.stop.until(due) and self.may_start():
            connection = await self.shake_hands()
            if connection is not None:
                try:
                    await self.hold(EchoSocket(connection))
                finally:
                    connection.close()
            due = monotonic() + (RETRY if connection is None else 0.0)

    async def shake_hands(self) -> Connection | None:
        start = monotonic()
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self.profile.timeout):
                connection = await Connection.open(self.target)
                answer = await handshake(connection, self.target)
            result = Result(answer.status, answer.version)
        except Lost as lost:
            result = Result.of(lost)
        except TimeoutError:
            result = Result(outcome=Outcome.TIMEOUT, reason=f"no WebSocket within {self.profile.timeout:g} s")
        self.end(Kind.WEBSOCKET, start, connection, result)
        if result.ok:
            self.book.count("websockets opened")
            return connection
        if connection is not None:
            connection.close()
        return None

    async def hold(self, socket: EchoSocket) -> None:
        """Echoes until it closes. A close frame is no loss, whatever was under way; breaking off is one."""
        opened = monotonic()
        listener = asyncio.create_task(socket.listen())
        try:
            await self.echo(socket, listener)
            if listener.done():
                listener.result()
                self.book.count("websockets closed")
            else:
                await self.take_leave(socket, listener)
            self.book.count("echoes unanswered", len(socket.waiting))
        except Lost as lost:
            self.book.start()
            self.end(Kind.WEBSOCKET, opened, socket.connection, Result.of(lost))
        finally:
            self.book.count("echoes", socket.echoes)
            listener.cancel()
            with suppress(asyncio.CancelledError, Lost):
                await listener

    async def echo(self, socket: EchoSocket, listener: asyncio.Task[None]) -> None:
        """Sends until the server closes or the load ends. ``Lost`` when an echo is overdue."""
        pace, number = Pace(self.profile.echo_every, monotonic()), 0
        while not (listener.done() or self.stop.asked):
            now = monotonic()
            if now - next(iter(socket.waiting.values()), now) > self.profile.timeout:
                raise Lost(Outcome.TIMEOUT, f"no WebSocket echo within {self.profile.timeout:g} s")
            socket.send(f"echo {socket.connection.number}-{number}".encode(), now)
            number += 1
            wait = pace.step(now) - now
            await asyncio.wait({listener, self.stop.ended}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)

    async def take_leave(self, socket: EchoSocket, listener: asyncio.Task[None]) -> None:
        """Closes from our side; a server answers what came before our close frame, and then that."""
        socket.say_goodbye()
        await asyncio.wait({listener}, timeout=GOODBYE)
