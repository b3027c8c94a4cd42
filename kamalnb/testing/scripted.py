"""A flow driven with scripted answers: what it asked for, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import KamalnbError
from ..events import Fact, Phase
from ..flow import Effect, Enter, Flow, Pause, Run, Tell
from ..script import Script
from ..shell import Command, Result
from .host import Unexpected

Reply = str | int | tuple[int, str] | tuple[int, str, str] | KamalnbError | None
"""What a command does: prints this; ends with this code; both, and standard error; the run raises; no exit status."""
Answers = Mapping[str, Reply | list[Reply]] | Callable[[Run], tuple[Result, ...] | KamalnbError]


@dataclass(kw_only=True)
class Driven:
    """What a flow did. ``value`` or ``error`` is how it ended."""

    effects: list[Effect] = field(default_factory=list)
    value: Any = None
    error: KamalnbError | None = None
    ran: list[Command] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The commands that ran, in order."""
        return [command.name for command in self.ran]

    @property
    def phases(self) -> list[Phase]:
        """Where it was."""
        return [effect.phase for effect in self.effects if isinstance(effect, Enter)]

    @property
    def facts(self) -> list[Fact]:
        """What it told."""
        return [effect.fact for effect in self.effects if isinstance(effect, Tell)]

    @property
    def scripts(self) -> list[Script]:
        """What it ran, script by script."""
        return [effect.script for effect in self.effects if isinstance(effect, Run)]

    @property
    def waited(self) -> float:
        """Seconds that it asked to wait."""
        return sum(effect.seconds for effect in self.effects if isinstance(effect, Pause))


def drive(flow: Flow[Any], answers: Answers, most: int = 500, pause: Callable[[float], None] | None = None) -> Driven:
    """Drives ``flow`` to its end. ``answers`` says, by command name, what each command does.

    A list is used up one by one, its last one stays. A command that nothing was said about is refused with
    ``Unexpected``. Instead of a mapping a function may answer each ``Run``, with results or with an error to throw.
    ``pause`` is told of each wait. Other exceptions than ours go through.
    """
    driven = Driven()
    reply = answers if callable(answers) else _Scripted(answers, driven)
    answer: tuple[Result, ...] | KamalnbError | None = None
    try:
        for _ in range(most):
            effect = flow.throw(answer) if isinstance(answer, KamalnbError) else flow.send(answer)
            driven.effects.append(effect)
            answer = reply(effect) if isinstance(effect, Run) else None
            if isinstance(effect, Pause) and pause is not None:
                pause(effect.seconds)
        raise Unexpected(f"the flow did not end within {most} effects")
    except StopIteration as stop:
        driven.value = stop.value
    except KamalnbError as error:
        driven.error = error
    return driven


class _Scripted:
    """Answers by command name; a script stops where a real host would."""

    def __init__(self, answers: Mapping[str, Reply | list[Reply]], driven: Driven) -> None:
        self._left: dict[str, list[Reply]] = {name: _in_turn(one) for name, one in answers.items()}
        self._driven = driven

    def __call__(self, run: Run) -> tuple[Result, ...] | KamalnbError:
        results: list[Result] = []
        for command, reply in self._steps(run.script, results):
            self._driven.ran.append(command)
            if isinstance(reply, KamalnbError):
                return reply
            results.append(_result(command, reply))
            if reply is None:
                break
        return tuple(results)

    def _steps(self, script: Script, results: list[Result]) -> Iterator[tuple[Command, Reply]]:
        for section in script.sections:
            for command in section.steps:
                yield command, self._next(command)
                if not results[-1].ok and not command.may_fail:
                    for undo in section.undo:
                        yield undo, self._next(undo)
                    return

    def _next(self, command: Command) -> Reply:
        if command.name not in self._left:
            raise Unexpected(f"nothing was said about “{command.name}”: {command}")
        left = self._left[command.name]
        return left.pop(0) if len(left) > 1 else left[0]


def _in_turn(one: Reply | list[Reply]) -> list[Reply]:
    return list(one) if isinstance(one, list) else [one]


def _result(command: Command, reply: Reply) -> Result:
    code: int | None
    code, out, wrong = 0, "", ""
    match reply:
        case None:
            code = None
        case str():
            out = reply
        case int():
            code = reply
        case (int() as code, str() as out):
            pass
        case (int() as code, str() as out, str() as wrong):
            pass
    return Result(name=command.name, line=str(command), exited=code, stdout=out, stderr=wrong)
