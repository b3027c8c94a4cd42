"""How a pretend fleet for people is put together: its file, its hosts, what serves there, what is wrong there."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..boot import boot
from ..config.model import Config
from ..errors import UsageError
from ..plan import BootPlan
from .apps import APPS, App
from .fleet import FAILURES, PretendFleet, drive_on
from .host import PretendHost

if TYPE_CHECKING:
    from ..fleet import Fleet
    from ..project import Project
    from ..tags import Listed

REPOSITORY = "registry.example/app"
APP_FOR: Mapping[str, App] = {
    "never healthy": APPS["never-healthy"],
    "exits": APPS["exits"],
    "loopback": APPS["loopback"],
    "dies": App(lives=5.0, says=("the app starts", "something went wrong")),
}
DIES_SEEN_FOR = 4.0
"""Seconds of soak in a pretend fleet, so that one that dies is seen dying."""


@dataclass(frozen=True)
class _Pace:
    """Lets a stretch of virtual time last."""

    speed: float

    def __call__(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)


class _PacedClock:
    """Virtual seconds that last: they run for every host alike, also for one that nobody waits for."""

    def __init__(self, fleet: PretendFleet, speed: float) -> None:
        self._fleet = fleet
        self._speed = speed
        self._began = time.monotonic()

    def now(self) -> float:
        """Seconds since the fleet was made, ``speed`` times as many as really passed."""
        return (time.monotonic() - self._began) * self._speed

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """A host's own wait lets its time pass; the fleet's is cut short by ``stop``."""
        if self._fleet.is_on_host():
            self._fleet.pass_by(seconds)
        else:
            stop.wait(seconds / self._speed)


def fleet_of(
    names: tuple[str, ...], fail: Mapping[str, str], serving: str | None, speed: float | None, more: str
) -> Fleet:
    """See ``kamalnb.testing.pretend``."""
    from ..config.reading import read_config
    from ..fleet import Fleet

    _refuse_unknown(names, fail)
    config = read_config(f"{_file(names)}{more}\n", environ={}, source="a pretend deploy.yml")
    hosts = [PretendHost(name, repository=config.repository) for name in config.hosts]
    for host in hosts:
        host.began = time.time()
        for role in config.roles_on(host.name) if serving else ():
            drive_on(host, boot(_first(host.name, config, role.name, str(serving))))
        _break(host, fail.get(host.name, ""))
        host.did.clear()
        if speed:
            # Hosts at a human pace live in our time, also while nobody asks them anything.
            host.time.pace, host.clock = _Pace(speed), time.time
    executor = PretendFleet(hosts)
    clock = _PacedClock(executor, speed) if speed else executor.clock
    return Fleet(
        connect=lambda project: executor, load=lambda: _project(config), clock=clock,
        listing=lambda project: _listed(hosts[0], config.repository),
    )  # fmt: skip


def _listed(host: PretendHost, repository: str) -> Listed:
    from ..tags import Listed, newest_first

    tags = (name.removeprefix(f"{repository}:") for name in host.registry if name.startswith(f"{repository}:"))
    return Listed(tags=newest_first(tuple(tags)))


def _file(names: tuple[str, ...]) -> str:
    return (
        "service: app\nimage: app\nregistry: {server: registry.example}\n"
        f"servers: {{web: {{hosts: [{', '.join(names)}]}}}}\nmin_healthy: {DIES_SEEN_FOR:g}\n"
    )


def _first(host: str, config: Config, role: str, version: str) -> BootPlan:
    nonce = f"{sum(map(ord, host + role)):032x}"
    return BootPlan(
        host=host, role=config.role(role), version=version, reference=f"{config.repository}:{version}", nonce=nonce
    )


def _break(host: PretendHost, how: str) -> None:
    if how in APP_FOR:
        for tag in APPS:
            host.add_image(tag, APP_FOR[how])
    host.unreachable = how == "unreachable"
    host.docker_answers = how != "no docker"
    host.free_kib = 0 if how == "disk full" else host.free_kib
    traefik = host.find("traefik")
    if how == "no traefik" and traefik is not None:
        traefik.status = "exited"


def _refuse_unknown(names: tuple[str, ...], fail: Mapping[str, str]) -> None:
    for name, how in fail.items():
        if name not in names:
            raise UsageError(f"No host is called “{name}”. There are: {', '.join(names)}.")
        if how not in FAILURES:
            raise UsageError(f"“{how}” is nothing that a pretend host can have. There are: {', '.join(FAILURES)}.")


def _project(config: Config) -> Project:
    from ..project import Project

    return Project(
        root=Path("/"),
        config=config,
        sources=(Path("a pretend deploy.yml"),),
        digest="pretend",
        environ={"KAMALNB_PERFORMER": "pretend"},
    )
