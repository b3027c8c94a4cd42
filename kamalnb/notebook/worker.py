"""One thing at a time in a thread: what a click asks for, so that no click ever waits for a host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import KamalnbError


class Worker:
    """``ask`` from any thread, twice at once too: what comes while something is done is dropped, and said so.

    What is urgent waits for its turn instead, one of each kind: an undo is not dropped for a look that waits.
    """

    def __init__(self, busy: Callable[[str], None], told: Callable[[str, bool], None]) -> None:
        self._busy = busy
        self._told = told
        self._one = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: set[str] = set()
        self._telling = threading.Lock()
        """Held while the end of one is told: whoever sees it may ask at once, and the beginning of that comes after."""

    def ask(self, what: str, action: Callable[[], str], *, urgent: bool = False) -> bool:
        """Does ``action`` in the background; its sentence, or its error's, is told. False where one is being done."""
        if self._one.acquire(blocking=False):
            with _undone_where_it_fails(self._one.release):
                self._begun(what)
                self._begin(self._work, action)
        elif urgent and self._waits(what):
            with _undone_where_it_fails(lambda: self._waiting.discard(what)):
                self._begin(self._work_then, what, action)
        else:
            return False
        return True

    def _waits(self, what: str) -> bool:
        """Whether nothing of this kind waited before."""
        with self._guard:
            new = what not in self._waiting
            self._waiting.add(what)
            return new

    def _begin(self, work: Callable[..., None], *given: object) -> None:
        threading.Thread(target=work, args=given, name="kamalnb-panel", daemon=True).start()

    def _work_then(self, what: str, action: Callable[[], str]) -> None:
        self._one.acquire()
        self._waiting.discard(what)
        with _undone_where_it_fails(self._one.release):
            self._begun(what)
        self._work(action)

    def _work(self, action: Callable[[], str]) -> None:
        said, well = "", True
        try:
            said = action()
        except KamalnbError as error:
            said, well = str(error), False
        except Exception as error:
            said, well = f"A defect of kamalnb: {error!r}.", False
        finally:
            with self._telling:
                self._one.release()
                self._told(said, well)

    def _begun(self, what: str) -> None:
        with self._telling:
            self._busy(what)


@contextmanager
def _undone_where_it_fails(undo: Callable[[], object]) -> Iterator[None]:
    """No thread, or a page that is gone: what was taken for it would be held for good."""
    try:
        yield
    except BaseException:
        undo()
        raise
