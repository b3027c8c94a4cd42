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
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import exits
from ..errors import KamalnbError, RolloutFailed

PIPE = "KAMALNB_RUNBOOK_PIPE"
"""The number of the file that progress is written to: one JSON document a line."""
THREADS = "kamalnb-rollout"
"""How the names of threads begin that carry a rollout."""
EVERY = 0.5
"""Seconds between two looks at the rollouts that go on."""


def begin() -> None:
    """Tells the runner from now on how far rollouts are."""
    pipe = os.environ.pop(PIPE, "")  # not for the programs that cells start
    if pipe:
        threading.Thread(target=_tell, args=(int(pipe),), name="kamalnb-telling", daemon=True).start()


def state(names: Mapping[str, Any]) -> str:
    """After a cell, as JSON. ``names`` are the notebook's variables."""
    return json.dumps(
        {
            "error": failure(getattr(sys, "last_value", None)),
            "plans": [_plan(one) for one in names.values() if _is_plan(one)],
            "unfinished": [_name(one) for one in unfinished() if _has_begun(one)],
            "waiting": [_name(one) for one in unfinished() if not _has_begun(one)],
            "secrets": _secrets(),
        }
    )


def failure(error: BaseException | None) -> dict[str, Any] | None:
    """How an exception ends a runbook: its name, its sentence, the exit code for it."""
    if error is None:
        return None
    sentence = str(error) if isinstance(error, KamalnbError) else f"{type(error).__name__}: {error}".rstrip(": ")
    return {"kind": type(error).__name__, "sentence": sentence, "code": _code(error)}


def unfinished() -> list[Any]:
    """Rollouts, and threads of rollouts, that have not come to their end."""
    notebook = sys.modules.get("kamalnb.notebook.rollout")
    offered: Callable[[], Any] | None = getattr(notebook, "unfinished", None)
    found = list(offered()) if offered is not None else []
    found += [one for one in _core_rollouts() if one.report.finished is None and not any(_is_of(f, one) for f in found)]
    if not found:
        found += [thread for thread in threading.enumerate() if thread.name.startswith(THREADS)]
    return found


def settle(cancel: bool = False) -> None:
    """Waits for every rollout that goes on, after asking it to stop with ``cancel``. Raises how one failed.

    One that was never begun stays so.
    """
    left = [one for one in unfinished() if _has_begun(one)]
    for one in left:
        if cancel and hasattr(one, "cancel"):
            one.cancel()
    for one in left:
        if isinstance(one, threading.Thread):
            one.join()
        else:
            one.wait()


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


def _core_rollouts() -> Iterator[Any]:
    """Found among all objects: whoever made one need not have told anybody."""
    module = sys.modules.get("kamalnb.fleet.rollout")
    if module is not None:
        yield from (one for one in gc.get_objects() if isinstance(one, module.Rollout))


def _is_of(live: Any, core: Any) -> bool:
    return live is core or any(one is core for one in getattr(live, "__dict__", {}).values())


def _has_begun(one: Any) -> bool:
    report = getattr(one, "report", None)
    return report is None or bool(report.verb)


def _name(one: Any) -> str:
    report = getattr(one, "report", None)
    if report is None:
        return str(getattr(one, "name", one))
    return f"{report.verb} {report.version}".strip() or "a rollout"


def _secrets() -> list[str]:
    project = sys.modules.get("kamalnb.project")
    return [secret.value for secret in project.secrets_read()] if project is not None else []


def _tell(pipe: int) -> None:
    told: dict[str, Any] = {}
    pause = threading.Event()
    with os.fdopen(pipe, "w", encoding="utf-8") as runner, contextlib.suppress(OSError):
        while True:
            for one in _going():
                now = _progress(one.report)
                if now and now != told:
                    told = now
                    runner.write(json.dumps(now) + "\n")
                    runner.flush()
            pause.wait(EVERY)


def _going() -> list[Any]:
    """Rollouts that the notebook's face knows of; looking through all objects twice a second would cost too much."""
    notebook = sys.modules.get("kamalnb.notebook.rollout")
    offered: Callable[[], Any] | None = getattr(notebook, "unfinished", None)
    return [one for one in offered() if getattr(one, "report", None) is not None] if offered is not None else []


def _progress(report: Any) -> dict[str, Any] | None:
    lines = report.lines
    if not lines:
        return None
    ended = sum(line.ended is not None for line in lines)
    failed = len({line.host for line in lines if line.failures})
    return {"verb": report.verb, "ended": ended, "of": len(lines), "failed": failed, "cancelling": report.cancelling}
