"""What a run has to know before it changes anything: all problems of all hosts at once. Nothing here may do I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import traefik
from .commands import app, cord, proxy, server
from .config.model import Config, Role
from .docker import Container, Image
from .errors import Unclear
from .flow import Flow, Run
from .script import Script
from .shell import Question, Result, look
from .traefik import Proxy

FULL = 300 * 1024
"""KiB below which a disk counts as full."""
LOW = 2 * 1024 * 1024
"""KiB below which a disk is worth a warning."""
CLOCK_APART = 30.0
OLDEST_DOCKER = (1, 40)
NEWER = "traefik:v3.6.1, or v2.11.31 where v2 has to stay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. ``verdict`` is ok, warning, failed or skipped; ``fix`` is what to do."""

    host: str
    name: str
    verdict: str
    sentence: str
    fix: str = ""

    @property
    def failed(self) -> bool:
        """It stops a boot."""
        return self.verdict == "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One host before a run: its checks, and what versions it has."""

    host: str
    checks: tuple[Check, ...] = ()
    images: tuple[Image, ...] = ()
    containers: tuple[Container, ...] = ()
    cords: Mapping[str, str] = field(default_factory=dict)
    proxy: Proxy | None = None

    @property
    def failed(self) -> tuple[Check, ...]:
        """What stops a boot there."""
        return tuple(check for check in self.checks if check.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What Docker and the system of a host say of themselves."""

    api: tuple[int, ...]
    version: str
    least_api: tuple[int, ...] = ()
    free: tuple[tuple[str, int], ...] = field(default=())
    security: tuple[str, ...] = ()
    """Names of Docker's own: ``userns``, ``rootless``, ``seccomp``, ``selinux``, …"""
    clock: float = 0.0


def survey(config: Config, host: str, roles: tuple[Role, ...], now: float, *, with_images: bool = True) -> Flow[Survey]:
    """Looks at ``host`` in one round trip. ``now`` is the controller's time in seconds since 1970.

    ``with_images`` is for who has to know which versions there are; a run that names its version does not.
    """
    questions: tuple[Question[Any], ...] = (
        _docker(),
        _disk(config.run_directory),
        server.clock(),
        app.census(config.service),
        cord.all_of(config.run_directory),
        *((app.images(config.repository),) if with_images else ()),
    )
    script = Script.of(*(question.command.failing_ok() for question in questions))
    results: tuple[Result, ...] = yield Run(script)
    if results and results[-1].exited is None:
        return Survey(host=host, checks=(_cut_off(host, results[-1]),))
    if not results or not results[0].ok:
        return Survey(host=host, checks=(_no_docker(host, results),))
    if len(results) < len(questions) or not all(result.ok for result in results):
        return Survey(host=host, checks=(_broken(host, results),))
    answers = [question.read(result.stdout) for question, result in zip(questions, results, strict=True)]
    (api, version, least_api), (security, free), clock, everything, cords, *rest = answers
    found = proxy.among(everything)
    containers = tuple(one for one in everything if one.labels.get("service") == config.service)
    facts = Facts(api=api, version=version, least_api=least_api, free=free, security=security, clock=clock)
    running = traefik.proxy(found) if found is not None and found.status == "running" else None
    checks = (*_host_checks(host, facts, now), *_traefik_checks(host, roles, found, facts))
    return Survey(
        host=host, checks=checks, images=rest[0] if rest else (), containers=containers, cords=cords, proxy=running
    )


def _docker() -> Question[tuple[tuple[int, ...], str, tuple[int, ...]]]:
    command = look("docker", "docker", "version", "--format", "{{json .Server}}")
    return Question(command, _docker_version)


def _docker_version(text: str) -> tuple[tuple[int, ...], str, tuple[int, ...]]:
    try:
        server = json.loads(text)
        least = server.get("MinAPIVersion") or "0"
        return _numbers(server["ApiVersion"]), server["Version"], _numbers(least)
    except (ValueError, KeyError, TypeError) as error:
        raise Unclear("docker", text, "no server version in it") from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


# Where Docker maps users, its directory is below one that a plain user may not look into: the nearest one counts then.
_DISK = """\
k_disk() {
  k_d=$1; [ -d "$k_d" ] || k_d=.
  k_i=$(docker info --format '{{json .SecurityOptions}}|{{.DockerRootDir}}') || return 1
  k_r=${k_i#*|}
  until [ -d "$k_r" ] || [ -z "$k_r" ]; do k_r=${k_r%/*}; done
  printf '%s\\n' "${k_i%%|*}"; df -Pk "${k_r:-/}" . "$k_d" | tail -n +2
}"""


def _disk(run_directory: str) -> Question[tuple[tuple[str, ...], tuple[tuple[str, int], ...]]]:
    return Question(look("disk", "k_disk", run_directory, uses=(_DISK,)), _secured_and_free)


def _secured_and_free(text: str) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Docker's security options, then mount points and their free KiB, from ``df -P``."""
    first, _, rest = text.partition("\n")
    try:
        options = [str(option).partition(",")[0].removeprefix("name=") for option in json.loads(first) or ()]
    except (ValueError, TypeError) as error:
        raise Unclear("disk", text, "no list of security options first") from error
    rows = [line.split() for line in rest.splitlines() if line.strip()]
    if not rows or any(len(row) < 6 or not row[3].lstrip("-").isdigit() for row in rows):
        raise Unclear("disk", text, "not what df -P prints")
    return tuple(options), tuple(dict.fromkeys((" ".join(row[5:]), int(row[3])) for row in rows))


def _cut_off(host: str, last: Result) -> Check:
    """Nothing is known of the host then, least of all that its Docker is down."""
    said = (last.stderr.strip().splitlines() or ["no answer"])[-1].strip("()")
    sentence = f"“{last.name}” gave no exit status: {said}."
    return Check(host=host, name="connection", verdict="failed", sentence=sentence, fix="Run it again.")


def _no_docker(host: str, results: tuple[Result, ...]) -> Check:
    said = (results[0].stderr.strip().splitlines() or ["no answer"])[0] if results else "no answer"
    if "permission denied" in said.lower():
        fix = "Put the login user into the docker group on that host: sudo usermod -aG docker USER, then log in again."
    elif results and results[0].exited == 127:
        fix = "Install Docker on that host."
    else:
        fix = "Start Docker on that host: sudo systemctl start docker."
    return Check(host=host, name="docker", verdict="failed", sentence=f"Docker does not answer: {said}", fix=fix)


def _broken(host: str, results: tuple[Result, ...]) -> Check:
    bad = next((result for result in results if not result.ok), results[-1])
    said = (bad.stderr.strip().splitlines() or ["no answer"])[-1]
    return Check(
        host=host,
        name=bad.name,
        verdict="failed",
        sentence=f"“{bad.name}” failed: {said}",
        fix=f"Try it there: {bad.line[:120]}",
    )


def _host_checks(host: str, facts: Facts, now: float) -> Iterator[Check]:
    if facts.api < OLDEST_DOCKER:
        fix = "Upgrade Docker there to 19.03 or newer."
        yield Check(host=host, name="docker", verdict="failed", sentence=f"Docker {facts.version} is too old.", fix=fix)
    else:
        yield Check(host=host, name="docker", verdict="ok", sentence=f"Docker {facts.version}")
    if "rootless" in facts.security:
        yield Check(
            host=host, name="docker", verdict="failed",
            sentence="Docker runs rootless there, where the host itself cannot reach Traefik to ask what it routes.",
            fix="Let Docker run as root on that host.",
        )  # fmt: skip
    for mount, free in facts.free:
        yield _disk_check(host, mount, free)
    apart = abs(facts.clock - now)
    if apart > CLOCK_APART:
        fix = "Let the host follow a time server: sudo timedatectl set-ntp true."
        yield Check(
            host=host, name="clock", verdict="warning", sentence=f"The host's clock is {apart:.0f} s off.", fix=fix
        )
    else:
        yield Check(host=host, name="clock", verdict="ok", sentence="The clock is right.")


def _disk_check(host: str, mount: str, free: int) -> Check:
    gigabytes = f"{free / 1024 / 1024:.1f} GB free on {mount}"
    if free < FULL:
        return Check(
            host=host,
            name="disk",
            verdict="failed",
            sentence=f"The disk is full: {gigabytes}.",
            fix="Make room there: docker system prune.",
        )
    if free < LOW:
        return Check(
            host=host,
            name="disk",
            verdict="warning",
            sentence=f"Little room: {gigabytes}.",
            fix="Make room there: docker system prune.",
        )
    return Check(host=host, name="disk", verdict="ok", sentence=gigabytes)


def _traefik_checks(host: str, roles: tuple[Role, ...], found: Container | None, facts: Facts) -> Iterator[Check]:
    if not any(role.traefik for role in roles):
        return
    if found is None or found.status != "running":
        how = "is not there" if found is None else f"is {found.status}"
        yield Check(host=host, name="traefik", verdict="failed", sentence=f"Traefik {how}.", fix="invoke traefik.boot")
        return
    endpoint = traefik.arguments(found.args).get("providers.docker.endpoint", "unix://")
    if "userns" in facts.security and found.userns != "host" and endpoint.startswith("unix://"):
        yield Check(
            host=host, name="traefik", verdict="failed",
            sentence="Docker maps users there (userns-remap): Traefik may not read its socket and sees no container.",
            fix="Say userns: host under traefik's options, then: invoke traefik.reboot.",
        )  # fmt: skip
        return
    old = traefik.too_old(traefik.release(found.image, found.labels))
    if old and facts.least_api > traefik.OLD_API:
        yield _cannot_talk(host, found, facts)
        return
    running = traefik.proxy(found)
    notes = ["it cannot talk to Docker 29 or newer"] if old else []
    if running.throttle > 0.5:
        notes.append(f"it notices changes after up to {running.throttle:g} s")
    if running.idle_timeout > 2:
        notes.append(f"it keeps idle connections {running.idle_timeout:g} s, so a drain waits up to 10 s")
    if running.api_port is None:
        notes.append("its API is off, so only the acknowledging router tells")
    fix = "Boots work, slower. invoke traefik.reboot starts it with quicker settings." if notes else ""
    if old:
        fix = f"Name a newer image ({NEWER}) under traefik, then: invoke traefik.reboot."
    yield Check(
        host=host,
        name="traefik",
        verdict="warning" if notes else "ok",
        sentence=f"Traefik runs ({found.image})" + ("; " + "; ".join(notes) if notes else "."),
        fix=fix,
    )


def _cannot_talk(host: str, found: Container, facts: Facts) -> Check:
    least = ".".join(map(str, facts.least_api))
    return Check(
        host=host,
        name="traefik",
        verdict="failed",
        sentence=f"{found.image} cannot talk to Docker {facts.version}, which takes API {least} or newer: "
        "it sees no container.",
        fix=f"Name a newer image ({NEWER}) under traefik, then: invoke traefik.reboot.",
    )
