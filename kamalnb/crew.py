"""Work on many hosts at once, in plain threads.

Not in a pool of ``concurrent.futures``: those take no work any more once the interpreter ends, while threads like these
may still begin. A rollout that goes on in the background must come to its end then too, with its locks let go.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begun(work: Callable[[T], None], items: Sequence[T], most: int) -> list[threading.Thread]:
    """Threads, ``most`` at the most, that do ``work`` for each item; it has to keep its errors to itself."""
    todo: queue.SimpleQueue[T] = queue.SimpleQueue()
    for item in items:
        todo.put(item)
    threads = [threading.Thread(target=_worked, args=(work, todo), name="kamalnb-crew") for _ in items[:most]]
    for thread in threads:
        thread.start()
    return threads


def ended(threads: Iterable[threading.Thread]) -> None:
    """Returns when the last one is through."""
    for thread in threads:
        thread.join()


def side_by_side(work: Callable[[T], None], items: Sequence[T], most: int) -> None:
    """Does ``work`` for each item and returns when all of it is done. Raises the error of the first one that failed."""
    futures = [Future[None]() for _ in items]
    ended(begun(lambda number: _into(futures[number], lambda: work(items[number])), range(len(items)), most))
    for future in futures:
        future.result()


def beside(work: Callable[[], T]) -> tuple[Future[T], threading.Thread]:
    """Begins ``work``; what will hold its result or its error, and its thread."""
    future: Future[T] = Future()
    thread = threading.Thread(target=_into, args=(future, work), name="kamalnb-aside")
    thread.start()
    return future, thread


def _into(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


def _worked(work: Callable[[T], None], todo: queue.SimpleQueue[T]) -> None:
    while True:
        try:
            item = todo.get_nowait()
        except queue.Empty:
            return
        work(item)
