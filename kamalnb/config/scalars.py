"""One value of the file → one Python value, or a sentence that says what to write instead.

YAML guesses types: ``1.10`` becomes 1.1, ``no`` becomes false, ``0644`` becomes 420. Where a guess would change what
was written, the reader keeps an ``Odd`` with the text as it stood, and a text field asks for quotes. Nothing here may
do I/O or name pydantic.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from ..shell import Secret
from .model import SecretSource

DAY = 86_400.0
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_AMOUNT = r"[0-9]+(?:\.[0-9]+)?"
_DURATION = re.compile(
    rf"(?:(?P<h>{_AMOUNT})h)?(?:(?P<m>{_AMOUNT})m(?!s))?(?:(?P<s>{_AMOUNT})s)?(?:(?P<ms>{_AMOUNT})ms)?"
)
_IN_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Wrong(ValueError):
    """A value that cannot be used. Its text is a sentence for the user, after the path and a colon."""


class EnvText(str):
    """Text that came out of the environment through ERB. It is text first, and a number where one is wanted."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """A value that YAML reads in a surprising way. ``value`` is what it means as a number or boolean, if anything."""

    raw: str
    kind: str
    """``number``, ``date``, ``true`` or ``false``."""
    value: int | float | bool | None = None


def kind_of(value: object) -> str:
    """What the file has there, in words: “a list”, “nothing”. Never the value itself."""
    kinds = {dict: "a mapping", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    if value is None:
        return "nothing"
    if isinstance(value, Odd):
        return "true or false" if isinstance(value.value, bool) else f"a {value.kind}"
    return kinds.get(type(value), "a text")


def missing(value: object, example: str) -> None:
    """Raises Wrong where a key stands with nothing behind it."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise Wrong(f"has no value. Write {example}, or remove the key.")


def text(value: object, example: str = "a text") -> str:
    """A text as it is written; what YAML takes for something else is refused with the quotes to add."""
    missing(value, example)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Secret):
        raise Wrong("cannot be a secret. Write it as plain text.")
    if isinstance(value, dict | list):
        raise Wrong(f"should be a text, and is {kind_of(value)}. Write {example}.")
    raise Wrong(_quote(value))


def plain(value: object) -> str:
    """A text, or a number or boolean that reads the same either way (``3306``, ``true``), as Kamal takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if value is None:
        raise Wrong('has no value. Write one, or "" for an empty one.')
    if isinstance(value, dict | list):
        raise Wrong(f"should be one value, and is {kind_of(value)}. Write it on one line.")
    return str(value) if isinstance(value, str) else text(value)


def flag(value: object) -> bool:
    """``true`` or ``false``; YAML's ``yes``, ``no``, ``on`` and ``off`` too."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Odd) and isinstance(value.value, bool):
        return value.value
    if isinstance(value, EnvText) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no"):
        raise Wrong("is in quotes, so it is a text. Write true or false without quotes.")
    raise Wrong(f"should be true or false, and is {kind_of(value)}.")


def whole(value: object, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``; ``"80"`` in quotes counts, as in Kamal."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        if isinstance(value, Odd) and value.kind == "number":
            raise Wrong(f"is written as {value.raw}. Write a plain whole number from {low} to {high}.")
        raise Wrong(f"should be a whole number from {low} to {high}, and is {kind_of(value)}.")
    if not low <= value <= high:
        raise Wrong(f"should be a whole number from {low} to {high}.")
    return value


def duration(value: object, low: float = 0.0) -> float:
    """Seconds: a number, or a text such as ``1s``, ``500ms``, ``1m30s``. At most a day."""
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds):
        raise Wrong(f"should be a time, and is {_shown(value)}. Write seconds (10) or a text like 500ms, 10s, 1m30s.")
    if seconds < low or seconds > DAY:
        raise Wrong(f"should be from {'a millisecond' if low else '0 s'} to 24 h. Write seconds, or a text like 10s.")
    return seconds


def env_name(value: object) -> str:
    """The name of an environment variable. What was written is not repeated: it may be a secret."""
    if isinstance(value, str) and ENV_NAME.fullmatch(value):
        return str(value)
    if isinstance(value, str) and ":" in value:
        raise Wrong("is not a name. For a variable of another name, write secret: {NAME: {env: OTHER_NAME}}.")
    if isinstance(value, dict):
        raise Wrong("is a mapping in a list. Write names only, or secret as a mapping: {NAME: {env: OTHER_NAME}}.")
    raise Wrong("should be a variable's name: letters, digits and _, like DB_PASSWORD. Write the name alone.")


def source(value: object) -> SecretSource:
    """Where a secret comes from. A literal is a Secret already; everything else here names a place."""
    if isinstance(value, Secret):
        missing(value.value, "[NAME], the name of an environment variable")
        return SecretSource(value=value)
    if isinstance(value, list):
        if len(value) != 1:
            raise Wrong("should be a list with one name. Write [NAME], or {command: [program, word]} for a command.")
        return SecretSource(env=env_name(value[0]))
    if not isinstance(value, dict):
        raise Wrong(f"should say where the secret comes from, and is {kind_of(value)}. {_FORMS}")
    if len(value) != 1 or not set(value) <= {"env", "file", "command"}:
        raise Wrong(f"should have one key: env, file or command. {_FORMS}")
    if "env" in value:
        return SecretSource(env=env_name(value["env"]))
    if "file" in value:
        return SecretSource(file=text(value["file"], "{file: path/to/it}"))
    return SecretSource(command=_argv(value["command"]))


def source_named(value: object) -> SecretSource:
    """A source under ``secret: {NAME: …}``, where a literal has no place: it would end up in git."""
    if isinstance(value, Secret):
        raise Wrong(f"has the secret itself in the file. {_FORMS}")
    return source(value)


def user(value: object) -> str | SecretSource:
    """A user name, or where it comes from."""
    return source(value) if isinstance(value, dict | list | Secret) else text(value, "a user name, or [NAME]")


_FORMS = "Write [NAME], {env: NAME}, {file: PATH} or {command: [program, word]}."


def _argv(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        example = "{command: [aws, ecr, get-login-password]}"
        raise Wrong(f"has a command that is no list. Write each word as an item: {example}.")
    return tuple(plain(word) for word in value)


def _seconds(value: object) -> float | None:
    if isinstance(value, Odd):
        value = value.value if value.kind == "number" else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 10**12 else math.inf
    if not isinstance(value, str) or len(value) > 40:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return float(value)
    found = _DURATION.fullmatch(value) if value else None
    if found is None:
        return None
    return sum(float(found[unit]) * seconds for unit, seconds in _IN_SECONDS.items() if found[unit])


def _quote(value: Any) -> str:
    if isinstance(value, bool):
        return f'is read by YAML as true or false. Write it in quotes: "{str(value).lower()}".'
    if not isinstance(value, Odd):
        return f'is read by YAML as a number. Write it in quotes: "{value}".'
    meaning = f" {str(value.value).lower()}" if value.value is not None else ""
    word = {"number": "the number", "date": "a date"}.get(value.kind, "the boolean")
    if not meaning and value.kind == "number":
        word = "a number"
    return f'is read by YAML as {word}{meaning}. Write it in quotes: "{value.raw}".'


def _shown(value: object) -> str:
    """A short text of the file itself; what came from the environment may be a secret and is not repeated."""
    if isinstance(value, str) and not isinstance(value, EnvText) and len(value) <= 40:
        return f"“{value}”"
    return kind_of(value)
