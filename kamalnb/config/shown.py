"""A ``Config`` for people and programs: everything that it came to, secrets only by where they come from.

Nothing here may do I/O.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ..shell import REDACTED
from .model import Config, Env, Healthcheck, Role, SecretSource

Tree = dict[str, Any]


def as_mapping(config: Config, version: str | None = None) -> Tree:
    """Plain mappings, lists, texts and numbers, in the order of a deploy.yml; durations are seconds.

    Each host has its own environment, tags applied. ``version`` is shown where one is known.
    """
    roles = {role.name: _role(role) for role in config.roles_primary_first}
    tree: Tree = {
        "service": config.service,
        "destination": config.destination,
        "image": config.image,
        "repository": config.repository,
        "version": version,
        "registry": {
            "server": config.registry.server,
            "username": _maybe_secret(config.registry.username),
            "password": _maybe_secret(config.registry.password),
        },
        "primary_role": config.primary_role,
        "primary_host": config.primary_host,
        "hosts": list(config.hosts),
        "hosts_down": list(config.hosts_down),
        "servers": roles,
        "boot": {"limit": config.boot.limit, "wait": config.boot.wait},
        "release": _release(config),
        "retain_containers": config.retain_containers,
        "confirm": config.confirm,
        "traefik": _traefik(config),
        "ssh": _ssh(config),
        "run_directory": config.run_directory,
        "hooks_path": config.hooks_path,
        "aliases": {name: shlex.join(words) for name, words in config.aliases.items()},
        "left_alone": list(config.left_alone),
    }
    return {key: value for key, value in tree.items() if value is not None or key == "destination"}


def as_text(config: Config, version: str | None = None) -> str:
    """The same as YAML."""
    import yaml

    # Without aliases: two roles with the same labels are both written out.
    return yaml.dump(
        as_mapping(config, version), Dumper=_plain_dumper(), sort_keys=False, allow_unicode=True, width=110
    )


def rows(config: Config, version: str | None = None) -> tuple[Tree, ...]:
    """One row for each value: ``key`` is its place (``servers/web/env/secret/DB``), ``value`` is it."""
    return tuple({"key": key, "value": value} for key, value in _leaves(as_mapping(config, version), ()))


def redacted(source: SecretSource) -> str:
    """``[REDACTED]``, and where the value comes from. Of a command its first word only: others may be secret."""
    if source.env is not None:
        return f"{REDACTED} from the variable {source.env}"
    if source.file is not None:
        return f"{REDACTED} from the file {source.file}"
    if source.command:
        return f"{REDACTED} from the command {source.command[0]}"
    return f"{REDACTED} written in the file itself"


def _role(role: Role) -> Tree:
    return {
        "hosts": list(role.hosts),
        "traefik": role.traefik,
        "container": role.container_name("VERSION"),
        "cmd": role.cmd,
        "env": _env(role.env),
        "env_on": {host: _env(role.env_on(host)) for host in role.hosts if host in role.env_tags},
        "labels": dict(role.labels),
        "options": {name: _plain(value) for name, value in role.options.items()},
        "volumes": list(role.volumes),
        "logging": {"driver": role.logging.driver, "options": dict(role.logging.options)},
        "healthcheck": _healthcheck(role.healthcheck),
        "asset_path": role.asset_path,
        "order": role.order,
        "drain_timeout": role.drain_timeout,
        "min_healthy": role.min_healthy,
        "readiness_delay": role.readiness_delay,
        "stop_signal": role.stop_signal,
        "stop_wait_time": role.stop_wait_time,
    }


def _healthcheck(check: Healthcheck) -> Tree | None:
    if not check.configured:
        return None
    http = {"path": check.path, "port": check.port} if check.cmd is None else {"cmd": check.cmd, "port": check.port}
    rest = {"interval": check.interval, "deploy_timeout": check.deadline, "log_lines": check.log_lines}
    return {**http, **rest, "cord": False if check.cord is None else check.cord}


def _release(config: Config) -> Tree | None:
    release = config.release
    return {"cmd": release.cmd, "timeout": release.timeout, "role": release.role} if release else None


def _traefik(config: Config) -> Tree:
    settings = config.traefik
    return {
        "image": settings.image,
        "host_port": settings.host_port,
        "publish": settings.publish,
        "args": {name: _plain(value) for name, value in settings.args.items()},
        "labels": dict(settings.labels),
        "options": {name: _plain(value) for name, value in settings.options.items()},
        "env": _env(settings.env),
    }


def _ssh(config: Config) -> Tree:
    ssh = config.ssh
    return {
        "user": ssh.user,
        "port": ssh.port,
        "proxy": ssh.proxy,
        "proxy_command": ssh.proxy_command,
        "keys": list(ssh.keys),
        "keys_only": ssh.keys_only,
        "first_key": _maybe_secret(ssh.first_key),
        "key_data": [redacted(source) for source in ssh.key_data],
        "config": _plain(ssh.config),
        "known_hosts": ssh.known_hosts,
        "log_level": ssh.log_level,
        "connect_timeout": ssh.connect_timeout,
        "max_concurrent_starts": ssh.max_concurrent_starts,
        "pool_idle_timeout": ssh.pool_idle_timeout,
    }


def _env(env: Env) -> Tree:
    return {"clear": dict(env.clear), "secret": {name: redacted(source) for name, source in env.secret.items()}}


def _maybe_secret(value: str | SecretSource | None) -> str | None:
    return redacted(value) if isinstance(value, SecretSource) else value


def _plain(value: object) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list):
        if value:
            yield "/".join(path), ", ".join(str(item) for item in value)
    elif value is not None:
        yield "/".join(path), str(value).lower() if isinstance(value, bool) else str(value)


def _plain_dumper() -> Any:
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return Plain
