"""What the parts of ``deploy.yml`` must be to each other: roles, hosts, tags, versions, destination.

Every check reads the raw tree and passes over what has another form than it should (the schema says so), so that all
problems come out together. Nothing here may do I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .fields import NAME
from .places import Path, Problem, left_alone
from .sentences import did_you_mean

KAMAL = "1.9.3"
"""The last Kamal 1, whose form of the file this is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the checks must know besides the file."""

    destination: str | None
    kamalnb_version: str


def check(tree: dict[str, Any], asked: Asked) -> list[Problem]:
    """Every problem between the parts of the file."""
    found = [*_empty(tree, ()), *_destination(tree, asked), *_versions(tree, asked), *_roles(tree), *_registry(tree)]
    roles = _role_items(tree)
    known_hosts = [host for role in roles for _, host, _ in role.hosts]
    for role in roles:
        found += [*_hosts(role), *_tags(role, tree), *_stop_first(role, tree)]
    return [*found, *_release(tree, roles), *_hosts_down(tree, known_hosts), *_twice_in_env(tree, ())]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Role:
    name: str
    path: Path
    keys: dict[str, Any]
    hosts: list[tuple[Path, str, list[Any]]]


def _role_items(tree: dict[str, Any]) -> list[_Role]:
    servers = tree.get("servers")
    if isinstance(servers, list):
        return [_Role(name="web", path=("servers",), keys={}, hosts=_host_items(servers, ("servers",)))]
    roles = []
    for name, value in servers.items() if isinstance(servers, dict) else ():
        keys, path = (value, ("servers", name, "hosts")) if isinstance(value, dict) else ({}, ("servers", name))
        hosts = value if isinstance(value, list) else keys.get("hosts")
        roles.append(_Role(name=name, path=("servers", name), keys=keys, hosts=_host_items(hosts, path)))
    return roles


def _host_items(hosts: Any, path: Path) -> list[tuple[Path, str, list[Any]]]:
    items: list[tuple[Path, str, list[Any]]] = []
    for number, item in enumerate(hosts if isinstance(hosts, list) else ()):
        host, tags = next(iter(item.items())) if isinstance(item, dict) and len(item) == 1 else (item, [])
        if isinstance(host, str):
            items.append(((*path, number), host, tags if isinstance(tags, list) else [tags]))
    return items


def _empty(value: Any, path: Path) -> Iterator[Problem]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if not path and left_alone(key):
            continue
        if inner is None and not (len(path) == 1 and path[0] == "servers"):
            yield (*path, key), "has no value. Write one, or remove the key."
        yield from _empty(inner, (*path, key))


def _destination(tree: dict[str, Any], asked: Asked) -> Iterator[Problem]:
    if asked.destination is None and tree.get("require_destination") is True:
        yield ("require_destination",), "asks for a destination, and none was named. Add --destination=NAME."
    if asked.destination is not None and not NAME.fullmatch(asked.destination):
        yield (), "the destination's name may have letters, digits, - and _ only. Name one like staging."


def _versions(tree: dict[str, Any], asked: Asked) -> Iterator[Problem]:
    wanted = tree.get("minimum_version")
    if (number := _numbers(wanted)) and number > (_numbers(KAMAL) or ()):
        why = "kamalnb reads the form of Kamal 1 only" if number[0] >= 2 else f"kamalnb knows Kamal up to {KAMAL}"
        todo = f"Lower it to {KAMAL}, or deploy with that Kamal."
        yield ("minimum_version",), f"asks for Kamal {wanted}, and {why}. {todo}"
    elif wanted is not None and not number and isinstance(wanted, str):
        yield ("minimum_version",), f'is no version. Write one in quotes: "{KAMAL}".'
    ours = tree.get("minimum_kamalnb_version")
    if (number := _numbers(ours)) and number > (_numbers(asked.kamalnb_version) or number):
        yield ("minimum_kamalnb_version",), f"asks for {ours}, and this is {asked.kamalnb_version}. Upgrade kamalnb."
    elif ours is not None and not number and isinstance(ours, str):
        yield ("minimum_kamalnb_version",), 'is no version. Write one in quotes: "0.1.0".'


def _numbers(version: Any) -> tuple[int, ...] | None:
    """The numbers a version begins with, without zeros at the end; None where it is no version."""
    if isinstance(version, bool) or not isinstance(version, str | int | float):
        return None
    found = re.match(r"[0-9]{1,6}(\.[0-9]{1,6})*", str(version))
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers) or None


def _roles(tree: dict[str, Any]) -> Iterator[Problem]:
    servers = tree.get("servers")
    if not isinstance(servers, dict | list):
        return
    names = list(servers) if isinstance(servers, dict) else ["web"]
    named = tree.get("primary_role")
    primary = named if isinstance(named, str) else "web"
    if not servers:
        yield ("servers",), "is empty. Write at least one host: `servers: [192.168.0.1]`."
    elif primary not in names and "primary_role" in tree:
        meant = did_you_mean(primary, names) or f" Write one of these: {', '.join(names)}."
        yield ("primary_role",), f"names the role {primary}, and there is none.{meant}"
    elif primary not in names:
        near = get_close_matches("web", names, n=1)
        rename = f"If {near[0]} should be it, rename it; else set" if near else "Set"
        yield ("servers",), f"has no role called web. {rename} `primary_role: {(near or names)[0]}`."
    if isinstance(servers, dict):
        yield from _empty_roles(servers, primary, tree.get("allow_empty_roles") is True)


def _empty_roles(servers: dict[str, Any], primary: str, allowed: bool) -> Iterator[Problem]:
    for name, value in servers.items():
        hosts = value.get("hosts", []) if isinstance(value, dict) else value
        if hosts or not isinstance(hosts, list | None) or (allowed and name != primary):
            continue
        other = ", or set `allow_empty_roles: true`" if name != primary else ""
        yield ("servers", name), f"has no hosts. Add one, remove the role{other}."


def _hosts(role: _Role) -> Iterator[Problem]:
    first: dict[str, Path] = {}
    for path, host, _ in role.hosts:
        if host in first:
            yield path, f"names {host} a second time; the first is {'/'.join(map(str, first[host]))}. Remove one."
        first.setdefault(host, path)


def _tags(role: _Role, tree: dict[str, Any]) -> Iterator[Problem]:
    env = tree.get("env")
    tags = env.get("tags") if isinstance(env, dict) else None
    known = list(tags) if isinstance(tags, dict) else []
    for path, _, used in role.hosts:
        for tag in used:
            if not isinstance(tag, str) or tag in known:
                continue
            if set(tag.split()) <= set(known):
                meant = f" Put commas between tags: [{', '.join(tag.split())}]."
            else:
                meant = did_you_mean(tag, known) or f" Define it under env/tags/{tag}, or remove it."
            yield path, f"carries the tag {tag}, which env/tags does not define.{meant}"


def _stop_first(role: _Role, tree: dict[str, Any]) -> Iterator[Problem]:
    default = role.name == tree.get("primary_role", "web")
    if role.keys.get("order") == "stop-first" and role.keys.get("traefik", default) is True:
        why = "would lose requests on a role that Traefik routes to"
        yield (*role.path, "order"), f"{why}. Remove it, or set `traefik: false` for this role."


def _registry(tree: dict[str, Any]) -> Iterator[Problem]:
    registry = tree.get("registry")
    if not isinstance(registry, dict):
        return
    for one, other in (("username", "password"), ("password", "username")):
        if one in registry and other not in registry:
            yield ("registry", other), f"is missing beside {one}. Write `{other}: [NAME]`, NAME being a variable's."


def _release(tree: dict[str, Any], roles: list[_Role]) -> Iterator[Problem]:
    release = tree.get("release")
    named = release.get("role") if isinstance(release, dict) else None
    if not isinstance(named, str):
        return
    if named not in (names := [role.name for role in roles]):
        meant = did_you_mean(named, names) or f" Write one of these: {', '.join(names)}."
        yield ("release", "role"), f"names the role {named}, and there is none.{meant}"
    elif not any(role.hosts for role in roles if role.name == named):
        yield ("release", "role"), f"names the role {named}, which has no host to run it. Name another role."


def _hosts_down(tree: dict[str, Any], known: list[str]) -> Iterator[Problem]:
    down = tree.get("hosts_down")
    for number, host in enumerate(down if isinstance(down, list) else ()):
        if isinstance(host, str) and host not in known:
            meant = did_you_mean(host, known) or " Remove it."
            yield ("hosts_down", number), f"names {host}, which no role has.{meant}"


def _twice_in_env(value: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(value, dict):
        return
    clear, secret = value.get("clear"), value.get("secret")
    if "env" in path and isinstance(clear, dict) and isinstance(secret, list | dict):
        for name in clear:
            if name in secret:
                yield (*path, "clear", name), "is under clear and under secret. Keep the one under secret."
    for key, inner in value.items():
        if path or not left_alone(key):
            yield from _twice_in_env(inner, (*path, key))
