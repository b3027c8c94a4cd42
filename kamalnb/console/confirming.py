"""Asking a person on a terminal before something happens. Where nobody looks on, nothing is asked."""

from __future__ import annotations

import os
import sys

from ..errors import UsageError
from .choice import Style, is_terminal


def typed(target: str, style: Style) -> str:
    """What a person types when asked for ``target``; "" where there is no terminal to ask on."""
    if style.json or not _watched():
        return ""
    return _answer(f"This fleet asks for confirmation. Type {target} to go on: ")


def must_agree(question: str) -> None:
    """Goes on where a person answers yes. Raises ``UsageError`` otherwise, also where nobody can be asked."""
    if not _watched():
        raise UsageError(f"{question} Nothing was changed. Say --yes where nobody can be asked.")
    if _answer(f"{question} Type yes to go on: ").lower() not in ("y", "yes"):
        raise UsageError("Nothing was changed.")


def _watched() -> bool:
    return sys.stdin.isatty() and is_terminal(sys.stdout, os.environ)


def _answer(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        return ""
