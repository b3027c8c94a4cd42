"""Follows a rollout to its end, whatever is pressed: the first Ctrl-C stops the run, the second leaves it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from .. import exits
from ..events import Event
from ..fleet import Rollout
from ..report import Report
from .choice import Presenter


def follow(rollout: Rollout, presenter: Presenter) -> int:
    """Shows every event of ``rollout``, then its end. The exit code for it."""
    shown = _Audience(presenter)

    def leave() -> None:
        shown.leave(rollout.report)
        # Not by raising: the threads of the run would be waited for.
        os._exit(exits.STOPPED)

    try:
        with Stopping(rollout.cancel, leave):
            for event in rollout:
                shown.show(event, rollout.report)
            shown.close(rollout.report)
    finally:
        shown.restore()
    return exits.of(rollout.report)


class Stopping:
    """While it lasts, the first SIGINT calls ``cancel`` and the second ``leave``; SIGTERM and SIGHUP only cancel.

    Nothing is raised: an exception could come anywhere, also in the middle of an undo. The handler only puts
    into a queue that may be used from handlers; a thread does the rest, since ``cancel`` takes locks.
    """

    def __init__(self, cancel: Callable[[], None], leave: Callable[[], None]) -> None:
        self._cancel = cancel
        self._leave = leave
        self._came: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                if (number := getattr(signal, name, None)) is not None:
                    self._before[number] = signal.signal(number, self._handle)
        threading.Thread(target=self._watch, name="kamalnb-stopping", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._came.put(None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._came.put(number)

    def _watch(self) -> None:
        cancelled = False
        while (number := self._came.get()) is not None:
            if not cancelled:
                cancelled = True
                self._cancel()
            elif number == signal.SIGINT:
                self._leave()


class _Audience:
    """A presenter whose terminal may go away (``| head``, a closed window): the run goes on without it."""

    def __init__(self, presenter: Presenter) -> None:
        self._presenter = presenter
        self._gone = False
        self._left = False

    def show(self, event: Event, report: Report) -> None:
        if not self._left:
            self._tell(lambda: self._presenter.show(event, report))

    def close(self, report: Report) -> None:
        if not self._left:
            self._tell(lambda: self._presenter.close(report))

    def leave(self, report: Report) -> None:
        self._left = True
        self._tell(lambda: self._presenter.leave(report))
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()

    def restore(self) -> None:
        self._tell(self._presenter.restore)

    def _tell(self, action: Callable[[], None]) -> None:
        if self._gone:
            return
        try:
            action()
        except OSError:
            self._gone = True
            # What is still in the buffer must not raise again when Python ends.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
