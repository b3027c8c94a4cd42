"""The list of a dry run: per host, in order, every command that would run. Nothing is shown before its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from ..events import Event, FactLearned, Phase, PhaseEntered, StepSkipped
from ..report import Report
from ..wording import clean, ending, title
from .choice import Style

WIDTH = 110
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class DryRun:
    """Collects what would run, host by host; with ``verbose`` the looks too, and the shell functions they call."""

    def __init__(self, out: TextIO, style: Style, live: bool = False) -> None:
        self._out = out
        self._style = style
        self._colour = live
        self._heard: dict[str, list[Event]] = {}

    def show(self, event: Event, report: Report) -> None:
        """Keeps it for the list."""
        if isinstance(event, PhaseEntered | StepSkipped | FactLearned) and event.host:
            self._heard.setdefault(event.host, []).append(event)

    def close(self, report: Report) -> None:
        """The whole list, then failures and the closing line."""
        if report.verb:
            self._write(BOLD, f"{title(report)}; what would run there:")
        for note in report.notes:
            if note.warning or (note.kind == "version" and note.text != f"version {report.version}"):
                self._write("", f"{'warning: ' if note.warning else ''}{clean(note.text)}")
        for host in dict.fromkeys(line.host for line in report.lines):
            if host in self._heard:
                self._write(BOLD, f"\n{host}")
                self._host(self._heard[host])
        self._functions()
        self._write("", "")
        for told in ending(report, self._style.called):
            self._write("", told.text)

    def leave(self, report: Report) -> None:
        """Nothing was changed, so nothing stands otherwise than before."""
        self._write("", "left: nothing was changed.")

    def restore(self) -> None:
        """Nothing to restore."""

    def _host(self, heard: list[Event]) -> None:
        for role in dict.fromkeys(event.role for event in heard):
            self._write(BOLD, f"  {role or 'at the end'}")
            heading = ""
            for event in (event for event in heard if event.role == role):
                match event:
                    case PhaseEntered(phase=phase) if phase is not Phase.DONE:
                        heading = f"    {phase}"
                    case FactLearned(fact=fact) if fact.kind == "cutover" or fact.warning:
                        self._write(DIM, f"    # {clean(fact.text)}")
                    case StepSkipped() if event.changes or self._style.verbose:
                        self._write(DIM, heading) if heading else None
                        heading = ""
                        self._command(event)

    def _command(self, step: StepSkipped) -> None:
        looks = "" if step.changes else ", only looks"
        self._write(DIM, f"      # {step.name}{looks}")
        for line in folded(step.line, WIDTH - 6):
            self._write("", f"      {line}")

    def _functions(self) -> None:
        steps = [event for heard in self._heard.values() for event in heard if isinstance(event, StepSkipped)]
        texts = dict.fromkeys(text for step in steps for text in step.uses)
        if not texts:
            return
        if not self._style.verbose:
            self._write(DIM, "\nk_… are shell functions that travel along; --verbose prints them, and what only looks.")
            return
        self._write(BOLD, "\nthe shell functions that these lines call")
        for text in texts:
            self._write("", "\n".join(f"  {line}" for line in text.splitlines()))

    def _write(self, style: str, text: str) -> None:
        print(f"{style}{text}{PLAIN}" if style and self._colour else text, file=self._out, flush=True)


def folded(line: str, width: int) -> Iterator[str]:
    """A command over several lines that a shell still reads as one: broken between words, never inside quotes."""
    current = ""
    for word in _units(tuple(_words(line))):
        if current and len(current) + 1 + len(word) > width - 2:
            yield from _cleaned(f"{current} \\")
            current = f"  {word}"
        else:
            current = f"{current} {word}" if current else word
    yield from _cleaned(current)


def _units(words: tuple[str, ...]) -> Iterator[str]:
    """Words, an option and its value as one."""
    option = ""
    for word in words:
        if option and not word.startswith("-"):
            yield f"{option} {word}"
            option = ""
            continue
        if option:
            yield option
        option = word if word.startswith("-") and "=" not in word and word != "--" else ""
        if not option:
            yield word
    if option:
        yield option


def _cleaned(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        yield clean(line)


def _words(line: str) -> Iterator[str]:
    """``line`` cut at spaces that no quote holds, each word as it was spelled."""
    word, quote, escaped = "", "", False
    for character in line:
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\" and quote == '"'
            quote = "" if character == quote else quote
        elif character == "\\":
            escaped = True
        elif character in "'\"":
            quote = character
        elif character == " ":
            if word:
                yield word
            word = ""
            continue
        word += character
    if word:
        yield word
