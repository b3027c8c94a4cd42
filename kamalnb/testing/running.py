"""A script that runs on a pretend host: its steps, its undo, its fence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..script import Script, Section, refused
from ..shell import Command, Result
from .time import Process

if TYPE_CHECKING:
    from .host import PretendHost


class Running:
    """One run of a script. ``results`` are the steps that ended, by number; ``step`` is the one that runs."""

    def __init__(self, host: PretendHost, script: Script) -> None:
        self.script = script
        self.commands = script.commands
        self.results: dict[int, Result] = {}
        self.lines: list[tuple[int, str]] = []
        self.step = 0
        self.cut = False
        """Nobody hears it: it ends with the command at hand, which goes on; the shell dies of its next word."""
        self._let_in = False
        self._host = host
        self._said: list[str] = []
        self.task = host.time.spawn(self._whole())

    @property
    def done(self) -> bool:
        """Its last step ended."""
        return self.task.done

    @property
    def at_work(self) -> bool:
        """It holds its run's place: no other run is given the lock until it is done."""
        return self._let_in and self.script.held is not None and not self.done

    @property
    def current(self) -> Command:
        """The command that runs."""
        return self.commands[self.step]

    def partly(self, why: str) -> tuple[Result, ...]:
        """What is known when the connection ends now: the last result has no exit status."""
        if self.done:
            return self.all()
        cut = Result(
            name=self.current.name, line=str(self.current), exited=None, stdout="\n".join(self._said), stderr=why
        )
        return (*self.all(), cut)

    def all(self) -> tuple[Result, ...]:
        """Every result so far."""
        return tuple(self.results[number] for number in sorted(self.results))

    def _whole(self) -> Process:
        fence = self.script.fence
        if fence is not None and self._host.files.get(self._host.path(fence[0]), "").partition("\n")[0] != fence[1]:
            self.results[0] = refused(self.script.commands[0])
            return
        self._let_in = True
        number = 0
        for section in self.script.sections:
            failed = yield from self._section(section, number)
            if failed:
                return
            number += len(section.steps) + len(section.undo)

    def _section(self, section: Section, first: int) -> Process:
        for number, command in enumerate(section.steps, start=first):
            result = yield from self._ran(number, command)
            if self.cut:
                return True
            if not result.ok and not command.may_fail:
                for undo, step in enumerate(section.undo, start=first + len(section.steps)):
                    yield from self._ran(undo, step)
                return True
        return False

    def _ran(self, number: int, command: Command) -> Process:
        from .players import play

        self.step, self._said = number, []
        began = self._host.time.now
        if command.changes:
            self._host.did.append(command.name)
        code, wrong = yield from play(self._host, command, lambda line: self._say(number, line))
        seconds = self._host.time.now - began
        result = Result(
            name=command.name,
            line=str(command),
            exited=code,
            stdout="\n".join(self._said),
            stderr=wrong,
            seconds=seconds,
        )
        self.results[number] = result
        return result

    def _say(self, number: int, line: str) -> None:
        self._said.append(line)
        self.lines.append((number, line))
