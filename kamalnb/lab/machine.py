"""This machine, as the lab needs it: running programs, installing packages, disk, addresses."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import LabError

Say = Callable[[str], None]
"""Takes one line of progress."""

LEAST_FREE = 6_000_000_000
"""Bytes that must be free before anything is built: images, once per host, and room to deploy."""


def run(
    words: Sequence[str | Path],
    *,
    input: str | None = None,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    seconds: float | None = None,
    hint: str = "",
) -> subprocess.CompletedProcess[str]:
    """Runs a program here; with ``check``, anything but exit code 0 is a LabError with its last lines and ``hint``."""
    argv = [str(word) for word in words]
    try:
        done = subprocess.run(
            argv, input=input, capture_output=True, text=True, errors="replace", env=env, timeout=seconds, check=False
        )
    except FileNotFoundError:
        raise LabError(
            f"The program “{argv[0]}” is not on this machine. {hint or 'Install it and try again.'}"
        ) from None
    except subprocess.TimeoutExpired:
        raise LabError(f"“{shown(argv)}” did not end within {seconds:g} seconds. {hint or 'Try again.'}") from None
    if check and done.returncode != 0:
        raise failure(argv, done.returncode, done.stderr or done.stdout, hint)
    return done


def failure(argv: Sequence[str], exit_code: int, output: str, hint: str = "") -> LabError:
    """The error for a program that failed: its command, its last lines, and ``hint`` as what to do."""
    last = "".join(f"\n    {line}" for line in output.strip().splitlines()[-8:])
    return LabError(
        f"“{shown(argv)}” ended with exit code {exit_code}.{last}\n{hint or 'Look at these lines and try again.'}"
    )


def shown(argv: Sequence[str]) -> str:
    """A command, shortened for a message."""
    text = " ".join(argv)
    return text if len(text) <= 100 else text[:97] + "…"


def has(program: str) -> bool:
    """Whether ``program`` is on PATH."""
    return shutil.which(program) is not None


def is_root() -> bool:
    """Whether this process may do everything (as far as its capabilities go)."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


INSTALLING = threading.Lock()
"""Labs that come up side by side: apt serves one at a time."""


def install(packages: Mapping[str, str], say: Say) -> None:
    """Installs what is missing with apt. ``packages`` maps a program to the package that has it.

    Services that a package would start stay off: the engine the lab starts is its own.
    """
    with INSTALLING:
        if missing := sorted({package for program, package in packages.items() if not has(program)}):
            _apt_install(missing, say)


def _apt_install(missing: Sequence[str], say: Say) -> None:
    names = " ".join(missing)
    if not has("apt-get"):
        raise LabError(f"{names} missing, and there is no apt here. Install Docker by hand and start it.")
    if not is_root():
        raise LabError(f"{names} missing, and only root can install. Run “apt-get install {names}” as root.")
    say(f"installing {names} (about 30 s)…")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    hint = f"“apt-get install {names}” must work on this machine: check its package sources."
    run(["apt-get", "update"], env=env, check=False, seconds=600)
    with services_kept_off():
        run(["apt-get", "install", "-y", "--no-install-recommends", *missing], env=env, seconds=1800, hint=hint)


class services_kept_off:
    """While it lasts, packages that are installed do not start their services (Debian's policy-rc.d)."""

    path = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self.ours = not self.path.exists()
        if self.ours:
            self.path.write_text("#!/bin/sh\nexit 101\n")
            self.path.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self.ours:
            self.path.unlink(missing_ok=True)


def require_disk(path: Path) -> None:
    """LabError unless LEAST_FREE bytes are free where ``path`` is (or will be)."""
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    if free < LEAST_FREE:
        needed = LEAST_FREE / 1e9
        raise LabError(
            f"{free / 1e9:.1f} GB are free at {path} and the lab needs {needed:.0f} GB. Make room and try again."
        )


def why_not_free(address: str, port: int) -> str:
    """Why nothing new can listen at ``address``:``port``: "taken", "no address", or "" if it is free.

    A port that only root may bind is tried by connecting instead: Docker binds it, not we.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT is not a listener
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return "no address"
            if error.errno == errno.EADDRINUSE:
                return "taken"
        else:
            return ""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return "taken" if probe.connect_ex((address, port)) == 0 else ""


def pid_alive(pid: int, *marks: str) -> bool:
    """Whether process ``pid`` runs and its command line has every one of ``marks`` (a PID alone may be reused)."""
    return bool(pid) and all(mark in command_of(pid) for mark in marks) and command_of(pid) != ""


def command_of(pid: int) -> str:
    """The command line of a running process, "" where there is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    if not Path("/proc/self/cmdline").exists():  # macOS
        return run(["ps", "-o", "command=", "-p", str(pid)], check=False).stdout.strip()
    return ""


def processes_with(mark: str) -> list[int]:
    """PIDs of the processes whose command line has ``mark``; this process is never among them."""
    proc = Path("/proc")
    pids = [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()] if proc.is_dir() else []
    return [pid for pid in pids if pid != os.getpid() and mark in command_of(pid)]


def clear_scratch(directory: Path) -> None:
    """Removes a directory that debootstrap worked in, with what an interrupted one left running or mounted there."""
    for pid in [*processes_with(f"{directory}/"), *processes_rooted_in(directory)]:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    unmount_below(directory)
    shutil.rmtree(directory, ignore_errors=True)


def processes_rooted_in(directory: Path) -> list[int]:
    """PIDs of processes that were put into a root directory below ``directory`` (on Linux)."""
    found = []
    for link in Path("/proc").glob("[0-9]*/root"):
        with suppress(OSError):
            if os.readlink(link).startswith(f"{directory}/"):
                found.append(int(link.parent.name))
    return found


def unmount_below(*directories: Path) -> None:
    """Unmounts what something that was killed left mounted there, the deepest first.

    The directories themselves too: dockerd mounts its data root onto itself.
    """
    with suppress(OSError):
        points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        ours = [point for point in points if any(f"{point}/".startswith(f"{directory}/") for directory in directories)]
        for point in sorted(ours, reverse=True):
            run(["umount", "--lazy", point], check=False)


def one_at_a_time(say: Say) -> Say:
    """``say`` for several threads: no line begins before the one before has ended."""
    lock = threading.Lock()

    def say_alone(line: str) -> None:
        with lock:
            say(line)

    return say_alone


def quiet(_: str) -> None:
    """A Say that says nothing."""


PYTHON = sys.executable
