"""One thing at a time in a thread: what a click asks for, so that no click ever waits for a host."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import KamalnbError


class Worker:
    """``ask`` from any thread, twice at once too: what comes while something is done is dropped, and said so."""

    def __init__(self, busy: Callable[[str], None], told: Callable[[str, bool], None]) -> None:
        self._busy = busy
        self._told = told
        self._one = threading.Lock()

    def ask(self, what: str, action: Callable[[], str]) -> bool:
        """Does ``action`` in the background; its sentence, or its error's, is told. False where one is being done."""
        if not self._one.acquire(blocking=False):
            return False
        self._busy(what)
        threading.Thread(target=self._work, args=(action,), name="kamalnb-panel", daemon=True).start()
        return True

    def _work(self, action: Callable[[], str]) -> None:
        said, well = "", True
        try:
            said = action()
        except KamalnbError as error:
            said, well = str(error), False
        except Exception as error:
            said, well = f"A defect of kamalnb: {error!r}.", False
        finally:
            self._one.release()
            self._told(said, well)
