"""Real sshds on loopback ports for the SSH tests, with fresh keys and everything else in a temporary directory."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kamalnb.config.model import Ssh
from kamalnb.script import Script
from kamalnb.shell import Command
from kamalnb.ssh import SshExecutor

USER = pwd.getpwuid(os.getuid()).pw_name


class QuickScript(Script):
    """A script with a short time limit."""

    @property
    def limit(self) -> float:
        return 3.0


def sh(text: str, name: str = "step", **settings: object) -> Command:
    """A step of any shell text."""
    return Command(name=name, words=("sh", "-c", text), **settings)  # type: ignore[arg-type]


def nobody(number: int, what: object) -> None:
    """Nobody listens."""


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits for something to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new key pair; its private file."""
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


def public(path: Path) -> str:
    """Type and base64 of a key's public half."""
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass
class Sshd:
    """One server: ``key`` opens it, ``host_key`` is what it shows."""

    directory: Path
    settings: str = ""
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.directory.mkdir()
        self.host_key = make_key(self.directory / "host_key")
        self.key = make_key(self.directory / "key")
        self.allow(self.key)
        (self.directory / "home").mkdir()

    def allow(self, *keys: Path) -> None:
        """Lets these keys in, and no others."""
        (self.directory / "authorized_keys").write_text("".join(public(key) + "\n" for key in keys))

    def start(self) -> Sshd:
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/sbin")
        if program is None:
            raise RuntimeError("these tests need a real sshd. Install it: `apt-get install openssh-server`.")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        (self.directory / "config").write_text(
            f"""{self.settings}
ListenAddress 127.0.0.1:{self.port}
HostKey {self.host_key}
AuthorizedKeysFile {self.directory}/authorized_keys
SetEnv HOME={self.directory}/home
LogLevel VERBOSE
StrictModes no
PidFile none
UsePAM no
PasswordAuthentication no
"""
        )
        with (self.directory / "log").open("w") as log:
            argv = [program, "-D", "-e", "-f", str(self.directory / "config")]
            self.process = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL)
        until(lambda: "Server listening" in self.log)
        return self

    def hang_up(self) -> None:
        """Ends every connection and what runs in it, frozen or not."""
        while pids := self.everything():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    def stop(self) -> None:
        self.hang_up()
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    @property
    def logins(self) -> int:
        """How often somebody was let in."""
        return self.log.count("Accepted publickey")

    def sessions(self) -> list[int]:
        """The processes that serve one connection each."""
        return [int(pid) for pid in children(self.process.pid) if "sshd" in command_line(pid)]

    def everything(self) -> list[int]:
        """All processes below the server."""
        found = [self.process.pid]
        for pid in found:
            found += children(pid)
        return found[1:]

    def known(self, name: str | None = None) -> str:
        """Its line for known_hosts."""
        return f"{name or f'[127.0.0.1]:{self.port}'} {public(self.host_key)}\n"

    def block(self, alias: str, known_hosts: Path, *more: str) -> str:
        """Its block for ssh_config."""
        lines = [f"Host {alias}", "HostName 127.0.0.1", f"Port {self.port}", f"User {USER}", *more]
        lines += [f"IdentityFile {self.key}", "IdentityAgent none", f"UserKnownHostsFile {known_hosts}"]
        return "\n  ".join(lines) + "\n"


@dataclass
class Place:
    """A directory with servers, an ssh_config and a known_hosts file of its own."""

    directory: Path
    servers: list[Sshd] = field(default_factory=list)
    executors: list[SshExecutor] = field(default_factory=list)

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def serve(self, name: str, *more: str, settings: str = "", known: bool = True) -> Sshd:
        """Starts a server called ``name``; ``more`` are lines for its block in ssh_config."""
        server = Sshd(self.directory / name, settings).start()
        self.servers.append(server)
        self.append("config", server.block(name, self.known_hosts, *more))
        self.append("known_hosts", server.known() if known else "")
        return server

    def append(self, name: str, text: str) -> None:
        with (self.directory / name).open("a") as file:
            file.write(text)

    def executor(self, **settings: object) -> SshExecutor:
        ssh = Ssh(**{"config": ("config",), **settings})  # type: ignore[arg-type]
        self.executors.append(SshExecutor(ssh, directory=self.directory))
        return self.executors[-1]

    def close(self) -> None:
        for executor in self.executors:
            executor.close()
        for server in self.servers:
            server.stop()


def opened(directory: Path) -> Iterator[Place]:
    """For fixtures: a place that is closed at the end."""
    place = Place(directory)
    (directory / "config").touch()
    place.known_hosts.touch()
    yield place
    place.close()


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(word) for word in found.read_text().split()]
    except OSError:
        return []


def command_line(pid: int | str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
