"""SSH keys of a lab, made fresh for it, and the ssh-agent that holds the one with a passphrase."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from .machine import pid_alive, run

SOCKET_PATH_LIMIT = 100
"""Bytes; Linux takes 107 and macOS 103 in a socket's path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where a lab's keys are."""

    directory: Path
    lab_id: str

    @property
    def plain(self) -> Path:
        """The key without a passphrase, taken by every host but the agent's."""
        return self.directory / "id_lab"

    @property
    def locked(self) -> Path:
        """The key with a passphrase, which only the agent can use."""
        return self.directory / "id_agent"

    @property
    def passphrase(self) -> Path:
        """The file with its passphrase, for its owner only."""
        return self.directory / "id_agent.passphrase"

    @property
    def agent_socket(self) -> Path:
        """Where the lab's ssh-agent listens; outside the directory where that path is too long for a socket."""
        inside = self.directory / "agent.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_LIMIT:
            return inside
        return Path(tempfile.gettempdir()) / f"kamalnb-lab-{self.lab_id}" / "agent.sock"

    def host_key(self, name: str) -> Path:
        """The private host key of that host."""
        return self.directory / "hosts" / name

    def public(self, private: Path) -> str:
        """The public half: type and key, no comment."""
        return " ".join(Path(f"{private}.pub").read_text().split()[:2])

    def authorized(self, agent_key: bool) -> str:
        """The authorized_keys of a host."""
        return self.public(self.locked if agent_key else self.plain) + " kamalnb-lab\n"


def make(directory: Path, lab_id: str, hosts: list[str]) -> Keys:
    """The lab's keys, made where they are missing."""
    keys = Keys(directory=directory, lab_id=lab_id)
    (directory / "hosts").mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    generate(keys.plain)
    if not (keys.locked.exists() and keys.passphrase.exists()):
        keys.locked.unlink(missing_ok=True)
        write_private(keys.passphrase, secrets.token_urlsafe(24) + "\n")
        askpass = directory / "askpass"
        askpass.write_text('#!/bin/sh\nexec cat "$(dirname "$0")/id_agent.passphrase"\n')
        askpass.chmod(0o700)
        generate(keys.locked, passphrase_from=askpass)
    for name in hosts:
        generate(keys.host_key(name))
    return keys


def generate(path: Path, passphrase_from: Path | None = None) -> None:
    """An ed25519 key pair at ``path``, unless it is there. The passphrase is asked of a program: argv is public."""
    if path.exists() and Path(f"{path}.pub").exists():
        return
    path.unlink(missing_ok=True)
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-C", f"kamalnb-lab {path.name}", "-f", str(path)]
    if passphrase_from is None:
        run([*words, "-N", ""])
    else:
        run(words, env=askpass_environment(passphrase_from), input="")


def askpass_environment(askpass: Path) -> dict[str, str]:
    """Makes OpenSSH (8.4 and later; earlier ones want DISPLAY) ask that program for a passphrase."""
    return {**os.environ, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":none"}


def write_private(path: Path, text: str) -> None:
    """A file that nobody else may read, not even for a moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def start_agent(keys: Keys, known_pid: int) -> int:
    """The lab's ssh-agent, running and holding the key. Returns its PID; ``known_pid`` is the one it had, or 0."""
    if agent_holds(keys):
        return known_pid
    stop_agent(keys, known_pid)
    keys.agent_socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    answer = run(["ssh-agent", "-s", "-a", keys.agent_socket]).stdout
    pid = next((int(word) for word in answer.replace(";", " ").replace("=", " ").split() if word.isdigit()), 0)
    environment = {**askpass_environment(keys.directory / "askpass"), "SSH_AUTH_SOCK": str(keys.agent_socket)}
    run(["ssh-add", "-q", keys.locked], env=environment, input="")
    if not agent_holds(keys):
        raise LabError("The lab's ssh-agent does not hold its key. Run lab.down and then lab.up.")
    return pid


def agent_holds(keys: Keys) -> bool:
    """Whether the agent answers and holds the key."""
    environment = {**os.environ, "SSH_AUTH_SOCK": str(keys.agent_socket)}
    done = run(["ssh-add", "-L"], env=environment, check=False, seconds=10)
    return done.returncode == 0 and keys.public(keys.locked) in done.stdout


def stop_agent(keys: Keys, pid: int) -> None:
    """Ends the agent and removes its socket."""
    if pid_alive(pid, "ssh-agent", str(keys.agent_socket)):
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    keys.agent_socket.unlink(missing_ok=True)
    if keys.agent_socket.parent != keys.directory:
        with suppress(OSError):
            keys.agent_socket.parent.rmdir()
