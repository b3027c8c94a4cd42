"""What Traefik will make of labels, and what it was started with. Nothing here may do I/O.

Facts: a label ``traefik.http.routers.NAME.rule`` defines a router; two containers that define one name
differently make Traefik drop it (provider/merge.go); a router without priority gets its rule's length in bytes;
a container that EXPOSEs several ports is asked on the lowest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .docker import Container
from .errors import Unclear

SLOTS = ("blue", "green")
SLOT_LABEL = "kamalnb.slot"
LEVEL_LABEL = "kamalnb.level"
NONCE_LABEL = "kamalnb.boot"
FORMAT_LABEL = "kamalnb.format"
VERSION_LABEL = "kamalnb.version"
FORMAT = 1
HEADER = "X-Kamalnb-Boot"
NONCE_PRIORITY = 2_000_000

OLDEST: Mapping[int, tuple[int, ...]] = {2: (2, 11, 31), 3: (3, 6, 1)}
"""By major version, the first release that agrees with Docker on an API version; older ones ask for 1.24."""
OLD_API = (1, 24)

_RELEASE = re.compile(r"v?(\d+(?:\.\d+){0,2})(?![0-9A-Za-z])")
_DEFINITION = re.compile(
    r"^traefik\.(?P<protocol>http|tcp|udp)\.(?P<kind>routers|services|middlewares)\.(?P<name>[^.]+)\.", re.I
)
_REFERENCE = re.compile(r"\.(service|middlewares)$", re.I)
_HOSTS = re.compile(r"Host(?:SNI)?\(([^)]*)\)")
_WORD = re.compile(r"[`\"']([^`\"']+)[`\"']")


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """One router of a container. ``name`` has no ``@docker``; ``base_name`` has no slot either."""

    name: str
    rule: str = ""
    priority: int | None = None
    entry_points: tuple[str, ...] = ()
    tls: bool = False
    service: str | None = None
    protocol: str = "http"
    owner: str = ""
    """The name of the container that defines it."""

    @property
    def base_name(self) -> str:
        """Its name before a slot was added."""
        stem, _, slot = self.name.rpartition("-")
        return stem if slot in SLOTS else self.name

    @property
    def effective_priority(self) -> int:
        """Its priority, Traefik's default (the rule's length in bytes) filled in."""
        return self.priority if self.priority else len(self.rule.encode())

    @property
    def for_acknowledging(self) -> bool:
        """One of our own ``Path(/.kamalnb/…)`` routers."""
        return "/.kamalnb/" in self.rule

    def may_meet(self, other: Router) -> bool:
        """Whether one request could match both: neither entry points nor hosts keep them apart."""
        if self.entry_points and other.entry_points and not set(self.entry_points) & set(other.entry_points):
            return False
        ours, theirs = _only_hosts(self.rule), _only_hosts(other.rule)
        return not (ours and theirs and not ours & theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """The Traefik container on a host, and what its arguments say.

    ``throttle`` and ``idle_timeout`` are in seconds; ``entry_points`` maps names to ports; ``api_port`` is None where
    the API is off.
    """

    container: Container
    throttle: float = 2.0
    idle_timeout: float = 90.0
    entry_points: Mapping[str, int] = field(default_factory=lambda: {"http": 80})
    secure_entry_points: frozenset[str] = frozenset()
    api_port: int | None = None
    network: str | None = None
    exposed_by_default: bool = True

    @property
    def assumed_delay(self) -> float:
        """Seconds to wait after Docker's verdict where Traefik cannot be asked."""
        return max(5.0, 2 * self.throttle + 1.0)

    @property
    def host_network(self) -> bool:
        """It sits in the host's own network and reaches every container."""
        return self.container.network_mode == "host"


def proxy(container: Container) -> Proxy:
    """Reads a Traefik container's arguments. Names are case-insensitive, as Traefik's are."""
    given = arguments(container.args)
    entry_points = _entry_points(given)
    return Proxy(
        container=container,
        throttle=seconds(given.get("providers.providersthrottleduration"), 2.0),
        idle_timeout=seconds(given.get("serverstransport.forwardingtimeouts.idleconntimeout"), 90.0),
        entry_points={n: port for n, port in entry_points.items() if n != "traefik"} or {"http": 80},
        secure_entry_points=frozenset(n for n in entry_points if _is_secure(n, given)),
        api_port=_api_port(given, entry_points),
        network=given.get("providers.docker.network") or None,
        exposed_by_default=given.get("providers.docker.exposedbydefault", "true") != "false",
    )


def routers(labels: Mapping[str, str], owner: str = "") -> tuple[Router, ...]:
    """Every router that ``labels`` define, by name; none where ``traefik.enable`` is false."""
    if labels.get("traefik.enable", "true").lower() == "false":
        return ()
    found: dict[tuple[str, str], dict[str, str]] = {}
    for key, value in labels.items():
        match = _DEFINITION.match(key)
        if match and match["kind"].lower() == "routers":
            name = (match["protocol"].lower(), match["name"])
            found.setdefault(name, {})[key[match.end() :].lower()] = value
    return tuple(_router(name, protocol, keys, owner) for (protocol, name), keys in sorted(found.items()))


def services(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the HTTP services that ``labels`` define."""
    matches = (_DEFINITION.match(key) for key in labels)
    names = (m["name"] for m in matches if m and (m["protocol"].lower(), m["kind"].lower()) == ("http", "services"))
    return tuple(dict.fromkeys(names))


def names(labels: Mapping[str, str]) -> frozenset[str]:
    """Everything that ``labels`` give a name to, as ``http routers NAME``."""
    found = (match for key in labels if (match := _DEFINITION.match(key)))
    return frozenset(f"{m['protocol'].lower()} {m['kind'].lower()} {m['name']}" for m in found)


def in_slot(labels: Mapping[str, str], slot: str) -> dict[str, str]:
    """``labels`` with every Traefik name they define moved into ``slot``.

    A reference is rewritten only if these labels define what it names; ``other@file`` stays as it is.
    """
    defined = {match["name"] for key in labels if (match := _DEFINITION.match(key))}
    return {_renamed_key(key, slot): _renamed_value(key, value, defined, slot) for key, value in labels.items()}


def with_priority(labels: Mapping[str, str], priorities: Mapping[str, int]) -> dict[str, str]:
    """``labels`` with the priority of each HTTP or TCP router in ``priorities`` (by name) set."""
    changed = dict(labels)
    for router in routers(labels):
        if router.name in priorities:
            prefix = f"traefik.{router.protocol}.routers.{router.name}."
            for key in [key for key in changed if key.lower() == f"{prefix}priority".lower()]:
                del changed[key]
            changed[f"{prefix}priority"] = str(priorities[router.name])
    return changed


def arguments(args: tuple[str, ...]) -> Mapping[str, str]:
    """A command line as settings: names in lower case, ``true`` for one that stands alone."""
    return dict(_arguments(args))


def release(reference: str, labels: Mapping[str, str], said: str = "") -> tuple[int, ...]:
    """Traefik's version as numbers: what it says itself, its image's label, else the image's tag; empty: unknown.

    A tag may be short of numbers: ``v3`` is (3,).
    """
    tag = reference.partition("@")[0].rpartition("/")[2].partition(":")[2]
    for text in (said, labels.get("org.opencontainers.image.version", ""), tag):
        match = _RELEASE.match(text.strip())
        if match and len(match[1].split(".")[0]) < 3:  # a date is no release
            return tuple(int(part) for part in match[1].split("."))
    return ()


def too_old(version: tuple[int, ...]) -> bool:
    """Whether it cannot talk to Docker 29. What a short tag leaves open is taken for the newest."""
    least = OLDEST.get(version[0] if version else 3, (2,) if version and version[0] < 2 else ())
    return bool(version) and version < least[: len(version)]


def acknowledging(main: Router, service: str, nonce: str, path: str) -> dict[str, str]:
    """Labels of the router that proves the way: ``Path(/.kamalnb/<nonce>)`` answers with our header."""
    name = f"{main.name}-boot"
    labels = {
        f"traefik.http.routers.{name}.rule": f"Path(`/.kamalnb/{nonce}`)",
        f"traefik.http.routers.{name}.priority": str(NONCE_PRIORITY),
        f"traefik.http.routers.{name}.service": service,
        f"traefik.http.routers.{name}.middlewares": f"{name}-path@docker,{name}-header@docker",
        f"traefik.http.middlewares.{name}-path.replacepath.path": path,
        f"traefik.http.middlewares.{name}-header.headers.customresponseheaders.{HEADER}": nonce,
    }
    if main.entry_points:
        labels[f"traefik.http.routers.{name}.entrypoints"] = ",".join(main.entry_points)
    if main.tls:
        labels[f"traefik.http.routers.{name}.tls"] = "true"
    return labels


def number(labels: Mapping[str, str], key: str) -> int:
    """The number that a label of ours holds, 0 without it. Raises ``Unclear`` where it holds something else."""
    text = labels.get(key) or "0"
    try:
        return int(text)
    except ValueError as error:
        raise Unclear(key, text, "not a number") from error


def seconds(duration: str | None, default: float) -> float:
    """A Go duration such as ``1m30s`` or ``200ms`` (a bare number is seconds) in seconds."""
    if not duration:
        return default
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "us": 1e-6, "ns": 1e-9}
    parts = re.findall(r"([0-9.]+)(ms|us|ns|s|m|h)", duration)
    if parts:
        return sum(float(number) * units[unit] for number, unit in parts)
    return float(duration) if re.fullmatch(r"[0-9.]+", duration) else default


def _router(name: str, protocol: str, keys: Mapping[str, str], owner: str) -> Router:
    priority = keys.get("priority", "")
    tls = keys.get("tls", "").lower() == "true" or any(key.startswith("tls.") for key in keys)
    return Router(
        name=name,
        protocol=protocol,
        rule=keys.get("rule", ""),
        priority=int(priority) if priority.lstrip("-").isdigit() else None,
        entry_points=tuple(word.strip() for word in keys.get("entrypoints", "").split(",") if word.strip()),
        tls=tls,
        service=keys.get("service"),
        owner=owner,
    )


def _only_hosts(rule: str) -> frozenset[str]:
    """The hosts a rule is limited to, empty where it is not clearly limited (``||`` outside Host, ``!``)."""
    found = _HOSTS.findall(rule)
    if not found or "!" in rule or ("||" in rule and not re.fullmatch(r"\s*(Host\([^)]*\)\s*(\|\|\s*)?)+", rule)):
        return frozenset()
    return frozenset(word.lower() for hosts in found for word in _WORD.findall(hosts))


def slot_name(name: str, slot: str) -> str:
    """A Traefik name in a slot. Dots would end the name, so they become dashes."""
    return f"{name.replace('.', '-')}-{slot}"


def _renamed_key(key: str, slot: str) -> str:
    match = _DEFINITION.match(key)
    if not match:
        return key
    return f"{key[: match.start('name')]}{slot_name(match['name'], slot)}{key[match.end('name') :]}"


def _renamed_value(key: str, value: str, defined: set[str], slot: str) -> str:
    if not key.lower().startswith("traefik.") or not _REFERENCE.search(key):
        return value
    return ",".join(_renamed_word(word.strip(), defined, slot) for word in value.split(","))


def _renamed_word(word: str, defined: set[str], slot: str) -> str:
    name, at, provider = word.partition("@")
    if name in defined and provider in ("", "docker"):
        return f"{slot_name(name, slot)}{at}{provider}"
    return word


def _arguments(args: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for arg in args:
        if arg.startswith("--"):
            name, equals, value = arg[2:].partition("=")
            yield name.lower(), value.strip("\"'") if equals else "true"


def _is_secure(entry_point: str, given: Mapping[str, str]) -> bool:
    """TLS for each of its routers: said outright, or by naming a resolver or options for it."""
    key = f"entrypoints.{entry_point.lower()}.http.tls"
    return given.get(key, "false") == "true" or any(name.startswith(f"{key}.") for name in given)


def _entry_points(given: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for name, value in given.items():
        match = re.fullmatch(r"entrypoints\.([^.]+)\.address", name)
        port = value.partition("/")[0].rpartition(":")[2]
        if match and port.isdigit() and not value.endswith("/udp"):
            found[match[1]] = int(port)
    return found


def _api_port(given: Mapping[str, str], entry_points: Mapping[str, int]) -> int | None:
    if given.get("api.insecure", "false") != "true":
        return None
    return entry_points.get("traefik", 8080)
