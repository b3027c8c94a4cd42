"""A dry run: looks for real, changes nothing, and says what would run."""

from __future__ import annotations

from .executor import Abort, Executor, Hold, OnLine, OnResult, never
from .live import OnPiece
from .script import Script
from .shell import Command, Result

WOULD = "would run"


class DryRunExecutor:
    """For one job: passes on what only looks, until the first change; from then on each command is answered as if it
    had gone well (``Command.example``), since what it would look at is not there.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._changed = False

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        """See ``Executor.run``. A command that would run is told with ``stderr`` “would run”."""
        if not script.changes and not self._changed:
            return self._executor.run(host, script, on_result, on_line, abort)
        self._changed = True
        results = []
        number = 0
        for section in script.sections:
            for step in section.steps:
                results.append(_as_if(step))
                on_result(number, results[-1])
                number += 1
            number += len(section.undo)
        return tuple(results)

    def hold(self, host: str, command: Command, heartbeat: float) -> Hold:
        """A dry run changes nothing, so it takes no lock."""
        raise NotImplementedError("a dry run takes no lock")

    def stream(
        self,
        host: str,
        command: Command,
        on_piece: OnPiece,
        abort: Abort = never,
        *,
        over: Command | None = None,
        limit: float = float("inf"),
    ) -> Result:
        """Says what would run."""
        return _as_if(command)

    def close(self) -> None:
        """Lets the connections go."""
        self._executor.close()


def _as_if(step: Command) -> Result:
    return Result(name=step.name, line=str(step), exited=0, stdout=step.example, stderr=WOULD)
