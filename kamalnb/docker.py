"""What Docker said, as values. Nothing here may do I/O.

Containers are read with a template of our own that leaves their environment out, so no secret of an app ever
travels to the controller. One JSON document a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import Unclear

CONTAINER_FORMAT = (
    '{"id":{{json .ID}},"name":{{json .Name}},"image":{{json .Config.Image}},"image_id":{{json .Image}},'
    '"labels":{{json .Config.Labels}},"status":{{json .State.Status}},"exit_code":{{json .State.ExitCode}},'
    '"pid":{{json .State.Pid}},"started":{{json .State.StartedAt}},"finished":{{json .State.FinishedAt}},'
    '"created":{{json .Created}},"restarts":{{json .RestartCount}},'
    '"health":{{if .State.Health}}{{json .State.Health}}{{else}}null{{end}},'
    '"check":{{if .Config.Healthcheck}}{{json .Config.Healthcheck}}{{else}}null{{end}},'
    '"mounts":{{json .Mounts}},"networks":{{json .NetworkSettings.Networks}},'
    '"network_mode":{{json .HostConfig.NetworkMode}},"ports":{{json .Config.ExposedPorts}},"args":{{json .Args}},'
    '"published":{{json .HostConfig.PortBindings}},"userns":{{json .HostConfig.UsernsMode}}}'
)

IMAGE_FORMAT = (
    '{"id":{{json .ID}},"tags":{{json .RepoTags}},"created":{{json .Created}},"size":{{json .Size}},'
    '"ports":{{json .Config.ExposedPorts}},"labels":{{json .Config.Labels}}}'
)

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory or volume inside a container."""

    source: str
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as ``docker inspect`` shows it, environment left out.

    ``health`` is ``starting``, ``healthy`` or ``unhealthy``, None without a health check. ``health_log`` is the output
    of its last probes, ``probes`` their exit codes. ``finished`` is when it last ended. ``interval``, ``timeout``
    (seconds) and ``retries`` are its own health settings, Docker's defaults filled in. ``networks`` maps a network's
    name to the container's address there.
    """

    id: str
    name: str
    image: str = ""
    image_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    status: str = "running"
    exit_code: int = 0
    pid: int = 0
    started: str = ""
    finished: str = ""
    created: str = ""
    restarts: int = 0
    health: str | None = None
    health_log: tuple[str, ...] = ()
    probes: tuple[int, ...] = ()
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    mounts: tuple[Mount, ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    gateways: Mapping[str, str] = field(default_factory=dict)
    network_mode: str = ""
    ports: tuple[int, ...] = ()
    args: tuple[str, ...] = ()
    published: Mapping[int, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    """Container port to the host's (address, port) pairs."""
    userns: str = ""
    """``host`` where its users are the host's, though Docker maps those of others."""

    @property
    def running(self) -> bool:
        """Docker counts it as alive: running, restarting or paused."""
        return self.status in ("running", "restarting", "paused")

    @property
    def routable(self) -> bool:
        """Traefik would route to it: running, and healthy where it has a health check."""
        return self.status == "running" and self.health in (None, "healthy")

    @property
    def unhealthy_within(self) -> float:
        """Seconds after which Docker must have noticed a failing check (moby: daemon/health.go)."""
        return self.retries * (self.interval + min(self.timeout, 30.0)) + self.interval

    @property
    def healthy_within(self) -> float:
        """Seconds after which Docker must have noticed a check that passes."""
        return self.interval + min(self.timeout, 30.0)

    def source_of(self, destination: str | None) -> str | None:
        """The host's side of what is mounted at ``destination``, None where nothing is."""
        return next((mount.source for mount in self.mounts if mount.destination == destination), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image on a host. ``tags`` are ``repository:tag`` words, ``ports`` what it EXPOSEs."""

    id: str
    tags: tuple[str, ...] = ()
    created: str = ""
    size: int = 0
    ports: tuple[int, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def versions(self, repository: str) -> tuple[str, ...]:
        """Its tags in ``repository``, ``latest`` ones left out."""
        prefix = f"{repository}:"
        tags = (tag.removeprefix(prefix) for tag in self.tags if tag.startswith(prefix))
        return tuple(tag for tag in tags if tag != "latest" and not tag.startswith("latest-"))


def containers(text: str) -> tuple[Container, ...]:
    """Reads lines of ``CONTAINER_FORMAT``. Raises ``Unclear``."""
    return tuple(_container(document) for document in _documents("containers", text, _CONTAINER_SHAPE))


def images(text: str) -> tuple[Image, ...]:
    """Reads lines of ``IMAGE_FORMAT``. Raises ``Unclear``."""
    return tuple(_image(document) for document in _documents("images", text, _IMAGE_SHAPE))


_SHAPE: dict[str, type] = {"id": str, "created": str, "labels": dict, "ports": dict}
_IMAGE_SHAPE = {**_SHAPE, "tags": list, "size": int}
_CONTAINER_SHAPE = {
    **_SHAPE,
    **dict.fromkeys(("name", "image", "image_id", "status", "started", "network_mode"), str),
    **dict.fromkeys(("exit_code", "pid", "restarts"), int),
    **dict.fromkeys(("health", "check", "networks"), dict),
    **dict.fromkeys(("mounts", "args"), list),
}


def _documents(question: str, text: str, shape: Mapping[str, type]) -> Iterator[dict[str, Any]]:
    # Not splitlines: a label may hold other characters that count as line ends there.
    for line in filter(str.strip, text.split("\n")):
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Unclear(question, line, "not JSON") from error
        if not isinstance(document, dict):
            raise Unclear(question, line, "not what the template asks for")
        wrong = [key for key, kind in shape.items() if not _fits(document.get(key), kind)]
        if wrong or not all(isinstance(value, str) for value in (document["labels"] or {}).values()):
            raise Unclear(question, line, f"{', '.join(wrong) or 'labels'} is not what the template asks for")
        yield document


def _fits(value: object, kind: type) -> bool:
    """Docker prints null for an empty map or list, never for a word or a number."""
    return isinstance(value, kind) or (value is None and kind in (dict, list))


def _container(document: dict[str, Any]) -> Container:
    health, check = document["health"] or {}, document["check"] or {}
    networks = document["networks"] or {}
    return Container(
        id=document["id"],
        name=document["name"].removeprefix("/"),
        image=document["image"],
        image_id=document["image_id"],
        labels=document["labels"] or {},
        status=document["status"],
        exit_code=document["exit_code"],
        pid=document["pid"],
        started=document["started"],
        finished=str(document.get("finished") or ""),
        created=document["created"],
        restarts=document["restarts"],
        health=_health(health),
        health_log=tuple(str(entry.get("Output", "")).strip() for entry in health.get("Log") or ()),
        probes=tuple(int(entry.get("ExitCode") or 0) for entry in health.get("Log") or ()),
        interval=_seconds(check.get("Interval"), 30.0),
        timeout=_seconds(check.get("Timeout"), 30.0),
        retries=int(check.get("Retries") or 3),
        mounts=tuple(Mount(source=m.get("Source", ""), destination=m["Destination"]) for m in document["mounts"] or ()),
        networks={name: (net or {}).get("IPAddress") or "" for name, net in networks.items()},
        gateways={name: (net or {}).get("Gateway") or "" for name, net in networks.items()},
        network_mode=document["network_mode"],
        ports=_ports(document["ports"]),
        args=tuple(map(str, document["args"] or ())),
        published=_published(document.get("published")),
        userns=str(document.get("userns") or ""),
    )


def _published(bindings: dict[str, Any] | None) -> Mapping[int, tuple[tuple[str, int], ...]]:
    found: dict[int, tuple[tuple[str, int], ...]] = {}
    for port, hosts in (bindings or {}).items():
        pairs = ((host.get("HostIp") or "0.0.0.0", host.get("HostPort") or "0") for host in hosts or ())  # noqa: S104
        found[int(port.partition("/")[0])] = tuple((address, int(number)) for address, number in pairs)
    return found


def _health(health: dict[str, Any]) -> str | None:
    status = health.get("Status")
    return None if status in (None, "", "none") else str(status)


def _image(document: dict[str, Any]) -> Image:
    return Image(
        id=document["id"],
        tags=tuple(map(str, document["tags"] or ())),
        created=document["created"],
        size=document["size"],
        ports=_ports(document["ports"]),
        labels=document["labels"] or {},
    )


def _seconds(nanoseconds: int | None, default: float) -> float:
    return nanoseconds / NANOSECONDS if nanoseconds else default


def _ports(exposed: dict[str, Any] | None) -> tuple[int, ...]:
    """TCP ports in the order Traefik takes them: the lowest first."""
    return tuple(sorted(int(port.partition("/")[0]) for port in exposed or () if not port.endswith("/udp")))
