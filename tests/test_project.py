"""The project on disk: where it is found, what .env adds, secrets read late and once, git, who does it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kamalnb.config.envfile import read_env
from kamalnb.config.model import SecretSource
from kamalnb.errors import ConfigError, UsageError
from kamalnb.project import Project, load

SIMPLE = "service: app\nimage: app\nservers: [1.1.1.1]\n"
CANARY = "hunter2canary"
Make = Callable[..., Project]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(
        text: str = SIMPLE, *, files: dict[str, str] | None = None, destination: str | None = None, **env: str
    ) -> Project:
        for name, content in {"config/deploy.yml": text, **(files or {})}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        return load(destination=destination, environ={"PATH": os.environ["PATH"], **env}, cwd=tmp_path)

    return build


def python(script: str) -> SecretSource:
    return SecretSource(command=(sys.executable, "-c", script), where="registry/password")


def why(project: Project, source: SecretSource) -> str:
    with pytest.raises(ConfigError) as caught:
        project.secret(source)
    (problem,) = caught.value.problems
    assert problem[0] == source.where
    return problem[1]


def test_a_project_is_found_from_a_directory_below_it(make: Make, tmp_path: Path) -> None:
    make()
    (tmp_path / "a/b").mkdir(parents=True)
    project = load(environ={}, cwd=tmp_path / "a/b")
    assert project.root == tmp_path
    assert project.config.service == "app"
    assert project.sources == (tmp_path / "config/deploy.yml",)


def test_where_there_is_no_project_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--config-file"):
        load(environ={}, cwd=tmp_path)


def test_a_config_file_elsewhere_is_its_own_project(tmp_path: Path) -> None:
    (tmp_path / "my.yml").write_text(SIMPLE)
    (tmp_path / "my.staging.yml").write_text("service: other")
    project = load("my.yml", "staging", environ={}, cwd=tmp_path)
    assert (project.root, project.config.service) == (tmp_path, "other")
    with pytest.raises(UsageError, match="there is no file"):
        load("your.yml", environ={}, cwd=tmp_path)


def test_a_destination_is_merged_and_an_unknown_one_names_the_choices(make: Make, tmp_path: Path) -> None:
    files = {"config/deploy.staging.yml": "servers: [2.2.2.2]"}
    assert make(files=files, destination="staging").config.hosts == ("2.2.2.2",)
    with pytest.raises(UsageError, match="Did you mean staging"):
        load(destination="stagin", environ={}, cwd=tmp_path)
    with pytest.raises(UsageError, match="There is: staging"):
        load(destination="x", environ={}, cwd=tmp_path)
    with pytest.raises(UsageError, match="letters, digits"):
        load(destination="../../etc", environ={}, cwd=tmp_path)


def test_the_digest_changes_with_the_file_and_its_overlay_alone(make: Make) -> None:
    first = make()
    assert len(first.digest) == 64
    assert make(files={".env": "A=1"}).digest == first.digest
    assert make(SIMPLE + "# changed\n").digest != first.digest
    assert make(files={"config/deploy.x.yml": ""}, destination="x").digest != first.digest


def test_dotenv_wins_over_the_environment_and_the_destinations_over_both(make: Make) -> None:
    files = {".env": "A=file\nB=file\n", ".env.staging": "B=staging\n", "config/deploy.staging.yml": "{}"}
    project = make(files=files, destination="staging", A="process", B="process", C="process")
    assert [project.environ[name] for name in "ABC"] == ["file", "staging", "process"]
    assert [path.name for path in project.sources] == ["deploy.yml", "deploy.staging.yml", ".env", ".env.staging"]


def test_dotenv_is_seen_by_erb(make: Make) -> None:
    assert (
        make('service: <%= ENV["APP"] %>\nimage: a\nservers: [a]', files={".env": "APP=shop"}).config.service == "shop"
    )


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("export A=plain", "plain"),
        ("A='single $B ${B}'", "single $B ${B}"),
        ('A="double $B ${B}"', "double b b"),
        ("A=bare$B", "bareb"),
        (r"A=escaped\$B", "escaped$B"),
        ('A="two\\nlines"', "two\nlines"),
        ("A=x # comment", "x"),
        ("A=", ""),
        ("A=$NOWHERE", ""),
        ("A=100$", "100$"),
    ],
)
def test_dotenv_lines_mean_what_they_mean_to_kamal(line: str, value: str) -> None:
    assert read_env(line, {"B": "b"}).values == {"A": value}


def test_a_bad_line_in_dotenv_is_a_warning_without_its_text(make: Make) -> None:
    (warning,) = make(files={".env": f"A=1\n={CANARY}\n"}).warnings
    assert warning.startswith(".env line 2 sets nothing")
    assert CANARY not in warning


def test_a_secret_comes_from_the_environment_a_file_or_a_command(make: Make, tmp_path: Path) -> None:
    project = make(files={".env": "FROM_ENV=one"})
    (tmp_path / "two").write_text("line 1\nline 2\n")
    assert project.secret(SecretSource(env="FROM_ENV")).value == "one"
    assert project.secret(SecretSource(file="two")).value == "line 1\nline 2"
    assert project.secret(SecretSource(file=str(tmp_path / "two"))).value == "line 1\nline 2"
    assert project.secret(python("print('three')")).value == "three"


def test_a_command_runs_once_in_the_project_with_dotenv_and_without_a_shell(make: Make, tmp_path: Path) -> None:
    project = make(files={".env": "A=from dotenv"})
    script = "import os; open('ran', 'a').write('x'); print(os.environ['A'], '$HOME;*')"
    assert not (tmp_path / "ran").exists()
    values = []
    threads = [threading.Thread(target=lambda: values.append(project.secret(python(script)).value)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == ["from dotenv $HOME;*"] * 4
    assert (tmp_path / "ran").read_text() == "x"


def test_a_command_that_fails_is_told_by_its_exit_code_never_by_its_output(make: Make) -> None:
    script = f"import sys; print('{CANARY}'); print('{CANARY}', file=sys.stderr); sys.exit(3)"
    sentence = why(make(), python(script))
    assert "exit code 3" in sentence
    assert CANARY not in sentence


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("pass", "nothing"),
        (r"print('a\0b')", "a NUL byte"),
        (r"import sys; sys.stdout.buffer.write(b'\xff')", "no UTF-8"),
    ],
)
def test_what_a_command_prints_must_be_a_text(make: Make, script: str, expected: str) -> None:
    assert expected in why(make(), python(script))


def test_a_command_that_hangs_is_ended_even_where_a_grandchild_holds_its_output(tmp_path: Path, make: Make) -> None:
    loaded = make()
    project = Project(
        root=loaded.root,
        config=loaded.config,
        sources=loaded.sources,
        digest="",
        environ=loaded.environ,
        secret_timeout=0.3,
    )
    source = SecretSource(command=("sh", "-c", "sleep 5 & echo $! > pid; sleep 5"), where="x")
    started = time.monotonic()
    assert "took more than 0.3 s" in why(project, source)
    assert time.monotonic() - started < 3
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_a_program_that_is_not_there_is_named(make: Make) -> None:
    assert "the command no-such-program, which does not start" in why(
        make(), SecretSource(command=("no-such-program",), where="x")
    )


@pytest.mark.parametrize("name", ["nowhere", ".", "a\0b", "~nobody-at-all/x"])
def test_a_file_that_cannot_be_read_is_named(make: Make, name: str) -> None:
    assert "cannot be read" in why(make(), SecretSource(file=name, where="x"))


def test_a_variable_that_is_not_set_is_named_only_when_it_is_asked_for(make: Make) -> None:
    project = make(SIMPLE + "registry: {username: u, password: [TOKEN]}")
    source = project.config.registry.password
    assert source is not None
    assert "TOKEN, which is not set" in why(project, source)


def test_a_command_in_dotenv_is_not_run_and_says_what_to_write(make: Make, tmp_path: Path) -> None:
    project = make(files={".env": "TOKEN=$(touch ran)\nOK='$(x)'\n"})
    assert "{command: [program, word]}" in why(project, SecretSource(env="TOKEN", where="x"))
    assert project.secret(SecretSource(env="OK")).value == "$(x)"
    assert not (tmp_path / "ran").exists()


def test_a_project_shows_no_secret(make: Make) -> None:
    project = make(SIMPLE + f"registry: {{username: u, password: {CANARY}}}", files={".env": f"A={CANARY}"})
    project.secret(SecretSource(env="A"))
    assert CANARY not in repr(project) + str(project) + "".join(project.warnings)
    assert "registry/password" in project.warnings[0]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"service: \xe9"])
def test_a_file_that_is_no_utf_8_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/deploy.yml").write_bytes(content)
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(environ={}, cwd=tmp_path)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/deploy.yml").write_bytes(b"\xef\xbb\xbf" + SIMPLE.encode())
    assert load(environ={}, cwd=tmp_path).config.service == "app"


def test_a_private_key_in_the_environment_is_the_first_key_and_is_not_shown(make: Make) -> None:
    project = make(KAMALNB_SSH_KEY=CANARY)
    first = project.config.ssh.first_key
    assert first is not None
    assert project.secret(first).value == CANARY
    assert CANARY not in repr(project) + str(project.config)
    assert make().config.ssh.first_key is None
    assert make(KAMALNB_SSH_KEY=" \n").config.ssh.first_key is None
    assert make(KAMALNB_SSH_KEY=CANARY).digest == make().digest


def git(root: Path, *words: str) -> None:
    command = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=jana@example.com", *words]
    subprocess.run(command, check=True, capture_output=True)


def test_the_version_from_git_is_the_commit_and_says_when_files_were_changed(make: Make, tmp_path: Path) -> None:
    project = make()
    with pytest.raises(UsageError, match="--version="):
        project.version_from_git()
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = project.version_from_git()
    assert len(clean) == 40
    (tmp_path / "new").write_text("x")
    first, second = project.version_from_git(), project.version_from_git()
    assert first.startswith(f"{clean}_uncommitted_")
    assert len(first) == len(clean) + len("_uncommitted_") + 16
    assert first != second


def test_without_git_installed_the_version_must_be_named(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--version="):
        load(environ={"PATH": str(tmp_path)}, cwd=make().root).version_from_git()


def test_the_performer_is_who_is_named_else_git_else_user_and_machine(make: Make, tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    assert "@" in make(**nobody).performer()
    git(tmp_path, "init")
    git(tmp_path, "config", "user.email", "jana@example.com")
    assert make(**nobody).performer() == "jana@example.com"
    assert make(**nobody, JUPYTERHUB_USER="hub").performer() == "hub"
    assert make(**nobody, JUPYTERHUB_USER="hub", GITHUB_ACTOR="octo").performer() == "octo"
    assert make(**nobody, GITHUB_ACTOR="octo", KAMALNB_PERFORMER="me\n[x]\x1b").performer() == "me [x]"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(make: Make, tmp_path: Path) -> None:
    make()
    (tmp_path / "config/deploy.yml").chmod(stat.S_IWUSR)
    with pytest.raises(ConfigError, match="permissions"):
        load(environ={}, cwd=tmp_path)
