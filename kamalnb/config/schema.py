"""The form of ``deploy.yml``: every key, which values it takes, and a line on each for editors.

Only the form is here; what values mean together is in ``checks``, and what they become in ``building``. All defaults
live in ``model``. Nothing here may do I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from .fields import (
    Alias,
    AliasName,
    Cord,
    Count,
    Directory,
    EnvName,
    Flag,
    FromVariable,
    HostName,
    Hosts,
    Image,
    Interval,
    Label,
    Level,
    Limit,
    NamedSource,
    Option,
    Order,
    Path,
    Plain,
    Port,
    Reference,
    RoleName,
    Seconds,
    Server,
    Service,
    Signal,
    Source,
    SshConfig,
    Url,
    User,
    Value,
    words,
)


def _form(value: object) -> str | None:
    """Tells the forms that one key may have apart; the tags in ``<>`` never show in a path."""
    return "<list>" if isinstance(value, list) else "<mapping>" if isinstance(value, dict) else None


_LIST_OR_MAPPING = Discriminator(
    _form,
    custom_error_type="form",
    custom_error_message="should be a list (`- item` lines) or a mapping (`key: value` lines)",
)
_LIST, _MAPPING, _PLAIN = Tag("<list>"), Tag("<mapping>"), Tag("<plain>")


class Section(BaseModel):
    """Part of the file: no key but those named."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Secrets = Annotated[
    Annotated[list[EnvName], _LIST] | Annotated[dict[EnvName, NamedSource], _MAPPING],
    _LIST_OR_MAPPING,
]


class SplitEnv(Section):
    """``clear`` and ``secret`` apart."""

    clear: dict[EnvName, Plain] = Field({}, description="Variables that may be seen.")
    secret: Secrets = Field([], description="Names of variables that are read here and never shown, or name: source.")


def _env_form(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    return "<mapping>" if {"clear", "secret", "tags"} & set(value) or not value else "<plain>"


_ENV = Discriminator(
    _env_form, custom_error_type="form", custom_error_message="should be a mapping of variables (`NAME: value` lines)"
)
PlainEnv = Annotated[dict[EnvName, Plain], _PLAIN]
EnvFile = Annotated[Annotated[SplitEnv, _MAPPING] | PlainEnv, _ENV]


class TaggedEnv(SplitEnv):
    """The root's, where tags are defined too."""

    tags: dict[str, EnvFile] = Field({}, description="More variables for hosts that carry the tag.")


RootEnv = Annotated[Annotated[TaggedEnv, _MAPPING] | PlainEnv, _ENV]


class HealthcheckFile(Section):
    cmd: Annotated[str, *words("a shell command")] | None = Field(None, description="Replaces the HTTP check.")
    path: Url | None = Field(None, description="What is asked for. Default /up.")
    port: Port | None = Field(None, description="The app's port in the container. Default 3000.")
    interval: Interval | None = Field(None, description="Time between two checks. Default 1s.")
    max_attempts: Count | None = Field(None, description="Kamal's: 1+2+…+n seconds to become healthy. Default 7.")
    exposed_port: Port | None = Field(None, description="Kamal before 1.6; ignored.")
    cord: Cord | None = Field(None, description="The cord's directory in the container, or false.")
    log_lines: Count | None = Field(None, description="Lines of the log shown on a failure. Default 50.")


class LoggingFile(Section):
    driver: Annotated[str, *words("json-file")] | None = Field(None, description="docker run --log-driver.")
    options: dict[Option, Plain] = Field({}, description="docker run --log-opt.")


class Timing(Section):
    """What may stand at the top and in a role; the role's own wins."""

    asset_path: Path | None = Field(None, description="Directory of assets that two versions share.")
    deploy_timeout: Seconds | None = Field(None, description="Time for a new container to become healthy.")
    drain_timeout: Seconds | None = Field(None, description="Time for requests in flight to end. Default 30.")
    healthcheck: HealthcheckFile | None = Field(None, description="How a container is asked whether it is well.")
    labels: dict[Label, Plain] = Field({}, description="More labels for the container.")
    logging: LoggingFile | None = Field(None, description="Docker's logging.")
    min_healthy: Seconds | None = Field(None, description="Time to stay healthy before the old one goes. Default 0.")
    readiness_delay: Seconds | None = Field(None, description="Time to keep running, without health check. Default 7.")
    stop_signal: Signal | None = Field(None, description="Signal that stops the app. Default: the image's, or SIGTERM.")
    stop_wait_time: Seconds | None = Field(None, description="Time from that signal to SIGKILL. Default: Docker's 10.")
    volumes: list[Path] = Field([], description="docker run --volume.")


class RoleFile(Timing):
    hosts: Hosts = Field([], description="Host names or addresses; `- host: [tag]` with tags.")
    traefik: Flag | None = Field(None, description="Traefik routes to it. Default: only to the primary role.")
    cmd: Annotated[str, *words("a command")] | None = Field(None, description="Command instead of the image's own.")
    options: dict[Option, Value] = Field({}, description="Further options of docker run.")
    env: EnvFile | None = Field(None, description="Variables of this role, over the global ones.")
    order: Order | None = Field(None, description="start-first, or stop-first where two must never run.")


Role = Annotated[Annotated[Hosts, _LIST] | Annotated[RoleFile, _MAPPING], _LIST_OR_MAPPING, FromVariable]
Servers = Annotated[Annotated[Hosts, _LIST] | Annotated[dict[RoleName, Role], _MAPPING], _LIST_OR_MAPPING, FromVariable]


class RegistryFile(Section):
    server: Server | None = Field(None, description="Host of the registry. Default: Docker Hub.")
    username: User | None = Field(None, description="User name, or [NAME] of a variable.")
    password: Source | None = Field(None, description="[NAME], {env: …}, {file: …} or {command: […]}.")


class BootFile(Section):
    limit: Limit | None = Field(None, description="Hosts at a time: a number or a percentage. Default: all.")
    wait: Seconds | None = Field(None, description="Time between two batches. Default 0.")


class SshFile(Section):
    user: Annotated[str, *words("a user name")] | None = Field(None, description="User to log in as.")
    port: Port | None = Field(None, description="Port of sshd.")
    proxy: Annotated[str, *words("user@jump-host")] | None = Field(None, description="Jump host: host or user@host.")
    proxy_command: Annotated[str, *words("ssh -W %h:%p jump-host")] | None = Field(None, description="ProxyCommand.")
    log_level: Level | None = Field(None, description="Default fatal.")
    keys_only: Flag | None = Field(None, description="Only keys named here, not the agent's. Default false.")
    keys: list[Path] = Field([], description="Private key files.")
    key_data: list[Source] = Field([], description="Private keys: {env: …}, {file: …} or {command: […]}.")
    config: SshConfig | None = Field(None, description="Read OpenSSH's configuration: true, false or files.")
    known_hosts: Path | None = Field(
        None, description="known_hosts file in the repository. Default config/known_hosts."
    )
    connect_timeout: Seconds | None = Field(None, description="Time to connect. Default 10.")


class SshkitFile(Section):
    max_concurrent_starts: Count | None = Field(None, description="Connections opened at once. Default 30.")
    pool_idle_timeout: Seconds | None = Field(None, description="Time an idle connection is kept. Default 900.")


class ReleaseFile(Section):
    cmd: Annotated[str, *words("bin/rails db:migrate")] = Field(description="The command, for a shell.")
    timeout: Interval | None = Field(None, description="Time that it may take. Default 600.")
    role: RoleName | None = Field(None, description="Whose environment it gets. Default: the primary role.")


def _text_or_mapping(value: object) -> str:
    return "<mapping>" if isinstance(value, dict) else "<text>"


Release = Annotated[
    Annotated[str, *words("a command, like bin/rails db:migrate"), Tag("<text>")] | Annotated[ReleaseFile, _MAPPING],
    Discriminator(_text_or_mapping),
]


class TraefikFile(Section):
    image: Reference | None = Field(None, description="Default traefik:v2.11.")
    host_port: Port | None = Field(None, description="Port of the host. Default 80.")
    publish: Flag | None = Field(None, description="Publish that port. Default true.")
    labels: dict[Label, Plain] = Field({}, description="Labels of Traefik's container.")
    args: dict[Option, Value] = Field({}, description="Arguments of Traefik, without dashes.")
    options: dict[Option, Value] = Field({}, description="Further options of docker run.")
    env: EnvFile | None = Field(None, description="Variables of Traefik's container.")


class DeployFile(Timing):
    """deploy.yml"""

    service: Service = Field(description="Name of the app; container names begin with it.")
    image: Image = Field(description="Name of the image, without registry and tag.")
    servers: Servers = Field(description="A list of hosts, or roles with their hosts.")
    registry: RegistryFile | None = Field(None, description="Where images come from.")
    env: RootEnv | None = Field(None, description="Variables of every container.")
    primary_role: RoleName | None = Field(None, description="Default web.")
    allow_empty_roles: Flag | None = Field(None, description="Roles without hosts are allowed. Default false.")
    require_destination: Flag | None = Field(None, description="Refuse to run without --destination. Default false.")
    minimum_version: Plain | None = Field(None, description="The Kamal that this file needs; at most 1.9.3.")
    minimum_kamalnb_version: Plain | None = Field(None, description="kamalnb's version that this file needs.")
    boot: BootFile | None = Field(None, description="Batches.")
    ssh: SshFile | None = Field(None, description="SSH.")
    sshkit: SshkitFile | None = Field(None, description="How many connections, for how long.")
    traefik: TraefikFile | None = Field(None, description="The proxy on each host.")
    run_directory: Directory | None = Field(None, description="Directory on the hosts. Default .kamal.")
    hooks_path: Path | None = Field(None, description="Directory of hooks here. Default .kamal/hooks.")
    release: Release | None = Field(None, description="Runs once before anything is booted: migrations.")
    aliases: dict[AliasName, Alias] = Field({}, description="Words of your own for kamalnb's command line.")
    retain_containers: Count | None = Field(None, description="Old containers kept. Default 5.")
    hosts_down: list[HostName] = Field([], description="Hosts known to be away; left out, and said so.")
    confirm: Flag | None = Field(None, description="Ask before anything changes. Default false.")
    builder: Any = Field(None, description="Kamal's; left alone.")
    accessories: Any = Field(None, description="Kamal's; left alone.")


def json_schema() -> dict[str, Any]:
    """JSON Schema of ``deploy.yml``, for editors (`# yaml-language-server: $schema=…`)."""
    schema: dict[str, Any] = _any_of(DeployFile.model_json_schema())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["patternProperties"] = {"^x-": {}}
    return schema


def _any_of(schema: Any) -> Any:
    """``oneOf`` made ``anyOf``: pydantic picks the form by type, and an empty mapping fits two forms."""
    if isinstance(schema, dict):
        return {"anyOf" if key == "oneOf" else key: _any_of(value) for key, value in schema.items()}
    return [_any_of(value) for value in schema] if isinstance(schema, list) else schema


def models_at(path: tuple[str | int, ...]) -> list[type[Section]]:
    """The sections that may stand at ``path`` of the file; none where it is free or a leaf."""
    places: list[Any] = [DeployFile]
    for part in path:
        places = [inner for place in places for inner in _inside(place, part)]
    return [
        model for place in places for model in _forms(place) if isinstance(model, type) and issubclass(model, Section)
    ]


def keys_at(path: tuple[str | int, ...]) -> list[str]:
    """The keys that are known at ``path``."""
    return sorted({key for model in models_at(path) for key in model.model_fields})


def _inside(place: Any, part: str | int) -> Iterator[Any]:
    for form in _forms(place):
        if isinstance(form, type) and issubclass(form, Section):
            if part in form.model_fields:
                yield form.model_fields[str(part)].annotation
        elif get_origin(form) is dict and isinstance(part, str):
            yield get_args(form)[1]
        elif get_origin(form) is list and isinstance(part, int):
            yield get_args(form)[0]


def _forms(place: Any) -> Iterator[Any]:
    """The types in a union, each without its annotations."""
    if get_origin(place) is Annotated:
        yield from _forms(get_args(place)[0])
    elif get_args(place) and get_origin(place) not in (dict, list, tuple, Literal):
        for part in get_args(place):
            yield from _forms(part)
    elif place is not NoneType:
        yield place
