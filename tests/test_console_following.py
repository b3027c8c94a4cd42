"""Following a run to its end: Ctrl-C once and twice, SIGTERM, a reader that goes away. In processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent

PROGRAM = """
import os, sys, time
sys.path.insert(0, {here!r})
from console_events import *
from kamalnb.console import Style, follow, presenter
from kamalnb.engine import Engine
from kamalnb.fleet import Rollout
from kamalnb.events import Phase

class NoHosts:
    def run(self, *_): raise AssertionError
    def hold(self, *_): raise AssertionError
    def close(self): print("closed", file=sys.stderr, flush=True)

def stream(engine):
    yield started(WEB_1, WEB_2)
    yield phase(0.1, WEB_1, Phase.VERIFY)
    yield phase(0.1, WEB_2, Phase.DRAIN)
    {body}

sys.exit(follow(Rollout(Engine(NoHosts()), stream), presenter(Style(json={json}))))
"""

UNTIL_CANCELLED = """
    while not engine.cancelled: time.sleep(0.01)
    yield events.CancelRequested(at=0.2)
    {then}
    yield failed(0.3, WEB_1)
    yield booted(0.4, WEB_2)
    yield finished(0.5, False, "stopped: v2 serves on web-2; web on web-1 failed, in 0.5 s.", 1)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def start(body: str, json: bool = False) -> subprocess.Popen[str]:
        text = PROGRAM.format(here=str(HERE), body=textwrap.indent(textwrap.dedent(body), "    ").strip(), json=json)
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", "CI": "true", "PYTHONPATH": str(HERE.parent)}
        pipe = subprocess.PIPE
        running.append(subprocess.Popen([sys.executable, "-c", text], stdout=pipe, stderr=pipe, text=True, env=environ))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if words in line:
            return read
    raise AssertionError(f"“{words}” never came: {read}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_cancels_and_the_run_is_told_to_its_end(start: Start, number: int) -> None:
    process = start(UNTIL_CANCELLED.format(then=""))
    wait_for(process, "drain")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "stopping: hosts before their switch undo, hosts past it finish" in out
    assert "✗ web on web-1 failed in verify" in out
    assert out.endswith("stopped: v2 serves on web-2; web on web-1 failed, in 0.5 s.\n")
    assert err == "closed\n"


def test_the_second_ctrl_c_leaves_at_once_and_says_where_each_host_stands(start: Start) -> None:
    process = start(UNTIL_CANCELLED.format(then="time.sleep(60)"))
    wait_for(process, "drain")
    process.send_signal(signal.SIGINT)
    wait_for(process, "stopping:")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out.splitlines() == [
        "left before the end:",
        "  web on web-1: left in verify. what ran before serves; the next boot clears what was begun.",
        "  web on web-2: left in drain. The host finishes by itself.",
    ]
    assert err == ""


def test_sigterm_never_leaves_a_run_that_is_stopping(start: Start, tmp_path: Path) -> None:
    sent = tmp_path / "sent"  # the run goes on to its end once the second signal is on its way, and not before
    process = start(UNTIL_CANCELLED.format(then=f"while not os.path.exists({str(sent)!r}): time.sleep(0.01)"))
    wait_for(process, "drain")
    process.send_signal(signal.SIGTERM)
    wait_for(process, "stopping:")
    process.send_signal(signal.SIGTERM)
    sent.touch()
    out, _err = process.communicate(timeout=20)
    assert (process.returncode, "left before the end" in out) == (130, False)


def test_a_reader_that_goes_away_does_not_stop_the_run(start: Start) -> None:
    body = """
        import pathlib
        yield from (printed(0.2, WEB_1, f"line {n}") for n in range(20000))
        yield booted(0.3, WEB_1)
        yield booted(0.4, WEB_2)
        yield finished(0.5, True, "v2 serves.")
    """
    process = start(body, json=True)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert first["event"] == "RunStarted"
    assert process.stderr is not None
    assert process.stderr.read() == "closed\n"
