"""Paints a run at a bounded rate: however many events come, one picture a frame, and the last one is exact."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from .history import History
from .settings import options

IDLE = 0.18
"""Seconds after which a picture is painted though nothing happened: clocks run on."""


class Painter:
    """A thread that calls ``paint`` while things happen, and ``end`` once when all is told. Owns what they paint."""

    def __init__(
        self, history: History, paint: Callable[[], None], end: Callable[[], None], rate: float | None = None
    ) -> None:
        self._history = history
        self._paint = paint
        self._end = end
        self._rate = rate
        self.frames = 0
        self._pause = threading.Event()  # never set: a wait on it is a pause
        threading.Thread(target=self._run, name="kamalnb-painter", daemon=True).start()

    def _run(self) -> None:
        seen = -1
        while not self._history.ended:
            least = 1 / (self._rate or options.frames)
            begun = time.monotonic()
            seen = self._history.wait_for_more(seen, max(IDLE, least))
            self._safely(self._paint)
            self.frames += 1
            self._pause.wait(max(0.0, least - (time.monotonic() - begun)))
        self._safely(self._end)

    def _safely(self, action: Callable[[], None]) -> None:
        # Nobody would see an exception of this thread, and a page that went away must not end it.
        with contextlib.suppress(Exception):
            action()
