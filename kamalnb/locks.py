"""Takes and keeps the lock of a run: on the primary host first, then on every host it touches, all or none."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from types import TracebackType

from . import crew
from .commands import lock
from .config.model import Config
from .executor import Executor, Hold

WORKERS = 32


class Locks:
    """A context: inside, this run alone changes the hosts. Raises ``LockHeld`` on entering where somebody else does.

    The primary host of the *configuration* is always asked first, whatever part of the fleet a run is about: of two
    runs one gets it, and only that one asks on.
    """

    def __init__(
        self,
        executor: Executor,
        config: Config,
        hosts: Sequence[str],
        claim: lock.Claim,
        *,
        without: Collection[str] = (),
    ) -> None:
        self._executor = executor
        self._config = config
        self._claim = claim
        order = [config.primary_host, *(host for host in config.hosts if host in hosts and host != config.primary_host)]
        self._hosts = [host for host in order if host not in without]
        self._holds: dict[str, Hold] = {}
        self._lock = threading.Lock()

    @property
    def fence(self) -> tuple[str, str]:
        """What every changing script compares first: the lock file and this run's id."""
        return lock.path(self._config), self._claim.run_id

    @property
    def lost(self) -> tuple[str, ...]:
        """Hosts whose session has ended by itself."""
        return tuple(host for host, hold in self._holds.items() if not hold.held)

    def __enter__(self) -> Locks:
        self.take()
        return self

    def take(self) -> None:
        """Takes all or none. Raises ``LockHeld``, ``HostUnreachable`` or ``Unclear``."""
        try:
            self._take(self._hosts[0])
            crew.side_by_side(self._take, self._hosts[1:], WORKERS)
        except BaseException:
            self.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Lets every session end; hosts that are gone let go by themselves."""
        crew.side_by_side(lambda hold: hold.release(), list(self._holds.values()), WORKERS)
        self._holds.clear()

    def _take(self, host: str) -> None:
        command = lock.hold(self._config, self._claim, primary=host == self._config.primary_host)
        hold = self._executor.hold(host, command, lock.HEARTBEAT)
        if not hold.held:
            raise lock.refusal(host, hold.printed, hold.exited)
        with self._lock:
            self._holds[host] = hold
