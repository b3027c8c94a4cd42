"""The kinds of value that a key of ``deploy.yml`` may have, as pydantic types; the readers are in ``scalars``.

Nothing here may do I/O.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainValidator, WithJsonSchema

from . import scalars
from .model import SecretSource
from .scalars import EnvText, Wrong
from .yamltext import flow_list

NAME = re.compile(r"[A-Za-z0-9_-]+")
# Docker's names begin with a letter or digit, and a program would take what begins with a dash for an option.
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HOST = re.compile(r"(?![-.])[A-Za-z0-9._-]+|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9]+)?\]?")
_IMAGE = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")
_SERVER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(:[0-9]+)?(/[A-Za-z0-9._/-]+)?")
_REFERENCE = re.compile(r"[A-Za-z0-9][!-~]*")
_DIRECTORY = re.compile(r"[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*")
_OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\[\]-]*")
_LABEL = re.compile(r"[^\s=]+")


def _type(reader: Callable[[Any], Any], **schema: Any) -> Any:
    """What an annotation needs: our reader, and how editors are told."""
    return PlainValidator(reader), WithJsonSchema(schema)


def words(example: str) -> Any:
    return _type(partial(scalars.text, example=example), type="string")


def _matching(pattern: re.Pattern[str], sentence: str, example: str) -> Any:
    def read(value: object) -> str:
        written = scalars.text(value, example)
        if not pattern.fullmatch(written):
            raise Wrong(sentence)
        return written

    return _type(read, type="string", pattern=f"^(?:{pattern.pattern})$|<%")


def host_and_tags(value: object) -> tuple[str, tuple[str, ...]]:
    """``1.1.1.1`` or ``1.1.1.1: tag`` or ``1.1.1.1: [tag, tag]``."""
    tags: object = ()
    if isinstance(value, dict):
        if len(value) != 1:
            raise Wrong("names several hosts in one item. Write one host an item: `- 1.1.1.1: [tag]`.")
        value, tags = next(iter(value.items()))
        tags = tags if isinstance(tags, list) else [tags]
        tags = tuple(scalars.text(tag, "a tag, like `- 1.1.1.1: [tag]`") for tag in tags)
    name = scalars.text(value, "a host name or address")
    if "@" in name or re.fullmatch(r"[^:]+:[0-9]+", name):
        raise Wrong("has a user or port in it. Write the host alone; user and port go under ssh:, or in ~/.ssh/config.")
    if not _HOST.fullmatch(name):
        raise Wrong("is no host name or address. Write one like 192.168.0.1 or web-1.example.com.")
    return name, tags  # type: ignore[return-value]  # narrowed above


def _host(value: object) -> str:
    return host_and_tags(scalars.text(value, "a host name or address"))[0]


def _limit(value: object) -> int | str:
    if isinstance(value, str) and value.endswith("%"):
        return f"{scalars.whole(value[:-1], 1, 100)}%"
    try:
        return scalars.whole(value, 1, 100_000)
    except Wrong:
        raise Wrong('should be a number of hosts, at least 1, or a share of them in quotes: "25%".') from None


def _cord(value: object) -> str | Literal[False] | None:
    if isinstance(value, bool):
        return None if value else False
    path = scalars.text(value, "a directory in the container, or false")
    if not re.fullmatch(r"/[^\s:]*[^\s:/]", path):
        raise Wrong(
            "should be a directory inside the container, from its root: /tmp/kamal-cord. Write false for no cord."
        )
    return path


def _option(value: object) -> str | bool | tuple[str, ...]:
    if isinstance(value, list):
        return tuple(scalars.plain(item) for item in value)
    return value if isinstance(value, bool) else scalars.plain(value)


def _signal(value: object) -> str:
    name = scalars.plain(value).upper()
    if not re.fullmatch(r"(SIG)?[A-Z]+[0-9+-]*|[0-9]{1,2}", name):
        raise Wrong("is no signal. Write its name: SIGTERM, SIGQUIT, SIGINT.")
    return name


def _order(value: object) -> str:
    if value not in ("start-first", "stop-first"):
        raise Wrong("should be start-first (the default), or stop-first where two must never run at once.")
    return str(value)


def _ssh_config(value: object) -> bool | tuple[str, ...]:
    if isinstance(value, list):
        return tuple(scalars.text(path, "a path") for path in value)
    return scalars.flag(value) if not isinstance(value, str) else (str(value),)


def _log_level(value: object) -> str:
    level = scalars.text(value, "fatal").removeprefix(":")  # Ruby files may say :debug
    if level not in ("debug", "info", "warn", "error", "fatal", "unknown"):
        raise Wrong("should be debug, info, warn, error or fatal.")
    return level


def _alias(value: object) -> tuple[str, ...]:
    """The words of a command line, as a shell would split them, and nothing else of what a shell does."""
    written = scalars.text(value, "a command line, like `exec --reuse bin/console`")
    try:
        found = tuple(shlex.split(written))
    except ValueError:
        raise Wrong("has a quote that is not closed. Close it.") from None
    first = found[0] if found else ""
    if first in ("kamal", "kamalnb", "invoke", "inv", "app"):
        raise Wrong(f"begins with {first}. Write what follows it: `exec --reuse bin/console`.")
    if not first or first.startswith("-"):
        raise Wrong("should begin with a command. Write its options after it: `exec --reuse bin/console`.")
    return found


def _from_variable(value: object) -> object:
    return flow_list(value) if isinstance(value, EnvText) else value


_SOURCE: dict[str, Any] = {
    "type": "object",
    "maxProperties": 1,
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "env": {"type": "string"},
        "file": {"type": "string"},
        "command": {"type": "array", "items": {"type": "string"}},
    },
}
_NAME_OR_SOURCE = [{"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1}, _SOURCE]
_SECRET = {"anyOf": [*_NAME_OR_SOURCE, {"type": "string"}]}
_ANY = {"type": ["string", "number", "boolean"]}

Flag = Annotated[bool, *_type(scalars.flag, anyOf=[{"type": "boolean"}, {"type": "string", "pattern": "<%"}])]
Plain = Annotated[str, *_type(scalars.plain, **_ANY)]
Seconds = Annotated[float, *_type(scalars.duration, type=["number", "string"])]
Interval = Annotated[float, *_type(partial(scalars.duration, low=0.001), type=["number", "string"])]
Port = Annotated[int, *_type(partial(scalars.whole, low=1, high=65_535), type=["integer", "string"])]
Count = Annotated[int, *_type(partial(scalars.whole, low=1, high=1_000), type=["integer", "string"])]
Host = Annotated[tuple[str, tuple[str, ...]], *_type(host_and_tags, type=["string", "object"])]
HostName = Annotated[str, *_type(_host, type="string")]
EnvName = Annotated[str, *_type(scalars.env_name, type="string", pattern=f"^{scalars.ENV_NAME.pattern}$")]
Source = Annotated[SecretSource, *_type(scalars.source, **_SECRET)]
NamedSource = Annotated[SecretSource, *_type(scalars.source_named, anyOf=_NAME_OR_SOURCE)]
User = Annotated[str | SecretSource, *_type(scalars.user, **_SECRET)]
RoleName = Annotated[
    str, *_matching(NAME, "is no role name: only letters, digits, - and _. Rename it, like job_runner.", "web")
]
AliasName = Annotated[
    str,
    *_matching(
        re.compile(r"[a-z0-9][a-z0-9-]*"),
        "is no name for an alias: only small letters, digits and -, not - first. Rename it, like rails-console.",
        "console",
    ),
]
Alias = Annotated[tuple[str, ...], *_type(_alias, type="string")]
Label = Annotated[str, *_matching(_LABEL, "is no label name: no spaces, no `=`. Write `name: value`.", "a label")]
Option = Annotated[
    str, *_matching(_OPTION, "is no option name. Write it without dashes in front: `memory: 2g`.", "an option")
]
Value = Annotated[str | bool | tuple[str, ...], *_type(_option, type=["string", "number", "boolean", "array"])]
Path = Annotated[str, *words("a path")]
_NO_TAG = "should be a name in small letters, without tag: my-name/my-app. The version comes from --version."
Image = Annotated[str, *_matching(_IMAGE, _NO_TAG, "my-name/my-app")]
_NO_SERVICE = "may have letters, digits, - and _ only, and - and _ not at its start. Write one like my-app."
Service = Annotated[str, *_matching(_SERVICE, _NO_SERVICE, "my-app")]
_NO_REFERENCE = "is no image's name: it begins with a letter or digit. Write one like traefik:v2.11."
Reference = Annotated[str, *_matching(_REFERENCE, _NO_REFERENCE, "traefik:v2.11")]
_NO_DIRECTORY = "is no directory that programs take: no - at its start, no line ends. Write one like .kamal."
Directory = Annotated[str, *_matching(_DIRECTORY, _NO_DIRECTORY, ".kamal")]
Server = Annotated[str, *_matching(_SERVER, "should be a host name, without https://: ghcr.io.", "ghcr.io")]
Url = Annotated[str, *_matching(re.compile(r"[!-~]+"), "should be a path without spaces, like /up.", "/up")]
FromVariable = BeforeValidator(_from_variable)
Hosts = Annotated[list[Host], FromVariable]
Limit = Annotated[int | str, *_type(_limit, type=["integer", "string"])]
Cord = Annotated[str | bool | None, *_type(_cord, type=["string", "boolean"])]
Signal = Annotated[str, *_type(_signal, type=["string", "integer"])]
Order = Annotated[Literal["start-first", "stop-first"], *_type(_order, enum=["start-first", "stop-first"])]
Level = Annotated[str, *_type(_log_level, type="string")]
SshConfig = Annotated[bool | tuple[str, ...], *_type(_ssh_config, type=["boolean", "string", "array"])]
