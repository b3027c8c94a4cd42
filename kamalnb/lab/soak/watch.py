"""What must hold: at every sample, and after every round; and which lost requests were declared before."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..load import Outcome, Record, RunningLoad
from .ground import SERVICE, Ground, Look

EVERY = 0.5
LEFT = re.compile(rf"{SERVICE}-web-[\w.-]+?(_replaced_[0-9a-f]+)?")
ASKED = 5


@dataclass
class Watch:
    """Samples every host in a thread of its own. ``violations`` are sentences; ``outages`` were declared."""

    ground: Ground
    load: RunningLoad
    samples: int = 0
    violations: list[str] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    label: str = ""
    _declared: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """Samples while the block runs."""
        threads = [threading.Thread(target=self._watch, args=(host,), daemon=True) for host in self.ground.hosts]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """What is lost or not there during the block was to be expected."""
        began = self._declared_since()
        try:
            yield
            self._await_served()
        finally:
            self.outages[began] = (self.outages[began][0], time.monotonic())
            self._declared -= 1

    def _declared_since(self) -> int:
        self._declared += 1
        self.outages.append((time.monotonic(), float("inf")))
        return len(self.outages) - 1

    def _await_served(self, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(not self._unserved(host) for host in self.ground.hosts):
                return
            time.sleep(0.3)
        self.violations.append(f"{self.label}: not every host serves {seconds:g} s after a declared outage began")

    def _watch(self, host: str) -> None:
        while not self._over.wait(EVERY):
            if self._declared:
                continue
            trouble = self._unserved(host)
            if trouble and not self._declared:
                trouble = self._unserved(host)  # what was read in pieces while it changed is read once more
            if trouble and not self._declared:
                self.violations.append(f"{self.label}: {host}: {trouble}")
            self.samples += 1

    def _unserved(self, host: str) -> str:
        """Why nobody serves on a host at this moment; empty where somebody does."""
        look = self.ground.look(host)
        if look is not None and not look.serving:
            return f"nobody is healthy and tied: {look.running}"
        version = self.ground.version_at(host)
        return f"its proxy answers {version}" if version.startswith("(") else ""

    def lost(self) -> tuple[list[Record], int]:
        """The lost requests, and how many more of them fell into a declared outage."""
        lost = [record for record in self.load.records() if record.outcome is not Outcome.OK]
        excused = [r for r in lost if any(r.start <= end and r.end >= began for began, end in self.outages)]
        return [record for record in lost if record not in excused], len(excused)


def wrong_after(ground: Ground, version: str) -> list[str]:
    """What is not as it must be when a round is over and ``version`` should serve on every host."""
    found = []
    for host in ground.hosts:
        look = ground.look(host)
        found += [f"{host}: {told}" for told in (wrong_in(look, version) if look else ["it cannot be looked at"])]
        found += [f"{host}: left over: {lock}" for lock in ground.locks(host)]
        answers = Counter(ground.version_at(host) for _ in range(ASKED))
        if set(answers) != {version}:
            found.append(f"{host}: answers {dict(answers)} instead of {version}")
    return found


def wrong_in(look: Look, version: str) -> list[str]:
    """What one host has that it must not have: one container serves, and the rest is ended and named."""
    name = f"{SERVICE}-web-{version}"
    found = []
    if [one.name for one in look.running] != [name] or look.running != look.serving:
        found.append(f"runs {_told(look.running)} instead of {name} alone, healthy and tied")
    found += [f"left over: {one.name} ({one.state})" for one in look.containers if not LEFT.fullmatch(one.name)]
    tied = sorted(path for path, state in look.cords.items() if state == "tied")
    if tied != sorted(one.cord for one in look.running):
        found.append(f"cords tied: {tied}")
    mounted = {one.cord for one in look.containers}
    found += [f"left over: cord {path} of no container" for path in look.cords if path not in mounted]
    return [*found, *(f"left over: {other}" for other in look.others)]


def settled(ground: Ground, version: str, seconds: float) -> list[str]:
    """The same, given time: what is past its switch drains and stops by itself, whoever died."""
    end = time.monotonic() + seconds
    while (found := wrong_after(ground, version)) and time.monotonic() < end:
        time.sleep(0.5)
    return found


def _told(containers: Sequence[object]) -> str:
    return ", ".join(map(str, containers)) or "nothing"
