"""How kamalnb's tasks look to Invoke: declared short flags, one table of options, no traceback to a user.

Cheap to import: what a task needs is imported when it runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from invoke.exceptions import Exit
from invoke.tasks import Task

from .errors import KamalnbError

OPTIONS: dict[str, tuple[str, str]] = {
    # parameter: (short flag or "", help)
    "version": ("", "Image tag to boot; current, previous. Default: the image tagged latest."),
    "roles": ("r", "Only these ROLES: names or wildcards, a,b or the flag repeated."),
    "hosts": ("H", "Only these HOSTS: names or wildcards, a,b or the flag repeated."),
    "primary": ("p", "Only the primary host."),
    "destination": ("d", "Overlay deploy.DESTINATION.yml, as staging."),
    "config_file": ("c", "The deploy.yml to use. Default: config/deploy.yml here or above."),
    "skip_unreachable": ("", "Leave out hosts that cannot be reached, and say so."),
    "dry_run": ("", "Print every command that would run on each host; change nothing."),
    "json": ("", "One JSON document a line, and nothing else."),
    "verbose": ("v", "Every command with its exit code and seconds."),
    "quiet": ("q", "Only problems and the closing line."),
    "count": ("", "How many hosts."),
    "ports": ("", "Use ports of 127.0.0.1 instead of loopback addresses."),
    "directory": ("", "Where the lab keeps its files."),
    "host": ("", "A host's name; as the first word, without the flag."),
    "lab": ("", "The tests on the lab's real hosts too."),
    "quick": ("", "Stop at the first failure."),
}
LISTS = ("roles", "hosts")
"""Options that may be repeated."""


class FaceTask(Task):  # type: ignore[type-arg]
    """A task whose flags are those of ``OPTIONS`` and whose errors are sentences with an exit code.

    Its body returns an exit code or None.
    """

    def __init__(self, body: Callable[..., int | None], **keywords: Any) -> None:
        keywords.setdefault("iterable", LISTS)
        super().__init__(body, auto_shortflags=False, **keywords)

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """What Invoke would make of a parameter, with the short flag and help that were declared for it."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        short, help_ = OPTIONS.get(name, ("", ""))
        options["names"] += [short] if short else []
        options.setdefault("help", help_)
        return options

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Runs the body; anything but 0 ends the program with that exit code."""
        body = super().__call__
        code = guarded(lambda: body(*args, **keywords))
        if code:
            raise Exit(code=code)
        return code


def guarded(action: Callable[[], Any]) -> int:
    """The exit code of ``action``, every error told in sentences on standard error."""
    _printable()
    try:
        return int(action() or 0)
    except (Exit, SystemExit):
        raise
    except KamalnbError as error:
        _traceback_if_asked()
        tell(str(error))
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
    """What stands before a task's name: ``invoke``, ``inv``, or however the program was called."""
    name = Path(sys.argv[0]).name
    return "python -m invoke" if name in ("__main__.py", "-m", "") else name


def chosen(config_file: str | None, destination: str | None) -> Iterator[str]:
    """The words that choose the configuration, for commands in hints."""
    if config_file:
        yield from ("-c", config_file)
    if destination:
        yield from ("-d", destination)


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
