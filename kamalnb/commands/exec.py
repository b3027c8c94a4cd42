"""A command of a person's own, in a new container or in a running one. Nothing here may do I/O.

A one-off container bears neither a service nor a role label, so nobody ever takes it for one that serves; it has no
health check, no route, and none of the options that only one container at a time can have.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from ..config.model import Role
from ..errors import UsageError
from ..plan import VERSION
from ..shell import Command, Secret, Word, quote
from . import app, server

LABEL = "kamalnb.exec"
"""Marks one-off containers; its value is the service."""

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FOR_DOCKER = re.compile(r"PATH|HOME|PWD|IFS|ENV|SHELL|BASH_.*|LD_.*|DOCKER_.*|LC_ALL|[a-z].*")
"""Names that would steer the shell or the docker program, were they in the environment there."""
_NOT_TWICE = frozenset(
    {
        *("name", "hostname", "h", "publish", "p", "publish-all", "P", "restart", "rm", "detach", "d", "cidfile"),
        *("ip", "ip6", "mac-address", "network-alias", "net-alias", "label", "l", "tty", "t", "interactive", "i"),
        *("health-cmd", "health-interval", "health-retries", "health-timeout", "health-start-period"),
        *("no-healthcheck", "entrypoint", "stop-signal", "stop-timeout"),
    }
)
"""Options of a role that a one-off container beside it must not have, or has no use for."""

# k_with FILE KEY=VALUE... -- WORD...: the values are in no process list, since docker takes them from its own
# environment, and FILE (lines for --env-file) from its descriptor 3.
WITH = """\
k_with() {
  k_file=$1; shift
  while [ "$1" != -- ]; do export "${1?}"; shift; done; shift
  [ -n "$k_file" ] || { "$@"; return; }
  "$@" 3<<K_ENV
$k_file
K_ENV
}"""


@dataclass(frozen=True, kw_only=True)
class ExecOptions:
    """What to run, and where. Raises ``UsageError`` for what cannot be meant.

    ``reuse`` runs it in the running container; ``env`` are ``KEY=VALUE`` words; ``detach`` does not wait for its end.
    ``interactive`` gives it this terminal (``tty``), on one host.
    """

    command: str
    version: str | None = None
    reuse: bool = False
    interactive: bool = False
    tty: bool = True
    detach: bool = False
    env: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.version is not None and not VERSION.fullmatch(self.version):
            raise UsageError(f"“{self.version}” cannot be a version. invoke images lists those that are there.")
        if self.interactive and self.detach:
            raise UsageError("--interactive and --detach cannot both be had. Choose one.")
        wrong = next((word for word in self.env if not _KEY.fullmatch(word.partition("=")[0]) or "=" not in word), None)
        if wrong is not None:
            raise UsageError(f"--env={wrong.partition('=')[0]} names no value. Write --env=KEY=VALUE.")
        if any("\0" in word for word in (*self.words, *self.env)):
            raise UsageError("A word with a NUL character cannot be passed to a program.")
        broken = next((word for word in self.env if {"\n", "\r"} & set(word) and not _may_be_exported(word)), None)
        if broken is not None:
            key = broken.partition("=")[0]
            raise UsageError(f"The value of --env={key} has several lines: give it a name like {key.upper()}_TEXT.")

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The command as the program and its arguments, split as a shell does."""
        try:
            words = tuple(shlex.split(self.command))
        except ValueError as error:
            raise UsageError(f"The command cannot be read: {str(error).lower()}. Check its quotes.") from None
        if not words or not words[0]:
            raise UsageError("There is no command to run. Name one: invoke exec 'bin/rails about'.")
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOff:
    """A one-off container: ``reference`` is its image, ``env_file`` the path of the role's secret environment there."""

    host: str
    role: Role
    version: str
    reference: str
    name: str
    env_file: str


def name_of(role: Role, run_id: str) -> str:
    """A one-off container's name."""
    return f"{role.name_prefix}-exec-{run_id}"


def run(one: OneOff, options: ExecOptions) -> Command:
    """The command in a new container, which is gone when it ends (kept when it was detached, for its log)."""
    role = one.role
    words: tuple[Word, ...] = (
        *("docker", "run", "--detach" if options.detach else "--rm", *_terminal(options)),
        *("--name", one.name, "--no-healthcheck", "--label", f"{LABEL}={role.service}"),
        # Kamal's images bear the service label, and containers inherit it.
        *("--label", "service=", "--label", "role=", "--label", "traefik.enable=false"),
        *("--env-file", one.env_file, "--env", f"KAMAL_VERSION={one.version}"),
        *app.each("--env", (f"{key}={value}" for key, value in role.env_on(one.host).clear.items())),
        *_env(options),
        *app.logging(role),
        *app.each("--volume", role.volumes),
        *app.options(role, without=_NOT_TWICE),
        one.reference,
        *options.words,
    )
    return _command(words, options)


def exec_in(container_id: str, options: ExecOptions) -> Command:
    """The command in a container that runs."""
    words: tuple[Word, ...] = (
        *("docker", "exec", *(("--detach",) if options.detach else ()), *_terminal(options)),
        *_env(options),
        container_id,
        *options.words,
    )
    return _command(words, options)


def kept(path: str, command: Command) -> Command:
    """Writes ``command`` to a private file: what has a terminal is called by words, which anybody on the host sees."""
    text = "\n".join((f"rm -f -- {quote(path)}", *command.uses, command.line()))
    return server.write_file(path, Secret(f"{text}\n"), "command file")


def from_file(path: str) -> Command:
    """What ``kept`` wrote. The file is gone as soon as it runs: the shell has it open."""
    return Command(name="execute", words=("sh", path), limit=float("inf"))


def forget(path: str) -> Command:
    """Takes away what ``kept`` wrote, where it never ran."""
    return Command(name="remove command file", words=("rm", "-f", "--", path))


def remove(name: str) -> Command:
    """Ends a one-off container whose controller is gone."""
    return Command(name="remove one-off container", words=("docker", "rm", "--force", "--volumes", name))


# k_end_with_lock NAME LOCK RUN: beside the script that it is a step of, for as long as that lives.
END_WITH_LOCK = """\
k_end_with_lock() {
  while kill -0 $$ 2>/dev/null; do
    k_have=; read -r k_have 2>/dev/null <"$2"
    [ "$k_have" = "$3" ] || docker rm --force --volumes "$1"
    sleep 1
  done </dev/null >/dev/null 2>&1 8>&- &
}"""


def end_with_lock(name: str, lock: str, run_id: str) -> Command:
    """From now on, and until the script ends, a one-off container ends as soon as its run has lost the lock.

    A controller that died can end it no more, and nobody else may deploy while it works: it must not last for hours.
    """
    words = ("k_end_with_lock", name, lock, run_id)
    return Command(name="watch the lock", words=words, uses=(END_WITH_LOCK,), limit=1.0)


def _command(words: tuple[Word, ...], options: ExecOptions) -> Command:
    if not options.env:
        return Command(name="execute", words=words, limit=float("inf"))
    exported, filed = _split(options)
    given = (Secret("\n".join(filed)), *map(Secret, exported))
    return Command(name="execute", words=("k_with", *given, "--", *words), uses=(WITH,), limit=float("inf"))


def _terminal(options: ExecOptions) -> tuple[str, ...]:
    if not options.interactive:
        return ()
    return ("--interactive", "--tty") if options.tty else ("--interactive",)


def _env(options: ExecOptions) -> Iterator[str]:
    """The options by which docker finds what ``k_with`` gives it."""
    exported, filed = _split(options)
    yield from app.each("--env", (word.partition("=")[0] for word in exported))  # type: ignore[misc]
    yield from ("--env-file", "/dev/fd/3") if filed else ()


def _split(options: ExecOptions) -> tuple[list[str], list[str]]:
    """``KEY=VALUE`` words that are exported before docker is called, and those for a file."""
    exported = [word for word in options.env if _may_be_exported(word)]
    return exported, [word for word in options.env if word not in exported]


def _may_be_exported(word: str) -> bool:
    return not _FOR_DOCKER.fullmatch(word.partition("=")[0])
