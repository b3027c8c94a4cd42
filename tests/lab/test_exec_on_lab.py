"""A command of a person's own on real hosts: four modes, exit codes, what is left there, and what is not."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeShop
from shop import Shop, until

from kamalnb.commands.exec import LABEL, ExecOptions
from kamalnb.executing import Executed, Execution, launch_here
from kamalnb.ssh.terminal import interactive_argv

NO_VOLUME: dict[str, Any] = {"volumes": [], "env": {"clear": {"COLOUR": "blue green"}}}


def execute(shop: Shop, command: str, *hosts: str, **options: Any) -> tuple[Executed, ...]:
    with shop.opened(*hosts, **NO_VOLUME) as (project, selection, executor):
        wanted = ExecOptions(command=command, **options)
        return Execution(executor, project.config, selection, wanted, performer="tester").wait()


def one_offs(shop: Shop, host: str) -> list[str]:
    return shop.shell(host, 'docker ps --all --quiet --filter "label=$1=$2"', LABEL, shop.name).split()


def audit(shop: Shop, host: str) -> str:
    return shop.shell(host, 'cat "$1"/*-audit.log', shop.run_directory).splitlines()[-1]


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Iterator[Shop]:
    made = make_shop("oneoff")
    made.must_boot("v1", **NO_VOLUME)
    yield made
    for host in made.hosts:
        for container in one_offs(made, host):
            made.shell(host, 'docker rm --force "$1" >/dev/null', container)


def test_a_new_container_has_the_roles_environment_and_is_gone_afterwards(shop: Shop) -> None:
    before = {host: shop.standing(host) for host in shop.hosts}
    results = execute(shop, "sh -c 'echo \"$COLOUR $KAMAL_VERSION $EXTRA\"; echo no >&2'", env=("EXTRA=a 'b' $c",))
    assert [(one.host, one.exited, one.stdout, one.stderr) for one in results] == [
        (host, 0, "blue green v1 a 'b' $c\n", "no\n") for host in shop.hosts
    ]
    for host in shop.hosts:
        assert one_offs(shop, host) == []
        assert shop.standing(host) == before[host]
        assert audit(shop, host).endswith("[tester] Executed cmd 'sh -c 'echo \"$COLOUR $KAMAL_VERSION $EXTRA\"; "
                                          "echo no >&2'' on app version v1")  # fmt: skip


def test_reuse_runs_in_the_container_that_serves(shop: Shop) -> None:
    (result,) = execute(shop, "sh -c 'echo $KAMAL_CONTAINER_NAME'", "web-2", reuse=True)
    assert (result.exited, result.stdout, result.container) == (0, "oneoff-web-v1\n", "oneoff-web-v1")
    assert "[tester] [web] Executed cmd" in audit(shop, "web-2")


def test_version_says_which_image(shop: Shop) -> None:
    (result,) = execute(shop, "sh -c 'echo $VERSION'", "web-1", version="v2")
    assert (result.stdout, result.version) == ("v2\n", "v2")


def test_a_one_off_container_is_never_taken_for_one_that_serves(shop: Shop) -> None:
    """The image bears a service label, as Kamal's do: it must not be inherited."""
    (result,) = execute(shop, "sleep 30", "web-1", detach=True)
    assert result.exited == 0
    (container,) = one_offs(shop, "web-1")
    labels = json.loads(shop.shell("web-1", "docker inspect --format '{{json .Config.Labels}}' \"$1\"", container))
    assert labels.get("service") == labels.get("role") == ""
    assert labels["traefik.enable"] == "false"
    assert shop.shell("web-1", "docker inspect --format '{{.State.Health}}' \"$1\"", container).strip() == "<nil>"
    shop.must_boot("v1", hosts=("web-1",), **NO_VOLUME)
    assert one_offs(shop, "web-1") == [container]
    shop.shell("web-1", 'docker rm --force "$1" >/dev/null', container)


@pytest.mark.parametrize("reuse", [False, True])
def test_the_exit_code_is_the_commands(shop: Shop, reuse: bool) -> None:
    results = execute(shop, "sh -c 'exit 7'", reuse=reuse)
    assert [one.exited for one in results] == [7, 7]
    assert {one.problem for one in results} == {"it ended with exit code 7."}


@pytest.mark.parametrize("reuse", [False, True])
def test_a_program_that_is_not_there_is_a_sentence(shop: Shop, reuse: bool) -> None:
    (result,) = execute(shop, "no-such-program --now", "web-1", reuse=reuse)
    assert result.problem.startswith("there is no program “no-such-program” in ")
    assert one_offs(shop, "web-1") == []


def test_an_image_that_is_not_there_is_a_sentence(shop: Shop) -> None:
    (result,) = execute(shop, "true", "web-1", version="v77")
    assert result.problem.startswith("Docker did not start a container of registry:5000/app:v77: manifest for")


def test_reuse_where_nothing_runs_is_a_sentence(shop: Shop) -> None:
    (result,) = execute(shop, "true", "web-1", reuse=True, version="v3")
    assert result.problem == (
        "no container of version v3 of role web runs there. Leave out --reuse to run it in a new one."
    )
    assert result.error is not None


@pytest.mark.parametrize(
    "word", ["$(touch /tmp/ran)", "`touch /tmp/ran`", "; touch /tmp/ran", "a\nb", "--rm", "\\'\"!"]
)
def test_hostile_words_arrive_as_they_are(shop: Shop, word: str) -> None:
    import shlex

    command = shlex.join(["printf", "%s", word])
    for reuse in (False, True):
        (result,) = execute(shop, command, "web-1", reuse=reuse, env=(f"WORD={word}",))
        assert result.stdout == word, result
    shop.shell("web-1", "[ ! -e /tmp/ran ]")


def test_output_comes_while_the_command_runs(shop: Shop) -> None:
    with shop.opened("web-1", **NO_VOLUME) as (project, selection, executor):
        options = ExecOptions(command="sh -c 'echo first; sleep 2; echo last'", reuse=True)
        execution = Execution(executor, project.config, selection, options)
        came = [(piece.data, time.monotonic()) for piece in execution]
    assert [data for data, _at in came] == [b"first\n", b"last\n"]
    assert came[1][1] - came[0][1] > 1.5


def test_stopping_removes_the_one_off_container(shop: Shop) -> None:
    with shop.opened("web-1", **NO_VOLUME) as (project, selection, executor):
        execution = Execution(executor, project.config, selection, ExecOptions(command="sh -c 'echo on; sleep 300'"))
        for _ in execution:
            break
        assert execution.results[0].exited is None
    until(lambda: one_offs(shop, "web-1") == [], "the one-off container is gone", 15.0)


def test_a_lost_connection_removes_the_one_off_container(shop: Shop) -> None:
    with shop.opened("web-2", **NO_VOLUME) as (project, selection, executor):
        execution = Execution(executor, project.config, selection, ExecOptions(command="sh -c 'echo on; sleep 300'"))
        waiting = threading.Thread(target=execution.wait)
        waiting.start()
        until(lambda: bool(one_offs(shop, "web-2")), "it runs")
        cut(shop, "web-2", "oneoff-web-exec-")
        waiting.join(30)
    (result,) = execution.results
    assert (result.exited, result.ok) == (None, False)
    assert "connection was lost" in result.problem
    until(lambda: one_offs(shop, "web-2") == [], "the one-off container is gone", 30.0)


def cut(shop: Shop, host: str, mark: str) -> None:
    """Kills the sshd process through which a command with ``mark`` in it runs."""
    lines = [line.split(None, 2) for line in shop.shell(host, "ps -eo pid,ppid,args").splitlines()[1:]]
    processes = {pid: (parent, args) for pid, parent, args in lines}
    pid = next(pid for pid, (_parent, args) in processes.items() if "docker run" in args and mark in args)
    while "sshd:" not in processes[pid][1]:
        pid = processes[pid][0]
    shop.shell(host, 'kill -9 "$1"', pid)


# -- interactive ---------------------------------------------------------------------------------------------


class Terminal:
    """A person at a terminal, on which a program runs."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        ours, theirs = pty.openpty()
        self._ours = ours
        self.process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, text: str, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self._ours], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self._ours, 4096).decode(errors="replace")
                except OSError:
                    assert text in self.text, self.text
                    return

    def end(self) -> int:
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            os.close(self._ours)


def interactive(shop: Shop, host: str, command: str, **options: Any) -> tuple[str, ...]:
    with shop.opened(host, **NO_VOLUME) as (project, selection, executor):
        wanted = ExecOptions(command=command, interactive=True, **options)
        launch = launch_here(executor, project.config, selection, wanted, "tester")
        tty = options.get("tty", True)
        return interactive_argv(launch.host, launch.command.line(), project.config.ssh, project.root, tty=tty)


@pytest.mark.parametrize("host", ["web-1", "web-2"])
@pytest.mark.parametrize("reuse", [False, True])
def test_a_shell_in_a_container_has_a_terminal(shop: Shop, host: str, reuse: bool) -> None:
    terminal = Terminal(interactive(shop, host, "sh", reuse=reuse, env=("PS1=>>> ", "SAID=it's $HOME")))
    terminal.until(">>> ")
    terminal.type('test -t 0 && test -t 1 && echo "tty $SAID $COLOUR"\n')
    terminal.until("tty it's $HOME blue green")
    terminal.type("exit 5\n")
    assert terminal.end() == 5
    until(lambda: one_offs(shop, host) == [], "nothing is left")


def test_without_a_terminal_standard_input_goes_in(shop: Shop) -> None:
    argv = interactive(shop, "web-1", "sh -c 'cat; exit 3'", reuse=True, tty=False)
    done = subprocess.run(argv, input="one\ntwo\n", capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "one\ntwo\n")


def test_deploy_ymls_ssh_settings_go_along(shop: Shop, tmp_path: Path) -> None:
    """Several configuration files, and a known_hosts file of the project's own."""
    with shop.opened("web-1", **NO_VOLUME) as (project, _selection, _executor):
        (tmp_path / "more").write_text("Host nowhere\n  HostName 192.0.2.1\n")
        (tmp_path / "known").write_text("")
        ssh = replace(
            project.config.ssh, config=(str(shop.lab.ssh_config), "more"), known_hosts="known", keys_only=False
        )
        argv = interactive_argv("web-1", "echo $((20 + 3)) 'a  b'", ssh, tmp_path, tty=False)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "23 a  b\n"), done.stderr
