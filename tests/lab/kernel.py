"""A notebook's kernel without a browser: cells are run, interrupted, and what they display is kept."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_client import KernelManager


class Kernel:
    """One kernel that a person watches: it may ask for input, so rollouts run in the background."""

    def __init__(self, manager: KernelManager, client: Any) -> None:
        self._manager = manager
        self._client = client
        self.printed: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self.displayed: dict[str, dict[str, Any]] = {}
        """What each output that can be updated shows now, by its id."""

    def start(self, source: str) -> str:
        """Begins a cell; its id."""
        return str(self._client.execute(source, allow_stdin=True, stop_on_error=False))

    def ended(self, cell: str, seconds: float = 120.0) -> None:
        """Waits until a cell has ended."""
        self._listen(lambda message: _is_idle(message, cell), f"the end of {cell}", seconds)

    def says(self, cell: str, text: str, seconds: float = 30.0) -> None:
        """Waits until a cell has printed ``text``."""
        self._listen(lambda message: text in self.printed.get(cell, ""), f"{text!r} of {cell}", seconds)

    def run(self, source: str, seconds: float = 120.0) -> str:
        """Runs a cell to its end; what it printed. Raises for an error in it."""
        cell = self.start(source)
        self.ended(cell, seconds)
        assert cell not in self.errors, self.errors[cell]
        return self.printed.get(cell, "")

    def interrupt(self) -> None:
        """As a person does who presses I twice."""
        self._manager.interrupt_kernel()

    def shows(self, text: str, seconds: float = 60.0) -> dict[str, Any]:
        """Waits until some output shows ``text``; all that it shows."""
        found = self._showing(text)
        if found is None:
            self._listen(lambda message: self._showing(text) is not None, f"an output with {text!r}", seconds)
            found = self._showing(text)
        assert found is not None
        return found

    def _showing(self, text: str) -> dict[str, Any] | None:
        return next((data for data in self.displayed.values() if text in str(data.get("text/plain"))), None)

    def _listen(self, until: Any, what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                message = self._client.get_iopub_msg(timeout=0.5)
                self._keep(message)
                if until(message):
                    return
        raise AssertionError(f"not within {seconds:g} s: {what}; {list(self.displayed.values())}")

    def _keep(self, message: dict[str, Any]) -> None:
        kind, content, cell = message["msg_type"], message["content"], message["parent_header"].get("msg_id", "")
        if kind == "stream":
            self.printed[cell] = self.printed.get(cell, "") + content["text"]
        if kind == "error":
            self.errors[cell] = "\n".join([content["ename"], content["evalue"]])
        if kind in ("display_data", "update_display_data"):
            self.displayed[str(content.get("transient", {}).get("display_id", cell))] = content["data"]


def _is_idle(message: dict[str, Any], cell: str) -> bool:
    is_status = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
    return bool(is_status and message["parent_header"].get("msg_id") == cell)


@contextlib.contextmanager
def kernel(directory: Path, env: dict[str, str]) -> Iterator[Kernel]:
    """A kernel of this Python until the block ends."""
    manager = KernelManager()
    manager.start_kernel(cwd=str(directory), env=env)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
