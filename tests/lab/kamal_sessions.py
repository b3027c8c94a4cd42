"""What Kamal sends to a host for each of its looks and changes, and the form of what it expects back.

Recorded from Kamal at 8a41d15b (the seed) and 1.9.3 with its own containers; names and paths are ours. Each line runs
as it is, in the login directory. A boot's lines are in ``kamal.py``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from kamal import Kamal
from shop import REPOSITORY

ID = r"[0-9a-f]{12}"
RUNNING = "--filter status=running --filter status=restarting"
DETAILS = "Locked by: jana at 2026-11-23T06:58:57Z\nVersion: v1\nMessage: maintenance"


@dataclass(frozen=True)
class Line:
    """One line of a session: how it ends, and what its output looks like (the whole of it)."""

    run: str
    looks: str = ""
    exits: int = 0


def current(kamal: Kamal, what: str, then: str) -> str:
    """Kamal's way to the container that runs now: ``what`` is asked of ``docker ps`` and piped into ``then``."""
    labels = f"--filter label=service={kamal.shop.name} --filter label=role=web {RUNNING}"
    if kamal.release == "seed":
        return f"docker ps {what} {labels} --latest | {then}"
    latest = f"docker image ls --filter reference={REPOSITORY}:latest --format '\\''{{{{.ID}}}}'\\''"
    quoted = what.replace('"', "'\\''")
    both = f"docker ps --latest {quoted} {labels} --filter ancestor=$({latest}) ; docker ps --latest {quoted} {labels}"
    return f"sh -c '{both}' | head -1 | {then}"


def lock_directory(kamal: Kamal) -> str:
    """Where this release keeps its lock."""
    directory, service = f".{kamal.shop.name}", kamal.shop.name
    return f"{directory}/lock-{service}" if kamal.release == "seed" else f"{directory}/locks/{service}"


def locked(kamal: Kamal) -> str:
    """The line that takes the lock."""
    details = base64.b64encode(DETAILS.encode()).decode()
    return f'mkdir {lock_directory(kamal)} && echo "{details}" > {lock_directory(kamal)}/details'


def released(kamal: Kamal) -> str:
    """The line that frees it."""
    return f"rm {lock_directory(kamal)}/details && rm -r {lock_directory(kamal)}"


def shown(kamal: Kamal) -> Line:
    """The look at who has it."""
    directory = lock_directory(kamal)
    looks = r"Locked by: .+ at \S+Z\nVersion: \S+\nMessage: .+"
    return Line(f"stat {directory} > /dev/null && cat {directory}/details | base64 -d", looks)


def looks(kamal: Kamal, version: str, before: str) -> Mapping[str, tuple[Line, ...]]:
    """Sessions that only look, or run a command of a person's own: ``version`` serves, ``before`` is stopped."""
    name, service = kamal.name, kamal.shop.name
    each = f"while read line; do echo ${{line#{name}-}}; done"
    names = current(kamal, '--format "{{.Names}}"', each)
    env = "" if kamal.release == "seed" else f"--env-file .{service}/env/roles/{name}.env "
    of_service = f"--filter label=service={service}"
    stale = Line(f'docker ps {of_service} --filter label=role=web --format "{{{{.Names}}}}" | {each}', version)
    return {
        "app details": (
            Line(f"docker ps {of_service} --filter label=role=web", rf"CONTAINER ID.*NAMES\n{ID} .* {name}-{version}"),
        ),
        "app containers": (
            Line(
                f"docker container ls --all {of_service}",
                rf"CONTAINER ID.*\n{ID} .* {name}-{version}\n(.*\n)*{ID} .*Exited.* {name}-{before}(\n.*)*",
            ),
        ),
        "app stale_containers": (stale, *(() if kamal.release == "seed" else (Line(names, version),))),
        "app images": (Line(f"docker image ls {REPOSITORY}", rf"REPOSITORY +TAG.*\n(.*\n)*{REPOSITORY} +(.*\n?)+"),),
        "app version": (Line(names, version),),
        "app logs": (Line(current(kamal, "--quiet", "xargs docker logs --tail 3 2>&1"), r"(.*\n?){1,3}"),),
        "app exec": (Line(f"docker run --rm {env}{REPOSITORY}:{version} cat /etc/hostname", ID),),
        "app exec --reuse": (Line(f"docker exec {name}-{version} cat /etc/hostname", rf"{kamal.host}-[0-9a-f]{{12}}"),),
        "audit": (
            Line(f"tail -n 50 .{service}/{service}-audit.log", r"(\[\S+Z\] \[\S+\] .+\n?)+"),
        ),
    }  # fmt: skip


def changes(kamal: Kamal, version: str, before: str) -> Mapping[str, tuple[Line, ...]]:
    """Sessions that change something, without their lock and audit lines; in this order."""
    name, service = kamal.name, kamal.shop.name
    ended = "--filter status=created --filter status=exited --filter status=dead"
    prune = f"docker ps -q -a --filter label=service={service} {ended} | tail -n +6"
    return {
        "app stop": (Line(current(kamal, "--quiet", "xargs docker stop"), ID),),
        "app start": (Line(f"docker start {name}-{version}", f"{name}-{version}"),),
        "prune containers": (Line(f"{prune} | while read container_id; do docker rm $container_id; done"),),
        "app remove_container": (
            Line(f"docker container ls --all --filter name=^{name}-{before}$ --quiet | xargs docker container rm", ID),
        ),
    }
