"""The kernel of a runbook: of this very Python, reached through sockets of this user."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import UsageError

NEEDED = ("nbclient", "nbformat", "ipykernel")


def must_be_installed() -> None:
    """Raises ``UsageError`` where Jupyter's parts are missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f'running a notebook needs {", ".join(missing)}. Install them: pip install "kamalnb[notebook]"'
        )


def environment(environ: Mapping[str, str], *, confirm: str, dry_run: bool) -> dict[str, str]:
    """What the kernel is told: nobody is there, what was typed before, whether to change anything."""
    ours = {"KAMALNB_HEADLESS": "1", "KAMALNB_CONFIRM": confirm, "KAMALNB_DRY_RUN": "1" if dry_run else ""}
    return {**environ, **ours}


def client_for(notebook: Any, cwd: Path, directory: Path) -> Any:
    """An nbclient over a kernel that is not started yet; its sockets are in ``directory``."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class ThisPython(KernelSpecManager):  # type: ignore[misc,unused-ignore]
        """Knows one kernel, whatever is installed on this machine under the name in the notebook."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name="Python 3", language="python", interrupt_mode="signal")

    manager = AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=ThisPython(),
        transport="ipc",
        connection_file=str(directory / "kernel.json"),
    )
    return NotebookClient(
        notebook,
        km=manager,
        timeout=None,
        store_widget_state=False,
        allow_errors=True,  # how a cell ended stands in its reply
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(cwd)}},
        extra_arguments=["--HistoryManager.enabled=False"],
    )


def interrupt(manager: Any) -> None:
    """Ctrl-C for what runs there. The kernel alone, not the programs it started: its SSH connections have to last."""
    _send(manager, signal.SIGINT)


def kill(manager: Any) -> None:
    """Ends a kernel that does not come to its end."""
    _send(manager, signal.SIGKILL)


def _send(manager: Any, number: signal.Signals) -> None:
    pid = getattr(manager.provisioner, "pid", None)
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
