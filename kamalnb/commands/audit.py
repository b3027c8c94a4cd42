"""Kamal's audit log: a bounded tail of it, and what its lines say. It is for people: nothing decides by it. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..shell import Question, look
from ..tables import seconds_of

MOST_BYTES = 1_000_000

TAIL = """\
k_audit_tail() { [ ! -e "$1" ] || tail -n "$2" "$1" | tail -c "$3"; }"""

_LINE = re.compile(r"\[(?P<at>\d{4}-\d\d-\d\dT[^\]\s]+)\](?P<tags>(?: \[[^\]]*\])*) ?(?P<message>.*)")
_TAG = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. ``at`` is None where its beginning is no moment: then all of it is the message."""

    at: float | None
    performer: str = ""
    details: tuple[str, ...] = ()
    message: str = ""


def tail(path: str, lines: int) -> Question[tuple[Entry, ...]]:
    """The last ``lines`` lines of a host's log, the oldest first; none where there is no log."""
    words = ("k_audit_tail", path, str(lines), str(MOST_BYTES))
    return Question(look("audit log", *words, uses=(TAIL,)), entries)


def entries(text: str) -> tuple[Entry, ...]:
    """What the lines say."""
    return tuple(entry(line) for line in text.split("\n") if line.strip())


def entry(line: str) -> Entry:
    """What one line says."""
    found = _LINE.fullmatch(line.rstrip("\r"))
    at = seconds_of(found["at"]) if found else None
    if found is None or at is None:
        return Entry(at=None, message=_printable(line))
    performer, *details = [_printable(tag) for tag in _TAG.findall(found["tags"])] or [""]
    return Entry(at=at, performer=performer, details=tuple(details), message=_printable(found["message"]))


def role_and_rest(details: Sequence[str], destination: str | None, roles: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The role among an entry's details, and the other ones; the destination of the file is left out."""
    rest = [detail for detail in details if detail != destination]
    role = next((detail for detail in rest if detail in roles), "")
    return role, tuple(detail for detail in rest if detail != role)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
