"""``check``: everything that a boot needs, looked at on this machine and on every host; nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

from .config.model import Config, SecretSource
from .engine import WORKERS, Engine
from .errors import ConfigError, HostUnreachable
from .events import Event
from .executor import Executor
from .looks import Asked, inspect, skipped
from .plan import Selection
from .preflight import Check
from .project import Project
from .rollout import Each, FleetFlow, Job, Outcome
from .shell import Secret
from .ssh.openssh import Login
from .wording import advice

STEPS = {"resolve": "name", "connect": "tcp", "host key": "host key", "login": "login", "session": "shell"}
"""The steps of getting in, in order, and what their rows are called."""
SLOW_INTERVAL = 1.0
"""Seconds between two health checks above which an undo is felt."""


@runtime_checkable
class Entrance(Protocol):
    """An executor that can say how it gets in. Pretend ones need not."""

    def probe(self, host: str) -> Login:
        """Logs in. Raises HostUnreachable with the step that failed."""
        ...


def check(project: Project, selection: Selection, executor: Executor, version: str | None = None) -> tuple[Check, ...]:
    """One row for each host and thing; hosts side by side. Rows about this machine have no host."""
    hosts = selection.hosts
    try:
        with ThreadPoolExecutor(min(len(hosts), WORKERS), thread_name_prefix="kamalnb-check") as pool:
            found = list(pool.map(lambda host: tuple(_host(project, selection, executor, host, version)), hosts))
    finally:
        executor.close()
    return (*_here(project, selection), *(row for rows in found for row in rows))


def unusable(error: ConfigError) -> tuple[Check, ...]:
    """The rows for a ``deploy.yml`` that cannot be read: nothing else can be looked at."""
    return tuple(
        _row("", "config", "failed", f"{error.source}: {path or '(file)'}: {sentence}")
        for path, sentence in error.problems
    )


def _here(project: Project, selection: Selection) -> Iterator[Check]:
    config = project.config
    roles = ", ".join(dict.fromkeys(role.name for _host, role in selection.pairs))
    hosts = f"{len(selection.hosts)} host{'s' if len(selection.hosts) != 1 else ''}"
    yield _row("", "config", "ok", f"{project.sources[0]}: {config.service}, {roles} on {hosts}.")
    for warning in project.warnings:
        yield _row("", "config", "warning", warning)
    for host, why in selection.left_out:
        yield _row(host, "left out", "skipped", why)
    yield from _intervals(selection)
    yield from _secrets(project, selection)


def _intervals(selection: Selection) -> Iterator[Check]:
    for role in dict.fromkeys(role.name for _host, role in selection.pairs):
        interval = next(one.healthcheck.interval for _host, one in selection.pairs if one.name == role)
        if interval > SLOW_INTERVAL:
            sentence = f"{role}: healthcheck.interval is {interval:g} s; a switch and an undo take up to that long."
            yield _row("", "config", "warning", sentence, "Set healthcheck.interval to 1s or less.")


def _secrets(project: Project, selection: Selection) -> Iterator[Check]:
    needed = [source for host, role in selection.pairs for source in role.env_on(host).secret.values()]
    needed += project.config.traefik.env.secret.values()
    keys = project.config.ssh.key_data
    failed = [
        *_unreadable(project.line_of_env, dict.fromkeys(needed), "failed"),
        *_unreadable(project.secret, dict.fromkeys(keys), "failed"),
    ]
    yield from failed
    yield from _unreadable(project.secret, dict.fromkeys(_registry(project.config)), "warning")
    number = len(dict.fromkeys((*needed, *keys)))
    if not failed:
        yield _row("", "secrets", "ok", f"all {number} can be read." if number else "none is needed.")


def _registry(config: Config) -> Iterator[SecretSource]:
    for source in (config.registry.username, config.registry.password):
        if isinstance(source, SecretSource):
            yield source


def _unreadable(
    read: Callable[[SecretSource], Secret], sources: dict[SecretSource, None], verdict: str
) -> Iterator[Check]:
    for source in sources:
        try:
            read(source)
        except ConfigError as error:
            for path, sentence in error.problems:
                yield _row("", "secrets", verdict, f"{path} {sentence}")


def _host(
    project: Project, selection: Selection, executor: Executor, host: str, version: str | None
) -> Iterator[Check]:
    if isinstance(executor, Entrance):
        rows = tuple(_entered(executor, host))
        yield from rows
        if any(row.failed for row in rows):
            return
    config = project.config
    roles = tuple(role for one, role in selection.pairs if one == host)
    tag = version if version not in (None, "current", "previous", "latest") else config.latest_tag
    job = Job(
        host, "", inspect(Asked(config=config, host=host, roles=roles, now=time.time(), tag=tag or config.latest_tag))
    )
    outcome = _driven(Engine(executor), job)
    if outcome.error is not None:
        yield _row(host, "docker", "failed", *advice(str(outcome.error).removeprefix(f"{host}: ")))
    else:
        yield from outcome.value


def _entered(executor: Entrance, host: str) -> Iterator[Check]:
    try:
        login = executor.probe(host)
    except HostUnreachable as error:
        yield from _refused(host, error)
        return
    through = f", through {login.jump}" if login.jump else ""
    notes = f"; passed over: {', '.join(login.notes)}" if login.notes else ""
    yield _row(host, "name", "ok", f"{login.address} port {login.port}{through}")
    yield _row(host, "tcp", "ok", login.server or "connected")
    yield _row(host, "host key", "ok", f"{login.host_key}, known")
    yield _row(host, "login", "ok", f"{login.user} with {login.key}, in {login.seconds:.1f} s{notes}")


def _refused(host: str, error: HostUnreachable) -> Iterator[Check]:
    failed = False
    for step, name in STEPS.items():
        if step == error.step:
            failed = True
            yield _row(host, name, "failed", *advice(str(error).removeprefix(f"{host}: ")))
        elif not failed:
            yield _row(host, name, "ok", "all right")
    if not failed:
        yield _row(host, error.step, "failed", *advice(str(error).removeprefix(f"{host}: ")))
    yield skipped(host, "the rest")


def _driven(engine: Engine, job: Job) -> Outcome:
    stream: Generator[Event, None, tuple[Outcome, ...]] = engine.drive(_alone(job))
    while True:
        try:
            next(stream)
        except StopIteration as stop:
            outcomes: tuple[Outcome, ...] = stop.value
            return outcomes[0]


def _alone(job: Job) -> FleetFlow:
    outcomes: tuple[Outcome, ...] = yield Each((job,))
    return outcomes


def _row(host: str, name: str, verdict: str, sentence: str, fix: str = "") -> Check:
    return Check(host=host, name=name, verdict=verdict, sentence=sentence, fix=fix)
