"""A command on a host that has this terminal: the system's own ``ssh``, told what deploy.yml says."""

from __future__ import annotations

import atexit
import base64
import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..config.model import Ssh
from .openssh import resolve
from .target import Target

_PLAIN = frozenset('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_=+.,:/@%^~#(){}[]<>|&;*?$"')


NOT_THERE = 255
"""How ``ssh`` ends when it did not get there, or lost its connection."""


def interactive_argv(host: str, line: str, ssh: Ssh, directory: Path, *, tty: bool = True) -> tuple[str, ...]:
    """The words that run ``line`` (as a POSIX shell reads it) on ``host`` with this terminal, or with our stdin.

    Raises HostUnreachable where ``ssh`` cannot say where the host is. Keys in ``ssh.key_data`` are not passed on:
    an agent has to hold them.
    """
    target = resolve(host, ssh, directory)
    *words, last = shlex.split(target.command)
    options = ("-t" if tty else "-T", *_config(ssh, directory), *_keys(ssh, target), *_known_hosts(ssh, target))
    return (*_without_config(words, ssh), *options, "--", last, remote(line))


def run(argv: tuple[str, ...]) -> int:
    """Runs it, and gives its exit code; Ctrl-C is the other side's."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.call(argv)
    finally:
        signal.signal(signal.SIGINT, before)


def remote(line: str) -> str:
    """``line`` for whatever login shell there is: fish and csh read quotes in ways of their own."""
    if set(line) <= _PLAIN:
        return f"exec /bin/sh -c '{line}'"
    coded = base64.b64encode(line.encode(errors="surrogateescape")).decode()
    return f"exec /bin/sh -c 'eval \"$(echo {coded} | base64 -d)\"'"


def _keys(ssh: Ssh, target: Target) -> Iterator[str]:
    for path in target.project_keys:
        yield from ("-i", str(path))
    if ssh.keys_only:
        yield from ("-o", "IdentitiesOnly=yes")


def _known_hosts(ssh: Ssh, target: Target) -> Iterator[str]:
    if ssh.known_hosts:
        yield from ("-o", "UserKnownHostsFile=" + " ".join(f'"{path}"' for path in target.known_hosts))


def _files(ssh: Ssh, directory: Path) -> tuple[Path, ...]:
    names = () if isinstance(ssh.config, bool) else ssh.config
    return tuple(directory / os.path.expanduser(name) for name in names)


def _without_config(words: list[str], ssh: Ssh) -> list[str]:
    """Several configuration files are one ``-F`` of ours instead."""
    if isinstance(ssh.config, bool) or len(ssh.config) < 2 or words[1:2] != ["-F"]:
        return words
    return [words[0], *words[3:]]


def _config(ssh: Ssh, directory: Path) -> tuple[str, ...]:
    files = _files(ssh, directory)
    if len(files) < 2:
        return ()
    handle, name = tempfile.mkstemp(prefix="kamalnb-ssh-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(f'Include "{path}"\n' for path in files)
    atexit.register(_forget, name)
    return ("-F", name)


def _forget(name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name)
