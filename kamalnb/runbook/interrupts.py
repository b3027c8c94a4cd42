"""Ctrl-C inside the kernel of a runbook: raised once, and only while a cell's own code runs.

A moment before or after, it would be raised in ipykernel itself, which passes over it but never answers for the cell:
the runner would wait for ever. So an interrupt at such a moment is left out here, and the runner repeats it.
"""

from __future__ import annotations

import signal
from types import CodeType, FrameType


def only_in_cells() -> None:
    """From the next cell on."""
    from IPython import get_ipython

    shell = get_ipython()  # type: ignore[no-untyped-call,unused-ignore]
    handler = Handler(type(shell).run_code.__code__)
    # Before each message ipykernel puts the usual handler in place by this hook, and takes it away behind it.
    shell.kernel.pre_handler_hook = lambda: signal.signal(signal.SIGINT, handler)


class Handler:
    """``code`` is IPython's, below every cell: it answers for whatever a cell raises."""

    def __init__(self, code: CodeType) -> None:
        self._code = code
        self._raised = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """A second one would leave a rollout that the first has asked to stop."""
        if not self._raised and self._in_cell(frame):
            self._raised = True
            raise KeyboardInterrupt

    def _in_cell(self, frame: FrameType | None) -> bool:
        while frame is not None and frame.f_code is not self._code:
            frame = frame.f_back
        return frame is not None
