"""Commands that ask the proxy: is the new container routed, is the old one out, who is still connected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from .. import sockets, traefik
from ..config.model import Role
from ..cutover import CutOver, Old
from ..docker import Container
from ..errors import BootError
from ..shell import Command, Question, look
from ..traefik import Proxy, Router
from . import host
from .app import hundredths

ASK = (host.CLOCK, host.ASK_PROXY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one container is seen through the proxy: who asks, at which addresses, and what Traefik calls it.

    ``by`` is ``host`` or the id of a container with a tool in it; ``urls`` are the proxy's entry points;
    ``api`` is the base of its API, None where it is off.
    """

    by: str
    urls: tuple[str, ...]
    api: str | None
    network: str
    address: str


def among(containers: tuple[Container, ...]) -> Container | None:
    """The container called ``traefik``, running or not."""
    return next((container for container in containers if container.name == "traefik"), None)


# Without Traefik, or with its API off, there is no answer, and nothing is printed.
SERVERS = """\
k_servers() {
  k_by=host
  for k_a in $(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' traefik 2>/dev/null) 127.0.0.1; do
    k_body=$(k_ask body "http://$k_a:8080/api/http/services?per_page=10000") || continue
    case $k_body in '['*) printf '%s\\n' "$k_body"; return 0 ;; esac
  done
  return 0
}"""


def servers() -> Question[Mapping[str, tuple[str, ...]] | None]:
    """Traefik's services with the addresses it sends requests to; None where its API cannot be asked."""
    return Question(look("look at routes", "k_servers", uses=(*ASK, SERVERS)), _servers)


def _servers(text: str) -> Mapping[str, tuple[str, ...]] | None:
    if not text.strip():
        return None
    found = json.loads(text)
    return {
        one["name"]: tuple(server.get("url", "") for server in (one.get("loadBalancer") or {}).get("servers") or ())
        for one in found
    }


def way(proxy: Proxy, container: Container, cutover: CutOver, host_tool: str | None) -> Way:
    """How ``container`` is reached by ``proxy``. Raises ``BootError`` where they share no network."""
    return way_to(proxy, container, cutover.main, cutover.port, host_tool)


def way_to(proxy: Proxy, container: Container, main: Router, port: int, host_tool: str | None) -> Way:
    """The same for a container whose ``main`` router and ``port`` are known, with no cut-over."""
    network = _shared_network(proxy, container)
    if proxy.host_network or container.network_mode == "host":
        proxy_address = container.gateways.get(network) or "127.0.0.1"
    else:
        proxy_address = proxy.container.networks.get(network, "")
    urls = tuple(_urls(proxy, main, proxy_address))
    knows_tls = host_tool != "bash"
    return Way(
        by="host" if host_tool and (knows_tls or not any(url.startswith("https:") for url in urls)) else container.id,
        urls=urls,
        api=f"http://{proxy_address}:{proxy.api_port}" if proxy.api_port else None,
        network=network,
        address=f"{container.networks.get(network, '')}:{port}",
    )


def routed(
    identifier: str,
    nonce: str,
    names: tuple[str, ...],
    service: str,
    way: Way,
    deadline: float,
    name: str = "wait for proxy",
) -> Command:
    """Waits until Docker calls it healthy and the proxy acknowledges it: by nonce, and by its API where that is on."""
    urls = way.urls if nonce != "-" else ()
    words = (
        "k_routed",
        way.by,
        identifier,
        hundredths(deadline),
        nonce,
        way.api or "-",
        " ".join(names),
        service,
        way.address,
        *urls,
    )
    return look(name, *words, uses=(*ASK, host.ROUTED), limit=deadline + 30.0)


def assumed(proxy: Proxy) -> Command:
    """Gives the proxy the time that it needs to route to a healthy container, where it cannot be asked."""
    delay = proxy.assumed_delay
    return look("assume routed", "k_assume", f"{delay:g}", uses=(host.ASSUME,), limit=delay + 30.0)


def out(old: Old, service: str, way: Way, port: int, proxy: Proxy) -> Command:
    """Waits until Docker no longer calls it healthy and the proxy has let it go."""
    deadline = old.container.unhealthy_within + 2 * proxy.throttle + 10.0
    words = (
        *("k_out", way.by, old.container.id, hundredths(deadline), old.nonce or "-", way.api or "-", service),
        *(address_of(old, way, port), f"{proxy.assumed_delay:g}", *way.urls),
    )
    return look("wait until out", *words, uses=(*ASK, host.OUT), limit=deadline + 30.0)


def address_of(old: Old, way: Way, port: int) -> str:
    """Where Traefik finds an old container."""
    networks = old.container.networks
    return f"{networks.get(way.network) or next(iter(networks.values()), '')}:{port}"


def drain(old: Old, role: Role, port: int, proxy: Proxy) -> Command:
    """Waits until no connection from the proxy is open on the old one, at most ``drain_timeout``."""
    limit = role.drain_timeout if counts_in_flight(proxy, old) else min(role.drain_timeout, 10.0)
    near = old.container.gateways if proxy.host_network else proxy.container.networks
    addresses = [address for address in near.values() if address]
    container = old.container
    words = (
        "k_drain",
        container.id,
        str(container.pid),
        sockets.port_hex(port),
        hundredths(limit),
        *map(sockets.address_hex, addresses),
    )
    return look("drain", *words, uses=(host.CLOCK, host.DRAIN), limit=limit + 30.0)


def counts_in_flight(proxy: Proxy, old: Old) -> bool:
    """Whether an open connection means a request: not where idle ones are kept for long, nor with h2c."""
    schemes = (value for key, value in old.container.labels.items() if key.lower().endswith(".server.scheme"))
    return proxy.idle_timeout <= 2.0 and "h2c" not in schemes


def service_of(old: Old) -> str:
    """What Traefik calls an old container's service."""
    names = traefik.services(old.container.labels)
    return names[0] if names else "-"


def _urls(proxy: Proxy, main: Router, address: str) -> list[str]:
    public = {name: port for name, port in proxy.entry_points.items() if name != "traefik"} or {"http": 80}
    names = [name.lower() for name in main.entry_points] or list(public)
    found = []
    for name in names:
        if name in public:
            secure = main.tls or name in proxy.secure_entry_points
            found.append(f"{'https' if secure else 'http'}://{address}:{public[name]}")
    return found if address else []


def _shared_network(proxy: Proxy, container: Container) -> str:
    theirs, ours = proxy.container.networks, container.networks
    named = container.labels.get("traefik.docker.network") or proxy.network
    shared = list(ours) if proxy.host_network else [name for name in ours if name in theirs]
    if named:
        if named in shared:
            return named
        raise BootError(
            f"Traefik is told to use the network “{named}”, which is not shared: "
            f"the container is in {_listed(ours)}, Traefik in {_listed(theirs)}.",
            hint="Put both into it (options: {network: …}) or change traefik.docker.network.",
        )
    if not shared:
        raise BootError(
            f"Traefik cannot reach the new container: it is in {_listed(ours)}, Traefik in {_listed(theirs)}.",
            hint="Put both into one network (options: {network: …} for the role and for traefik).",
        )
    if len(shared) > 1:
        raise BootError(
            f"The new container and Traefik share several networks ({_listed(shared)}), "
            "and Traefik would take any of them.",
            hint="Name one with the label traefik.docker.network.",
        )
    return shared[0]


def _listed(names: object) -> str:
    return ", ".join(names) or "none" if isinstance(names, (dict, list)) else str(names)
