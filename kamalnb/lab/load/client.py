"""``Load``: all lanes of all hosts, from an event loop (``async with``) or from anywhere else (``running_load``)."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic, thread_time
from urllib.parse import urlsplit

from ...errors import LabError
from .book import Book
from .exchange import Stop
from .http import Ask, Connection, Lost, Target
from .traffic import Traffic
from .values import Mark, Profile, Record, Tally


class Load:
    """Traffic to ``urls`` (host name: base URL), from entering ``async with`` to ``stop`` or the profile's bounds.

    ``host_header`` is sent as ``Host`` instead of the URL's own, for a proxy that routes by name. ``order`` gives the
    versions oldest first; without it, the first answers on each host decide which one is newer. ``lab_addresses``
    are addresses beside loopback that may be asked, ``trust`` is a file with the certificates to believe over HTTPS.
    ``LabError`` for any other target.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        profile: Profile | None = None,
        host_header: str | None = None,
        *,
        order: Sequence[str] = (),
        lab_addresses: Collection[str] = (),
        trust: str | None = None,
    ) -> None:
        if not urls:
            raise LabError("The load has no host to ask. Give it at least one URL.")
        self.profile = profile or Profile()
        self.targets = tuple(
            Target.of(name, url, host_header=host_header, lab_addresses=lab_addresses, trust=trust)
            for name, url in urls.items()
        )
        self.book = Book(tuple(urls), order)
        self.run = secrets.token_hex(4)  # makes our order ids ours
        self._tasks: list[asyncio.Task[None]] = []
        self._stop: Stop | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Load:
        loop = asyncio.get_running_loop()
        self._stop = Stop()
        self.book.began, self.book.cpu_began = monotonic(), thread_time()
        for target in self.targets:
            traffic = Traffic(
                target=target,
                profile=self.profile,
                book=self.book,
                stop=self._stop,
                run=self.run,
                hosts=len(self.targets),
            )
            self._tasks += [loop.create_task(lane) for lane in traffic.lanes()]
        self._timer = loop.call_later(self.profile.max_seconds, self._time_is_up)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    def _time_is_up(self) -> None:
        self.book.ended = self.book.ended or "max_seconds"
        self.ask_to_stop()

    def ask_to_stop(self) -> None:
        """No new requests from now on. Call it in the load's own event loop."""
        if self._stop is not None:
            self._stop.set()
            self.book.ended_at = self.book.ended_at or monotonic()

    async def finished(self) -> None:
        """Returns when every lane has ended: after ``stop``, or at one of the profile's bounds."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> Tally:
        """The final tally, after what was in flight has ended: at most the profile's ``timeout``. Callable again."""
        self.ask_to_stop()
        try:
            await self.finished()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()  # only when a lane died of a fault of ours are there any left
            await asyncio.sleep(0)  # lets closed connections go
        return self.snapshot()

    def snapshot(self) -> Tally:
        """How things stand now. Safe from any thread. Raises what a lane died of, rather than show a partial count."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error
        return self.book.tally(monotonic())

    def mark(self, label: str) -> Mark:
        """Names this instant; it appears in ``Tally.marks``."""
        return self.book.mark(monotonic(), label)

    def stage(self, label: str, order: Sequence[str] = ()) -> Mark:
        """Names this instant and begins a new order of versions.

        For a switch that goes back on purpose (an undo, a rollback): requests started from now on are held against
        each other only. Without it, an older version that serves again counts as mixed.
        """
        self.book.stage(monotonic(), order)
        return self.mark(label)

    def records(self) -> tuple[Record, ...]:
        """Every request that has ended, in order of its end; the rows of a DataFrame."""
        return tuple(self.book.records)

    def compare_orders(self, counted: Mapping[str, int] | Iterable[str]) -> Tally:
        """The tally, its order ids held against the server's: counts by id, or the lines of its order log."""
        counts = counted if isinstance(counted, Mapping) else Counter(line.strip() for line in counted)
        return self.book.compare(counts, self.snapshot())


class RunningLoad:
    """A ``Load`` in a thread and event loop of its own. Made by ``running_load``."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="kamalnb-load", daemon=True)

    def start(self) -> None:
        """Returns when the lanes run."""
        self._thread.start()
        self._ready.wait()

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # handed to whoever calls stop()
            self._error = error
        finally:
            self._ready.set()

    async def _run(self) -> None:
        async with self.load:
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self.load.finished()

    @property
    def running(self) -> bool:
        """False after ``stop``, and when the load ended at one of its bounds."""
        return self._thread.is_alive()

    def stop(self) -> Tally:
        """The final tally, after what was in flight has ended. May be called again."""
        if self._thread.is_alive() and self._loop is not None:
            with suppress(RuntimeError):  # the loop may just have ended by itself
                self._loop.call_soon_threadsafe(self.load.ask_to_stop)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self.load.snapshot()

    def snapshot(self) -> Tally:
        """See ``Load.snapshot``."""
        return self.load.snapshot()

    def mark(self, label: str) -> Mark:
        """See ``Load.mark``."""
        return self.load.mark(label)

    def stage(self, label: str, order: Sequence[str] = ()) -> Mark:
        """See ``Load.stage``."""
        return self.load.stage(label, order)

    def records(self) -> tuple[Record, ...]:
        """See ``Load.records``."""
        return self.load.records()

    def compare_orders(self, counted: Mapping[str, int] | Iterable[str]) -> Tally:
        """See ``Load.compare_orders``."""
        return self.load.compare_orders(counted)


@contextmanager
def running_load(
    urls: Mapping[str, str],
    profile: Profile | None = None,
    host_header: str | None = None,
    *,
    order: Sequence[str] = (),
    lab_addresses: Collection[str] = (),
    trust: str | None = None,
) -> Iterator[RunningLoad]:
    """A load that runs beside the ``with`` block, in its own thread; it is stopped at the block's end.

    The arguments are those of ``Load``. Raises ``LabError`` for a target outside the lab.
    """
    running = RunningLoad(Load(urls, profile, host_header, order=order, lab_addresses=lab_addresses, trust=trust))
    running.start()
    try:
        yield running
    finally:
        running.stop()


async def ask_orders(url: str, host_header: str | None = None, lab_addresses: Collection[str] = ()) -> dict[str, int]:
    """The order ids that the process behind ``url`` has counted. ``LabError`` when it does not say.

    One process knows only its own: after a switch, read the shared order log instead.
    """
    target = Target.of(urlsplit(url).netloc, url, host_header=host_header, lab_addresses=lab_addresses)
    try:
        async with asyncio.timeout(10):
            connection = await Connection.open(target)
            try:
                answer = await connection.ask(Ask(path="/orders", headers=("Connection: close",)), target)
            finally:
                connection.close()
        orders = json.loads(answer.body)["orders"]
        return {str(order): int(count) for order, count in orders.items()}
    except (Lost, TimeoutError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"{url} does not list its orders ({error}). Ask a running demo app.") from None
