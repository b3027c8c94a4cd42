"""Starts the lab's demo app as a process on a free loopback port, for tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

APP = Path(__file__).parents[1] / "kamalnb" / "lab" / "images" / "app" / "app.py"


@dataclass
class DemoApp:
    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:  # noqa: S310  (our own loopback URL)
            return answer.read().decode()

    def get_json(self, path: str) -> dict:
        return json.loads(self.get(path))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(timeout=10)


def launch(**environment: object) -> subprocess.Popen[str]:
    """The process, whether it gets anywhere or not."""
    settings = {"VERSION": "v1", "PORT": 0, "BIND": "127.0.0.1"} | environment
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    env |= {name: str(value) for name, value in settings.items()}
    return subprocess.Popen([sys.executable, str(APP)], env=env, stdout=subprocess.PIPE, text=True)


@contextmanager
def demo_app(**environment: object) -> Iterator[DemoApp]:
    """A listening app; killed at the end if it still runs."""
    process = launch(**environment)
    with process:
        try:
            first = process.stdout.readline()
            port = re.search(r":(\d+),", first)
            assert port, first
            yield DemoApp(process, int(port[1]))
        finally:
            process.kill()
