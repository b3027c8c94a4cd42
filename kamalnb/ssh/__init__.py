"""Scripts on real hosts over SSH: one kept connection per host, each script one round of talk.

Cheap to import. Fabric (0.4 s) comes in with the first connection, through ``ssh.link``.
"""

from __future__ import annotations

import contextlib
import logging
import secrets as randomness
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.model import SecretSource, Ssh
from ..errors import HostUnreachable
from ..executor import Abort, OnLine, OnResult, never
from ..live import OnPiece
from ..script import Frames, Script, mark_of, render
from ..shell import Command, Result, Secret, look
from .openssh import resolve
from .target import Login, Target

if TYPE_CHECKING:
    from .hold import SshHold
    from .link import Link, Shop
    from .scan import Scanned
    from .talk import Exchange

__all__ = ["Login", "SshExecutor"]


class SshExecutor:
    """Runs scripts on hosts over SSH. Safe to call from several threads, for one host too.

    ``secrets`` reads ``ssh.key_data``; ``directory`` is the project's, for relative paths. Hosts are found and
    entered as ``ssh`` would, what ``ssh`` (of deploy.yml) sets winning; unknown host keys are refused.
    """

    def __init__(
        self, ssh: Ssh, *, secrets: Callable[[SecretSource], Secret] | None = None, directory: Path = Path()
    ) -> None:
        self._ssh = ssh
        self._secrets = secrets
        self._directory = directory.absolute()
        self._lock = threading.Lock()
        self._targets: dict[str, Target] = {}
        self._links: dict[Target, Link] = {}
        self._shop: Shop | None = None
        self._watch = _Watch()

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        """Runs ``script`` on ``host`` within its limit; see ``Executor.run``.

        Raises HostUnreachable when nothing was sent at all.
        """
        link = self._link(host)
        mark = mark_of(script, "k" + randomness.token_hex(8))
        frames: list[Frames] = []

        def begin() -> Exchange:
            frames.append(Frames(script, mark, time.monotonic, on_result, on_line))
            return _exchange(script, mark, frames[0], abort)

        with self._remembered(host):
            exchange = link.converse(host, begin)
        if exchange.failure is not None:
            raise exchange.failure
        if exchange.note and not frames[0].done:
            frames[0].err(f"\n({exchange.note})")
        return frames[0].results()

    def hold(self, host: str, command: Command, heartbeat: float) -> SshHold:
        """Starts ``command`` in a session of its own and feeds it a line every ``heartbeat`` seconds.

        Returns when it has printed ``held`` or has ended. Raises HostUnreachable.
        """
        link = self._link(host)
        with self._remembered(host):
            # A function, so that a script that was cut off on its way runs nothing.
            return link.hold(host, f"k_main() {{\nexec {command.line()}\n}}\nk_main\n", heartbeat)

    def stream(
        self,
        host: str,
        command: Command,
        on_piece: OnPiece,
        abort: Abort = never,
        *,
        over: Command | None = None,
        limit: float = float("inf"),
    ) -> Result:
        """Runs ``command`` as long as the connection lives; see ``Executor.stream``."""
        from .live import SshLive

        link = self._link(host)
        live = SshLive(command, over, on_piece, abort, limit)
        with self._remembered(host):
            link.stream(host, live)
        return live.result()

    def probe(self, host: str) -> Login:
        """Logs in, runs an empty command, and says how it got in.

        Raises HostUnreachable, with the step that failed and the command that fixes it.
        """
        link = self._link(host)
        results = self.run(host, Script.of(look("shell", "true", limit=10.0)), _nothing, _nothing)
        if not (results and results[0].ok) or link.login is None:
            said = " ".join((results[0].stdout + " " + results[0].stderr).split())[:200] if results else "no answer"
            raise HostUnreachable(
                host, "session", f"logged in, but a shell does not run ({said}). Try `{link.target.command} true`."
            )
        return link.login

    def host_keys(self, host: str) -> Scanned:
        """The keys that ``host`` shows, after those of its jump hosts: for a known_hosts file. Trusts none of them."""
        from .scan import Scanned, scan

        try:
            with self._remembered(host):
                return scan(host, self._link(host), self._ssh.connect_timeout)
        except HostUnreachable as error:  # ssh's own configuration does not say where it is
            return Scanned(error=error)

    def close(self) -> None:
        """Lets every connection go. The next ``run`` connects again."""
        with self._lock:
            links = list(self._links.values())
            self._links.clear()
            self._targets.clear()
        # The ones behind jump hosts first: their goodbye travels through those.
        for link in sorted(links, key=lambda link: link.via is None):
            link.close()

    @contextlib.contextmanager
    def _remembered(self, host: str) -> Iterator[None]:
        """Forgets where ``host`` is when it cannot be reached: a person may be mending ssh_config."""
        try:
            yield
        except HostUnreachable:
            self._targets.pop(host, None)
            raise

    def _link(self, host: str) -> Link:
        target = self._targets.get(host)
        if target is None:
            target = resolve(host, self._ssh, self._directory)
        with self._lock:
            self._targets[host] = target
            return self._link_to(target)

    def _link_to(self, target: Target) -> Link:
        from .link import Link

        if target not in self._links:
            via = self._link_to(target.via) if target.via is not None else None
            self._links[target] = Link(target, self._shared(), via)
        return self._links[target]

    def _shared(self) -> Shop:
        from .keys import KeyRing
        from .link import Shop

        if self._shop is None:
            _set_log_level(self._ssh.log_level)
            self._shop = Shop(
                keys=KeyRing(self._ssh, self._secrets),
                connect_timeout=self._ssh.connect_timeout,
                idle_timeout=self._ssh.pool_idle_timeout,
                starts=threading.Semaphore(self._ssh.max_concurrent_starts),
                guard=self._watch.guard,
            )
        return self._shop


def _exchange(script: Script, mark: str, frames: Frames, abort: Abort) -> Exchange:
    from .talk import Exchange

    return Exchange(
        text=render(script, mark).encode(errors="surrogateescape"),
        out=frames.out,
        err=frames.err,
        done=lambda: frames.done,
        limit=script.limit,
        abort=abort,
    )


def _set_log_level(name: str) -> None:
    """paramiko logs tracebacks; at Kamal's default level, ``fatal``, it keeps quiet."""
    level = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
    logging.getLogger("kamalnb.ssh").setLevel(level.get(name.lower(), logging.CRITICAL))


class _Watch:
    """One thread that ends what overstays: the last resort against a peer that takes no more bytes."""

    def __init__(self) -> None:
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._changed = threading.Condition()
        self._wakes = float("inf")
        self._running = False

    @contextlib.contextmanager
    def guard(self, seconds: float, abort: Callable[[], None]) -> Iterator[None]:
        """Calls ``abort`` when the block is not left within ``seconds``."""
        ticket = object()
        due = time.monotonic() + seconds
        with self._changed:
            self._due[ticket] = (due, abort)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="kamalnb-ssh-watch", daemon=True).start()
            elif due < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._due.pop(ticket, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                late = [ticket for ticket, (due, _abort) in self._due.items() if due <= now]
                aborts = [self._due.pop(ticket)[1] for ticket in late]
                if not aborts:
                    if not self._due:
                        self._running = False
                        return
                    self._wakes = min(due for due, _abort in self._due.values())
                    self._changed.wait(self._wakes - now)
                    continue
            for abort in aborts:
                abort()


def _nothing(number: int, what: object) -> None:
    """Nobody listens."""
