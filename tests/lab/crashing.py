"""``crashing.py FILE VERSION HOST NUMBER SIDE``: boots, and kills itself (-9) right before or after one remote command.

Commands are counted as they are sent to the host, the lock's session among them. With NUMBER -1 it lives, and prints
what it ran as JSON lines: [number, name, whether it is the first of its script].
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

from kamalnb.executor import Abort, Executor, Hold, OnLine, OnResult, never
from kamalnb.fleet import Fleet
from kamalnb.project import Project
from kamalnb.script import Script
from kamalnb.shell import Command, Result
from kamalnb.ssh import SshExecutor


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Crashing:
    """An executor that counts commands, and ends the process at one of them."""

    inner: Executor
    number: int
    side: str
    seen: int = 0

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        first, self.seen = self.seen, self.seen + len(script.commands)
        if self.side == "before" and first == self.number:
            die()

        def told(number: int, result: Result) -> None:
            self._ran(first + number, result.name, number == 0)
            on_result(number, result)

        return self.inner.run(host, script, told, on_line, abort)

    def hold(self, host: str, command: Command, heartbeat: float) -> Hold:
        number, self.seen = self.seen, self.seen + 1
        if self.side == "before" and number == self.number:
            die()
        hold = self.inner.hold(host, command, heartbeat)
        self._ran(number, command.name, True)
        return hold

    def _ran(self, number: int, name: str, first: bool) -> None:
        if self.number < 0:
            print(json.dumps([number, name, first]), flush=True)
        if number == self.number - (self.side == "before"):
            die()  # the one before has just ended: the host is about to begin this one

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def main() -> int:
    file, version, host, number, side = sys.argv[1:]

    def connect(project: Project) -> Executor:
        inner = SshExecutor(project.config.ssh, secrets=project.secret, directory=project.root)
        return Crashing(inner, int(number), side)  # type: ignore[return-value]

    report = Fleet(config_file=file, hosts=(host,), connect=connect).boot(version).wait(check=False)
    print(report.failures, file=sys.stderr)
    return int(not report.ok)


if __name__ == "__main__":
    sys.exit(main())
