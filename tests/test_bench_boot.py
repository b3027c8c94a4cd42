"""The yardstick and the rows of ``bench.boot``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kamalnb.errors import LabError
from kamalnb.lab.bare import BOOT, CLEAR
from kamalnb.lab.bench_boot import Figure, seconds_by_phase
from kamalnb.lab.bench_boot import run as bench
from kamalnb.lab.process import ran


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", [BOOT, CLEAR])
def test_the_linter_has_nothing_to_say_about_the_yardstick(script: str) -> None:
    # SC2016: what stands in single quotes is meant for the shell inside the container.
    # SC2086 and SC2046: ids and the numbers of an address are split on purpose.
    words = ["shellcheck", "--shell=sh", "--exclude=SC2016,SC2086,SC2046", "-"]
    done = subprocess.run(words, input=script, capture_output=True, text=True)
    assert done.stdout == ""


def test_a_missed_target_is_said_so() -> None:
    assert str(Figure(name="boot", value="3 s", target="at most 2 s", met=False)).endswith("MISSED")
    assert not str(Figure(name="boot", value="3 s")).endswith(("met", "MISSED"))


def test_the_time_of_a_run_is_shared_out_among_its_phases() -> None:
    def entered(at: float, host: str, phase: str) -> dict[str, object]:
        return {"event": "PhaseEntered", "at": at, "host": host, "role": "web", "phase": phase}

    events = [
        {"event": "RunStarted", "at": 0.0, "host": "", "targets": [["web-1", "web"]]},
        entered(0.5, "web-1", "start"),
        entered(2.0, "web-1", "stop"),
        entered(2.25, "web-1", "done"),
        {"event": "RunFinished", "at": 2.5, "host": ""},
    ]
    assert seconds_by_phase(events) == {
        ("web-1", "survey, lock"): 0.5,
        ("web-1", "start"): 1.5,
        ("web-1", "stop"): 0.25,
        ("web-1", "tag, end"): 0.25,
    }


def test_a_program_is_measured_with_its_own_memory_not_with_ours(tmp_path: Path) -> None:
    ballast = bytearray(200_000_000)  # our own peak, which Linux would hand over to a child
    done = ran([sys.executable, "-c", "import time; print('said'); time.sleep(0.3)"], tmp_path)
    assert len(ballast) == 200_000_000
    assert (done.exited, done.output) == (0, "said\n")
    assert done.seconds >= 0.3
    assert done.peak is not None
    assert 3_000_000 < done.peak < 60_000_000


def test_the_end_of_what_a_failed_program_said_is_kept(tmp_path: Path) -> None:
    done = ran([sys.executable, "-c", "raise SystemExit('it went wrong')"], tmp_path)
    assert (done.exited, done.last_lines) == (1, "it went wrong")


def test_without_a_lab_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"lab\.up"):
        bench(print, tmp_path)
