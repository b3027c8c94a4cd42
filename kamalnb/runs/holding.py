"""The lock of a run: taken, waited for, inherited from the run whose hook called us, let go at the end."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from .. import wording
from ..commands import lock
from ..commands.lock import Claim
from ..engine import Engine
from ..errors import LockHeld, StillAtWork
from ..events import Event
from ..hooks import inherited_lock
from ..locks import Locks
from .how import How
from .telling import note

if TYPE_CHECKING:
    from ..project import Project

BETWEEN_TRIES = 2.0
"""Seconds between two tries for a lock that somebody else holds."""
SETTLING = 180.0
"""Seconds in which a host finishes what a run that died left at work there: a soak, a drain, a stop."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that are to be locked, and those that are left out of the run."""

    touched: tuple[str, ...]
    left_out: tuple[str, ...] = ()


class Holding:
    """A context around everything that changes hosts. Raises ``LockHeld`` from ``taken`` where somebody else has it."""

    def __init__(self, engine: Engine, project: Project, claim: Claim, hosts: Hosts, how: How) -> None:
        self._engine = engine
        self._how = how
        self._inherited = inherited(project.environ) is not None
        self._locks = Locks(engine.executor, project.config, hosts.touched, claim, without=set(hosts.left_out))

    @property
    def fence(self) -> tuple[str, str]:
        """What every changing script compares first."""
        return self._locks.fence

    def __enter__(self) -> Holding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._locks.release()

    def taken(self) -> Generator[Event, None, bool]:
        """Takes it, waiting as long as the person allows, and says for whom; whether it had to wait.

        What a run that has ended left at work is waited for in any case: it ends by itself, and the same command after
        a crash must come through.
        """
        if self._inherited:
            yield note(self._engine, "the lock is the one of the run that called this hook")
            return False
        began, told = self._engine.clock.now(), ""
        while True:
            try:
                self._locks.take()
                break
            except LockHeld as held:
                patience = SETTLING if isinstance(held, StillAtWork) else 0.0
                waited = self._engine.clock.now() - began
                if waited >= max(patience, self._how.lock_wait) or self._engine.cancelled:
                    raise
                if str(held) != told:
                    told = str(held)
                    yield note(self._engine, f"waiting for the lock: {held}", warning=True)
            self._engine.pause(BETWEEN_TRIES)
        if told:
            yield note(self._engine, f"got the lock after {wording.seconds(self._engine.clock.now() - began)}")
        return bool(told)


def inherited(environ: Mapping[str, str]) -> str | None:
    """The run that called us from one of its hooks, if one did."""
    return inherited_lock(environ) or None


def claim(project: Project, run_id: str, version: str, why: str) -> Claim:
    """Who wants the lock now, and why."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return lock.Claim(run_id=run_id, who=project.performer(), when=when, version=version, why=why)
