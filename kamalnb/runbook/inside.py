"""What the runner asks of the kernel that it runs a notebook in: how a cell failed, which plan was made, which rollouts
have not ended, which secrets were read. Nothing of Jupyter is imported here.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from .. import exits
from ..errors import KamalnbError, RolloutFailed
from . import interrupts

PIPE = "KAMALNB_RUNBOOK_PIPE"
"""The number of the file that progress is written to: one JSON document a line."""
THREADS = "kamalnb-rollout"
"""How the names of threads begin that carry a rollout."""
GOING = ("running", "stopping")
NOT_BEGUN = "waiting for confirmation"
"""Stages of a rollout, as ``kamalnb.notebook`` calls them."""
EVERY = 0.5
"""Seconds between two looks at the rollouts that go on."""


_telling: list[Telling] = []
"""The one of this kernel; empty without a runner."""


def begin() -> None:
    """From now on cells can be interrupted, and the runner is told how far rollouts are."""
    interrupts.only_in_cells()
    pipe = os.environ.pop(PIPE, "")  # not for the programs that cells start
    if pipe:
        _telling.append(Telling(int(pipe)))
        threading.Thread(target=_tell, args=tuple(_telling), name="kamalnb-telling", daemon=True).start()


def state(names: Mapping[str, Any]) -> str:
    """After a cell, as JSON. ``names`` are the notebook's variables."""
    for one in _telling:
        one.tell(everywhere=True)
    return json.dumps(
        {
            "error": failure(getattr(sys, "last_value", None)),
            "plans": [_plan(one) for one in names.values() if _is_plan(one)],
            "going": [_name(one) for one in going()],
            "waiting": [_name(one) for one in waiting()],
            "secrets": _secrets(),
        }
    )


def failure(error: BaseException | None) -> dict[str, Any] | None:
    """How an exception ends a runbook: its name, its sentence, the exit code for it."""
    if error is None:
        return None
    sentence = str(error) if isinstance(error, KamalnbError) else f"{type(error).__name__}: {error}".rstrip(": ")
    return {"kind": type(error).__name__, "sentence": sentence, "code": _code(error)}


def going() -> list[Any]:
    """Rollouts that go on in the background; where none is found, the threads that carry one."""
    found = [one for one in _rollouts() if _stage(one) in GOING]
    return found or [one for one in threading.enumerate() if one.name.startswith(THREADS)]


def waiting() -> list[Any]:
    """Rollouts that were made and never begun: nobody said ``wait``, or confirmed them."""
    return [one for one in _rollouts() if _stage(one) == NOT_BEGUN]


def settle(cancel: bool = False) -> None:
    """Waits for every rollout that goes on, after asking it to stop with ``cancel``. Raises how one failed."""
    left = going()
    for one in left:
        if cancel and hasattr(one, "cancel"):
            one.cancel()
    for one in left:
        one.join() if isinstance(one, threading.Thread) else one.wait()


def _code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return exits.STOPPED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else exits.OK if error.code is None else exits.FAILED
    if isinstance(error, RolloutFailed):
        with contextlib.suppress(AttributeError):
            return exits.of(error.report)
    return error.exit_code if isinstance(error, KamalnbError) else exits.FAILED


def _is_plan(one: Any) -> bool:
    return type(one).__name__ == "Plan" and type(one).__module__.startswith("kamalnb.") and hasattr(one, "target")


def _plan(one: Any) -> dict[str, Any]:
    return {"id": str(one.id), "target": str(one.target), "hosts": len(one.hosts)}


def _rollouts() -> Iterator[Any]:
    """Found among all objects: whoever made one need not have told anybody."""
    module = sys.modules.get("kamalnb.fleet.rollout")
    if module is not None:
        # By its type: a weak proxy of what is gone raises where it is asked for its class.
        found = (one for one in gc.get_objects() if issubclass(type(one), module.Rollout))
        yield from (one for one in found if _whole(one))


def _whole(one: Any) -> bool:
    """Another thread may just be making it."""
    try:
        return bool(_stage(one)) and one.report is not None
    except AttributeError:
        return False


def _stage(one: Any) -> str:
    """How far a rollout is. The core's knows no background: one that has begun has ended with its ``wait``."""
    told = getattr(one, "state", None)
    if told is not None:
        return str(told)
    return "ended" if one.report.verb else NOT_BEGUN


def _name(one: Any) -> str:
    target = str(getattr(one, "target", "") or getattr(one, "name", ""))
    report = getattr(one, "report", None)
    return f"{report.verb} {target}".strip() if report is not None else target


def _secrets() -> list[str]:
    project = sys.modules.get("kamalnb.project")
    return [secret.value for secret in project.secrets_read()] if project is not None else []


def _tell(telling: Telling) -> None:
    pause = threading.Event()
    while _told(telling):
        pause.wait(EVERY)


def _told(telling: Telling) -> bool:
    """False where nobody reads any more."""
    try:
        return telling.tell()
    except Exception:  # rollouts go on while they are looked at; the next look may tell
        return True


class Telling:
    """The pipe to the runner, and what was told through it."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._watched = Watched()
        self._lock = threading.Lock()

    def tell(self, everywhere: bool = False) -> bool:
        """Writes what is new; False where nobody reads any more."""
        with self._lock:
            news = "".join(json.dumps(one) + "\n" for one in self._watched.look(everywhere))
            try:
                os.write(self._pipe, news.encode())
            except OSError:
                return False
        return True


class Watched:
    """Rollouts that go on, and what was told of each last. Looked for only when a new thread carries one."""

    def __init__(self) -> None:
        self._threads: set[int | None] = set()
        self._going: list[Any] = []
        self._told: dict[str, Any] = {}

    def look(self, everywhere: bool = False) -> Iterator[dict[str, Any]]:
        """What is new about each; ``everywhere`` finds also one that began and ended since."""
        threads = {one.ident for one in threading.enumerate() if one.name.startswith(THREADS)}
        if everywhere or threads - self._threads:
            self._going = [one for one in _rollouts() if _stage(one) != NOT_BEGUN]
        self._threads = threads
        for one in self._going:
            now = _progress(one.report)
            if now is not None and now != self._told.get(one.report.run_id):
                self._told[one.report.run_id] = now
                yield now
        self._going = [one for one in self._going if _stage(one) in GOING]


def _progress(report: Any) -> dict[str, Any] | None:
    if not report.lines:
        return None
    ended = sum(line.ended is not None for line in report.lines)
    failed = len({line.host for line in report.lines if line.failures})
    return {
        "verb": report.verb, "ended": ended, "of": len(report.lines), "failed": failed, "cancelling": report.cancelling,
    }  # fmt: skip
