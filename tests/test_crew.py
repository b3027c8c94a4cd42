"""Work on many hosts at once comes to its end, whatever fails beside it, and also while Python itself ends."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from kamalnb import crew


def test_all_is_done_though_one_fails_and_the_first_error_is_raised() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        done.append(number)
        if number in (2, 5):
            raise ValueError(number)

    with pytest.raises(ValueError, match="2"):
        crew.side_by_side(work, range(9), 3)
    assert sorted(done) == list(range(9))


def test_so_many_are_at_work_at_once_and_no_more() -> None:
    together, met = threading.Barrier(3), []

    def work(_number: int) -> None:
        together.wait(10)  # broken, where fewer than three come
        met.append(threading.current_thread())

    crew.side_by_side(work, range(9), 3)
    assert len(met) == 9
    assert len(set(met)) <= 3


def test_nothing_to_do_is_done_at_once() -> None:
    crew.side_by_side(lambda number: None, [], 3)


SCRIPT = """
import kamalnb as kn
from kamalnb.notebook.occasion import Occasion
run = kn.pretend(3, speed=20.0, file="boot: {limit: 1}").plan("v2").rollout(Occasion.WATCHED)
run.when_over(lambda: print(run.report.finished.sentence))
run.confirm("web@v2")
print("the script is over")
"""


def test_a_rollout_in_the_background_is_finished_though_the_program_that_began_it_is_over() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    over, end = done.stdout.splitlines()
    assert over == "the script is over"
    assert end.startswith("v2 serves on web-1, web-2, web-3 instead of v1")
