"""Pretend containers: labels, health checks with a cord, requests in flight, SIGTERM. Time is virtual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .apps import App
from .time import Process, Task

if TYPE_CHECKING:
    from .host import PretendHost

CORD_TARGET = "/tmp/kamal-cord"  # noqa: S108  Kamal's path inside the container
NEVER = "0001-01-01T00:00:00Z"
"""What Docker shows where something never happened."""
LOOK_TAKES = 0.06
"""Seconds of a probe that finds no cord (measured: about 60 ms of exec work)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Docker's health settings. ``kamal``: Kamal's own command, which looks at the cord last and asks once."""

    interval: float = 1.0
    timeout: float = 12.0
    retries: int = 1
    kamal: bool = False


@dataclass(slots=True, eq=False)
class Flight:
    """A request that a container is answering. ``held``: a WebSocket, which lives until SIGTERM."""

    began: float
    held: bool = False
    lost: str = ""
    ended: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class PretendContainer:
    """One container on a pretend host."""

    id: str
    name: str
    image: str
    app: App
    labels: Mapping[str, str] = field(default_factory=dict)
    check: Check | None = None
    cord: str | None = None
    networks: dict[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """How ``docker create`` was told to make it, up to its image; kept for Traefik alone."""
    created: float = 0.0
    started: float = 0.0
    finished: float | None = None
    status: str = "running"
    exit_code: int = 0
    restarts: int = 0
    health: str | None = None
    health_log: list[str] = field(default_factory=list)
    flights: list[Flight] = field(default_factory=list)
    last_contact: float = -1000.0
    first_request: float | None = None
    terminated: bool = False
    pid: int = 0
    tasks: list[Task] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """Docker says running."""
        return self.status == "running"

    @property
    def routable(self) -> bool:
        """Traefik would route to it."""
        return self.running and self.health in (None, "healthy")

    def well(self, now: float) -> bool:
        """Whether the app's own check passes now."""
        if not self.running or not self.app.healthy or now < self.started + self.app.ready_after:
            return False
        return not (self.app.sick_after is not None and self._since_first(now) >= self.app.sick_after)

    def listens(self, now: float) -> bool:
        """Whether its program takes connections now."""
        return self.running and not self.terminated and now >= self.started + self.app.listens_after

    def accepts(self, now: float, port: int) -> bool:
        """Whether a connection from outside gets through to the app."""
        return self.listens(now) and port in self.app.listens_on and not self.app.loopback

    def connections(self, now: float, idle: float) -> int:
        """Established connections from the proxy: requests in flight, then those it keeps for ``idle`` seconds."""
        busy = sum(not flight.ended for flight in self.flights)
        return busy or int(self.running and now < self.last_contact + idle)

    def _since_first(self, now: float) -> float:
        return -1.0 if self.first_request is None else now - self.first_request

    def lose(self, why: str) -> None:
        """Everything in flight is lost."""
        for flight in self.flights:
            if not flight.ended:
                flight.lost, flight.ended = why, True


def life(host: PretendHost, container: PretendContainer) -> None:
    """Begins (again) to run it: its end, its health checks."""
    for task in container.tasks:
        task.kill()
    container.status, container.started, container.terminated = "running", host.time.now, False
    container.first_request = None
    container.health = None if container.check is None else "starting"
    container.tasks = [host.time.spawn(_ending(host, container))]
    if container.check is not None:
        container.tasks.append(host.time.spawn(_health(host, container, container.check)))
    host.happened()


def died(host: PretendHost, container: PretendContainer, code: int) -> None:
    """Its program ended; Docker starts it again unless it was told to stop."""
    container.exit_code, container.finished = code, host.time.now
    container.status = "exited" if container.terminated else "restarting"
    container.lose(f"{container.name} ended with exit code {code}")
    tasks, container.tasks = container.tasks, []
    if container.status == "restarting":
        container.tasks = [host.time.spawn(_again(host, container))]
    host.happened()
    for task in tasks:
        task.done = True  # one of them may be the caller


def stop(host: PretendHost, container: PretendContainer, wait: float) -> Process:
    """``docker stop``: SIGTERM, ``wait`` seconds, SIGKILL."""
    if not container.running:
        if container.status != "exited":
            container.finished = host.time.now
        container.terminated, container.status = True, "exited"
        for task in container.tasks:
            task.kill()
        yield 0.02
        return
    until = host.time.now + wait
    if not container.app.stubborn:
        container.terminated = True
        if not container.app.graceful:
            died(host, container, 143)
        for flight in container.flights:
            flight.ended = flight.ended or flight.held
    while container.running and (container.app.stubborn or any(not flight.ended for flight in container.flights)):
        if host.time.now >= until:
            break
        yield 0.05
    yield 0.05
    late = host.time.now >= until
    container.terminated = True
    if container.running:
        died(host, container, 137 if late else 0)


def _ending(host: PretendHost, container: PretendContainer) -> Process:
    app = container.app
    if app.exits is not None:
        yield 0.1
        died(host, container, app.exits)
    if app.lives is not None:
        yield app.lives
        died(host, container, 1)
        return
    while app.dies_after is not None:
        if container.first_request is not None and host.time.now >= container.first_request + app.dies_after:
            died(host, container, 1)
            return
        yield 0.05


def _again(host: PretendHost, container: PretendContainer) -> Process:
    yield min(60.0, 0.1 * 2 ** min(container.restarts, 10))
    container.restarts += 1
    container.tasks = []
    life(host, container)


def _health(host: PretendHost, container: PretendContainer, check: Check) -> Process:
    """Docker's health monitor: first probe one interval after the start (moby: daemon/health.go)."""
    streak = 0
    while True:
        yield check.interval
        before = container.health
        said = yield from (_kamal_probe if check.kamal else _probe)(host, container)
        container.health_log = [*container.health_log[-4:], said]
        streak = streak + 1 if said else 0
        if not said:
            container.health = "healthy"
        elif streak >= check.retries:
            container.health = "unhealthy"
        if container.health != before:
            host.happened()


def _probe(host: PretendHost, container: PretendContainer) -> Process:
    """The cord, then up to three app checks a second apart and the cord between; what is wrong, or nothing."""
    for attempt in range(3):
        if attempt:
            yield 1.0
        if container.cord is not None and not host.tied(container.cord):
            yield LOOK_TAKES
            return "no cord"
        yield container.app.check_takes
        if container.well(host.time.now):
            return ""
    return "the check failed"


def _kamal_probe(host: PretendHost, container: PretendContainer) -> Process:
    """Kamal's: ``(curl …) && (stat /tmp/kamal-cord/cord > /dev/null || exit 1)``."""
    yield container.app.check_takes
    if not container.well(host.time.now):
        return "the check failed"
    return "" if container.cord is None or host.tied(container.cord) else "stat: cannot stat the cord"


def described(container: PretendContainer, epoch: str) -> dict[str, Any]:
    """It as ``docker inspect`` with our template shows it."""
    check, mounts = container.check, []
    if container.cord is not None:
        mounts = [{"Type": "bind", "Source": container.cord, "Destination": CORD_TARGET, "RW": True}]
    log = [{"ExitCode": int(bool(said)), "Output": said} for said in container.health_log]
    nanoseconds = 1_000_000_000
    settings = None if check is None else {
        "Test": ["CMD-SHELL", "…"], "Interval": int(check.interval * nanoseconds),
        "Timeout": int(check.timeout * nanoseconds), "Retries": check.retries,
    }  # fmt: skip
    return {
        "id": container.id, "name": f"/{container.name}", "image": container.image,
        "image_id": f"sha256:{container.image.rpartition(':')[2]}",
        "labels": dict(container.labels), "status": container.status, "exit_code": container.exit_code,
        "pid": container.pid if container.running else 0, "started": moment(epoch, container.started),
        "created": moment(epoch, container.created),
        "finished": NEVER if container.finished is None else moment(epoch, container.finished),
        "restarts": container.restarts,
        "health": None if check is None else {"Status": container.health or "starting", "FailingStreak": 0, "Log": log},
        "check": settings, "mounts": mounts,
        "networks": {
            name: _network(address if container.running else "") for name, address in container.networks.items()
        },
        "network_mode": "default", "ports": {f"{port}/tcp": {} for port in container.app.exposes},
        "args": list(container.args), "published": None,
    }  # fmt: skip


def _network(address: str) -> dict[str, str]:
    return {"IPAddress": address, "Gateway": address and address.rpartition(".")[0] + ".1"}


def moment(epoch: str, seconds: float) -> str:
    """A virtual moment in Docker's spelling; it sorts as text."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{epoch}T{hours:02d}:{minutes:02d}:{whole % 60:02d}.{int(seconds % 1 * 1_000_000_000):09d}Z"
