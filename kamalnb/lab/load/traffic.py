"""The HTTP lanes: each sends one kind of traffic to one host until it is told to stop.

A client here behaves as a correct one does: a kept connection that the server closed between two requests is
opened anew, which loses nothing; a request that was sent is never sent again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from time import monotonic

from .echo import EchoLane
from .exchange import Pace
from .http import Ask, Connection
from .values import Kind

MAX_WAITING = 256  # requests on new connections that may wait for one host at a time
POST_LANES = 2
ONCE = ("Connection: close",)  # this connection carries one request: the client will not use it again
RETRY_SLOW = 0.05  # seconds between slow requests that fail at once, so that a dead host does not make us spin


@dataclass(eq=False, kw_only=True)
class Traffic(EchoLane):
    """Everything that goes to one host."""

    order_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def lanes(self) -> list[Coroutine[None, None, None]]:
        """The coroutines to run; each returns after the stop, when what it had in flight has ended."""
        profile, share = self.profile, 1 / self.hosts
        lanes: list[Coroutine[None, None, None]] = []
        if profile.new:
            lanes.append(self.new(1 / (profile.new * share)))
        if profile.keepalive and profile.connections:
            period = profile.connections / (profile.keepalive * share)
            lanes += [self.kept(period, period * i / profile.connections) for i in range(profile.connections)]
        if profile.post:
            period = POST_LANES / (profile.post * share)
            lanes += [self.post(period, period * i / POST_LANES) for i in range(POST_LANES)]
        lanes += [self.slow(profile.slow_seconds * i / profile.slow) for i in range(profile.slow)]
        lanes += [self.websocket() for _ in range(profile.websockets)]
        return lanes

    async def new(self, period: float) -> None:
        """A new connection at each tick, however long the earlier ones take: an outage must not slow the count."""
        pace, waiting = Pace(period, monotonic()), set[asyncio.Task[None]]()
        while await self.stop.until(pace.step(monotonic())):
            if len(waiting) >= MAX_WAITING:
                self.book.count("skipped")
            elif self.may_start():
                task = asyncio.create_task(self.once())
                waiting.add(task)
                task.add_done_callback(waiting.discard)
        await asyncio.gather(*waiting)

    async def once(self) -> None:
        await self.exchange(Kind.NEW, Ask(headers=ONCE))

    async def kept(self, period: float, offset: float) -> None:
        pace = Pace(period, monotonic() + offset - period)
        connection: Connection | None = None
        try:
            while await self.stop.until(pace.step(monotonic())) and self.may_start():
                _, connection = await self.exchange(Kind.KEEPALIVE, Ask(), connection)
        finally:
            if connection:
                connection.close()

    async def post(self, period: float, offset: float) -> None:
        pace = Pace(period, monotonic() + offset - period)
        connection: Connection | None = None
        try:
            while await self.stop.until(pace.step(monotonic())) and self.may_start():
                connection = await self.order(connection)
        finally:
            if connection:
                connection.close()

    async def order(self, kept: Connection | None) -> Connection | None:
        order = f"{self.run}-{self.target.name}-{next(self.order_numbers)}"
        headers = (f"X-Request-Id: {order}", "Content-Type: application/json")
        ask = Ask(method="POST", path="/orders", headers=headers, body=json.dumps({"id": order}).encode())
        self.book.send_order(order)
        result, connection = await self.exchange(Kind.POST, ask, kept)
        if result.ok:
            self.book.answer_order(order, seen=times_seen(result.body))
        return connection

    async def slow(self, offset: float) -> None:
        """One slow request after the other, so that one is always in flight."""
        due = monotonic() + offset
        while await self.stop.until(due) and self.may_start():
            ask = Ask(path=f"/slow?seconds={self.profile.slow_seconds:g}", headers=ONCE)
            result, _ = await self.exchange(Kind.SLOW, ask)
            due = monotonic() + (0.0 if result.ok else RETRY_SLOW)


def times_seen(body: bytes) -> int:
    """How often the process that answered has seen this order; 1 when it does not say."""
    try:
        return int(json.loads(body)["seen"])
    except (ValueError, KeyError, TypeError):
        return 1
