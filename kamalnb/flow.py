"""What a flow may ask of its driver, and how it asks. Nothing here may do I/O.

A flow is a generator: it yields effects and is sent answers. The engine drives it over SSH, a test with scripted
answers, ``testing`` over a pretend host in virtual time. A failed command is raised inside the flow, so ordinary
``try`` works around a ``yield from``.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .errors import CommandFailed, KamalnbError, Unclear
from .events import Fact, Phase
from .script import REFUSED, UNKEPT, Script, Section
from .shell import Command, Question, Result

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Enter:
    """From here on the boot is in ``phase``."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Run:
    """Run this script; the answer is a tuple of ``Result``, one per step that ran.

    ``phases`` names, by command number, the phase that begins with that command. The driver may throw
    ``Cancelled`` or ``HostUnreachable`` here instead.
    """

    script: Script
    phases: tuple[tuple[int, Phase], ...] = ()


@dataclass(frozen=True, slots=True)
class Tell:
    """Something that people should know; there is no answer."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait ``seconds``, and why; there is no answer."""

    seconds: float
    why: str


Effect = Enter | Run | Tell | Pause
Flow = Generator[Effect, Any, T]


class Cancelled(KamalnbError):
    """A person stopped the run. Thrown into a flow before its switch, where it undoes what it began."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("cancelled.")


def run(script: Script) -> Flow[tuple[Result, ...]]:
    """Runs ``script``; each step must end well or may fail. Raises ``CommandFailed`` for the first that did not."""
    results: tuple[Result, ...] = yield Run(script)
    commands = script.commands
    if not results:
        raise Unclear(commands[0].name, "", "nothing came back at all")
    for command, result in zip(commands, results, strict=False):
        if not result.ok and not (command.may_fail and result.exited is not None):
            raise CommandFailed(result)
    if len(results) < len([c for section in script.sections for c in section.steps]):
        if results[-1].exited in (REFUSED, UNKEPT):  # the host ran nothing, also where its first step may fail
            raise CommandFailed(results[-1])
        raise Unclear(commands[len(results)].name, "", "the host stopped without saying why")
    return results


def do(*commands: Command, fence: tuple[str, str] | None = None) -> Flow[tuple[Result, ...]]:
    """Runs ``commands`` as one script. Raises ``CommandFailed``."""
    return (yield from run(Script(sections=(Section(steps=commands),), fence=fence)))


def ask(question: Question[T]) -> Flow[T]:
    """Asks one question. Raises ``CommandFailed`` or ``Unclear``."""
    (result,) = yield from run(Script.of(_quiet(question)))
    return question.read(result.stdout)


def ask_all(*questions: Question[Any]) -> Flow[tuple[Any, ...]]:
    """Asks several questions in one round trip; the answers in their order."""
    results = yield from run(Script.of(*map(_quiet, questions)))
    return tuple(question.read(result.stdout) for question, result in zip(questions, results, strict=True))


def _quiet(question: Question[Any]) -> Command:
    """What a question prints is a document for its parser; nobody wants to see it go by."""
    return replace(question.command, quiet=True)
