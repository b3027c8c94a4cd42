"""Runbooks for tests: written into a project, run in a process of their own as a task would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kamalnb.runbook import template

RUN = """
import json, sys
from kamalnb.command_line import guarded
from kamalnb.runbook import run
name, given, how = json.loads(sys.argv[1])
sys.exit(guarded(lambda: run(name, given, **how)))
"""


@dataclass(frozen=True)
class Ran:
    """A run that has ended. ``record`` is the notebook it left."""

    code: int
    out: str
    err: str

    @property
    def path(self) -> Path:
        return Path(self.out.splitlines()[-1])

    @property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    @property
    def about(self) -> dict[str, Any]:
        about: dict[str, Any] = self.record["metadata"]["kamalnb"]
        return about

    @property
    def text(self) -> str:
        return self.path.read_text()


def write(directory: Path, name: str, *cells: str) -> Path:
    """A runbook of code cells; one that begins with ``#: TAG`` has that tag."""
    made = []
    for number, source in enumerate(cells):
        first, _, rest = source.partition("\n")
        tags, text = ([first[3:]], rest) if first.startswith("#: ") else ([], source)
        made.append(
            {
                "cell_type": "code", "id": f"c{number}", "metadata": {"tags": tags}, "source": text, "outputs": [],
                "execution_count": None,
            }
        )  # fmt: skip
    path = directory / "runbooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(template.document(made))
    return path


def start(directory: Path, name: str, *given: str, environ: dict[str, str] | None = None, **how: Any) -> Any:
    """Begins to run one."""
    argv = [sys.executable, "-c", RUN, json.dumps([name, given, how])]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(argv, cwd=directory, env={**os.environ, **(environ or {})}, **pipes)


def run(directory: Path, name: str, *given: str, environ: dict[str, str] | None = None, **how: Any) -> Ran:
    """Runs one to its end."""
    process = start(directory, name, *given, environ=environ, **how)
    out, err = process.communicate(timeout=180)
    return Ran(process.returncode, out, err)


def run_and_answer(directory: Path, name: str, *, at: str, answer: Callable[[], object]) -> Ran:
    """Runs one to its end; calls ``answer`` when it says a line that begins with ``at``."""
    process = start(directory, name)
    told = []
    for line in process.stderr:
        told.append(line)
        if line.startswith(at):
            answer()
    out, _ = process.communicate(timeout=60)
    return Ran(process.returncode, out, "".join(told))


def run_and_signal(
    directory: Path, name: str, *given: str, at: Callable[[dict[str, Any]], bool], send: signal.Signals, **how: Any
) -> tuple[int, list[dict[str, Any]]]:
    """Runs one with ``as_json`` and sends a signal at an event; the exit code and every event."""
    process = start(directory, name, *given, as_json=True, **how)
    told: list[dict[str, Any]] = []
    sent, until = False, time.monotonic() + 180
    for line in process.stdout:
        told.append(json.loads(line))
        if at(told[-1]) and not sent:
            sent = True
            process.send_signal(send)
        assert time.monotonic() < until, told
    process.communicate(timeout=60)
    return process.returncode, told
