"""Words into shell lines: the only place that quotes, and the only place that hides secrets.

Nothing here may do I/O. A command is a tuple of words until the very last moment; then ``line()`` spells it
for a POSIX shell and ``str()`` spells it for people, with every secret as ``[REDACTED]``.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from .errors import Unclear

T = TypeVar("T")

REDACTED = "[REDACTED]"


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that prints as ``[REDACTED]`` wherever it is shown. ``value`` is for the uploader alone."""

    value: str = field(repr=False)

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(REDACTED, spec)

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        # Copies, pickles and notebook checkpoints must not carry the value out of this process.
        return Secret, (REDACTED,)


Word = str | Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing to run on a host.

    ``name`` is what people, events and pretend hosts know it by. ``words`` is its argv. ``stdin`` is fed to it
    (never through argv). ``uses`` are shell function definitions it calls. ``changes`` is False for what only
    looks. ``may_fail`` lets a script go on after it failed. What a ``quiet`` one prints is for programs, not for
    people. What may go on ``beside`` another run's changes, as a pull may, keeps no other run waiting. ``limit`` is
    its time limit in seconds. ``example`` is what it prints when all is well: a dry run answers with it. ``details``
    is what a pretend host needs to know to play it, in place of parsing shell text.
    """

    name: str
    words: tuple[Word, ...]
    stdin: Word | None = None
    uses: tuple[str, ...] = ()
    changes: bool = True
    may_fail: bool = False
    quiet: bool = False
    beside: bool = False
    limit: float = 30.0
    example: str = ""
    details: tuple[tuple[str, object], ...] = field(default=(), compare=False, repr=False)

    def line(self) -> str:
        """The command as a POSIX shell reads it, secrets in clear: for the wire only."""
        return self._spell(lambda word: word.value if isinstance(word, Secret) else word)

    def __str__(self) -> str:
        return self._spell(str)

    def _spell(self, plain: Callable[[Word], str]) -> str:
        line = " ".join(plain(word) if isinstance(word, Raw) else quote(plain(word)) for word in self.words)
        if self.stdin is None:
            return line
        # printf is a builtin in dash, bash and busybox, so the text is in no process list.
        return f"printf %s {quote(plain(self.stdin))} | {line}"

    def failing_ok(self) -> Command:
        """The same, with a failure that does not stop the script."""
        return replace(self, may_fail=True)

    def detail(self, key: str) -> object:
        """What a pretend host may know about it; None where nothing was said."""
        return dict(self.details).get(key)


class Raw(str):
    """A word that is shell syntax and spelled as it is. Only constants of this package may be one."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A command that only looks, and how to read what it prints. ``parse`` may raise ``Unclear``."""

    command: Command
    parse: Callable[[str], T]

    def read(self, text: str) -> T:
        """What ``text`` says. Raises ``Unclear``, also where the parser stumbles over something nobody thought of."""
        try:
            return self.parse(text)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Unclear(self.command.name, text, f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended. ``exited`` is None where no exit status came back, which is never success."""

    name: str
    line: str
    exited: int | None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """It ended, with exit status 0."""
        return self.exited == 0


def quote(word: str) -> str:
    """``word`` as one shell word, whatever is in it. NUL alone cannot be passed: ValueError."""
    if "\0" in word:
        raise ValueError("a word with a NUL character cannot be passed to a shell")
    return shlex.quote(word)


def look(name: str, *words: Word, uses: tuple[str, ...] = (), limit: float = 30.0, example: str = "") -> Command:
    """A command that changes nothing."""
    return Command(name=name, words=words, uses=uses, changes=False, limit=limit, example=example)
