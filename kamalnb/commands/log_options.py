"""What people ask of logs, checked before any host is asked. Nothing here may do I/O."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..errors import UsageError
from ..plan import VERSION
from ..tables import seconds_of

DEFAULT_LINES = 100
"""Lines of each container where neither ``since`` nor ``grep`` says which (as Kamal)."""
FOLLOWED_LINES = 10
"""Lines that were there before, when following (as Kamal)."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_CONTAINER = re.compile(r"[0-9a-f]{4,64}|[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_SHORT = re.compile(r"-[ivwEFGP]+|-\d+|-[ABCm]\d+")
_LONG = re.compile(
    r"--(?:ignore-case|no-ignore-case|invert-match|word-regexp|extended-regexp|fixed-strings|basic-regexp|perl-regexp"
    r"|(?:after-context|before-context|context|max-count)=\d+)"
)


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """Which lines of which containers. Raises ``UsageError`` for what cannot be meant.

    ``since`` is a time (ISO 8601, UTC where it names no zone), or how long ago (``42m``, ``1h30m``, ``2d``).
    ``version`` picks that version's container, ``container_id`` one container, also stopped ones.
    """

    since: str | None = None
    lines: int | None = None
    grep: str | None = None
    grep_options: str = ""
    version: str | None = None
    container_id: str | None = None

    def __post_init__(self) -> None:
        if self.lines is not None and self.lines < 1:
            raise UsageError(f"--lines={self.lines} shows nothing. Give a number from 1 on.")
        if self.version is not None and not VERSION.fullmatch(self.version):
            raise UsageError(f"“{self.version}” cannot be a version. invoke containers lists those that are there.")
        if self.container_id is not None and not _CONTAINER.fullmatch(self.container_id):
            raise UsageError(
                f"“{self.container_id}” is no container's id: 4 to 64 of 0-9 and a-f. invoke containers shows them."
            )
        if self.grep is not None and ("\0" in self.grep or not self.grep):
            raise UsageError("--grep needs a pattern of at least one character, and none that is NUL.")
        if self.grep_options and self.grep is None:
            raise UsageError("--grep-options says how to search, and nothing says for what. Add --grep=PATTERN.")
        _ = self.from_when, self.grep_words

    @cached_property
    def from_when(self) -> str:
        """``since`` for a host's script: ``-``, ``agoSECONDS`` (by the host's clock) or seconds since 1970."""
        text = (self.since or "").strip()
        if not text:
            return "-"
        if _DURATION.fullmatch(text):
            return f"ago{round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))}"
        if re.fullmatch(r"\d{9,11}(?:\.\d{1,9})?", text):
            return text
        found = seconds_of(text)
        if found is None:
            raise UsageError(
                f"--since={text} is neither a time nor a duration. Write 2026-01-02T13:23:37Z, or 42m for 42 minutes."
            )
        return f"{found:.6f}"

    @cached_property
    def grep_words(self) -> tuple[str, ...]:
        """The options for ``grep``. Only such as change what matches: none that names a file."""
        try:
            words = shlex.split(self.grep_options)
        except ValueError as error:
            raise UsageError(f"--grep-options cannot be read: {str(error).lower()}.") from None
        joined = tuple(_joined(words))
        for word in joined:
            if not (_SHORT.fullmatch(word) or _LONG.fullmatch(word)):
                raise UsageError(
                    f"--grep-options: “{word}” is not taken. There are -i -v -w -E -F -G -P -A3 -B3 -C3 -m3: "
                    '--grep-options="-i -C3".'
                )
        return joined

    @property
    def pattern(self) -> str:
        """``grep`` for a host's script. The message ends at a control character there, so a final ``$`` is that."""
        text = self.grep or ""
        fixed = any(word == "--fixed-strings" or (word[1:2] != "-" and "F" in word) for word in self.grep_words)
        backslashes = len(text[:-1]) - len(text[:-1].rstrip("\\"))
        return text[:-1] + "\037" if not fixed and text.endswith("$") and backslashes % 2 == 0 else text

    def tail(self, following: bool = False) -> str:
        """Docker's ``--tail``: a number or ``all``. Read with a pattern, the lines that match are counted instead."""
        if (self.grep is not None and not following) or (self.lines is None and self.since):
            return "all"
        return str(self.lines or (FOLLOWED_LINES if following else DEFAULT_LINES))


def _joined(words: list[str]) -> Iterator[str]:
    """``-C 3`` as ``-C3``."""
    left = iter(words)
    for word in left:
        yield word + next(left, "") if re.fullmatch(r"-[ABCm]", word) else word
