"""Controllers in processes of their own that boot one service against each other, and what the hosts wrote of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contending import journal_of
from shop import Shop

PROGRAM = Path(__file__).with_name("contending.py")


class Contender:
    """One controller. ``at(seconds)`` waits until so long after its start, or its end."""

    def __init__(
        self, shop: Shop, version: str, hosts: tuple[str, ...], *, lease: float, wait: float = 0.0, hook: str = ""
    ) -> None:
        file = shop.config()
        if hook:
            path = file.parents[1] / ".kamal/hooks/pre-app-boot"
            path.parent.mkdir(parents=True)
            path.write_text(f"#!/bin/sh\n{hook}\n")
            path.chmod(0o755)
        argv = [sys.executable, str(PROGRAM), str(file), version, ",".join(hosts), f"{lease:g}", f"{wait:g}"]
        self.version, self.hosts = version, hosts
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def at(self, seconds: float) -> None:
        while self.process.poll() is None and time.monotonic() < self.began + seconds:
            time.sleep(0.01)

    def send(self, number: signal.Signals) -> float:
        """The controller alone gets the signal, none of its children; when."""
        self.process.send_signal(number)
        return time.monotonic()

    def ended(self, seconds: float = 180.0) -> Ended:
        try:
            out, _ = self.process.communicate(timeout=seconds)
        finally:
            self.close()
        lines = out.splitlines()
        told: dict[str, Any] = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
        return Ended(self, lines[0] if lines else "", self.process.returncode, told, out)

    def close(self) -> None:
        """Nothing of it is left, a hook of a killed one neither."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@dataclass(frozen=True)
class Ended:
    """How a controller ended; ``told`` is empty where it was killed."""

    of: Contender
    run: str
    code: int
    told: dict[str, Any]
    out: str

    @property
    def outcome(self) -> str:
        if self.code == -signal.SIGKILL:
            return "killed"
        if self.told.get("late"):
            return "late"
        return {0: "booted", 75: "refused"}.get(self.told.get("code", 1), "failed")


@dataclass
class Journal:
    """What the scripts on one host wrote: who was at work when. ``overlaps`` and ``returned`` must stay empty."""

    lines: list[str]
    overlaps: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    at_work: dict[str, str] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number, line in enumerate(self.lines, start=1):
            what, run, pid = line.split()
            if what == "end":
                assert self.at_work.pop(pid, "") == run, f"line {number}: {line}"
                continue
            if others := {other for other in self.at_work.values() if other != run}:
                self.overlaps.append(f"line {number}: {run} begins while {others} is at work")
            if run in self.runs and run != self.runs[-1]:
                self.returned.append(f"line {number}: {run} begins after {self.runs[-1]} had begun")
            self.at_work[pid] = run
            if run not in self.runs:
                self.runs.append(run)

    @property
    def scripts(self) -> int:
        return sum(line.startswith("begin ") for line in self.lines)


def journal(shop: Shop, host: str) -> Journal:
    return Journal(shop.shell(host, 'cat "$1" 2>/dev/null || :', journal_of(shop.name)).splitlines())


def lock_file(shop: Shop) -> str:
    return f"{shop.run_directory}/kamalnb-{shop.name}.lock"


def seconds_until_free(shop: Shop, host: str, since: float, limit: float = 30.0) -> float:
    """From ``since`` on until nobody holds the lock there; asked on the host itself, from outside SSH."""
    script = 'until flock -n "$1" true; do sleep 0.05; done'
    done = shop.lab.exec(host, ["timeout", f"{limit:g}", "sh", "-c", script, "sh", lock_file(shop)])
    assert done.returncode == 0, f"{host} is still locked"
    return time.monotonic() - since
