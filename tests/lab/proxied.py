"""Changes of Traefik on the lab's hosts: one flow on one host, as the tasks run it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from typing import Any

from shop import Shop

from kamalnb.engine import Engine
from kamalnb.events import Event, FactLearned, PhaseEntered
from kamalnb.fleet import Fleet
from kamalnb.flow import Flow
from kamalnb.flows import proxying
from kamalnb.flows.proxying import Proxying
from kamalnb.reads import Read, Scene
from kamalnb.rollout import Job, Outcome
from kamalnb.runs.survey import side_by_side

Change = Callable[[Proxying], Flow[Any]]


def changed(shop: Shop, host: str, change: Change, **settings: Any) -> tuple[Outcome, tuple[Event, ...]]:
    """Runs ``change`` on ``host`` with the ``settings`` of the file; how it ended, and what it told."""
    project = shop.fleet(**settings)._project()
    config = project.config
    work = Proxying(
        host=host, settings=config.traefik, service=config.service, suffix=secrets.token_hex(8),
        run_directory=config.run_directory, performer="tests",
    )  # fmt: skip
    return driven(shop, Job(host, "", change(work)), **settings)


def driven(shop: Shop, job: Job, **settings: Any) -> tuple[Outcome, tuple[Event, ...]]:
    fleet = shop.fleet(**settings)
    executor = fleet._executor(fleet._project())
    stream, seen = Engine(executor).drive(side_by_side((job,))), []
    try:
        while True:
            seen.append(next(stream))
    except StopIteration as stop:
        (outcome,) = stop.value
    finally:
        executor.close()
    return outcome, tuple(seen)


def rows(shop: Shop, host: str, read: Read, **settings: Any) -> tuple[dict[str, Any], ...]:
    config = shop.fleet(**settings)._project().config
    outcome, _ = driven(shop, Job(host, "", read.look(Scene(config=config, host=host, roles=()))))
    assert outcome.error is None, outcome.error
    return tuple(dict(row) for row in outcome.value)


def must(shop: Shop, host: str, change: Change, **settings: Any) -> tuple[Any, str]:
    """What it did, and everything that it told before."""
    outcome, seen = changed(shop, host, change, **settings)
    assert outcome.error is None, outcome.error
    return outcome.value, "\n".join(event.fact.text for event in seen if isinstance(event, FactLearned))


def as_lab_starts_it(shop: Shop, host: str) -> None:
    """Traefik as the ``proxied`` fixture starts it, whatever a test has left."""
    shop.shell(
        host,
        'for c in $(docker ps --all --format "{{.Names}}"); do'
        ' case $c in traefik | traefik_new_* | traefik_replaced_*) docker rm --force "$c" >/dev/null ;; esac; done',
    )
    must(shop, host, proxying.boot)


def _reboots() -> None:
    """``proxied.py FILE HOST``: a controller of its own, which can be killed. It prints the phases it comes to."""
    file, host = sys.argv[1:]
    fleet = Fleet(config_file=file)
    project = fleet._project()
    config = project.config
    work = Proxying(
        host=host, settings=config.traefik, service=config.service, suffix=secrets.token_hex(8),
        run_directory=config.run_directory,
    )  # fmt: skip
    for event in Engine(fleet._executor(project)).drive(side_by_side((Job(host, "", proxying.reboot(work)),))):
        if isinstance(event, PhaseEntered):
            print(event.phase, flush=True)


if __name__ == "__main__":
    _reboots()
