"""A change other than a boot, run over the lab's hosts as the fleet will run it: side by side, with its events."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from shop import Shop

from kamalnb.config.model import Role
from kamalnb.engine import Engine
from kamalnb.events import Event
from kamalnb.flow import Flow
from kamalnb.flows.change import Change, OnHost
from kamalnb.project import Project, load
from kamalnb.rollout import Each, Job, Outcome
from kamalnb.ssh import SshExecutor


class Surroundings:
    """One project over the lab. ``events`` are those of the last run."""

    def __init__(self, shop: Shop, **changes: Any) -> None:
        self.project: Project = load(shop.config(**changes))
        self.events: list[Event] = []

    def on(self, host: str) -> OnHost:
        return OnHost(config=self.project.config, host=host, nonce=secrets.token_hex(16), performer="lab")

    def each(self, flow: Callable[[OnHost], Flow[Any]], hosts: tuple[str, ...] = ()) -> dict[str, Outcome]:
        chosen = hosts or self.project.config.hosts
        return self._run(tuple(Job(host, "", flow(self.on(host)), tells=True) for host in chosen))

    def roles(
        self, flow: Callable[[Change], Flow[Any]], hosts: tuple[str, ...] = (), role: str = "web"
    ) -> dict[str, Outcome]:
        found: Role = self.project.config.role(role)
        chosen = hosts or self.project.config.hosts
        return self._run(tuple(Job(host, role, flow(self.on(host).of(found))) for host in chosen))

    def _run(self, jobs: tuple[Job, ...]) -> dict[str, Outcome]:
        self.events = []
        config = self.project.config
        executor = SshExecutor(config.ssh, secrets=self.project.secret, directory=self.project.root)
        try:
            stream = Engine(executor).drive(_side_by_side(jobs))
            while True:
                try:
                    self.events.append(next(stream))
                except StopIteration as stop:
                    return {outcome.job.host: outcome for outcome in stop.value}
        finally:
            executor.close()


def _side_by_side(jobs: tuple[Job, ...]) -> Any:
    return (yield Each(jobs))


def done(outcomes: dict[str, Outcome], host: str = "web-1") -> str:
    """The sentence of a change that went well."""
    outcome = outcomes[host]
    assert outcome.error is None, f"{host}: {outcome.error}"
    return str(outcome.value.sentence)


def refused(outcomes: dict[str, Outcome], host: str = "web-1") -> str:
    """What people are told of one that did not."""
    outcome = outcomes[host]
    assert outcome.error is not None, f"{host}: {outcome.value}"
    return str(outcome.error)
