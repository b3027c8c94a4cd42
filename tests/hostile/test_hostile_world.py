"""The other places that words come from: strangers' containers, logs, login shells, hooks, and the file itself."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hostile_places import ROLE
from hostile_shells import MARK, SHELLS, Host
from hostile_words import CANARY, CORPUS, mixtures

from kamalnb import docker
from kamalnb.commands import app, logs
from kamalnb.commands.exec import ExecOptions
from kamalnb.commands.log_options import LogOptions
from kamalnb.config.reading import read_config
from kamalnb.errors import ConfigError, UsageError
from kamalnb.plan import VERSION
from kamalnb.script import Script, render
from kamalnb.shell import Command, look
from kamalnb.ssh.link import EVALUATE
from kamalnb.ssh.terminal import remote
from kamalnb.ssh.wire import SHELL

LOGIN_SHELLS = [name for name in ("fish", "csh", "tcsh", "bash", "dash", "zsh") if shutil.which(name)]
SAMPLE = [*CORPUS, *itertools.islice(mixtures(20), 60)]


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host.make(tmp_path, request.param)


@pytest.fixture(params=LOGIN_SHELLS)
def login(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host.make(tmp_path, request.param)


def typed(host: Host, line: str, stdin: bytes = b"") -> bytes:
    """What sshd does with the line that it is sent: the user's own shell reads it."""
    fresh = {"fish": ["--no-config"], "csh": ["-f"], "tcsh": ["-f"]}.get(host.shell, [])
    done = subprocess.run(
        [host.shell, *fresh, "-c", line],
        input=stdin,
        capture_output=True,
        cwd=host.home,
        env=host.environment,
        timeout=60,
    )
    return done.stdout


def test_a_script_on_stdin_passes_any_login_shell(login: Host) -> None:
    script = Script.of(Command(name="x", words=("printf", "%s\\0", *SAMPLE)))
    told = typed(login, SHELL, render(script, MARK).encode()).split(f"\n{MARK} ".encode())[0]
    assert told.split(b"\0")[:-1] == [word.encode() for word in SAMPLE]
    assert login.untouched()


def test_a_kept_session_passes_any_login_shell_and_leaves_its_stdin_to_the_script(login: Host) -> None:
    script = (Command(name="x", words=("printf", "%s\\0", *SAMPLE)).line() + "; cat").encode()
    told = typed(login, EVALUATE.format(len(script)), script + b"heartbeats")
    assert told.split(b"\0") == [*(word.encode() for word in SAMPLE), b"heartbeats"]
    assert login.untouched()


@pytest.mark.parametrize("start", range(3))
def test_a_line_for_a_terminal_passes_any_login_shell(login: Host, start: int) -> None:
    words = [word for word in SAMPLE if len(word) < 500][start::3]
    for some in (words[:9], words[9:]):
        told = typed(login, remote(Command(name="x", words=("printf", "%s\\0", *some)).line()))
        assert told.split(b"\0")[:-1] == [word.encode() for word in some]
    assert login.untouched()


ID = "ab12" * 16


@pytest.mark.parametrize(
    "label", [f"x\n{word}" for word in ("--help running traefik app", f"{CANARY} running a b", "* running a app")]
)
def test_a_strangers_label_cannot_add_a_row_to_the_census(host: Host, label: str) -> None:
    (host.stub / "ps").write_text(f"{ID} running shop {label}\n")
    (host.home / "afile").write_text("")
    argv = host.run(app.census("app").command).argv
    assert argv[argv.index("inspect") :] == ["inspect", "--format", docker.CONTAINER_FORMAT, ID]


def test_a_strangers_label_cannot_add_a_container_to_a_log(host: Host) -> None:
    forged = f"{ID} running app-web-v1 d v1\n--details running app-web-v1 d v1\n"
    (host.stub / "ps").write_text(forged)
    argv = host.run(logs.read(ROLE, LogOptions())).argv
    assert "--details" not in argv
    assert ID in argv


@pytest.mark.parametrize("pattern", [None, "end"])
def test_lines_of_a_containers_log_arrive_as_they_were_written(host: Host, pattern: str | None) -> None:
    messages = [f"{word} end" for word in SAMPLE if not {"\n", "\r"} & set(word)]
    stamped = "".join(f"2026-01-01T00:00:00.{number:09d}Z {message}\n" for number, message in enumerate(messages))
    (host.stub / "log").write_bytes(stamped.encode())
    (host.stub / "ps").write_text(f"{ID} running app-web-v1 d v1\n")
    (ran,) = host.run(logs.read(ROLE, LogOptions(grep=pattern, lines=5000)), inside=False).results
    told = [logs.spoken(line) for line in ran.stdout.split("\n")]
    assert [one.message for one in told if isinstance(one, logs.Printed)] == messages
    assert host.untouched()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_log_that_prints_our_own_marks_ends_nothing(shell: str, tmp_path: Path) -> None:
    host = Host.make(tmp_path, shell)
    (host.stub / "log").write_text("kmark 0 0\n\nkamalnb end 0\n=web x y v1\n>ab12 forged\n!- gone\n*1\n")
    (host.stub / "ps").write_text(f"{ID} running app-web-v1 d v1\n")
    first, second = host.run(logs.read(ROLE, LogOptions()), look("next", "echo", "here")).results
    told = [logs.spoken(line) for line in first.stdout.split("\n") if line]
    assert [type(one) for one in told] == [logs.Opened, *[logs.Printed] * 7]
    assert all(isinstance(one, logs.Printed) for one in told[1:])
    assert second.stdout.strip() == "here"


def test_hooks_are_given_hostile_words_as_they_are(tmp_path: Path) -> None:
    from kamalnb.hooks import Details, environment
    from kamalnb.project import load

    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "deploy.yml").write_text("service: app\nimage: app\nservers: [web-1]\n")
    for word in (word for word in SAMPLE if word.strip()):
        project = load(None, None, cwd=tmp_path, environ={**os.environ, "KAMAL_PERFORMER": word, "USER": word})
        env = environment(project, Details(error=word))
        done = subprocess.run(["env", "-0"], env=env, capture_output=True, check=True, cwd=tmp_path)
        assert all(b"\n" not in one or b"=" in one for one in done.stdout.split(b"\0"))
    assert not (tmp_path / CANARY).exists()


# -- what the file and the command line refuse -----------------------------------------------------------------------


def file_with(**keys: object) -> str:
    return json.dumps({"service": "app", "image": "app", "servers": ["web-1"], **keys})


OPTION_LIKE = ("-app", "--privileged", "-v/:/host", "-v/host", "--help")


@pytest.mark.parametrize("word", OPTION_LIKE)
@pytest.mark.parametrize(
    "place", ["service", "image", "server", "host", "run_directory", "traefik image", "role", "host with a role"]
)
def test_what_begins_with_a_dash_is_refused_where_a_program_would_take_it_for_an_option(place: str, word: str) -> None:
    keys: dict[str, object] = {
        "service": {"service": word},
        "image": {"image": word},
        "server": {"registry": {"server": word, "username": "u", "password": ["P"]}},
        "host": {"servers": [word]},
        "run_directory": {"run_directory": word},
        "traefik image": {"traefik": {"image": word}},
        "role": {"servers": {"web": ["web-1"], f"{word}:": ["web-2"]}},
        "host with a role": {"servers": {"web": {"hosts": [word]}}},
    }[place]
    with pytest.raises(ConfigError):
        read_config(file_with(**keys), environ={})


@pytest.mark.parametrize(
    "word", [word for word in CORPUS if set(word) & set("'\"\\`$;&|<>(){}*?~#! \t\n\r\x1b\x01\x7f")]
)
def test_names_that_a_shell_could_mistake_are_refused_by_the_file(word: str) -> None:
    for keys in (
        {"service": word}, {"image": word}, {"servers": [word]}, {"servers": {word: ["web-1"]}},
        {"registry": {"server": word, "username": "u", "password": ["P"]}}, {"primary_role": word},
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            read_config(file_with(**keys), environ={})
    with pytest.raises(ConfigError):
        read_config(file_with(), "{}", environ={}, destination=word)


def test_control_characters_are_refused_in_paths_and_images() -> None:
    for key, word in itertools.product(("run_directory",), ("a\nb", "\x1b[2J", "a\0b", "\x7f")):
        with pytest.raises(ConfigError):
            read_config(file_with(**{key: word}), environ={})


def test_words_of_the_command_line_are_refused_or_quoted() -> None:
    for word in SAMPLE:
        if not VERSION.fullmatch(word):
            with pytest.raises(UsageError):
                ExecOptions(command="true", version=word)
            with pytest.raises(UsageError):
                LogOptions(version=word)
        quoted = ExecOptions(command=shlex.join(["x", word])).words
        assert quoted == ("x", word)
