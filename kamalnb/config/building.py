"""A file that has the right form → ``Config``: defaults filled in, global and role settings merged as Kamal does.

Nothing here may do I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .model import (
    BootLimits,
    Config,
    Env,
    Healthcheck,
    Logging,
    Registry,
    Release,
    Role,
    SecretSource,
    Ssh,
    TraefikSettings,
)
from .places import left_alone
from .schema import DeployFile, LoggingFile, RegistryFile, RoleFile, SplitEnv, TaggedEnv

TRAEFIK_IMAGE = "traefik:v2.11"
"""Kamal 1.9.3's."""
_ATTEMPTS = 7
_LEAST_DEADLINE = 30.0


def build(file: DeployFile, *, keys: Mapping[str, Any], destination: str | None) -> Config:
    """The ``Config`` that ``file`` means. ``keys`` are the top-level keys as they were written."""
    roles = _role_files(file)
    registry = file.registry or RegistryFile.model_construct()
    return Config(
        service=file.service,
        image=file.image,
        destination=destination,
        roles=tuple(_role(name, role, file, destination) for name, role in roles.items()),
        primary_role=file.primary_role or "web",
        registry=_registry(registry),
        boot=BootLimits(**_given(file.boot)),
        release=_release(file),
        aliases=dict(file.aliases),
        traefik=_traefik(file),
        ssh=_ssh(file),
        left_alone=_left_alone(keys),
        warnings=_warnings(registry, file),
        hosts_down=tuple(file.hosts_down),
        **_given_of(file, "run_directory", "hooks_path", "retain_containers", "confirm"),
    )


def _role_files(file: DeployFile) -> dict[str, RoleFile]:
    servers = file.servers if isinstance(file.servers, dict) else {"web": file.servers}
    return {
        name: role if isinstance(role, RoleFile) else RoleFile.model_construct(hosts=role)
        for name, role in servers.items()
    }


def _role(name: str, role: RoleFile, file: DeployFile, destination: str | None) -> Role:
    traefik = role.traefik if role.traefik is not None else name == (file.primary_role or "web")
    env = _merged(_env(file.env, "env"), _env(role.env, f"servers/{name}/env"))
    tagged = {host: tags for host, tags in role.hosts if tags}
    timing = ("asset_path", "stop_signal", "stop_wait_time", "drain_timeout", "min_healthy", "readiness_delay")
    given = {**_given_of(file, *timing), **_given_of(role, *timing, "cmd", "order")}
    if not traefik:
        given.pop("asset_path", None)  # as Kamal: nobody else asks for assets
    return Role(
        name=name,
        service=file.service,
        destination=destination,
        hosts=tuple(host for host, _ in role.hosts),
        traefik=traefik,
        env=env,
        env_tags={host: _with_tags(env, tags, file) for host, tags in tagged.items()},
        labels={**file.labels, **role.labels},
        options=role.options,
        volumes=(*file.volumes, *role.volumes),
        logging=_logging(file.logging, role.logging),
        healthcheck=_healthcheck(file, role, traefik),
        **given,
    )


def _env(env: SplitEnv | dict[str, str] | None, where: str) -> Env:
    if env is None or isinstance(env, dict):
        return Env(clear=dict(env or {}))
    named = env.secret if isinstance(env.secret, dict) else {name: SecretSource(env=name) for name in env.secret}
    secret = {name: replace(source, where=f"{where}/secret/{name}") for name, source in named.items()}
    return Env(clear=dict(env.clear), secret=secret)


def _merged(first: Env, second: Env) -> Env:
    return Env(clear={**first.clear, **second.clear}, secret={**first.secret, **second.secret})


def _with_tags(env: Env, tags: tuple[str, ...], file: DeployFile) -> Env:
    defined = file.env.tags if isinstance(file.env, TaggedEnv) else {}
    for tag in tags:
        env = _merged(env, _env(defined[tag], f"env/tags/{tag}"))
    return env


def _logging(top: LoggingFile | None, own: LoggingFile | None) -> Logging:
    """As Kamal: 10 MB of log where neither driver nor options are named."""
    top, own = top or LoggingFile.model_construct(), own or LoggingFile.model_construct()
    driver, options = own.driver or top.driver, {**top.options, **own.options}
    return Logging(driver=driver, options=options) if driver or options else Logging()


def _healthcheck(file: DeployFile, role: RoleFile, traefik: bool) -> Healthcheck:
    """As Kamal: the global check is for roles behind Traefik; another role has one only if it names it."""
    top, own = _given(file.healthcheck) if traefik else {}, _given(role.healthcheck)
    given = {**top, **own}
    given.pop("exposed_port", None)
    attempts = given.pop("max_attempts", _ATTEMPTS)
    timeout = role.deploy_timeout if role.deploy_timeout is not None else file.deploy_timeout
    deadline = timeout if timeout is not None else max(_LEAST_DEADLINE, attempts * (attempts + 1) / 2)
    if given.get("cord") is False:
        given["cord"] = None
    if not given.get("path", "/").startswith("/"):
        given["path"] = "/" + given["path"]
    configured = traefik or any(key in own for key in ("cmd", "port", "path"))
    return Healthcheck(configured=configured, deadline=deadline, **given)


def _registry(registry: RegistryFile) -> Registry:
    name, word = registry.username, registry.password
    if isinstance(name, SecretSource):
        name = replace(name, where="registry/username")
    return Registry(server=registry.server, username=name, password=word and replace(word, where="registry/password"))


def _release(file: DeployFile) -> Release | None:
    if file.release is None:
        return None
    given = {"cmd": file.release} if isinstance(file.release, str) else _given(file.release)
    return Release(**{"role": file.primary_role or "web", **given})


def _traefik(file: DeployFile) -> TraefikSettings:
    given = _given(file.traefik)
    env = _env(file.traefik.env if file.traefik else None, "traefik/env")
    return TraefikSettings(**{"image": TRAEFIK_IMAGE, **given, "env": env})


def _ssh(file: DeployFile) -> Ssh:
    given = {**_given(file.ssh), **_given(file.sshkit)}
    given["keys"] = tuple(given.get("keys", ()))
    sources = enumerate(given.get("key_data", ()))
    given["key_data"] = tuple(replace(source, where=f"ssh/key_data/{number}") for number, source in sources)
    return Ssh(**given)


def _given(section: Any) -> dict[str, Any]:
    """The keys that the file has, so that every default stays in ``model``."""
    return _given_of(section, *type(section).model_fields) if section is not None else {}


def _given_of(section: Any, *names: str) -> dict[str, Any]:
    values = {name: getattr(section, name) for name in names if name in section.model_fields_set}
    return {name: value for name, value in values.items() if value is not None}


def _left_alone(keys: Mapping[str, Any]) -> tuple[str, ...]:
    names = [key for key in keys if left_alone(key)]
    healthcheck = keys.get("healthcheck")
    if isinstance(healthcheck, dict) and "exposed_port" in healthcheck:
        names.append("healthcheck/exposed_port")
    return tuple(names)


def _warnings(registry: RegistryFile, file: DeployFile) -> tuple[str, ...]:
    literal = []
    if registry.password and registry.password.value:
        literal.append("registry/password")
    literal += [f"ssh/key_data/{n}" for n, source in enumerate(file.ssh.key_data if file.ssh else ()) if source.value]
    form = "Write [NAME] and put it in the environment or in .env."
    return tuple(f"{path} holds the secret itself, which then is in git. {form}" for path in literal)
