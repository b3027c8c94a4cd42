"""How kamalnb's tasks look to Invoke: declared short flags, one table of options, no traceback to a user.

Cheap to import: what a task needs is imported when it runs.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.tasks import Task

from .errors import KamalnbError
from .flags import CHANGES, DEFAULTS, LISTS, NEVER_EMPTY, OPTIONS, READS


class Whole(Argument):
    """A whole number: Invoke would end in a traceback where it gets a word."""

    @classmethod
    def of(cls, plain: Argument) -> Whole:
        """``plain`` with a sentence for what is no number."""
        return cls(
            names=plain.names, kind=int, default=plain.default, help=plain.help, positional=plain.positional,
            attr_name=plain.attr_name,
        )  # fmt: skip

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Raises ``ParseError`` for a word."""
        try:
            super().set_value(value, cast)
        except ValueError:
            raise ParseError(f"“{value}” stands where a whole number is wanted. Write one like 2.") from None


class FaceTask(Task):  # type: ignore[type-arg]
    """A task whose flags are those of ``OPTIONS`` and whose errors are sentences with an exit code.

    Its body returns an exit code or None. ``common`` names options that it takes besides its own parameters; they
    reach it bundled, as its first argument (``at.At``). Without any, the first argument is Invoke's context.
    """

    def __init__(self, body: Callable[..., int | None], *, common: Sequence[str] = (), **keywords: Any) -> None:
        self.common = tuple(common)
        keywords.setdefault("iterable", LISTS)
        super().__init__(body, auto_shortflags=False, **keywords)
        if "kamalnb" in program() and self.__doc__:
            self.__doc__ = self.__doc__.replace("    invoke ", f"    {program()} ")

    def argspec(self, body: Callable[..., Any]) -> inspect.Signature:
        """The parameters of the body, then the common options."""
        own: inspect.Signature = super().argspec(body)
        common = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=DEFAULTS[name])
            for name in getattr(self, "common", ())
        ]
        return own.replace(parameters=[*own.parameters.values(), *common])

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """What Invoke would make of a parameter, with the short flag and help that were declared for it."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        short, help_ = OPTIONS.get(name, ("", ""))
        options["names"] += [short] if short else []
        options.setdefault("help", help_)
        return options

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Invoke's, with numbers that complain in a sentence."""
        found: list[Argument] = super().get_arguments(ignore_unknown_help)
        return [Whole.of(argument) if argument.kind is int else argument for argument in found]

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Runs the body; anything but 0 ends the program with that exit code."""
        body = super().__call__
        if wrong := self._unusable(keywords):
            tell(wrong)
            raise Exit(code=2)
        if self.common:
            from .at import At

            options = {name: keywords.pop(name, DEFAULTS[name]) for name in self.common}
            context, *rest = args
            inner = self.body
            code = guarded(lambda: inner(At(options, context), *rest, **keywords))
            self.times_called += 1
        else:
            code = guarded(lambda: body(*args, **keywords))
        if code:
            raise Exit(code=code)
        return code

    def _unusable(self, given: dict[str, Any]) -> str:
        """What Invoke lets through: an empty choice, which would mean every host, and a flag taken for a word."""
        for name, value in given.items():
            flag = f"--{name.replace('_', '-')}"
            if name in NEVER_EMPTY and (value == "" or (isinstance(value, list) and not words(value) and value)):
                return f"{flag} is empty. Leave it out, or name something (an unset variable of the shell?)."
            if name in self.positional and isinstance(value, str) and value.startswith("-"):
                return f"{value} is no {name.replace('_', ' ')}. Its help: {program()} --help {self.name}"
        return ""


def face(
    *, common: Sequence[str] = (), name: str | None = None, positional: Sequence[str] = ()
) -> Callable[[Callable[..., int | None]], FaceTask]:
    """Makes a function a task. ``positional`` parameters may be given as words, without their flag."""
    return lambda body: FaceTask(body, common=common, name=name, positional=positional)


def looks(name: str | None = None, positional: Sequence[str] = ()) -> Callable[[Callable[..., int | None]], FaceTask]:
    """A task that only looks at hosts."""
    return face(common=READS, name=name, positional=positional)


def changes(name: str | None = None, positional: Sequence[str] = ()) -> Callable[[Callable[..., int | None]], FaceTask]:
    """A task that changes hosts."""
    return face(common=CHANGES, name=name, positional=positional)


def guarded(action: Callable[[], Any]) -> int:
    """The exit code of ``action``, every error told in sentences on standard error."""
    _printable()
    try:
        return int(action() or 0)
    except (Exit, SystemExit):
        raise
    except KamalnbError as error:
        _traceback_if_asked()
        tell(_spelled(str(error)))
        return error.exit_code
    except KeyboardInterrupt:
        tell("stopped before anything was begun.")
        return 130
    except BrokenPipeError:
        _stdout_is_gone()
        return 1
    except Exception as error:
        if not _traceback_if_asked():
            tell(
                f"This is a defect of kamalnb ({type(error).__name__}: {error}). "
                "Run it again with KAMALNB_DEBUG=1 to see where, and report it."
            )
        return 70


def tell(text: str) -> None:
    """A sentence on standard error."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        print(text, file=sys.stderr, flush=True)


def words(given: Sequence[str]) -> tuple[str, ...]:
    """``--roles=web,workers`` and ``--roles=web --roles=workers`` are the same."""
    return tuple(word.strip() for text in given for word in text.split(",") if word.strip())


def program() -> str:
    """What stands before a task's name: ``invoke``, ``inv``, ``kamalnb``, or however the program was called."""
    name = Path(sys.argv[0]).name
    if name in ("invoke", "inv", "kamalnb", "python -m kamalnb"):
        return name
    return "python -m invoke" if name in ("__main__.py", "-m", "") else "invoke"


def chosen(config_file: str | None, destination: str | None) -> Iterator[str]:
    """The words that choose the configuration, for commands in hints."""
    if config_file:
        yield from ("-c", config_file)
    if destination:
        yield from ("-d", destination)


def _spelled(text: str) -> str:
    from .wording import Called

    return Called(program()).spelled(text)


def _traceback_if_asked() -> bool:
    if os.environ.get("KAMALNB_DEBUG", "") in ("", "0"):
        return False
    import traceback

    traceback.print_exc()
    return True


def _printable() -> None:
    """A terminal that knows no arrows gets question marks, not a crash."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _stdout_is_gone() -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
