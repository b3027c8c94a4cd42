"""What will be booted where, decided before anything is done. Nothing here may do I/O.

``Plan`` is a value: batches of hosts, one ``BootPlan`` for each role on each host. Everything random or read
elsewhere (ids, secrets, who does it) comes in as an argument.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from . import history
from .config.model import Config, Role
from .cutover import belongs
from .docker import Container, Image
from .errors import UsageError
from .shell import Secret

VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""What Docker takes as a tag."""


class Survey(Protocol):
    """What a host has: enough to say which version a word means there."""

    @property
    def host(self) -> str:
        """Its name."""
        ...

    @property
    def images(self) -> tuple[Image, ...]:
        """The service's images there."""
        ...

    @property
    def containers(self) -> tuple[Container, ...]:
        """The service's containers there."""
        ...

    @property
    def cords(self) -> Mapping[str, str]:
        """The cord directories there: tied, cut, dark or empty."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BootPlan:
    """One role on one host.

    ``nonce`` is this boot's own id (32 hex digits, never used twice); ``suffix`` names a container of the same version
    that has to step aside; ``env_file`` is the text of its secret environment, None where the host's own file is to
    be used. ``reference`` is the image as ``repository:tag``.
    """

    host: str
    role: Role
    version: str
    reference: str
    nonce: str
    performer: str = ""
    run_directory: str = ".kamal"
    env_file: Secret | None = None
    fence: tuple[str, str] | None = None
    marks: tuple[tuple[str, str], ...] = ()
    """More labels: where this boot comes from."""

    @property
    def suffix(self) -> str:
        """16 hex digits, as Kamal's ``_replaced_`` names end."""
        return self.nonce[:16]

    @property
    def container_name(self) -> str:
        """The new container's name."""
        return self.role.container_name(self.version)

    @property
    def hostname(self) -> str:
        """The new container's own host name: Kamal's form, 64 characters at most (Kamal 1.6)."""
        return f"{self.host[:51].rstrip('.')}-{self.nonce[-12:]}"

    @property
    def cord_name(self) -> str:
        """The name of its cord directory under ``<run directory>/cords``."""
        return f"{self.role.name_prefix}-{self.nonce}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole run. ``batches`` are tuples of hosts; ``wait`` is the pause between two of them in seconds."""

    config: Config
    version: str
    batches: tuple[tuple[str, ...], ...]
    boots: tuple[BootPlan, ...]
    run_id: str
    performer: str = ""
    wait: float = 0.0
    left_out: tuple[tuple[str, str], ...] = ()
    """Hosts that are not touched, and why."""
    notes: tuple[str, ...] = field(default=())
    passed: tuple[BootPlan, ...] = ()
    """What needs no boot: it serves as it should already."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host of the run, in order."""
        return tuple(host for batch in self.batches for host in batch)

    def on(self, host: str) -> tuple[BootPlan, ...]:
        """What is booted on ``host``."""
        return tuple(boot for boot in self.boots if boot.host == host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which roles on which hosts: (host, role) pairs, hosts in the configuration's order."""

    pairs: tuple[tuple[str, Role], ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts, once each."""
        return tuple(dict.fromkeys(host for host, _ in self.pairs))


def select(config: Config, roles: Sequence[str] = (), hosts: Sequence[str] = (), primary: bool = False) -> Selection:
    """The part of the fleet that ``roles`` and ``hosts`` (names or wildcards) choose; all of it without them.

    Raises ``UsageError`` for a word that matches nothing, naming the choices.
    """
    chosen_roles = _matching("role", roles, [role.name for role in config.roles])
    chosen_hosts = _matching("host", hosts, list(config.hosts))
    if primary:
        chosen_hosts = [config.primary_host]
    down = {host: "named in hosts_down" for host in config.hosts_down if host in chosen_hosts}
    pairs = tuple(
        (host, role)
        for host in config.hosts
        for role in config.roles_on(host)
        if host in chosen_hosts and role.name in chosen_roles and host not in down
    )
    if not pairs:
        what = ", ".join(f"{role.name} on {', '.join(role.hosts)}" for role in config.roles)
        raise UsageError(f"No role runs on the chosen hosts. The file has {what}: choose with --roles and --hosts.")
    return Selection(pairs=pairs, left_out=tuple(down.items()))


def batches(hosts: Sequence[str], limit: int | str | None) -> tuple[tuple[str, ...], ...]:
    """``hosts`` in groups of ``limit``: a count, a percentage of these hosts (rounded down, at least 1), or all."""
    size = len(hosts) if limit is None else max(1, _count(limit, len(hosts)))
    return tuple(tuple(hosts[start : start + size]) for start in range(0, len(hosts), max(size, 1)))


def plan(
    config: Config,
    selection: Selection,
    *,
    version: str,
    tag: str,
    run_id: str,
    new_id: Callable[[], str],
    performer: str = "",
    env_file: Callable[[Role, str], Secret | None] = lambda role, host: None,
    fence: tuple[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Plan:
    """A boot of ``version`` (image tag ``tag``) for ``selection``. ``new_id`` gives 32 fresh hex digits a call;
    ``fence`` is the lock file and the run id that every changing script compares first."""
    boots = tuple(
        BootPlan(
            host=host,
            role=role,
            version=version,
            reference=f"{config.repository}:{tag}",
            nonce=new_id(),
            performer=performer,
            run_directory=config.run_directory,
            env_file=env_file(role, host),
            fence=fence,
        )
        for host, role in selection.pairs
    )
    return Plan(
        config=config,
        version=version,
        batches=batches(selection.hosts, config.boot.limit),
        boots=boots,
        run_id=run_id,
        performer=performer,
        wait=config.boot.wait,
        left_out=selection.left_out,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version that was asked for. ``name`` goes into container names, ``tag`` is the image tag to run."""

    name: str
    tag: str
    sentence: str = ""


def resolve_version(word: str | None, config: Config, surveys: Sequence[Survey]) -> Version:
    """What ``word`` means on these hosts: a tag, ``current``, ``previous``, or (None) the image tagged latest.

    Raises ``UsageError`` where hosts do not tell, or tell different things.
    """
    if word is None or is_told_by_images(word, config):
        return _latest(config, surveys)
    if word in ("current", "previous"):
        return _served(word, config, surveys)
    refuse_impossible(word)
    return Version(name=word, tag=word)


def refuse_impossible(word: str | None) -> None:
    """Raises ``UsageError`` for what no version can be called."""
    if word is not None and not VERSION.fullmatch(word):
        raise UsageError(
            f"“{word}” cannot be a version: letters, digits, “_”, “.” and “-”, at most 128. "
            "Name an image tag: --version=abc1234."
        )


def is_told_by_images(word: str | None, config: Config) -> bool:
    """Whether the images on the hosts have to say which version ``word`` is."""
    return word is None or word in ("latest", config.latest_tag)


def _latest(config: Config, surveys: Sequence[Survey]) -> Version:
    reference = f"{config.repository}:{config.latest_tag}"
    told = {
        v
        for survey in surveys
        for i in survey.images
        if reference in i.tags
        for v in i.versions(config.repository)[:1] or ("",)
    }
    if len(told) == 1 and (only := told.pop()):
        return Version(name=only, tag=only, sentence=f"The image tagged {config.latest_tag} is version {only}.")
    if len(told) > 1:
        different = ", ".join(sorted(version or "unknown" for version in told))
        raise UsageError(
            f"Hosts have different images tagged {config.latest_tag} ({different}). Name one: --version=…."
        )
    return Version(
        name=config.latest_tag,
        tag=config.latest_tag,
        sentence=f"No other tag tells which version {config.latest_tag} is.",
    )


def _served(word: str, config: Config, surveys: Sequence[Survey]) -> Version:
    """``current`` is what runs everywhere now; ``previous`` what served before it, by Docker's own times."""
    found: dict[str, list[str]] = {}
    for survey in surveys:
        for role in config.roles_on(survey.host):
            running = any(c.running for c in survey.containers if belongs(c, role))
            versions = history.served(role, survey.containers, survey.cords)
            answer = (versions[:1] if running else ()) if word == "current" else versions[1:2]
            found.setdefault(answer[0] if answer else "", []).append(f"{role.name} on {survey.host}")
    if len(found) == 1 and (version := next(iter(found))):
        return Version(name=version, tag=version, sentence=f"“{word}” is version {version}.")
    told = (
        "; ".join(f"{version or 'none'}: {', '.join(where)}" for version, where in found.items()) or "no host was asked"
    )
    raise UsageError(f"Hosts do not agree on the {word} version ({told}). Name one: --version=….")


def _count(limit: int | str, hosts: int) -> int:
    if isinstance(limit, str) and limit.endswith("%"):
        return math.floor(hosts * float(limit[:-1]) / 100)
    return int(limit)


def _matching(kind: str, patterns: Sequence[str], names: list[str]) -> list[str]:
    if not patterns:
        return names
    return [name for name in names if name in set(_each_matching(kind, patterns, names))]


def _each_matching(kind: str, patterns: Sequence[str], names: list[str]) -> Iterator[str]:
    for pattern in patterns:
        found = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not found:
            raise UsageError(f"No {kind} is called “{pattern}”. There are: {', '.join(names)}.")
        yield from found
