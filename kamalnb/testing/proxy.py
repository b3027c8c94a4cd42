"""A pretend Traefik: a route table made of labels, renewed late, with Traefik's rules for merging them.

Written apart from ``kamalnb.traefik`` on purpose: it is the judge of the labels that those rules make.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .time import Process

if TYPE_CHECKING:
    from .containers import PretendContainer
    from .host import PretendHost

_LABEL = re.compile(r"traefik\.http\.(routers|services|middlewares)\.([^.]+)\.(.+)", re.I)
_CALL = re.compile(r"(\w+)\(([^)]*)\)")
_WORD = re.compile(r"[`\"']([^`\"']*)[`\"']")

Definitions = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Server:
    """Where a service sends requests."""

    container: PretendContainer
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A router that works."""

    name: str
    rule: str
    priority: int
    entry_points: tuple[str, ...]
    service: str
    header: str = ""

    def matches(self, host: str, path: str, entry_point: str) -> bool:
        """Whether a request is its business."""
        if self.entry_points and entry_point not in self.entry_points:
            return False
        return any(all(_true(term, host, path) for term in one.split("&&")) for one in self.rule.split("||"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The routing that is in force. ``broken`` names routers that Traefik shows with an error."""

    routes: tuple[Route, ...] = ()
    services: dict[str, tuple[Server, ...]] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    number: int = 0
    known: dict[tuple[str, str, str], tuple[Route, ...]] = field(default_factory=dict, compare=False, repr=False)

    def best(self, host: str, path: str, entry_point: str) -> tuple[Route, ...]:
        """Every router of the highest matching priority: more than one is decided by nothing specified."""
        asked = (host, path, entry_point)
        if asked not in self.known:
            found = [route for route in self.routes if route.matches(host, path, entry_point)]
            top = max((route.priority for route in found), default=0)
            self.known[asked] = tuple(route for route in found if route.priority == top)
        return self.known[asked]


class PretendTraefik:
    """Traefik on a pretend host.

    It notices a change ``lag`` seconds late and renews its table every ``throttle`` seconds, at ``offset`` on that grid
    (a busy host: other containers' events use up the moments between). ``deaf_from``: its watch died then.
    """

    def __init__(
        self, *, throttle: float = 0.1, lag: float = 0.02, offset: float = 0.0, api: bool = True, idle: float = 1.0
    ) -> None:
        self.throttle = throttle
        self.lag = lag
        self.offset = offset
        self.api = api
        self.idle = idle
        self.deaf_from = math.inf
        self.networks = {"bridge": "172.17.0.2"}
        self.table = Table()
        self._count = 0
        self._turn = 0

    @property
    def args(self) -> tuple[str, ...]:
        """Its command line, as ``docker inspect`` shows it."""
        idle, throttle = f"{round(self.idle * 1000)}ms", f"{round(self.throttle * 1000)}ms"
        return (
            "--providers.docker",
            f"--providers.providersThrottleDuration={throttle}",
            f"--serversTransport.forwardingTimeouts.idleConnTimeout={idle}",
            *(("--api.insecure",) if self.api else ()),
        )

    def noticed(self, host: PretendHost) -> None:
        """Docker told it of an event: it lists the containers now, and routes by that list later."""
        if host.time.now >= self.deaf_from:
            return
        self._count += 1
        host.time.spawn(self._renewed(host, table(host.containers.values(), self.networks, self._count)))

    def pick(self, host: str, path: str, entry_point: str = "http") -> tuple[Route | None, Server | None]:
        """The router and server of one request."""
        routes = self.table.best(host, path, entry_point)
        if not routes:
            return None, None
        self._turn += 1
        route = routes[self._turn % len(routes)]
        servers = self.table.services.get(route.service, ())
        return route, servers[self._turn // len(routes) % len(servers)] if servers else None

    def _renewed(self, host: PretendHost, new: Table) -> Process:
        yield self.lag
        if self.throttle:
            turns = math.ceil((host.time.now - self.offset) / self.throttle - 1e-9)
            yield self.offset + turns * self.throttle - host.time.now
        if new.number > self.table.number:
            self.table = new


def table(containers: Iterable[PretendContainer], networks: dict[str, str], number: int) -> Table:
    """What Traefik makes of running, healthy containers (pkg/provider/docker: keepContainer, merge.go)."""
    routers: Definitions = {}
    services: Definitions = {}
    middlewares: Definitions = {}
    servers: dict[str, tuple[Server, ...]] = {}
    bad: dict[str, set[str]] = {"routers": set(), "services": set(), "middlewares": set()}
    for container in containers:
        if not container.routable or container.labels.get("traefik.enable", "true") == "false":
            continue
        found = _definitions(container)
        for kind, known in (("routers", routers), ("services", services), ("middlewares", middlewares)):
            for name, keys in found[kind].items():
                if known.setdefault(name, keys) != keys:
                    bad[kind].add(name)
        server = _server(container, networks)
        for name in found["services"]:
            servers[name] = (*servers.get(name, ()), *([server] if server else []))
    for kind, known in (("routers", routers), ("services", services), ("middlewares", middlewares)):
        for name in bad[kind]:
            del known[name]
    routes = {name: _route(name, keys, middlewares) for name, keys in routers.items()}
    whole = {name: route for name, route in routes.items() if route is not None and route.service in services}
    return Table(
        routes=tuple(whole.values()),
        services={name: servers[name] for name in services},
        broken=frozenset(routers) - frozenset(whole),
        number=number,
    )


def _definitions(container: PretendContainer) -> dict[str, Definitions]:
    found: dict[str, Definitions] = {"routers": {}, "services": {}, "middlewares": {}}
    for label, value in container.labels.items():
        match = _LABEL.fullmatch(label)
        if match:
            found[match[1].lower()].setdefault(match[2], {})[match[3].lower()] = value
    if found["routers"] and not found["services"]:
        found["services"][container.name.replace("_", "-")] = {}
    only = next(iter(found["services"])) if len(found["services"]) == 1 else ""
    for keys in found["routers"].values():
        keys.setdefault("service", only)
    return found


def _route(name: str, keys: dict[str, str], middlewares: Definitions) -> Route | None:
    """None where it names a middleware that is not there: Traefik shows it with an error and answers 404."""
    header = ""
    for word in filter(None, (part.strip().partition("@")[0] for part in keys.get("middlewares", "").split(","))):
        if word not in middlewares:
            return None
        for key, value in middlewares[word].items():
            header = value if key.startswith("headers.customresponseheaders.") else header
    rule = keys.get("rule", "")
    return Route(
        name=name,
        rule=rule,
        priority=int(keys.get("priority") or 0) or len(rule.encode()),
        entry_points=tuple(filter(None, keys.get("entrypoints", "").split(","))),
        service=keys["service"].partition("@")[0],
        header=header,
    )


def _server(container: PretendContainer, networks: dict[str, str]) -> Server | None:
    ports = [value for label, value in container.labels.items() if label.lower().endswith(".loadbalancer.server.port")]
    port = int(ports[0]) if ports else min(container.app.exposes, default=0)
    named = container.labels.get("traefik.docker.network")
    network = named if named in container.networks else next(iter(container.networks), "")
    if not port:
        return None
    address = container.networks.get(network, "") if network in networks else "unreachable"
    return Server(container, address, port)


def _true(term: str, host: str, path: str) -> bool:
    match = _CALL.fullmatch(term.strip())
    if match is None:
        raise AssertionError(f"the pretend Traefik cannot read the rule “{term}”.")
    return any(_matches(match[1], word, host, path) for word in _words(match[2]))


def _words(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        yield match[1]


def _matches(function: str, word: str, host: str, path: str) -> bool:
    match function:
        case "Host":
            return host.lower() == word.lower()
        case "Path":
            return path == word
        case "PathPrefix":
            return path.startswith(word)
        case _:
            raise AssertionError(f"the pretend Traefik does not know the rule {function}.")
