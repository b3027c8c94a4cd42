"""``%load_ext kamalnb``: ``%kamal VERB …`` calls that verb of a fleet and returns what it gives."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator
from typing import Any

from ..errors import UsageError

NAME = "kamal"


def load(shell: Any) -> None:
    """Registers the magic and its completion. Nothing is read and nothing is reached."""

    def kamal(line: str) -> Any:
        """%kamal VERB [words] [--option=value]: the verb of ``fleet`` (or of ``kn.Fleet()``), as %kamal plan v2."""
        return call(line, shell.user_ns)

    shell.register_magic_function(kamal, magic_kind="line", magic_name=NAME)
    shell.set_hook("complete_command", lambda _shell, event: completions(event.line), str_key=f"%{NAME}")


def unload(shell: Any) -> None:
    """Takes the magic away."""
    shell.magics_manager.magics["line"].pop(NAME, None)


def call(line: str, names: dict[str, Any]) -> Any:
    """What a line of words means. Raises ``UsageError`` for a verb that there is none of."""
    words = shlex.split(line)
    fleet = _fleet(names)
    if not words:
        return fleet
    verb = words[0].replace("-", "_")
    if verb not in verbs():
        raise UsageError(f"There is no verb “{words[0]}”. There are: {', '.join(verbs())}.")
    given, options = _parsed(words[1:])
    return getattr(fleet, verb)(*given, **options)


def verbs() -> list[str]:
    """The verbs of a fleet."""
    from .fleet import Fleet

    return [
        name
        for name, value in inspect.getmembers(Fleet, inspect.isfunction)
        if not name.startswith("_") and name not in ("table", "noted", "order", "where")
    ]


def completions(line: str) -> list[str]:
    """The verbs that the last word may become."""
    word = line.split()[-1] if not line.endswith(" ") else ""
    return [verb for verb in verbs() if verb.startswith(word)]


def _fleet(names: dict[str, Any]) -> Any:
    from ..fleet import Fleet as CoreFleet
    from .fleet import Fleet

    found = names.get("fleet")
    return found if isinstance(found, CoreFleet) else Fleet()


def _parsed(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    options = dict(_options(words))
    return [word for word in words if not word.startswith("--")], options


def _options(words: list[str]) -> Iterator[tuple[str, Any]]:
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            yield name.replace("-", "_"), _value(value) if equals else True


def _value(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
