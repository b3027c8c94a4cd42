"""Measures the notebook's face: a big table, a live view of a thousand hosts, and what is saved of it. No browser."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..tables import Table

HOSTS = 1000
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number and its target."""

    name: str
    value: float
    target: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.target if self.at_least else self.value <= self.target

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        verdict = "met" if self.met else "MISSED"
        return f"{self.name:<52}{self.value:>10.2f} {self.unit:<9}{word} {self.target:g}  {verdict}"


def run(say: Say) -> list[Row]:
    """Measures and tells a table; takes a minute or two."""
    say(f"{HOSTS} pretend hosts; the kernel's side alone, without a browser")
    rows = []
    for measure in (_table, _rollout):
        for row in measure():
            rows.append(row)
            say(str(row))
    return rows


def _table() -> list[Row]:
    """From rows that have arrived to a DataFrame and everything that is shown and saved of it."""
    from ..frames import frame
    from .tabled import MOST, show
    from .tables import table_html

    frame(_containers(1))  # pandas itself is loaded once, by the first table
    table = _containers(HOSTS)
    times = []
    for _try in range(3):
        begun = time.perf_counter()
        shown = show(frame(table))
        saved = shown._repr_mimebundle_()
        page = table_html(shown.grid, limit=MOST)
        times.append(time.perf_counter() - begun)
    took = statistics.median(times)
    return [
        Row(name="table of 1,000 hosts: built and rendered", value=took, target=1.0, unit="s"),
        Row(name="  sent to the page", value=len(page) / 1024, target=2048, unit="KiB"),
        Row(name="  saved in the notebook", value=len(json.dumps(saved)) / 1024, target=1024, unit="KiB"),
    ]


def _rollout() -> list[Row]:
    """A rollout as a kernel sees it: engine, hosts, events, and a picture for every frame."""
    from .fleet import pretend
    from .occasion import Occasion

    fleet = pretend(HOSTS, speed=1.0, file="boot: {limit: 50}")
    rollout = fleet.plan("v2").rollout(Occasion.WATCHED)
    view = rollout._shown.view()
    messages = _Messages(view._picture.widget)
    cpu, begun = time.process_time(), time.perf_counter()
    rollout.confirm(rollout.target)
    rollout.wait()
    took, busy = time.perf_counter() - begun, time.process_time() - cpu
    saved = len(json.dumps(rollout.record()))
    return [
        Row(name="rollout of 1,000 hosts: frames", value=messages.count / took, target=5.0, unit="a second",
            at_least=True),
        Row(name="  longest time without a frame", value=messages.longest, target=1.0, unit="s"),
        Row(name="  processor time, pretend hosts included", value=busy / took, target=0.5, unit="cores"),
        Row(name="  largest message", value=messages.largest / 1024, target=64, unit="KiB"),
        Row(name="  saved in the notebook", value=saved / 1024, target=1024, unit="KiB"),
    ]  # fmt: skip


class _Messages:
    """Counts what a widget would send."""

    def __init__(self, widget: Any) -> None:
        self.count = 0
        self.largest = 0
        self.longest = 0.0
        self._last = time.perf_counter()
        self._lock = threading.Lock()
        widget.observe(self._sent, "frame")

    def _sent(self, change: Any) -> None:
        now = time.perf_counter()
        with self._lock:
            self.count += 1
            self.largest = max(self.largest, len(json.dumps(change["new"])))
            if self.count > 1:
                self.longest = max(self.longest, now - self._last)
            self._last = now


def _containers(hosts: int) -> Table:
    from ..reads.containers import COLUMNS

    rows = tuple(
        {
            "host": f"web-{number}", "role": "web", "version": f"{number:040x}", "status": "running",
            "health": "healthy", "routed": True, "mark": "serves", "since": 1_790_000_000.0 + number, "restarts": 0,
            "digest": f"{number:012x}", "name": f"app-web-{number}", "image": f"registry/app:{number}",
            "id": f"{number:064x}", "by": "ana", "revision": "abc1234", "error": "",
        }
        for number in range(hosts)
    )  # fmt: skip
    return Table(name="containers", columns=COLUMNS, rows=rows, as_of=time.time(), hosts=hosts)
