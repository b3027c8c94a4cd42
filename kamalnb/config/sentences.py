"""What the validator found → ``(path, sentence)`` for a person, in the order of the file. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from .places import Path, Problem, secret_place
from .scalars import ENV_NAME, kind_of
from .schema import keys_at

_EXAMPLES = {
    "service": "`service: my-app`",
    "image": "`image: my-name/my-app`",
    "servers": "`servers: [192.168.0.1]`",
    "cmd": "`cmd: bin/rails db:migrate`",
}
_KAMAL_2 = (
    "belongs to Kamal 2, whose proxy kamalnb does not run. Write the file in Kamal 1.9's form (Traefik labels, "
    "healthcheck), or deploy this app with Kamal 2."
)
_FORMS = {
    "list_type": "should be a list (`- item` lines)",
    "dict_type": "should be a mapping (`key: value` lines)",
    "model_type": "should be a mapping (`key: value` lines)",
}


_MOST = 200
_LONGEST = 600
"""Problems, and characters of one: a broken file may have any number of them, and words of any length."""


def problem_of(error: Mapping[str, Any], tree: Any) -> Problem:
    """One of pydantic's errors in our words, with its path as in the file."""
    path = _file_path(error["loc"], tree)
    return path, _sentence(error, path, tree)


def in_order(problems: Iterable[Problem], tree: Any) -> tuple[tuple[str, str], ...]:
    """Each problem once, sorted as the file is, nothing secret in its path. Not more than people read."""
    once = list(dict.fromkeys(problems))
    first = sorted(once[:_MOST], key=lambda one: _position(one[0], tree))
    told = tuple((_cut(_shown(path)), _cut(sentence)) for path, sentence in first)
    more = len(once) - len(first)
    return (*told, ("", f"has {more} more problems. Mend these first.")) if more else told


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… Shorten it."


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """“ Did you mean …?”, or nothing where none is near."""
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""


def _sentence(error: Mapping[str, Any], path: Path, tree: Any) -> str:
    kind = error["type"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "missing":
        example = _EXAMPLES.get(str(path[-1]))
        return f"is missing. Write {example}." if example else "is missing. Add it."
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), path[:-1], tree)
    if kind == "form":
        return f"{error['msg']}, and is {kind_of(error['input'])}. Write it in that form."
    if kind in _FORMS:
        return f"{_FORMS[kind]}, and is {kind_of(error['input'])}. Write it in that form."
    return "is not understood. Compare it with deploy.reference.yml."


def _unknown(key: str, parent: Path, tree: Any) -> str:
    known = keys_at(parent)
    if key == "proxy" and (not parent or parent[0] == "servers"):
        return _KAMAL_2
    if {"clear", "secret"} & set(known):
        if key == "tags":
            return "defines tags, which only the top-level env can. Move it there."
        return "stands beside clear and secret. Move it under clear, or under secret if nobody may see it."
    if close := get_close_matches(key, known, n=1, cutoff=0.6):
        return f"is not a known key. Did you mean {close[0]}?"
    if not parent and key in keys_at(("servers", "any")):
        return f"belongs to a role. Write it under servers, as servers/web/{key}."
    if parent and key in keys_at(()):
        return "belongs at the top level of the file. Move it there."
    hint = " Begin its name with x- if it only holds an anchor." if not parent else ""
    return f"is not a known key. Known here: {', '.join(known)}.{hint}"


def _file_path(loc: Sequence[str | int], tree: Any) -> Path:
    """Where that is in the file: without the validator's own steps (``<mapping>``, ``[key]``)."""
    path: list[str | int] = []
    for part in loc:
        inside = isinstance(tree, dict) and part in tree
        if not inside and isinstance(part, str) and (part == "[key]" or (part[:1] == "<" and part[-1:] == ">")):
            continue
        path.append(part)
        tree = _at(tree, part)
    return tuple(path)


def _at(tree: Any, part: str | int) -> Any:
    if isinstance(tree, dict):
        return tree.get(part)
    return tree[part] if isinstance(tree, list) and isinstance(part, int) and part < len(tree) else None


def _position(path: Path, tree: Any) -> list[int]:
    place = []
    for part in path:
        keys = list(tree) if isinstance(tree, dict) else []
        place.append(part if isinstance(part, int) else keys.index(part) if part in keys else len(keys) + 1)
        tree = _at(tree, part)
    return place


def _shown(path: Path) -> str:
    """The path as text. Below a secret's place even a key may be part of a password (``password: {abc}``)."""
    if place := secret_place(path):
        below = path[place : place + 1]
        path = path[:place] + (below if below and isinstance(below[0], int) else ())
        if isinstance(path[-1], str) and not ENV_NAME.fullmatch(path[-1]):
            path = (*path[:-1], "…")
    return "/".join(str(part) for part in path)
