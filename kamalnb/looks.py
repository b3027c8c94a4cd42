"""What ``check`` looks at on a host besides what every boot looks at: routers, restarters, the image. No I/O here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from . import preflight, traefik
from .boot import observe
from .commands import app
from .commands import host as shell
from .config.model import Config, Role
from .cutover import CutOver, Direction, Situation, base_priorities, decide, version_of
from .docker import Container
from .errors import BootError, KamalnbError
from .flow import Flow, Run
from .plan import BootPlan
from .preflight import Check
from .script import Script
from .shell import Command, Result, look

RESTARTERS = ("autoheal", "deunhealth", "dockerheal", "docker-heal")
"""Image names of programs that restart unhealthy containers."""

_DEFINED = re.compile(r"^traefik\.(http|tcp|udp)\.(routers|services|middlewares)\.([^.]+)\.(.+)$", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One host to look at: ``now`` is seconds since 1970, ``tag`` the image tag that would be booted."""

    config: Config
    host: str
    roles: tuple[Role, ...]
    now: float
    tag: str


def inspect(asked: Asked) -> Flow[tuple[Check, ...]]:
    """Every check of a host behind its login, in a few round trips; changes nothing."""
    found = yield from preflight.survey(asked.config, asked.host, asked.roles, asked.now)
    rows = list(found.checks)
    if any(check.failed and check.name != "traefik" for check in rows):
        return (*rows, skipped(asked.host, "the rest"))
    for number, role in enumerate(asked.roles):
        try:
            situation = yield from observe(_plan(asked, role))
        except KamalnbError as error:
            rows.append(_row(asked.host, "containers", "failed", str(error)))
            continue
        if number == 0:
            rows += neighbours(asked.host, situation)
            rows += yield from _router_errors(asked.host, situation)
        rows += cut_over(asked.host, role, situation)
        rows.append((yield from _image(asked, role, situation)))
    return tuple(rows)


def skipped(host: str, name: str, sentence: str = "not reached") -> Check:
    """A thing that was not looked at."""
    return _row(host, name, "skipped", sentence)


def neighbours(host: str, situation: Situation) -> Iterator[Check]:
    """Names that containers define differently, and programs that restart what is unhealthy."""
    running = (*situation.containers, *situation.neighbours)
    for name, owners in conflicts(running):
        yield _row(
            host, "routers", "warning", f"{name} is defined differently by {' and '.join(owners)}: Traefik drops it.",
            f"Stop the one that should not serve: docker stop {owners[0]}.",
        )  # fmt: skip
    for container in running:
        if any(word in container.image for word in RESTARTERS):
            yield _row(
                host, "restarters", "warning",
                f"{container.name} ({container.image}) restarts unhealthy containers; a cut container reads unhealthy.",
                "Let it leave this service's containers alone, by its label filter.",
            )  # fmt: skip


def conflicts(containers: tuple[Container, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Traefik names with the containers that define them differently, among those that Traefik sees."""
    found: dict[str, dict[str, Mapping[str, str]]] = {}
    for container in containers:
        if container.routable and container.labels.get("traefik.enable", "true").lower() != "false":
            for name, keys in _definitions(container.labels).items():
                found.setdefault(name, {})[container.name] = keys
    for name, owners in sorted(found.items()):
        definitions = list(owners.values())
        if any(one != definitions[0] for one in definitions):
            yield name, tuple(sorted(owners))


def cut_over(host: str, role: Role, situation: Situation) -> Iterator[Check]:
    """Whether a boot of ``role`` would find a way to switch, and who stands near it."""
    if not role.traefik or situation.proxy is None:
        return
    try:
        cutover = decide(role, situation, "0" * 32, app.labels(role))
    except BootError as error:
        yield _row(host, "routers", "failed", f"{role.name}: {error.why}", error.hint)
        return
    yield _row(host, "routers", "ok", f"{role.name}: {_described(cutover, role)}")
    yield from _near(host, role, cutover, situation)


def _described(cutover: CutOver, role: Role) -> str:
    serving = [version_of(old.container, role) for old in cutover.serving if old.container.routable]
    if not serving:
        return f"nothing serves; a boot would take the slot {cutover.slot}."
    how = "above" if cutover.direction is Direction.UP else "below"
    return f"{', '.join(serving)} serves; a boot would take the slot {cutover.slot}, {how} it."


def _near(host: str, role: Role, cutover: CutOver, situation: Situation) -> Iterator[Check]:
    labels = app.labels(role)
    bases = base_priorities(labels, cutover.serving)
    ours = [(router, bases[router.name]) for router in traefik.routers(labels)]
    theirs = [one for c in situation.neighbours if c.routable for one in traefik.routers(c.labels, c.name)]
    for router, base in ours:
        for other in theirs:
            same = other.protocol == router.protocol and other.effective_priority in (base, base + 1)
            if same and router.may_meet(other) and not other.for_acknowledging:
                yield _row(
                    host, "routers", "warning",
                    f"{other.name} of {other.owner} stands at priority {other.effective_priority}, "
                    f"one of {role.name}'s two levels, and takes the same requests.",
                    "Give one of them a priority of its own.",
                )  # fmt: skip


def _router_errors(host: str, situation: Situation) -> Flow[list[Check]]:
    """What Traefik itself says of its routers, where its API can be asked."""
    command = _api(situation)
    if command is None:
        return []
    results: tuple[Result, ...] = yield Run(Script.of(command))
    try:
        routers = json.loads(results[0].stdout) if results and results[0].ok else []
        wrong = [(one["name"], " ".join(one["error"])) for one in routers if one.get("error")]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    fix = "Correct the labels that define it."
    return [_row(host, "routers", "warning", f"Traefik says of {name}: {said}.", fix) for name, said in wrong]


def _api(situation: Situation) -> Command | None:
    proxy = situation.proxy
    by = "host" if situation.host_tool else next((c.id for c in situation.containers if c.routable), None)
    if proxy is None or proxy.api_port is None or by is None:
        return None
    address = "127.0.0.1" if proxy.host_network else next(iter(proxy.container.networks.values()), "")
    script = 'k_routers() { k_by=$1; k_ask body "$2"; }'
    url = f"http://{address}:{proxy.api_port}/api/http/routers?per_page=1000"
    return look("routers", "k_routers", by, url, uses=(shell.CLOCK, shell.ASK_PROXY, script)).failing_ok()


def _image(asked: Asked, role: Role, situation: Situation) -> Flow[Check]:
    """Whether the image has a shell, and a tool for its health check."""
    reference, image = f"{asked.config.repository}:{asked.tag}", situation.image
    inside = next(
        (c for c in situation.containers if c.status == "running" and (image is None or c.image_id == image.id)), None
    )
    if image is None and inside is None:
        return skipped(asked.host, "image", f"{reference} is not on this host yet, so nothing inside it was looked at")
    name = reference if image is not None else version_of(inside, role) if inside else ""
    probe = ("docker", "exec", inside.id, "sh") if inside else _throwaway(reference)
    command = look("look into image", *probe, "-c", _tools(role), limit=60.0).failing_ok()
    results: tuple[Result, ...] = yield Run(Script.of(command))
    return _told(asked.host, name, role, results[0]) if results else skipped(asked.host, "image")


def _throwaway(reference: str) -> tuple[str, ...]:
    """A container that no network and no router knows, gone when its one command has ended."""
    words = ("docker", "run", "--rm", "--network", "none", "--no-healthcheck", "--label", "traefik.enable=false")
    return (*words, "--entrypoint", "sh", reference)


def _tools(role: Role) -> str:
    if role.healthcheck.cmd is not None or not role.traefik:
        return "echo sh"
    tools = " ".join(shell.FETCH_TOOLS)
    return (
        f'for t in {tools}; do command -v "$t" >/dev/null 2>&1 && {{ echo "$t"; exit 0; }}; done; exit {shell.NO_TOOL}'
    )


def _told(host: str, name: str, role: Role, result: Result) -> Check:
    if result.ok:
        tool = result.stdout.strip()
        has = "has sh" if tool == "sh" else f"has sh and {tool} for its health check"
        return _row(host, "image", "ok", f"{name} {has}.")
    if result.exited == shell.NO_TOOL:
        return _row(
            host, "image", "failed", f"{name} has none of {', '.join(shell.FETCH_TOOLS)} to ask its health check with.",
            "Add one, or set healthcheck.cmd to a command that it has.",
        )  # fmt: skip
    if result.exited in (126, 127):
        fix = "Add a shell to the image, or set traefik: false."
        return _row(
            host, "image", "failed" if role.traefik else "warning", f"{name} has no sh to ask its health with.", fix
        )
    said = (result.stderr.strip().splitlines() or ["no answer"])[-1]
    return _row(host, "image", "warning", f"{name} could not be looked into: {said}")


def _definitions(labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for key, value in labels.items():
        match = _DEFINED.match(key)
        if match and ".server." not in f".{match[4].lower()}":
            kind = match[2].lower().removesuffix("s")
            found.setdefault(f"{kind} {match[3]}", {})[f"{match[1]} {match[4]}".lower()] = value
    return found


def _plan(asked: Asked, role: Role) -> BootPlan:
    reference = f"{asked.config.repository}:{asked.tag}"
    return BootPlan(
        host=asked.host, role=role, version=asked.tag, reference=reference, nonce="0" * 32,
        run_directory=asked.config.run_directory,
    )  # fmt: skip


def _row(host: str, name: str, verdict: str, sentence: str, fix: str = "") -> Check:
    return Check(host=host, name=name, verdict=verdict, sentence=sentence, fix=fix)
