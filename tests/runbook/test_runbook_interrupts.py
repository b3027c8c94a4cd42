"""Ctrl-C at the worst moments of a cell: no interrupt is lost, no cell goes unanswered. Kernels are real here."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from runbooks import run, run_and_signal, write

from kamalnb import exits

pytestmark = pytest.mark.slow

EARLY = """
import os, signal, threading, time
came = []
def early(lines):
    if not came and "for_ever" in str(lines):
        before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, lambda *given: (came.append(given), before(*given)))
        os.kill(os.getppid(), signal.SIGTERM)
        while not came:
            time.sleep(0.01)
    return lines
get_ipython().input_transformers_cleanup.append(early)
for_ever = threading.Event()
"""
"""IPython looks at a cell before it runs it: there the runner gets its signal, and its interrupt is waited for."""

LATE = """
import os, signal, sys
flush = sys.stdout.flush
def late():
    sys.stdout.flush = flush
    os.kill(os.getpid(), signal.SIGINT)
sys.stdout.flush = late
"""
"""ipykernel flushes what a cell has printed before it answers."""


def test_an_interrupt_that_comes_before_the_code_of_a_cell_stops_that_code(tmp_path: Path) -> None:
    write(tmp_path, "early", EARLY, "for_ever.wait()", "print('never')")
    ran = run(tmp_path, "early")
    assert ran.code == exits.TERMINATED, ran.err
    assert "KeyboardInterrupt" in str(ran.record["cells"][-2]["outputs"])
    assert ran.record["cells"][-1]["outputs"] == []


def test_an_interrupt_that_comes_as_a_cell_ends_leaves_its_answer_alone(tmp_path: Path) -> None:
    write(tmp_path, "late", LATE, "print('went on')")
    ran = run(tmp_path, "late")
    assert ran.code == exits.OK, ran.err
    assert "went on" in str(ran.record["cells"][-1]["outputs"])


def test_what_is_cancelled_behind_the_last_cell_is_not_interrupted_too(tmp_path: Path) -> None:
    write(
        tmp_path, "behind",
        "import os, threading, time, pathlib\nos.mkfifo('answer')\ndef work():\n"
        "    pathlib.Path('answer').read_text()\n    time.sleep(0.3)  # for an interrupt, which must not come\n"
        "threading.Thread(target=work, name='kamalnb-rollout').start()\nraise ValueError('a mistake')",
    )  # fmt: skip

    def cancelling(event: dict[str, Any]) -> bool:
        text = event.get("text", "")
        if text.startswith("SIGINT: cancelling"):
            (tmp_path / "runbooks" / "answer").write_text("go on")
        return "still going on" in text

    code, told = run_and_signal(tmp_path, "behind", at=cancelling, send=signal.SIGINT, out="left.ipynb")
    assert code == exits.STOPPED, told
    assert "KeyboardInterrupt" not in (tmp_path / "left.ipynb").read_text()
