"""The benchmark of the SSH engine: its slow line is slow, and it measures what it says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kamalnb.lab.latency import round_trip, slow_line

pytestmark = pytest.mark.lab


def test_a_slow_line_delays_packets_and_leaves_nothing_behind() -> None:
    server = "import socket; s = socket.create_server(('', 7777)); print('up', flush=True)\nwhile True: s.accept()"
    with slow_line(0.030) as line:
        argv = line.inside(sys.executable, "-c", server)
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            assert min(round_trip(line.address, 7777) for _trip in range(5)) >= 0.060
            process.kill()
    assert str(os.getpid()) not in subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout
    assert f"knb{os.getpid()}" not in subprocess.run(["ip", "link"], capture_output=True, text=True).stdout


def test_the_benchmark_measures_every_target_against_stock_fabric() -> None:
    # A process of its own: stock Fabric reads stdin, which pytest has taken. How fast it is, the benchmark says.
    code = "from kamalnb.lab.bench_ssh import run; print(len(run(print)))"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "4"
