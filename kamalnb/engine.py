"""Drives flows: owns the threads, the clock and the queue, and turns what happens into one stream of events.

Flows of different hosts run in a bounded pool; their events are read by the caller's thread alone, so presenters
never see two threads. A host's failure never hides its neighbours'.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol, TypeVar

from . import crew, events
from .boot import Booted
from .dry import WOULD, DryRunExecutor
from .errors import BootError, HostUnreachable, KamalnbError, Unclear
from .events import Event, Phase
from .executor import Executor, never
from .flow import Cancelled, Effect, Enter, Flow, Pause, Run, Tell
from .rollout import Begin, Done, Each, FleetFlow, Job, Local, Outcome
from .script import Script
from .shell import Command, Result

T = TypeVar("T")

WORKERS = 64


class Clock(Protocol):
    """Seconds that never go back, and a way to let them pass."""

    def now(self) -> float:
        """Seconds since any fixed moment."""
        ...

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Returns after ``seconds``, or as soon as ``stop`` is set."""
        ...


class RealClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds since the machine started, more or less."""
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Sleeps, unless stopped."""
        stop.wait(seconds)


class Engine:
    """One run: drives fleet flows over ``executor`` and yields events. ``cancel`` may be called from any thread."""

    def __init__(self, executor: Executor, clock: Clock | None = None, *, dry_run: bool = False) -> None:
        self.executor = executor
        self.dry_run = dry_run
        self.clock: Clock = clock or RealClock()
        self._began = self.clock.now()
        self._queue: queue.SimpleQueue[Event | Outcome] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._once = threading.RLock()  # a signal may come while its own thread is in cancel()
        self.local: Callable[[Engine, Local], Generator[Event, None, bool]] = _nothing_to_do
        """What is done on this machine for a fleet flow: hooks."""

    def cancel(self) -> None:
        """Before a host's switch, undo there; past it, let the host finish; start no further batch."""
        with self._once:
            if not self._cancelled.is_set():
                self._queue.put(events.CancelRequested(at=self.now()))  # first: told before what comes of it
                self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether a person asked the run to stop."""
        return self._cancelled.is_set()

    def pause(self, seconds: float) -> None:
        """Lets time pass, less where somebody cancels."""
        self.clock.wait(seconds, self._cancelled)

    def now(self) -> float:
        """Seconds since the run began."""
        return self.clock.now() - self._began

    def drive(self, flow: FleetFlow) -> Generator[Event, None, tuple[Outcome, ...]]:
        """Yields events while ``flow`` runs; its value is returned. Closing it lets running hosts finish first."""
        answer: Any = None
        try:
            while True:
                try:
                    effect = flow.send(answer)
                except StopIteration as stop:
                    yield from self._meanwhile()
                    return tuple(stop.value)
                answer = None
                match effect:
                    case Each(jobs=jobs):
                        answer = yield from self._each(jobs)
                    case Begin():
                        answer = not self.cancelled
                        if answer:
                            yield events.BatchStarted(
                                at=self.now(), number=effect.number, of=effect.of, hosts=effect.hosts
                            )
                    case Local():
                        answer = yield from self.local(self, effect)
                    case Pause(seconds=seconds, why=why):
                        yield events.Waiting(at=self.now(), seconds=seconds, why=why)
                        self.clock.wait(seconds, self._cancelled)
                        yield from self._meanwhile()
                    case Tell(fact=fact):
                        yield events.FactLearned(at=self.now(), fact=fact)
        finally:
            flow.close()

    def aside(self, name: str, work: Callable[[Callable[[str], None]], T]) -> Generator[Event, None, T]:
        """Does ``work`` on this machine in a thread; what it prints by the function it is given becomes events."""

        def told(line: str) -> None:
            self._queue.put(events.LinePrinted(at=self.now(), name=name, line=line))

        going, thread = crew.beside(lambda: work(told))
        try:
            while not (going.done() and self._queue.empty()):
                item = self._next()
                if item is not None and not isinstance(item, Outcome):
                    yield item
        finally:
            thread.join()
        return going.result()

    def _each(self, jobs: tuple[Job, ...]) -> Generator[Event, None, tuple[Outcome, ...]]:
        outcomes: dict[int, Outcome] = {}
        threads = crew.begun(self._work, jobs, WORKERS)
        try:
            while len(outcomes) < len(jobs):
                item = self._next()
                if isinstance(item, Outcome):
                    outcomes[jobs.index(item.job)] = item
                    yield from self._ended(item)
                elif item is not None:
                    yield item
        finally:
            crew.ended(threads)
        return tuple(outcomes[number] for number in range(len(jobs)))

    def _meanwhile(self) -> Iterator[Event]:
        """What was put into the queue while no host was at work: a cancel."""
        while not self._queue.empty():
            if not isinstance(item := self._queue.get_nowait(), Outcome):
                yield item

    def _next(self) -> Event | Outcome | None:
        """The next item, or None after a moment: a main thread that waits without limit would not see Ctrl-C."""
        try:
            return self._queue.get(timeout=0.2)
        except queue.Empty:
            return None

    def _ended(self, outcome: Outcome) -> Iterator[Event]:
        job = outcome.job
        if isinstance(outcome.value, Booted):
            value = outcome.value
            yield events.HostBooted(
                at=self.now(), host=job.host, role=job.role, version=value.version, replaced=value.replaced
            )
        elif isinstance(outcome.value, Done):
            yield events.HostDone(at=self.now(), host=job.host, role=job.role, sentence=outcome.value.sentence)
        elif isinstance(outcome.error, KamalnbError) and (job.role or job.tells):
            yield _failed(self.now(), job, outcome.error)

    def _work(self, job: Job) -> None:
        worker = _Worker(self, job)
        try:
            outcome = Outcome(job=job, value=worker.run(job.flow))
        except KamalnbError as error:
            outcome = Outcome(job=job, error=worker.located(error))
        except Exception as error:  # a defect of ours: reported like any failure, never a lost host
            outcome = Outcome(job=job, error=KamalnbError(f"a defect of kamalnb: {error!r}. Please report it."))
            outcome.error.__cause__ = error  # type: ignore[union-attr]
        self._queue.put(outcome)


def _nothing_to_do(engine: Engine, effect: Local) -> Generator[Event, None, bool]:
    yield from ()
    return True


class _Worker:
    """Drives the flow of one job in its thread."""

    def __init__(self, engine: Engine, job: Job) -> None:
        self._engine = engine
        self._job = job
        self._executor = DryRunExecutor(engine.executor) if engine.dry_run else engine.executor
        self.phase: Phase | None = None
        self._broke_in: Phase | None = None
        self._may_cancel = True

    def run(self, flow: Flow[Any]) -> Any:
        answer: Any = None
        trouble: KamalnbError | None = None
        try:
            while True:
                try:
                    effect = flow.throw(trouble) if trouble is not None else flow.send(answer)
                except StopIteration as stop:
                    return stop.value
                answer, trouble = self._performed(effect)
        finally:
            flow.close()

    def located(self, error: KamalnbError) -> KamalnbError:
        """The error, knowing in which phase it happened."""
        error.phase = self._broke_in or self.phase  # type: ignore[attr-defined]
        return error

    def _performed(self, effect: Effect) -> tuple[Any, KamalnbError | None]:
        match effect:
            case Enter(phase=phase):
                self._enter(phase)
            case Tell(fact=fact):
                self._tell(events.FactLearned, fact=fact)
            case Pause(seconds=seconds, why=why):
                self._tell(events.Waiting, seconds=seconds, why=why)
                self._engine.clock.wait(seconds, threading.Event())
            case Run():
                return self._ran(effect)
        return None, None

    def _enter(self, phase: Phase) -> None:
        if phase is Phase.UNDO:
            self._broke_in = self.phase
        # A role without a proxy switches when its old one is stopped, after the new one was found well.
        if phase in (Phase.UNDO, Phase.SWITCH) or (phase is Phase.STOP and self.phase is Phase.VERIFY):
            self._may_cancel = False
        self.phase = phase
        self._tell(events.PhaseEntered, phase=phase)

    def _ran(self, effect: Run) -> tuple[Any, KamalnbError | None]:
        if self._cancel_now():
            return None, Cancelled()
        watch = _Watch(self, effect)
        # A change would go on beside its own way back, and could end after it: it is waited for.
        abort = self._aborted if self._may_cancel and not (self.phase and effect.script.lasting) else never
        try:
            results = self._executor.run(self._job.host, effect.script, watch.result, watch.line, abort)
        except (HostUnreachable, Unclear) as error:
            return None, error
        # Also after a script that ended well: the next one may be the switch.
        return (None, Cancelled()) if self._cancel_now() else (results, None)

    def _aborted(self) -> bool:
        return self._engine.cancelled

    def _cancel_now(self) -> bool:
        if self._may_cancel and self._engine.cancelled:
            self._may_cancel = False
            return True
        return False

    def _tell(self, kind: type[Event], **fields: Any) -> None:
        event = kind(at=self._engine.now(), host=self._job.host, role=self._job.role, **fields)
        self._engine._queue.put(event)

    def step(self, command: Command, result: Result) -> None:
        """Tells that a command ended, or that it would run."""
        if result.stderr == WOULD:
            self._tell(
                events.StepSkipped, name=result.name, line=result.line, changes=command.changes, uses=command.uses
            )
            return
        output = (result.stdout if result.ok else result.stderr or result.stdout)[-4000:]
        told = {"name": result.name, "line": result.line, "exited": result.exited, "seconds": result.seconds}
        self._tell(events.StepFinished, **told, output=output)

    def printed(self, name: str, line: str) -> None:
        """Tells what a running command prints."""
        self._tell(events.LinePrinted, name=name, line=line)


class _Watch:
    """What one script tells while it runs: its results, its lines, and the phases it comes to."""

    def __init__(self, worker: _Worker, effect: Run) -> None:
        self._worker = worker
        self._script: Script = effect.script
        order = effect.script.order
        following = dict(itertools.pairwise(order))
        phases = dict(effect.phases)
        self._phase_after = {number: phases[after] for number, after in following.items() if after in phases}

    def result(self, number: int, result: Result) -> None:
        self._worker.step(self._script.commands[number], result)
        phase = self._phase_after.get(number)
        if phase is not None and result.ok:
            self._worker._enter(phase)

    def line(self, number: int, line: str) -> None:
        command = self._script.commands[min(number, len(self._script.commands) - 1)]
        # Looks print documents for programs; people want to see what waits and what changes.
        if not command.quiet and command.name not in _DOCUMENTS:
            self._worker.printed(command.name, line)


_DOCUMENTS = frozenset(
    {
        *("start container", "keep log", "docker", "disk", "clock", "routers", "list containers", "list images"),
        *("look into image", "look at traefik", "look at traefik image", "ask what is routed", "proxy log"),
    }
)
"""What prints for programs though it is asked in a script of its own."""


def _failed(at: float, job: Job, error: KamalnbError) -> events.HostFailed:
    phase = getattr(error, "phase", None)
    kind = type(error).__name__
    if isinstance(error, BootError):
        return events.HostFailed(
            at=at, host=job.host, role=job.role, phase=phase, error=error.why, kind=kind, serving=error.serving,
            hint=error.hint, log=error.log, health=error.health, kept=error.kept, begun=True,
        )  # fmt: skip
    return events.HostFailed(at=at, host=job.host, role=job.role, phase=phase, error=str(error), kind=kind, begun=True)
