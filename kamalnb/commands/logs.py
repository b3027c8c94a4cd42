"""Commands that read and follow containers' logs, and what they print. Nothing here may do I/O.

``grep`` runs on the host, on the message alone: Docker's timestamp is full of digits that a pattern like ``404`` would
match. So a filter moves it behind the message and spells it with control characters while grep looks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..config.model import Role
from ..shell import Command, look
from ..tables import seconds_of
from .log_options import LogOptions
from .log_scripts import FILTER, FOLLOW, PICK, READ

BAD_PATTERN = 64
"""Exit code where grep does not take the pattern."""
NO_DOCKER = 69
"""Exit code where Docker does not answer."""

MOST_LINES = 10_000
"""Lines of one container that one look shows at most."""
LONGEST = 65_536
LONGEST_FOLLOWED = 3_900
"""Bytes of a line that is followed: a longer one would not leave the host in one piece beside another container's."""


def read(role: Role, options: LogOptions) -> Command:
    """The lines of one role's containers on a host, within bounds. ``spoken`` reads what it prints."""
    most = min(options.lines or MOST_LINES, MOST_LINES)
    words = (
        *("k_logs", role.service, role.name, role.destination or "", role.name_prefix),
        *(options.version or "-", options.container_id or "-", options.from_when, options.tail()),
        *(str(most), str(LONGEST), *_grep(options)),
    )
    return look("read logs", *words, uses=(PICK, FILTER, READ), limit=120.0)


def follow(roles: Sequence[Role], options: LogOptions, known: Mapping[str, str], away: str | None) -> Command:
    """The lines of these roles' containers as they come, for as long as the session lives.

    ``known`` maps containers of a connection before to the time from which their lines are wanted again; ``away`` is
    when that connection was last heard of.
    """
    first = roles[0]
    words = (
        *("k_follow", first.service, first.destination or ""),
        "\n".join(f"{role.name} {role.name_prefix}" for role in roles),
        *(options.version or "-", options.container_id or "-", options.from_when, options.tail(following=True)),
        "\n".join(f"{identifier} {since}" for identifier, since in known.items()),
        *(away or "-", str(LONGEST_FOLLOWED), *_grep(options)),
    )
    return look("follow logs", *words, uses=(PICK, FILTER, FOLLOW), limit=float("inf"))


def _grep(options: LogOptions) -> tuple[str, ...]:
    return ("-",) if options.grep is None else ("+", options.pattern, *options.grep_words)


@dataclass(frozen=True, slots=True)
class Opened:
    """From here on a container is told of. ``version`` is as its label says, empty where it has none."""

    role: str
    whole_id: str
    name: str
    version: str

    @property
    def id(self) -> str:
        """As lines name it."""
        return self.whole_id[:12]


@dataclass(frozen=True, slots=True)
class Printed:
    """A line of a container's log. ``stamp`` is Docker's time as it stands there, ``""`` where none does."""

    id: str
    stamp: str
    message: str

    @property
    def at(self) -> float | None:
        """Seconds since 1970."""
        return seconds_of(self.stamp) if self.stamp else None


@dataclass(frozen=True, slots=True)
class Failed:
    """Docker does not show this container's log (``id`` is ``-``: none any more), and says why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Clock:
    """The host's own time, in whole seconds since 1970."""

    now: str


_END = "\037"
_CODED = str.maketrans("\001\002\003\004\005\006\007\010\016\017\020\021\022\023\024", "0123456789.:-TZ")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_PIECE = 16_384
"""Bytes after which Docker begins a new entry for the rest of a line, and prints its time there."""


def spoken(line: str) -> Opened | Printed | Failed | Clock | None:
    """What a line of ``read`` or ``follow`` says; None for one that says nothing (a separator of grep's)."""
    kind, rest = line[:1], line[1:]
    if kind == ">":
        identifier, _, text = rest.partition(" ")
        return _printed(identifier, text)
    if kind == "=":
        role, identifier, name, version = (*rest.split(" "), "", "", "")[:4]
        return Opened(role, identifier, name.partition(",")[0], version.removeprefix("v"))
    if kind == "!":
        identifier, _, why = rest.partition(" ")
        return Failed(identifier[:12], why.removeprefix("Error response from daemon: "))
    return Clock(rest) if kind == "*" and rest.isdigit() else None


def _printed(identifier: str, text: str) -> Printed | None:
    message, end, coded = text.rpartition(_END)
    stamp = coded.translate(_CODED)
    if not end or not (stamp == "" or _STAMP.fullmatch(stamp)):
        first, _, rest = text.partition(" ")
        stamp, message = (first, rest) if _STAMP.fullmatch(first) else ("", text)
    if message == "--" and not stamp:
        return None
    return Printed(identifier, stamp, _whole(message.removesuffix("\r")))


def _whole(message: str) -> str:
    """A long message without the times that Docker prints where it was cut."""
    data = message.encode()
    if len(data) <= _PIECE:
        return message
    found = re.match(rb"\d{4}-\d\d-\d\dT[\d:.]+Z ", data[_PIECE:])
    if not found:
        return message
    return data[:_PIECE].decode(errors="replace") + _whole(data[_PIECE + found.end() :].decode(errors="replace"))
