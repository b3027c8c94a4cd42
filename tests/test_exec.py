"""A command of a person's own: its words, what comes before it, how it ends, and how that looks."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kamalnb.commands import exec as commands
from kamalnb.commands.exec import ExecOptions, OneOff
from kamalnb.config.model import Config, Ssh
from kamalnb.config.reading import read_config
from kamalnb.console import Style
from kamalnb.console.executions import show_execution
from kamalnb.cutover import belongs
from kamalnb.errors import UsageError
from kamalnb.executing import Executed, Execution, asked, forgotten, launch_here
from kamalnb.flows.executing import Asked, explained, prepared
from kamalnb.plan import select
from kamalnb.shell import Result
from kamalnb.ssh.terminal import interactive_argv, remote
from kamalnb.testing import Check, PretendFleet, PretendHost, drive_on

FILE = """
service: app
image: app
registry: {server: registry.example}
volumes: [/data:/data]
env: {clear: {COLOUR: blue}}
servers:
  web: {hosts: [web-1, web-2], options: {publish: "3000:3000", network: shop, restart: always, memory: 1g}}
  workers: {hosts: [web-1], cmd: work}
"""


def config(text: str = FILE) -> Config:
    return read_config(text, environ={}, source="a test")


LABELS = {"service": "app", "role": "web", "destination": ""}


def serving(name: str, version: str = "v1") -> PretendHost:
    host = PretendHost(name)
    host.networks["shop"] = "172.20.0"
    host.start(f"app-web-{version}", f"{host.repository}:{version}", labels=LABELS)
    return host


def run_line(command: str = "rails about", **options: Any) -> tuple[str, ...]:
    role = config().role("web")
    one = OneOff(host="web-1", role=role, version="v1", reference="r/app:v1", name="app-web-exec-1", env_file="/e")
    return tuple(map(str, commands.run(one, ExecOptions(command=command, **options)).words))


# -- what may be asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"command": ""}, "There is no command to run"),
        ({"command": "echo 'open"}, "cannot be read: no closing quotation"),
        ({"command": "a", "env": ("KEY",)}, "--env=KEY names no value"),
        ({"command": "a", "env": ("1K=x",)}, "Write --env=KEY=VALUE"),
        ({"command": "a", "interactive": True, "detach": True}, "cannot both be had"),
        ({"command": "a", "version": "; rm"}, "cannot be a version"),
        ({"command": "a\0b"}, "NUL"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_host_is_asked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as refused:
        ExecOptions(**options)
    assert told in str(refused.value)


# -- the words -----------------------------------------------------------------------------------------------


def test_a_one_off_container_takes_what_it_can_of_its_role() -> None:
    words = run_line("bin/rails runner 'puts 1'")
    assert words[:3] == ("docker", "run", "--rm")
    assert words[-4:] == ("r/app:v1", "bin/rails", "runner", "puts 1")
    for pair in (("--env", "COLOUR=blue"), ("--volume", "/data:/data"), ("--network", "shop"), ("--memory", "1g")):
        assert pair in itertools.pairwise(words)
    assert ("--env-file", "/e") in itertools.pairwise(words)
    assert {"--publish", "--restart"} & set(words) == set()


def test_its_labels_are_no_service_no_role_and_no_route() -> None:
    words = run_line()
    labels = [words[number + 1] for number, word in enumerate(words) if word == "--label"]
    assert labels == ["kamalnb.exec=app", "service=", "role=", "traefik.enable=false"]
    assert "--no-healthcheck" in words


def test_values_of_env_are_in_no_process_list() -> None:
    words = run_line(env=("TOKEN=s3cret", "PATH=/only/here"))
    docker = words[words.index("--") + 1 :]
    assert words[0] == "k_with"
    assert not any("s3cret" in word or "only" in word for word in docker)
    assert ("--env", "TOKEN") in itertools.pairwise(docker)
    assert ("--env-file", "/dev/fd/3") in itertools.pairwise(docker), "docker itself is found by PATH"


def test_values_of_env_are_in_no_text_for_people() -> None:
    options = ExecOptions(command="env", env=("TOKEN=s3cret", "PATH=/s3cret"))
    command = commands.exec_in("abc", options)
    assert "s3cret" in command.line()
    assert "s3cret" not in f"{command} {command!r} {options!r} {commands.kept('/p', command)}"


def test_lines_for_a_name_that_would_steer_the_shell_are_refused() -> None:
    with pytest.raises(UsageError, match="has several lines: give it a name like GREETING_TEXT"):
        ExecOptions(command="env", env=("greeting=a\nb",))


ODD = "a 'b' \"c\" $(id) `id` \\ !"
DOCKER = """#!/bin/sh
printf '%s|' "$VALUE" "$@"
for word; do case $word in /dev/fd/*) cat "$word" ;; esac; done
"""
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


@pytest.fixture
def docker(tmp_path: Path) -> dict[str, str]:
    """An environment whose docker shows what it was given."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def called(shell: str, *words: str, environ: dict[str, str], stdin: str = "") -> str:
    argv = ["busybox", "sh", *words] if shell == "busybox" else [shell, *words]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, env=environ, check=True).stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_an_exported_value_arrives_as_it_is(shell: str, docker: dict[str, str]) -> None:
    value = f"{ODD}\n!"
    command = commands.exec_in("abc", ExecOptions(command="env", env=(f"VALUE={value}",)))
    text = "\n".join((*command.uses, command.line()))
    assert called(shell, "-c", text, environ=docker) == f"{value}|exec|--env|VALUE|abc|env|"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_value_that_would_steer_the_shell_arrives_as_it_is(shell: str, docker: dict[str, str]) -> None:
    env = (f"path={ODD}", f"PATH={ODD}", f"VALUE={ODD}")
    command = commands.exec_in("abc", ExecOptions(command="env", env=env))
    told = called(shell, "-c", "\n".join((*command.uses, command.line())), environ=docker)
    assert told == f"{ODD}|exec|--env|VALUE|--env-file|/dev/fd/3|abc|env|path={ODD}\nPATH={ODD}\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_in_a_private_file_has_its_stdin_and_is_gone_at_once(
    shell: str, docker: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "docker").write_text(f"{DOCKER}cat; ls {tmp_path}/private\n")
    path = f"{tmp_path}/private/it's here"
    env = (f"path={ODD}", f"VALUE={ODD}")
    kept = commands.kept(path, commands.exec_in("abc", ExecOptions(command="env", env=env, interactive=True)))
    called(shell, "-c", "\n".join((*kept.uses, kept.line())), environ=docker)
    assert Path(path).stat().st_mode & 0o777 == 0o600
    told = called(shell, "-c", commands.from_file(path).line(), environ=docker, stdin="typed")
    options = "exec|--interactive|--tty|--env|VALUE|--env-file|/dev/fd/3|abc|env"
    assert told == f"{ODD}|{options}|path={ODD}\ntyped"


def test_detached_ones_are_kept_and_interactive_ones_have_a_terminal() -> None:
    assert run_line(detach=True)[2] == "--detach"
    assert run_line(interactive=True)[2:5] == ("--rm", "--interactive", "--tty")
    assert "--tty" not in run_line(interactive=True, tty=False)


# -- what comes before it ------------------------------------------------------------------------------------


def launch(host: PretendHost, role: str = "web", **options: Any) -> Any:
    made = config()
    one = Asked(
        config=made, host=host.name, role=made.role(role), options=ExecOptions(command="true", **options),
        performer="me", run_id="1f",
    )  # fmt: skip
    return drive_on(host, prepared(one))


def test_a_new_container_is_of_the_version_that_runs() -> None:
    host = serving("web-1", "v3")
    found = launch(host).value
    assert (found.version, found.where, found.what) == ("v3", "app-web-exec-1f", "registry.example/app:v3")
    assert found.over is not None
    assert found.over.words[-1] == "app-web-exec-1f"


@pytest.mark.parametrize(("options", "tag"), [({"version": "v2"}, "v2"), ({}, "latest")])
def test_where_none_runs_it_is_the_one_asked_for_or_latest(options: dict[str, str], tag: str) -> None:
    assert launch(PretendHost("web-1"), **options).value.what == f"registry.example/app:{tag}"


def test_reuse_takes_the_container_that_serves_not_one_that_does_not() -> None:
    host = serving("web-1", "v1")
    host.start("app-web-v2", f"{host.repository}:v2", labels=LABELS, check=Check())
    assert launch(host, reuse=True).value.where == "app-web-v1"
    assert launch(host, reuse=True, version="v2").value.where == "app-web-v2"


def test_reuse_where_none_runs_is_a_sentence() -> None:
    driven = launch(PretendHost("web-1"), reuse=True)
    assert str(driven.error) == (
        "web-1: no container of role web runs there. Leave out --reuse to run it in a new one."
    )


def test_the_audit_line_is_kamals() -> None:
    host = serving("web-1")
    launch(host)
    launch(host, reuse=True)
    lines = host.files["/home/deploy/.kamal/app-audit.log"].splitlines()
    assert lines[0].endswith("Z] [me] Executed cmd 'true' on app version v1")
    assert lines[1].endswith("Z] [me] [web] Executed cmd 'true' on app version v1")


def test_a_new_container_runs_once_a_host_and_reuse_once_a_role() -> None:
    made = config()

    def where(**options: Any) -> list[tuple[str, str]]:
        found = asked(made, select(made), ExecOptions(command="true", **options), "me")
        assert len({one.run_id for one in found}) == len(found)
        return [(one.host, one.role.name) for one in found]

    assert where() == [("web-1", "web"), ("web-2", "web")]
    assert where(reuse=True) == [("web-1", "web"), ("web-1", "workers"), ("web-2", "web")]


def test_a_one_off_container_belongs_to_no_role() -> None:
    made = config()
    labels = {"service": "", "role": "", commands.LABEL: "app"}
    from kamalnb.docker import Container

    assert not any(belongs(Container(id="1", name="app-web-exec-1f", labels=labels), role) for role in made.roles)


# -- how it ends ---------------------------------------------------------------------------------------------


def ended(exited: int | None, printed: str, **options: Any) -> str:
    found = launch(serving("web-1"), **options).value
    result = Result(
        name="execute", line="", exited=exited, stderr="" if exited is not None else "the connection was lost"
    )
    return explained(found, ExecOptions(command="true", **options), result, printed)


@pytest.mark.parametrize(
    ("exited", "printed", "options", "told"),
    [
        (3, "oops", {}, "it ended with exit code 3."),
        (127, "sh: nope: not found", {}, "it ended with exit code 127."),
        (127, 'OCI runtime: exec: "x": executable file not found in $PATH', {}, "there is no program “true” in "),
        (
            126,
            "OCI runtime exec failed: permission denied",
            {"reuse": True},
            "“true” in app-web-v1 may not be executed.",
        ),
        (125, "docker: Error response from daemon: no room.\nSee 'docker run --help'.", {}, "v1: no room."),
        (None, "", {}, "the connection was lost."),
        (None, "", {"reuse": True}, "the connection was lost. It may still run there."),
    ],
)
def test_why_it_did_not_end_well_is_a_sentence(
    exited: int | None, printed: str, options: dict[str, Any], told: str
) -> None:
    assert told in ended(exited, printed, **options)


def execution(command: str, *hosts: PretendHost, **options: Any) -> Execution:
    made = config(FILE.replace("  workers: {hosts: [web-1], cmd: work}\n", ""))
    names = [host.name for host in hosts]
    return Execution(PretendFleet(hosts), made, select(made, (), names), ExecOptions(command=command, **options))


def test_it_runs_on_all_hosts_and_each_result_has_its_output() -> None:
    results = execution("echo hi there", serving("web-1"), serving("web-2")).wait()
    assert [(one.host, one.exited, one.stdout) for one in results] == [
        ("web-1", 0, "hi there\n"), ("web-2", 0, "hi there\n"),
    ]  # fmt: skip
    assert results[0].done.data["stdout"] == "hi there\n"


def test_a_host_that_fails_does_not_hide_the_others() -> None:
    hosts = serving("web-1"), serving("web-2")
    hosts[0].unreachable = True
    results = execution("true", *hosts).wait()
    assert [one.ok for one in results] == [False, True]
    assert results[0].problem.startswith("nothing answers at web-1")


def test_stopping_ends_it_everywhere() -> None:
    hosts = serving("web-1"), serving("web-2")
    running = execution("sleep 300", *hosts)
    running.stop()
    assert [one.ok for one in running.wait()] == [False, False]


# -- on the terminal -----------------------------------------------------------------------------------------


def shown(capsys: Any, command: str, *hosts: PretendHost, raw: bool = False, **style: Any) -> tuple[int, str, str]:
    code = show_execution(execution(command, *hosts), Style(**style), raw=raw)
    out, err = capsys.readouterr()
    return code, out, err


def test_each_line_has_its_host(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = shown(capsys, "echo 'a\nb\033[1m'", serving("web-1"), serving("web-2"))
    assert (code, sorted(out.splitlines()), err) == (0, ["web-1  a", "web-1  b?[1m", "web-2  a", "web-2  b?[1m"], "")


def test_one_failure_fails_the_whole_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = shown(capsys, "false", serving("web-1"))
    assert (code, err) == (1, "✗ web-1: it ended with exit code 1.\n")


def test_raw_shows_the_bytes_alone_and_ends_with_the_commands_own_code(capfdbinary: Any) -> None:
    code = show_execution(execution("nope", serving("web-1")), Style(), raw=True)
    out, err = capfdbinary.readouterr()
    assert (code, out) == (127, b"")
    assert b"executable file not found" in err
    assert show_execution(execution("echo \033", serving("web-1")), Style(), raw=True) == 0
    assert capfdbinary.readouterr() == (b"\033\n", b"")


def test_json_tells_lines_then_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = shown(capsys, "echo hi", serving("web-1"), json=True)
    line, end = map(json.loads, out.splitlines())
    assert line == {"host": "web-1", "role": "web", "stream": "stdout", "line": "hi"}
    assert (end["exited"], end["problem"]) == (0, "")


def test_where_no_host_can_be_reached_the_code_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    host = serving("web-1")
    host.unreachable = True
    assert shown(capsys, "true", host)[0] == 69


class Stopped:
    """An execution at which Ctrl-C is pressed."""

    asked: tuple[Asked, ...] = ()
    reuses = False
    results: tuple[Executed, ...] = ()

    def __iter__(self) -> Any:
        raise KeyboardInterrupt


def test_ctrl_c_ends_it_with_130() -> None:
    execution: Any = Stopped()
    assert show_execution(execution, Style()) == 130


# -- interactive ---------------------------------------------------------------------------------------------


def test_an_interactive_one_is_on_the_first_chosen_host() -> None:
    made = config()
    host = serving("web-2")
    found = launch_here(PretendFleet([host]), made, select(made, (), ["web-2"]), ExecOptions(command="sh"), "me")
    assert found.host == "web-2"
    assert found.command.words[:4] == ("docker", "run", "--rm", "--interactive")


@pytest.mark.parametrize("reuse", [False, True])
def test_values_for_an_interactive_one_wait_in_a_private_file(reuse: bool) -> None:
    host, made = serving("web-1"), config()
    options = ExecOptions(command="sh", reuse=reuse, env=("TOKEN=s3cret", "PATH=/s3cret"))
    found = launch_here(PretendFleet([host]), made, select(made, (), ["web-1"]), options, "me")
    program, path = found.command.line().split()
    assert program == "sh"
    assert "s3cret" in host.files[path]
    assert f"docker {'exec' if reuse else 'run --rm'} --interactive --tty" in host.files[path]
    forgotten(PretendFleet([host]), found)
    assert path not in host.files


def test_ssh_is_told_what_deploy_yml_says(tmp_path: Path) -> None:
    ssh = Ssh(user="app", port=2222, proxy="bastion", keys=("id",), keys_only=True, config=False, known_hosts="known")
    argv = interactive_argv("web-1", "docker exec -it abc sh", ssh, tmp_path)
    assert argv[0] == "ssh"
    assert argv[-3:] == ("--", "web-1", "exec /bin/sh -c 'docker exec -it abc sh'")
    text = " ".join(argv)
    for words in (
        "-l app",
        "-p 2222",
        "-J root@bastion",
        "-t",
        f"-i {tmp_path}/id",
        "-o IdentitiesOnly=yes",
        "-F none",
    ):
        assert words in text
    assert f'UserKnownHostsFile="{tmp_path}/known"' in text


@pytest.mark.parametrize("shell", [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)])
@pytest.mark.parametrize("word", ["plain", "it's", "$HOME", "`id`", "a\nb", "\\", "!x", '"', "ü", "; id"])
def test_any_word_gets_through_the_login_shell(shell: str, word: str) -> None:
    import shlex

    line = remote(f"printf %s {shlex.quote(word)}")
    argv = ["busybox", "sh", "-c", line] if shell == "busybox" else [shell, "-c", line]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == word
