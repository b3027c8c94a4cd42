"""What can go wrong, split by who must act.

    KamalnbError
    ├── ConfigError        your file: names the path (servers/web/hosts/0) and what to write instead
    ├── UsageError         your command: a role, host or version that does not exist, with the choices
    │   └── NotConfirmed   nobody confirmed it: what to type
    ├── LabError           this machine cannot do something the lab needs
    ├── LockHeld           somebody else is deploying: wait, or look at who
    │   └── StillAtWork    what an ended run left is not done yet: wait a moment
    ├── CannotLock         a host has no room or no right for its lock file
    ├── HostUnreachable    SSH: name, TCP, host key, login
    ├── CommandFailed      a command on a host; holds its Result
    ├── HookFailed         a program of yours in .kamal/hooks; holds its last lines
    ├── Unclear            a host answered something that cannot be read: never "probably fine"
    ├── BootError          one role on one host did not boot; says what serves there now
    └── RolloutFailed      the run; holds the whole Report

The last sentence of every message is the next thing to do. Nothing here may do I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .shell import Result


class KamalnbError(Exception):
    """Anything of ours. ``exit_code`` is what a task or a runbook ends with."""

    exit_code = 1


class UsageError(KamalnbError):
    """The command names something that does not exist."""

    exit_code = 2


class NotConfirmed(UsageError):
    """A change that nobody has confirmed. Nothing was begun."""


class ConfigError(KamalnbError):
    """``deploy.yml`` cannot be used. ``problems`` holds every one of them, as ``(path, sentence)``."""

    exit_code = 2

    def __init__(self, problems: tuple[tuple[str, str], ...], source: str = "config/deploy.yml") -> None:
        self.problems = problems
        self.source = source
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "".join(f"\n  {path or '(file)'}: {sentence}" for path, sentence in problems)
        super().__init__(f"{source} has {count}:{lines}")


class LabError(KamalnbError):
    """The lab cannot do something here; one sentence says what, and what to do."""


class LockHeld(KamalnbError):
    """Another run holds the lock."""

    exit_code = 75  # EX_TEMPFAIL: try again later


class StillAtWork(LockHeld):
    """A script of a run that lost its lock still changes a host. It ends by itself."""


class CannotLock(KamalnbError):
    """A host cannot keep a lock: no room, no right, no ``flock``."""


class HostUnreachable(KamalnbError):
    """No SSH session to ``host``. ``step`` is what failed: resolve, connect, host key, login, session."""

    exit_code = 69  # EX_UNAVAILABLE

    def __init__(self, host: str, step: str, sentence: str) -> None:
        self.host = host
        self.step = step
        super().__init__(f"{host}: {sentence}")


class CommandFailed(KamalnbError):
    """A command ended with another exit status than 0, or with none at all."""

    def __init__(self, result: Result) -> None:
        self.result = result
        how = "gave no exit status" if result.exited is None else f"ended with exit code {result.exited}"
        tail = (result.stderr.strip() or result.stdout.strip()).splitlines()[-10:]
        super().__init__(f"“{result.name}” {how}" + "".join(f"\n    {line}" for line in tail))


class HookFailed(KamalnbError):
    """A hook failed, and what it stands before does not happen. ``lines`` are the last that it printed."""

    def __init__(self, sentence: str, *, hook: str, lines: tuple[str, ...] = ()) -> None:
        self.hook = hook
        self.lines = lines
        self.sentence = sentence
        super().__init__(sentence + "".join(f"\n    {line}" for line in lines))


class Unclear(KamalnbError):
    """A host's answer cannot be understood. ``answer`` is its beginning."""

    def __init__(self, question: str, answer: str, why: str) -> None:
        self.question = question
        self.answer = answer[:400]
        super().__init__(f"the answer to “{question}” cannot be understood ({why}): {self.answer!r}")


class BootError(KamalnbError):
    """One role on one host did not boot.

    ``why`` is a sentence, ``serving`` says which version serves there now, ``log`` holds the new
    container's last log lines, ``health`` its health log, ``kept`` where the whole log is kept.
    """

    def __init__(
        self,
        why: str,
        *,
        serving: str = "",
        log: tuple[str, ...] = (),
        health: tuple[str, ...] = (),
        kept: str = "",
        hint: str = "",
    ) -> None:
        self.why = why
        self.serving = serving
        self.log = log
        self.health = health
        self.kept = kept
        self.hint = hint
        super().__init__(" ".join(part for part in (why, serving, hint) if part))


class RolloutFailed(KamalnbError):
    """The run did not reach every host; ``report`` tells each one's state."""

    def __init__(self, sentence: str, report: Any) -> None:
        self.report = report
        super().__init__(sentence)
