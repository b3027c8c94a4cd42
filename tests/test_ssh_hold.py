"""Sessions that stay open, as a lock needs them: they live as long as the connection and the heartbeats."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from ssh_server import Place, Sshd, nobody, sh, until

from kamalnb.errors import HostUnreachable
from kamalnb.script import Script
from kamalnb.shell import Command
from kamalnb.ssh import SshExecutor

# Held at "$1" while heartbeats come, $2 seconds apart at most; each one that is read goes to "$1.beats".
KEEP = """\
mkdir "$1" 2>/dev/null || { echo "it's taken"; exit 75; }
trap 'rmdir "$1"' EXIT
echo held
while k_h=$(timeout "$2" head -n 1) && [ -n "$k_h" ]; do echo "$k_h" >>"$1.beats"; done"""


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    return tmp_path / "a lock's directory"


def keep(taken: Path, lease: int = 10) -> Command:
    return Command(name="keep", words=("sh", "-c", KEEP, "keep", str(taken), str(lease)))


def beats(taken: Path) -> int:
    file = Path(f"{taken}.beats")
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_heartbeats_come_again_and_again_and_it_is_free_after_release(ssh: SshExecutor, taken: Path) -> None:
    hold = ssh.hold("web", keep(taken), 0.1)
    assert (hold.held, hold.printed, hold.exited) == (True, "held\n", None)
    until(lambda: beats(taken) >= 15, 60)
    assert hold.held
    assert taken.exists()
    hold.release()
    assert not taken.exists()
    assert not hold.held


def test_it_is_free_when_heartbeats_stop(ssh: SshExecutor, taken: Path) -> None:
    hold = ssh.hold("web", keep(taken, lease=3), 60.0)
    assert hold.held
    until(lambda: not taken.exists())
    until(lambda: not hold.held)
    assert hold.exited == 0


def test_one_that_is_refused_says_what_it_printed_and_its_exit_code(ssh: SshExecutor, taken: Path) -> None:
    first, second = ssh.hold("web", keep(taken), 0.1), ssh.hold("web", keep(taken), 0.1)
    assert first.held
    assert (second.held, second.printed, second.exited) == (False, "it's taken\n", 75)
    first.release()


def test_a_lost_connection_is_noticed_and_frees_it(ssh: SshExecutor, web: Sshd, taken: Path) -> None:
    hold = ssh.hold("web", keep(taken), 0.1)
    os.kill(web.sessions()[0], signal.SIGKILL)
    until(lambda: not hold.held)
    assert hold.exited is None
    until(lambda: not taken.exists())


def test_scripts_run_beside_it_on_the_same_connection(ssh: SshExecutor, web: Sshd, taken: Path) -> None:
    hold = ssh.hold("web", keep(taken), 0.1)
    (result,) = ssh.run("web", Script.of(sh("echo beside")), nobody, nobody)
    assert result.stdout == "beside\n"
    assert web.logins == 1
    hold.release()


def test_an_idle_connection_is_not_closed_under_it(place: Place, web: Sshd, taken: Path) -> None:
    ssh = place.executor(pool_idle_timeout=0.0)
    hold = ssh.hold("web", keep(taken), 0.1)
    ssh.run("web", Script.of(sh("true")), nobody, nobody)
    assert hold.held
    hold.release()


def test_a_login_shell_that_is_not_posix_does_not_matter(place: Place, taken: Path) -> None:
    shell = place.directory / "fishy"
    # Of quotes it knows only a plain '…' at the end, which fish, csh and sh read alike.
    shell.write_text(
        """#!/bin/sh
case ${1%%"'"*} in *[!a-z\\ /-]*) echo syntax error; exit 1;; esac
rest=${1#*"'"}; rest=${rest%"'"}
case $rest in *[\\'\\\\\\!]*|*'
'*) echo syntax error; exit 1;; esac
exec /bin/sh -c "$rest"
"""
    )
    shell.chmod(0o755)
    place.serve("fish", settings=f'ForceCommand {shell} "$SSH_ORIGINAL_COMMAND"')
    hold = place.executor().hold("fish", keep(taken), 0.1)
    assert hold.printed == "held\n"
    hold.release()


def test_a_host_that_cannot_be_reached(place: Place, web: Sshd, taken: Path) -> None:
    web.stop()
    place.servers.clear()
    with pytest.raises(HostUnreachable, match="connection refused"):
        place.executor().hold("web", keep(taken), 0.1)


def test_a_script_is_ended_on_request(ssh: SshExecutor) -> None:
    lines: list[str] = []
    begun = time.monotonic()
    script = Script.of(sh("echo begun; sleep 20"))
    (result,) = ssh.run("web", script, nobody, lambda number, line: lines.append(line), lambda: bool(lines))
    assert time.monotonic() - begun < 15.0  # its sleep takes 20
    assert result.exited is None
    assert "stopped on request" in result.stderr
