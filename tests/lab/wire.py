"""A faulty wire: the real SSH executor, with one fault at one command of what goes over it.

The fault is done to the host, not to our code: a step of the script is spelled otherwise, its shell is killed, sessions
die, sshd is down. Commands are counted as they are sent, undo left out, the lock's session among them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from kamalnb.errors import HostUnreachable
from kamalnb.executor import Abort, Executor, Hold, OnLine, OnResult, never
from kamalnb.lab import Lab
from kamalnb.lab.soak.ground import SESSIONS
from kamalnb.script import CUT_OFF, Script, Section
from kamalnb.shell import Command, Raw, Result

FAULTS = {
    "refused": "sshd is down before the script with the command is sent, and comes back",
    "lost before": "the script and all connections die before the command began",
    "reply lost": "the script ran to its end; all connections die, and nothing from the command on is told",
    "half run": "the script's shell and the command are killed while it runs",
    "late": "all connections die at the command, which begins a second and a half later all the same",
    "twice": "the command runs twice",
    "non-zero": "the command does nothing and ends with 7",
    "empty": "the command runs, prints nothing and ends with 0",
}
LATE = 1.5
"""Seconds."""
SSHD_DOWN = 'touch /run/lab/no-ssh; kill -9 "$(cat /run/lab/ssh.pid)"'
SSHD_UP = """rm -f /run/lab/no-ssh; i=0
until ss -ltnp | grep -q sshd; do i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.1; done"""
GATE = "/tmp/kamalnb-gate"
WAIT = f": >{GATE}.here; k_g=0; until [ -e {GATE}.go ] || [ $k_g -gt 900 ]; do sleep 0.1; k_g=$((k_g+1)); done; "


@dataclass(frozen=True)
class Step:
    """One command of a boot, as it was sent."""

    number: int
    name: str


@dataclass(frozen=True)
class Sending:
    """A script on its way, to be struck at the step ``here`` (its place in ``script.commands``)."""

    host: str
    script: Script
    on_result: OnResult
    on_line: OnLine
    abort: Abort
    here: int

    @property
    def command(self) -> Command:
        return self.script.commands[self.here]

    def with_line(self, line: str) -> Script:
        """The script with the step spelled ``line``."""
        return struck(self.script, self.here, replace(self.command, words=(Raw(line),), stdin=None))


def struck(script: Script, here: int, command: Command) -> Script:
    """``script`` with another command at this place."""
    sections, number = [], 0
    for section in script.sections:
        both = [*section.steps, *section.undo]
        if number <= here < number + len(both):
            both[here - number] = command
        number += len(both)
        cut = len(section.steps)
        sections.append(Section(steps=tuple(both[:cut]), undo=tuple(both[cut:])))
    return replace(script, sections=tuple(sections))


@dataclass
class Wire:
    """The real executor; ``fault`` happens at the command ``at``: its number, or the first of that name.

    The fault “meanwhile” is ``event``, done to the host right before the command.
    """

    inner: Executor
    lab: Lab
    fault: str = ""
    at: int | str = -1
    event: Callable[[str], None] | None = None
    steps: list[Step] = field(default_factory=list)
    happened: str = ""
    """The name of the command that was struck."""

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        first = len(self.steps)
        self.steps += [Step(first + place, script.commands[number].name) for place, number in enumerate(script.order)]
        here = next((place for place, step in enumerate(self.steps[first:]) if self._is_at(step)), None)
        if here is None:
            return self.inner.run(host, script, on_result, on_line, abort)
        self.happened = self.steps[first + here].name
        sending = Sending(host, script, on_result, on_line, abort, script.order[here])
        return getattr(self, "_" + self.fault.replace(" ", "_").replace("-", "_"))(sending)  # type: ignore[no-any-return]

    def hold(self, host: str, command: Command, heartbeat: float) -> Hold:
        self.steps.append(Step(len(self.steps), command.name))
        if not self._is_at(self.steps[-1]):
            return self.inner.hold(host, command, heartbeat)
        self.happened = command.name
        return self._held(host, command, heartbeat)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _is_at(self, step: Step) -> bool:
        return not self.happened and self.at in (step.number, step.name)

    # -- the faults ------------------------------------------------------------------------------------------

    def _refused(self, one: Sending) -> tuple[Result, ...]:
        with self._sshd_down(one.host):
            return self._sent(one, one.script)

    def _lost_before(self, one: Sending) -> tuple[Result, ...]:
        if one.script.journal is not None:  # the host has all of it: it goes on
            return self._cut_in(one, one.script)
        results = self._sent(one, one.with_line("kill -KILL $$"))
        self._cut(one.host)
        return results

    def _reply_lost(self, one: Sending) -> tuple[Result, ...]:
        told = one.script.order.index(one.here)

        def on_result(number: int, result: Result) -> None:
            if number in one.script.order[:told]:
                one.on_result(number, result)

        results = self.inner.run(one.host, one.script, on_result, one.on_line, one.abort)
        self._cut(one.host)
        lost = Result(name=one.command.name, line=str(one.command), exited=None, stderr=CUT_OFF)
        return (*results[:told], lost)

    def _half_run(self, one: Sending) -> tuple[Result, ...]:
        return self._sent(
            one, one.with_line(f"( {one.command.line()}\n) & sleep 0.1; kill -KILL $! 2>/dev/null; kill -KILL $$")
        )

    def _late(self, one: Sending) -> tuple[Result, ...]:
        return self._cut_in(one, one.with_line(f"sleep {LATE}; {one.command.line()}"))

    def _twice(self, one: Sending) -> tuple[Result, ...]:
        line = one.command.line()
        return self._sent(one, one.with_line(f"( {line}\n) >/dev/null 2>&1; {line}"))

    def _non_zero(self, one: Sending) -> tuple[Result, ...]:
        return self._sent(one, one.with_line("exit 7"))

    def _empty(self, one: Sending) -> tuple[Result, ...]:
        return self._sent(one, one.with_line(f"( {one.command.line()}\n) >/dev/null 2>&1; exit 0"))

    def _meanwhile(self, one: Sending) -> tuple[Result, ...]:
        """The step waits at a gate while ``event`` happens to the host."""
        assert self.event is not None
        self.lab.exec(one.host, ["sh", "-c", f"rm -f {GATE}.*"])
        happening = threading.Thread(target=self._at_the_gate, args=(one.host, self.event))
        happening.start()
        try:
            return self._sent(one, one.with_line(WAIT + one.command.line()))
        finally:
            happening.join()

    def _held(self, host: str, command: Command, heartbeat: float) -> Hold:
        others = {
            "half run": ("sh", "-c", "kill -KILL $$"), "non-zero": ("sh", "-c", "exit 7"), "empty": ("true",),
            "late": ("sh", "-c", f'sleep {LATE}; exec "$@"', "sh", *command.words),
        }  # fmt: skip
        if self.fault == "refused":
            with self._sshd_down(host):
                return self.inner.hold(host, command, heartbeat)
        if self.fault == "lost before":
            self._cut(host)
            raise HostUnreachable(host, "connect", f"the connection was lost. Try `ssh {host}`.")
        if self.fault == "meanwhile" and self.event:
            self.event(host)
        if self.fault == "twice":
            self.inner.hold(host, command, heartbeat).release()
        hold = self.inner.hold(host, replace(command, words=others.get(self.fault, command.words)), heartbeat)
        if self.fault == "reply lost":
            self._cut(host)
            with suppress(OSError, EOFError):
                time.sleep(0.5)  # its end is noticed
        return hold

    # -- how they are done -----------------------------------------------------------------------------------

    def _sent(self, one: Sending, script: Script) -> tuple[Result, ...]:
        return self.inner.run(one.host, script, one.on_result, one.on_line, one.abort)

    def _cut_in(self, one: Sending, script: Script) -> tuple[Result, ...]:
        """Every connection dies while the step is at hand."""
        before = one.script.order[: one.script.order.index(one.here)]
        cutting = threading.Thread(target=self._cut, args=(one.host,))
        begun = threading.Lock()

        def begin() -> None:
            if begun.acquire(blocking=False):
                cutting.start()

        def on_result(number: int, result: Result) -> None:
            one.on_result(number, result)
            if before and number == before[-1]:
                begin()

        def abort() -> bool:
            if not before:
                begin()
            return one.abort()

        try:
            return self.inner.run(one.host, script, on_result, one.on_line, abort)
        finally:
            if cutting.ident is not None:
                cutting.join()

    def _cut(self, host: str) -> None:
        self.lab.exec(host, ["sh", "-c", SESSIONS])

    def _at_the_gate(self, host: str, event: Callable[[str], None]) -> None:
        end = time.monotonic() + 60.0
        while self.lab.exec(host, ["test", "-e", f"{GATE}.here"]).returncode and time.monotonic() < end:
            time.sleep(0.1)
        event(host)
        self.lab.exec(host, ["touch", f"{GATE}.go"])

    @contextmanager
    def _sshd_down(self, host: str) -> Iterator[None]:
        self.lab.exec(host, ["sh", "-c", SSHD_DOWN])
        self._cut(host)
        try:
            yield
        finally:
            assert self.lab.exec(host, ["sh", "-c", SSHD_UP]).returncode == 0
