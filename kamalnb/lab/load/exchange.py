"""One request and its record; the lanes in ``traffic`` and ``echo`` are made of these."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

from .book import Book
from .http import Ask, Connection, Lost, Target
from .values import Kind, Outcome, Profile, Record


class Stop:
    """The end of the load, as something that lanes can wait for beside the clock. Made inside the running loop."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting: set[asyncio.Future[None]] = set()

    @property
    def asked(self) -> bool:
        return self.ended.done()

    def set(self) -> None:
        for future in (self.ended, *self.waiting):
            if not future.done():
                future.set_result(None)

    async def until(self, when: float) -> bool:
        """Waits for the instant ``when``; true when it has come, false when the load ends instead."""
        loop = asyncio.get_running_loop()
        if self.asked:
            return False
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(when, lambda: None if future.done() else future.set_result(None))
        self.waiting.add(future)
        try:
            await future
        finally:
            timer.cancel()
            self.waiting.discard(future)
        return not self.asked


@dataclass(slots=True)
class Pace:
    """Even instants, ``period`` seconds apart; what was missed is not made up for."""

    period: float
    next: float

    def step(self, now: float) -> float:
        self.next = max(self.next + self.period, now)
        return self.next


@dataclass(frozen=True, slots=True)
class Result:
    """How one exchange ended."""

    status: int | None = None
    version: str | None = None
    outcome: Outcome = Outcome.OK
    reason: str = ""
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.OK

    @classmethod
    def of(cls, lost: Lost) -> Result:
        return cls(lost.status, lost.version, lost.outcome, lost.reason)


@dataclass(eq=False, kw_only=True)
class Lane:
    """What every lane of one host shares."""

    target: Target
    profile: Profile
    book: Book
    stop: Stop
    run: str
    hosts: int

    def may_start(self) -> bool:
        """Counts a request as started, unless the load is at its bound; then it ends here."""
        if self.book.started >= self.profile.max_requests:
            self.book.ended = self.book.ended or "max_requests"
            self.book.ended_at = self.book.ended_at or monotonic()
            self.stop.set()
            return False
        self.book.start()
        return True

    def end(self, kind: Kind, start: float, connection: Connection | None, result: Result) -> None:
        """Writes down how the request that ``may_start`` let go has ended."""
        self.book.add(
            Record(
                host=self.target.name,
                kind=kind,
                start=start,
                end=monotonic(),
                status=result.status,
                version=result.version,
                connection=connection.number if connection else 0,
                outcome=result.outcome,
                reason=result.reason,
            )
        )

    async def exchange(self, kind: Kind, ask: Ask, kept: Connection | None = None) -> tuple[Result, Connection | None]:
        """One request. Gives back the connection when it can carry another one."""
        start, connection, result = monotonic(), self.still_open(kept), Result()
        try:
            async with asyncio.timeout(self.profile.timeout):
                connection = connection or await Connection.open(self.target)
                answer = await connection.ask(ask, self.target)
            result = Result(answer.status, answer.version, body=answer.body)
        except Lost as lost:
            result = Result.of(lost)
        except TimeoutError:
            what = "no answer" if connection else "no connection"
            result = Result(outcome=Outcome.TIMEOUT, reason=f"{what} within {self.profile.timeout:g} s")
        finally:
            if connection and (result.status is None or not connection.usable):
                connection.close()  # also when this is cancelled
        self.end(kind, start, connection, result)
        return result, None if connection is None or connection.writer.is_closing() else connection

    def still_open(self, kept: Connection | None) -> Connection | None:
        """``kept``, unless the server closed it since its last answer: then the next request opens a new one."""
        if kept is None or kept.usable:
            return kept
        kept.close()
        self.book.count("reopened")
        return None
