"""Text of a ``.env`` file → variables, as Ruby's dotenv reads them for Kamal. Nothing here may do I/O.

python-dotenv does the lines and quotes. Substitution is done here, since its own looks at the process's environment and
inside single quotes. ``$(command)``, which Ruby's dotenv runs, is never run: such names are listed in ``commands``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO

_VARIABLE = re.compile(r"(\\)?\$(?!\()\{?([A-Za-z0-9_]+)?\}?")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvFile:
    """What one ``.env`` file sets. ``bad_lines`` are the numbers of lines that set nothing."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    commands: frozenset[str] = frozenset()
    bad_lines: tuple[int, ...] = ()


def read_env(text: str, environ: Mapping[str, str]) -> EnvFile:
    """The variables in ``text``; ``$NAME`` and ``${NAME}`` come from the lines above, then from ``environ``."""
    from dotenv.parser import parse_stream  # late: only a project with a .env needs it

    values: dict[str, str] = {}
    commands: set[str] = set()
    bad: list[int] = []
    for line in parse_stream(StringIO(text)):
        if line.error:
            bad.append(line.original.line)
        elif line.key is not None and line.value is not None:
            quote = _quote_of(line.original.string)
            if quote != "'" and re.search(r"(?<!\\)\$\(", line.value):
                commands.add(line.key)
            else:
                commands.discard(line.key)
            values[line.key] = line.value if quote == "'" else _substituted(line.value, quote, {**environ, **values})
    return EnvFile(values=values, commands=frozenset(commands), bad_lines=tuple(bad))


def _quote_of(line: str) -> str:
    found = re.search(r"=[^\S\n]*([\"'])", line)
    first = line.find("=")
    return found[1] if found and found.start() == first else ""


def _substituted(value: str, quote: str, known: Mapping[str, str]) -> str:
    def replace(found: re.Match[str]) -> str:
        if found[1]:
            return found[0][1:]
        return known.get(found[2], "") if found[2] else found[0]

    bare = value if quote else re.sub(r"\\([^$])", r"\1", value)
    return _VARIABLE.sub(replace, bare)
