"""Runs one rollout in a thread of its own. Every way to stop it comes here: button, method, interrupt, signal."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import KamalnbError
from ..fleet import Rollout as CoreRollout
from .history import History


class Runner:
    """Starts once, whoever calls and how often; ``cancel`` may come before, meanwhile or after.

    ``then`` is called in the runner's thread when everything is told.
    """

    def __init__(self, begin: Callable[[], CoreRollout], history: History, then: Callable[[], None]) -> None:
        self._begin = begin
        self._history = history
        self._then = then
        self._once = threading.Lock()
        self._guard = threading.Lock()
        self._rollout: CoreRollout | None = None
        self._cancelled = False

    def start(self) -> bool:
        """Begins; False where it was begun already."""
        if not self._once.acquire(blocking=False):
            return False
        # Not a daemon: Python waits for it at the end, so that no host is left in the middle.
        threading.Thread(target=self._run, name="kamalnb-rollout").start()
        return True

    def cancel(self) -> None:
        """Hosts before their switch undo, hosts past it finish. Returns at once; what comes of it is told."""
        with self._guard:
            self._cancelled = True
            rollout = self._rollout
        if rollout is not None:
            rollout.cancel()

    def _run(self) -> None:
        sentence, code = "", 1
        try:
            rollout = self._begin()
            with self._guard:
                self._rollout = rollout
                cancelled = self._cancelled
            if cancelled:
                rollout.cancel()
            for event in rollout:
                self._history.add(event)
            sentence = "The run did not say how it ended. fleet.status() shows where the hosts stand."
        except KamalnbError as error:
            sentence, code = str(error), error.exit_code
        except Exception as error:
            sentence, code = f"A defect of kamalnb: {error!r}. fleet.status() shows where the hosts stand.", 70
        finally:
            self._history.end(sentence, code)
            self._then()
