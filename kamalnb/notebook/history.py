"""Everything that a run has told so far, for any number of threads: one adds, the others look."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import events
from ..console.lines import said
from ..events import Event, Phase
from ..report import Report, State
from ..tables import Column, Row, Table
from ..wording import seconds

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    Column(name="at", kind="moment", about="When it happened."),
    Column(name="seconds", kind="number", about="Since the run began."),
    Column(name="host"),
    Column(name="role"),
    Column(name="event", about="The event's name, as in --json."),
    Column(name="phase", words=tuple(map(str, Phase))),
    Column(name="step", about="The command that ended, or that is running."),
    Column(name="outcome", about="ok, failed, warning, or nothing."),
    Column(name="took", kind="number", about="Seconds that the command took."),
    Column(name="message"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """A phase of a role on a host: from when to when, in seconds since the run began."""

    phase: Phase
    start: float
    end: float


class History:
    """The events of one run and the report that they fold into."""

    def __init__(self) -> None:
        self.report = Report()
        self.began = 0.0
        """The time of day at which it began, in seconds since 1970; 0 before that."""
        self._events: list[Event] = []
        self._entered: dict[tuple[str, str], list[tuple[Phase, float]]] = {}
        self._ahead = time.monotonic()
        self._latest = 0.0
        self._changed = threading.Condition()
        self.ended = False

    def add(self, event: Event) -> None:
        """Takes an event in."""
        with self._changed:
            self.report = self.report.after(event)
            self._events.append(event)
            self._ahead = time.monotonic() - event.at
            if isinstance(event, events.RunStarted):
                self.began = time.time() - event.at
            if isinstance(event, events.PhaseEntered):
                self._entered.setdefault((event.host, event.role), []).append((event.phase, event.at))
            self._changed.notify_all()

    def end(self, sentence: str = "", exit_code: int = 1) -> None:
        """Nothing comes any more. ``sentence`` says why, where the run could not say it itself."""
        if sentence and self.report.finished is None:
            self.add(events.RunFinished(at=self.report.at, ok=False, sentence=sentence, exit_code=exit_code))
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it has ended, after at most ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: self.ended, seconds)

    def wait_for_more(self, than: int, seconds: float) -> int:
        """How many events there are: returns as soon as there are more ``than``, it ends, or ``seconds`` are over."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._events) > than or self.ended, seconds)
            return len(self._events)

    def now(self) -> float:
        """Seconds since the run began; they run on between events, and stand still at the end."""
        if self.report.finished is not None or self.ended:
            return self.report.at
        self._latest = max(self._latest, time.monotonic() - self._ahead)
        return self._latest

    def follow(self) -> Iterator[Event]:
        """Every event from the first, as they come, to the end."""
        seen = 0
        while True:
            self.wait_for_more(seen, 0.2)
            with self._changed:
                new, ended = self._events[seen:], self.ended
            seen += len(new)
            yield from new
            if ended and not new:
                return

    def all(self) -> tuple[Event, ...]:
        """The events so far."""
        with self._changed:
            return tuple(self._events)

    def spans(self, host: str, role: str) -> tuple[Span, ...]:
        """The phases of a role on a host, in order; the last one lasts until its end, or until now."""
        with self._changed:
            entered = list(self._entered.get((host, role), ()))
        line = self.report.line(host, role)
        end = line.ended if line is not None and line.ended is not None else self.now()
        ends = [*(at for _phase, at in entered[1:]), max(end, entered[-1][1] if entered else 0.0)]
        return tuple(Span(phase, at, until) for (phase, at), until in zip(entered, ends, strict=False))

    def tail(self, most: int) -> tuple[str, ...]:
        """The last things that were worth saying."""
        with self._changed:
            recent = self._events[-most * 6 :]
        return tuple(_told(recent, self.report))[-most:]

    def milestones(self, most: int) -> tuple[str, ...]:
        """What mattered: batches, warnings, failures, ends; not every step."""
        weighty = (e for e in self.all() if not isinstance(e, events.StepFinished | events.LinePrinted))
        chosen = [e for e in weighty if not isinstance(e, events.PhaseEntered)]
        told = list(_told(chosen, self.report))
        left = len(told) - most
        return tuple(told if left <= 0 else [*told[: most // 2], f"… {left} more …", *told[-(most // 2) :]])

    def frame(self) -> pd.DataFrame:
        """The events as a DataFrame; typed also where there are none."""
        from ..frames import frame

        rows = tuple(self._row(event) for event in self.all())
        table = Table(name="events", columns=COLUMNS, rows=rows, as_of=time.time())
        return frame(replace(table, hosts=len({line.host for line in self.report.lines})))

    def _row(self, event: Event) -> Row:
        words = said(event, self.report)
        row = {
            "at": self.began + event.at if self.began else None, "seconds": round(event.at, 3), "host": event.host,
            "role": event.role, "event": type(event).__name__, "step": getattr(event, "name", ""),
            "phase": str(event.phase) if isinstance(event, events.PhaseEntered | events.HostFailed) and event.phase
            else None, "took": getattr(event, "seconds", None), "outcome": _outcome(event),
            "message": words.text if words is not None else "",
        }  # fmt: skip
        if isinstance(event, events.RunFinished):
            row["message"] = event.sentence
        return row


def _outcome(event: Event) -> str:
    match event:
        case events.StepFinished():
            return "ok" if event.exited == 0 else "failed"
        case events.HostBooted() | events.HostDone():
            return "ok"
        case events.HostFailed():
            return "failed"
        case events.RunFinished():
            return "ok" if event.ok else "failed"
        case events.FactLearned(fact=fact) if fact.warning:
            return "warning"
        case _:
            return ""


def _told(chosen: list[Event], report: Report) -> Iterator[str]:
    last = ""
    for event in chosen:
        if isinstance(event, events.CancelRequested):
            text = "cancelled by a person: hosts before their switch undo, hosts past it finish"
        else:
            words = said(event, report)
            if words is None or words.tone == "command":
                continue
            text = f"{'warning: ' if words.tone == 'warning' else ''}{words.text}"
        where = " ".join(filter(None, (event.host, event.role)))
        line = f"{where}: {text}" if where else text
        if line != last:
            yield f"{seconds(event.at):>9}  {line}"
        last = line


def counts(report: Report) -> dict[State, int]:
    """How many lines are in each state."""
    found = dict.fromkeys(State, 0)
    for line in report.lines:
        found[line.state] += 1
    return found
