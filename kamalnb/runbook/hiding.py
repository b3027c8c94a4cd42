"""Secrets out of a notebook before it is saved: their values, however they are spelled, become ``[REDACTED]``."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from ..config.model import SecretSource
from ..errors import KamalnbError
from ..project import Project, load
from ..shell import REDACTED
from .parameters import SECRET_NAME

SHORTEST = 4
"""Characters of a value that is looked for: a shorter one is part of ordinary words."""
LINE = 16
"""Characters of a line of a longer secret (a key in PEM) that is hidden also where it stands alone."""

Hide = Callable[[str], str]


def hider(secrets: Iterable[str]) -> Hide:
    """A function that takes every one of ``secrets`` out of a text, in each spelling."""
    wanted = {form for secret in secrets for part in _parts(secret) for form in spellings(part)}
    found = sorted((form for form in wanted if len(form) >= SHORTEST), key=len, reverse=True)
    if not found:
        return lambda text: text
    pattern = re.compile("|".join(map(re.escape, found)))
    return lambda text: pattern.sub(REDACTED, text)


def spellings(value: str) -> set[str]:
    """``value`` as it stands in a text, in JSON, a URL, a shell line, Python, base64; and each of them in HTML."""
    forms = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        shlex.quote(value).removeprefix("'").removesuffix("'"),
        repr(value)[1:-1],
        *_base64(value),
    }
    return {spelled for form in forms for spelled in (form, html.escape(form), html.escape(form, quote=False))}


def hidden(value: Any, hide: Hide) -> Any:
    """A copy of a JSON value with every text in it, keys too, run through ``hide``."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {hide(str(key)): hidden(one, hide) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(one, hide) for one in value]
    return value


def known(config_file: str | None, destination: str | None, cwd: Path, environ: Mapping[str, str]) -> set[str]:
    """The secrets that can be had without asking anybody: of the project at ``cwd``, and of the environment.

    Those that a command prints are not read here: it may cost a touch on a key. A kernel that reads them tells.
    """
    found = {value for name, value in environ.items() if SECRET_NAME.search(name) and len(value) >= 2 * SHORTEST}
    try:
        project = load(config_file, destination, environ=environ, cwd=cwd)
    except KamalnbError:
        return found  # the notebook says what is wrong with the file, if it needs one
    return found | set(_of(project))


def _of(project: Project) -> Iterator[str]:
    for source in _sources(project.config):
        if source.command is None:
            try:
                yield project.secret(source).value
            except KamalnbError:
                continue  # not set here: then it cannot get into the notebook either


def _sources(value: Any) -> Iterator[SecretSource]:
    if isinstance(value, SecretSource):
        yield value
    elif is_dataclass(value):
        for one in fields(value):
            yield from _sources(getattr(value, one.name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _sources(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _sources(inner)


def _parts(secret: str) -> Iterator[str]:
    if len(secret) >= SHORTEST:
        yield secret
    if "\n" in secret:
        yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= LINE)


def _base64(value: str) -> Iterator[str]:
    """base64 of ``value``, alone and within a longer text (``user:password``): three ways to fall on its groups."""
    raw = value.encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode()
        yield encode(raw).decode().rstrip("=")
        for before in range(3):
            whole = encode(b"\0" * before + raw).decode()
            first, last = (before * 8 + 5) // 6, (before + len(raw)) * 8 // 6
            inner = whole[first:last]
            if len(inner) >= 2 * SHORTEST:
                yield inner
