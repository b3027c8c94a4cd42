"""Runs a person's own command on many hosts at once: what it prints as it comes, and how it ended on each."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from .commands.exec import ExecOptions
from .config.model import Config, Role
from .errors import HostUnreachable, KamalnbError, Unclear
from .executor import Executor
from .flow import Cancelled, Flow, Run
from .flows.executing import Asked, Launch, explained, prepared
from .plan import Selection
from .rollout import Done
from .script import Script
from .shell import Result

WORKERS = 64
WAITING_PIECES = 500
"""Pieces of output that may wait for the listener before hosts have to wait."""
KEPT = 8 << 20
"""Bytes of each stream that a result keeps: the last ones."""
LIMIT = 24 * 3600.0
"""Seconds that a command may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A piece of what a command printed, as it came; ``error`` is its standard error."""

    host: str
    role: str
    error: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """How a command ended on a host. ``exited`` is None where nobody knows; ``problem`` says why it is no success."""

    host: str
    role: str
    version: str = ""
    container: str = ""
    exited: int | None = None
    stdout: str = ""
    stderr: str = ""
    problem: str = ""
    seconds: float = 0.0
    error: KamalnbError | None = None
    """Why it was not run at all."""

    @property
    def ok(self) -> bool:
        """It ran, and ended with exit code 0."""
        return self.exited == 0

    @property
    def done(self) -> Done:
        """The same as the outcome of a change."""
        data = {"exited": self.exited, "stdout": self.stdout, "stderr": self.stderr, "version": self.version}
        return Done(self.problem or f"ran in {self.container} (version {self.version})", {**data, "ok": self.ok})


class Execution:
    """A command on its way: iterate for what it prints, then look at ``results``. ``stop`` ends it everywhere."""

    def __init__(
        self,
        executor: Executor,
        config: Config,
        selection: Selection,
        options: ExecOptions,
        *,
        performer: str = "",
        limit: float = LIMIT,
    ) -> None:
        self._executor = executor
        self._options = options
        self._limit = limit
        self.asked = asked(config, selection, options, performer)
        self._pieces: queue.Queue[Output | None] = queue.Queue(WAITING_PIECES)
        self._stopped = threading.Event()
        self._ends: list[Future[Executed]] = []

    def __iter__(self) -> Iterator[Output]:
        with ThreadPoolExecutor(min(len(self.asked), WORKERS), thread_name_prefix="kamalnb-exec") as pool:
            self._ends = [pool.submit(self._one, asked) for asked in self.asked]
            try:
                left = len(self._ends)
                # Once it is stopped nobody puts anything any more.
                while left and not (self._stopped.is_set() and all(end.done() for end in self._ends)):
                    piece = self._next()
                    if isinstance(piece, Output):
                        yield piece
                    elif piece is None:
                        left -= 1
            finally:
                self.stop()

    @property
    def results(self) -> tuple[Executed, ...]:
        """How it ended, in the hosts' order; those where it has not ended are left out."""
        return tuple(end.result() for end in self._ends if end.done())

    @property
    def reuses(self) -> bool:
        """It runs in the containers that serve, one a role."""
        return self._options.reuse

    def stop(self) -> None:
        """Ends the command on every host where it still runs, as far as Docker lets anybody."""
        self._stopped.set()

    def wait(self) -> tuple[Executed, ...]:
        """Runs to the end; how it ended on each host."""
        for _ in self:
            pass
        return self.results

    def _next(self) -> Output | bool | None:
        """A piece; None where a host is done; False after a moment, so that a main thread sees Ctrl-C."""
        try:
            return self._pieces.get(timeout=0.2)
        except queue.Empty:
            return False

    def _put(self, piece: Output | None) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._pieces.put(piece, timeout=0.2)
                return

    def _one(self, asked: Asked) -> Executed:
        try:
            return self._ran(asked)
        except KamalnbError as error:
            why = str(error).removeprefix(f"{asked.host}: ")
            return Executed(host=asked.host, role=asked.role.name, problem=why, error=error)
        except Exception as error:  # a defect of ours: reported like any failure, never a lost host
            why = f"a defect of kamalnb: {error!r}. Please report it."
            return Executed(host=asked.host, role=asked.role.name, problem=why, error=KamalnbError(why))
        finally:
            self._put(None)

    def _ran(self, asked: Asked) -> Executed:
        if self._stopped.is_set():
            raise Cancelled
        launch = driven(self._executor, asked.host, prepared(asked))
        kept = {False: _Tail(), True: _Tail()}

        def take(error: bool, data: bytes) -> None:
            kept[error].add(data)
            self._put(Output(host=launch.host, role=launch.role, error=error, data=data))

        result = self._executor.stream(
            launch.host, launch.command, take, self._stopped.is_set, over=launch.over, limit=self._limit
        )
        stdout, stderr = kept[False].text, kept[True].text
        return Executed(
            host=launch.host, role=launch.role, version=launch.version, container=launch.where, exited=result.exited,
            stdout=stdout, stderr=stderr, seconds=result.seconds,
            problem="" if result.ok else explained(launch, self._options, result, stderr[-4000:] or stdout[-1000:]),
        )  # fmt: skip


def asked(config: Config, selection: Selection, options: ExecOptions, performer: str) -> tuple[Asked, ...]:
    """Where it is to run: in a new container once a host, in running ones once a role (as Kamal)."""
    pairs = selection.pairs if options.reuse else tuple(_once_a_host(selection))
    return tuple(
        Asked(config=config, host=host, role=role, options=options, performer=performer, run_id=secrets.token_hex(6))
        for host, role in pairs
    )


def launch_here(
    executor: Executor, config: Config, selection: Selection, options: ExecOptions, performer: str = ""
) -> Launch:
    """What an interactive command is on the first chosen host: ``ssh.terminal`` then runs its ``command`` there."""
    first = asked(config, selection, replace(options, interactive=True), performer)[0]
    return driven(executor, first.host, prepared(first))


def forgotten(executor: Executor, launch: Launch) -> None:
    """Takes away what was written for a command that ``ssh`` could not begin; a host that is gone keeps it, private."""
    if launch.forget is not None:
        with contextlib.suppress(KamalnbError):
            executor.run(launch.host, Script.of(launch.forget), _nothing, _nothing)


def driven(executor: Executor, host: str, flow: Flow[Launch]) -> Launch:
    """Drives a flow that only runs scripts."""
    answer: Any = None
    trouble: KamalnbError | None = None
    while True:
        try:
            effect = flow.throw(trouble) if trouble is not None else flow.send(answer)
        except StopIteration as stop:
            launch: Launch = stop.value
            return launch
        answer, trouble = None, None
        if isinstance(effect, Run):
            try:
                answer = executor.run(host, effect.script, _nothing, _nothing)
            except (HostUnreachable, Unclear) as error:
                trouble = error


def _once_a_host(selection: Selection) -> Iterator[tuple[str, Role]]:
    for host in selection.hosts:
        yield next(pair for pair in selection.pairs if pair[0] == host)


class _Tail:
    """The last bytes of a stream."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > 2 * KEPT:
            self._pieces = [b"".join(self._pieces)[-KEPT:]]
            self._size = KEPT

    @property
    def text(self) -> str:
        return b"".join(self._pieces)[-KEPT:].decode(errors="replace")


def _nothing(number: int, what: Result | str) -> None:
    """Nobody listens."""
