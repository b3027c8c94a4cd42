"""What the tests of boots share: a role, its plans, hosts on which a version serves already."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kamalnb.boot import boot
from kamalnb.commands import app
from kamalnb.config.model import Config, Role
from kamalnb.config.reading import read_config
from kamalnb.plan import BootPlan
from kamalnb.script import Script
from kamalnb.testing import Check, Driven, PretendContainer, PretendHost, drive_on

REPOSITORY = "registry.example/app"
FILE = """
service: app
image: app
registry: {server: registry.example}
servers: {web: [web-1], job: [web-1]}
"""
KAMAL_CORD = "/home/deploy/.kamal/cords/app-web-1234567890abcdef"
Alter = Callable[[Script], Script]
_count = itertools.count(1)


def config() -> Config:
    return read_config(FILE, environ={})


def role(name: str = "web", **changes: Any) -> Role:
    """The role of the test file, with ``healthcheck`` changes as a dict."""
    found = config().role(name)
    if "healthcheck" in changes:
        changes["healthcheck"] = replace(found.healthcheck, **changes["healthcheck"])
    return replace(found, **changes)


def plan(version: str, of: Role | None = None, **changes: Any) -> BootPlan:
    """A boot with an id of its own."""
    chosen = of or role()
    given = {"host": "web-1", "role": chosen, "version": version, "reference": f"{REPOSITORY}:{version}"}
    return BootPlan(**{**given, "nonce": hashlib.sha256(str(next(_count)).encode()).hexdigest()[:32], **changes})


def booted(
    host: PretendHost, version: str, of: Role | None = None, *, alter: Alter | None = None, **changes: Any
) -> Driven:
    """One boot on a pretend host, whatever comes of it."""
    return drive_on(host, boot(plan(version, of, **changes)), alter=alter or (lambda script: script))


def kamal(
    host: PretendHost, version: str = "v1", *, cord: bool = True, priority: str | None = "2", of: Role | None = None
) -> PretendContainer:
    """A container as Kamal v1 starts it: one shared router name, health options of its own, maybe a cord."""
    chosen = of or role()
    labels = app.labels(chosen)
    key = f"traefik.http.routers.{chosen.name_prefix}.priority"
    labels.pop(key)
    if priority is not None:
        labels[key] = priority
    if cord:
        host.cords[KAMAL_CORD] = "tied"
    check = Check(interval=1.0, timeout=30.0, retries=3, kamal=True)
    container = host.start(
        chosen.container_name(version),
        f"{REPOSITORY}:{version}",
        labels=labels,
        check=check,
        cord=KAMAL_CORD if cord else None,
    )
    host.time.pass_by(5.0)
    return container


def serving(version: str = "v1", of: Role | None = None, **settings: Any) -> PretendHost:
    """A pretend host where ``version`` serves."""
    host = PretendHost(**settings)
    done = booted(host, version, of)
    if done.error is not None:
        raise done.error
    return host
