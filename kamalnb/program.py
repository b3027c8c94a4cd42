"""The program ``kamalnb``: the same tasks as under ``invoke``, wherever there is a deploy.yml, without a ``tasks.py``.

Mistakes on the command line are one sentence and exit code 2. Words of deploy.yml's ``aliases`` are taken where a task
is expected and no task has that name; only then is the file read.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.program import Program

from . import __version__
from .command_line import guarded
from .errors import ConfigError, KamalnbError
from .tasks import ns

NAME = "kamalnb"
WRONG = 2
ABOUT = "deploys containers to your own servers over SSH and Docker, with no lost request."
VERSION_FIRST = ("rollback", "boot", "deploy", "redeploy", "plan")
"""Tasks whose first word may be the version."""
_SHORT = {"help": "h", "list": "l", "version": "V"}
"""The short flags of Invoke's own that stay; -d, -c and -p are the tasks' words."""
_CONFIG_FLAGS = {
    "-c": "config_file",
    "--config-file": "config_file",
    "-d": "destination",
    "--destination": "destination",
}


class KamalnbProgram(Program):
    """Invoke's Program, with sentences, aliases and a list of tasks for a greeting."""

    def core_args(self) -> list[Argument]:
        """Invoke's own options; most of them have no short flag here, so that they never take one of a task's."""
        arguments: list[Argument] = super().core_args()
        for argument in arguments:
            kept = _SHORT.get(argument.name or "")
            argument.names = tuple(name for name in argument.names if len(name) > 1 or name == kept)
        return arguments

    def parse_core(self, argv: list[str] | None) -> None:
        """Reads what stands before a task, then puts an alias's words in its place."""
        with self._in_sentences():
            super().parse_core(argv)
            words = self._rewritten()
            if words is not None:
                super().parse_core(words)

    def parse_tasks(self) -> None:
        """Reads the tasks and their options."""
        with self._in_sentences():
            self._refuse_empty()
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Help, list and completion."""
        with self._in_sentences():
            super().parse_cleanup()

    def no_tasks_given(self) -> None:
        """``kamalnb`` alone says what there is."""
        self.print_help()
        raise Exit

    def print_help(self) -> None:
        """What it is, how it is called, and every task with its first line."""
        print(f"{NAME} {self.version} {ABOUT}\n")
        print(f"Usage: {self.binary} TASK [--options]")
        print(f"       {self.binary} TASK --help             the options of a task")
        print(f"       {self.binary} --list, --version, --print-completion-script=bash|zsh|fish\n")
        self.list_tasks()

    def print_task_help(self, name: str) -> None:
        """A task's own words, then its options."""
        context = self.parser.contexts[name]
        positional = "".join(f" {argument.name.upper()}" for argument in context.positional_args)
        options = context.help_tuples()
        print(f"Usage: {self.binary} {name}{positional}{' [--options]' if options else ''}\n")
        print(f"{textwrap.indent(inspect.getdoc(ns[name]) or '', '  ').rstrip()}\n")
        if options:
            print("Options:\n")
            self.print_columns(options)

    def task_list_opener(self, extra: str = "") -> str:
        """The line above the tasks."""
        return "Tasks" if not self.list_root else f"Tasks of {self.list_root}"

    @property
    def names(self) -> list[str]:
        """Every task's whole name."""
        return sorted(ns.task_names)

    def _rewritten(self) -> list[str] | None:
        """The whole argv with an alias, or ``help TASK``, written out; None where there is neither."""
        rest: list[str] = self.core.unparsed
        if not rest or rest[0].startswith("-"):
            return None
        body = self.argv[: self.argv.index("--")] if "--" in self.argv else self.argv
        place = len(body) - len(rest)
        if self._is_task(rest[0]):
            # Invoke would take --help for the HOST of `lab.ssh HOST`, and go on.
            if {"--help", "-h"} & set(rest):
                return [*self.argv[:place], "--help", rest[0]]
            return self._with_version(rest, place)
        if rest[0] == "help":
            return [*self.argv[:place], *(["--help", *rest[1:2]] if rest[1:] else ["--help"])]
        instead = _aliases(rest)[0].get(rest[0])
        if instead is None:
            return None
        if not self._is_task(instead[0]):
            near = _meant(instead[0], self.names)
            why = f"the alias {rest[0]} of deploy.yml begins with {instead[0]}, and there is no such task."
            raise Exit(f"{why}{near or f' {self.binary} --list has them all.'}", code=WRONG)
        return [*self.argv[:place], *instead, *self.argv[place + 1 :]]

    def _with_version(self, rest: list[str], place: int) -> list[str] | None:
        """``rollback VERSION``, as in Kamal: Invoke knows no word that may be left out."""
        if rest[0] not in VERSION_FIRST or len(rest) < 2 or rest[1].startswith("-") or self._is_task(rest[1]):
            return None
        return [*self.argv[: place + 1], f"--version={rest[1]}", *self.argv[place + 2 :]]

    def _refuse_empty(self) -> None:
        """``--hosts=$NAME`` with a variable that is empty must not be every host, which Invoke makes of it."""
        flags: dict[str, Argument] = {}
        rest: list[str] = self.core.unparsed
        for word, following in zip(rest, (*rest[1:], None), strict=False):
            if not flags and self._is_task(word):
                flags = next(context.flags for context in ns.to_contexts() if word in (context.name, *context.aliases))
            flag, equals, value = word.partition("=")
            if flag in flags and flags[flag].takes_value and not flags[flag].optional:
                given = value if equals else "" if following in flags else following or ""
                if not given.strip():
                    raise Exit(f"{flag} is empty. Give it a value, or leave it away.", code=WRONG)

    def _is_task(self, word: str) -> bool:
        try:
            return ns[word] is not None
        except (KeyError, ValueError):  # no such name; a group without a default task
            return False

    @contextlib.contextmanager
    def _in_sentences(self) -> Iterator[None]:
        try:
            yield
        except ParseError as error:
            raise Exit(self._sentence(error), code=WRONG) from None
        except ValueError as error:  # Invoke lets through what int() says of a word
            found = re.search(r": ('.*')$", str(error))
            word = f"“{found[1][1:-1]}”" if found else "a word"
            raise Exit(f"{word} stands where a whole number is wanted. Write one like 2.", code=WRONG) from None
        except Exit as leaving:
            if leaving.message and leaving.code == 1:
                raise Exit(_spelled(leaving.message), code=WRONG) from None
            raise

    def _sentence(self, error: ParseError) -> str:
        """Invoke's complaint as one sentence that says what to type."""
        said, context = str(error), error.context
        task = context.name if context is not None else None
        if found := re.fullmatch(r"No idea what '(.*)' is!", said, re.S):
            if found[1].startswith("-"):
                return self._unknown_flag(found[1], task, context)
            return self._unknown_word(found[1], task, context)
        if found := re.fullmatch(r"'(.+)' did not receive required positional arguments: (.+)", said):
            wanted = " ".join(name.upper() for name in re.findall(r"'([^']+)'", found[2]))
            return f"{found[1]} needs {wanted}. Write `{self.binary} {found[1]} {wanted}`."
        return _spelled(said)

    def _unknown_flag(self, flag: str, task: str | None, context: Any) -> str:
        known = [name for name in (context.flag_names() if context is not None else ()) if name.startswith("--")]
        near = _meant(flag, known)
        where = f"{task} has no option {flag}." if task else f"{self.binary} itself has no option {flag}."
        after = "" if task else " Options of a task are written after it."
        return f"{where}{near or after or f' `{self.binary} {task} --help` has them all.'}"

    def _unknown_word(self, word: str, task: str | None, context: Any) -> str:
        rest = self.core.unparsed
        follows = rest[rest.index(word) + 1] if word in rest[:-1] else ""
        for joined in (f"{word}.{follows}", follows if word == "app" else ""):  # as Kamal writes them
            if joined in self.names:
                return f"no task is called {word}. Did you mean {joined}?"
        if group := [name for name in self.names if name.startswith(f"{word}.")]:
            return f"{word} is a group of tasks. Write one of these: {', '.join(group)}."
        if task and task != self.binary and context is not None and "--version" in context.flags:
            return f"{task} takes no “{word}” there. If it is the version, write --version={word}."
        aliases, trouble = _aliases(rest)
        near = _meant(word, [*self.names, *aliases])
        return f"no task is called “{word}”.{near or f' `{self.binary} --list` has them all.'}{trouble}"


def _aliases(words: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], str]:
    """deploy.yml's aliases, and a sentence where the file is there and cannot be read."""
    from .project import load

    chosen: dict[str, str] = {}
    for word, following in zip(words, (*words[1:], ""), strict=False):
        flag, equals, value = word.partition("=")
        if flag in _CONFIG_FLAGS:
            chosen[_CONFIG_FLAGS[flag]] = value if equals else following
    try:
        return dict(load(chosen.get("config_file"), chosen.get("destination")).config.aliases), ""
    except ConfigError as error:
        what = "1 problem" if len(error.problems) == 1 else f"{len(error.problems)} problems"
        return {}, f" (Its aliases could not be read: {error.source} has {what}.)"
    except KamalnbError:
        return {}, ""


def _meant(word: str, choices: Sequence[str]) -> str:
    last = {name.rpartition(".")[2]: name for name in choices if "." in name and not name.startswith("-")}
    near = get_close_matches(word.replace("_", "-"), choices, n=1, cutoff=0.6)
    near = near or [last[name] for name in get_close_matches(word, last, n=1, cutoff=0.8)]
    return f" Did you mean {near[0]}?" if near else ""


def _spelled(text: str) -> str:
    text = text.strip().rstrip("!.")
    return f"{text[:1].lower()}{text[1:]}."


program = KamalnbProgram(version=__version__, namespace=ns, name=NAME, binary=NAME, binary_names=[NAME])
"""The program, for ``main`` and for tests."""


def main(argv: list[str] | None = None) -> None:
    """What the command ``kamalnb`` runs."""
    sys.exit(guarded(lambda: program.run(argv or sys.argv)))
