"""A run that is going on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..engine import Engine
from ..errors import RolloutFailed
from ..events import Event
from ..report import Report
from ..runs import Stream


class Rollout:
    """A run that is going on: iterate over its events, or ``wait``. ``report`` is always the state so far.

    It runs once: who iterates again, or waits for what has ended, changes nothing any more.

    ``cancel`` may be called from anywhere: hosts before their switch undo, hosts past it finish.
    """

    def __init__(self, engine: Engine, stream: Callable[[Engine], Stream], target: str = "") -> None:
        self.target = target
        """What a person types to confirm it; "" where only its plan tells."""
        self._engine = engine
        self._stream = stream
        self._begun = False
        self.report = Report()

    def __iter__(self) -> Iterator[Event]:
        if self._begun:
            return
        self._begun = True
        stream = self._stream(self._engine)
        try:
            for event in stream:
                self.report = self.report.after(event)
                yield event
        finally:
            stream.close()
            self._engine.executor.close()

    def cancel(self) -> None:
        """Asks the run to stop; it still tells everything until its end."""
        self._engine.cancel()

    def wait(self, check: bool = True) -> Report:
        """Runs to the end. Raises ``RolloutFailed`` where a host failed, unless ``check`` is False."""
        for _ in self:
            pass
        if check and not self.report.ok:
            sentence = self.report.finished.sentence if self.report.finished else "The run did not end."
            raise RolloutFailed(sentence, self.report)
        return self.report
