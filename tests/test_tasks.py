"""The tasks as Invoke sees them: flags, help, exit codes, and how little they load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.parser import Parser

from kamalnb.at import At
from kamalnb.command_line import guarded, words
from kamalnb.errors import ConfigError, HostUnreachable, LockHeld, UsageError
from kamalnb.flags import OPTIONS
from kamalnb.tasks import ns
from kamalnb.wording import Called

ROOT = Path(__file__).parent.parent
HEAVY = ("pandas", "ipywidgets", "fabric", "paramiko", "pydantic", "rich", "yaml")
TASKS = sorted(ns.task_names)
GOOD = "service: app\nimage: app\nservers: {web: [web-1], jobs: [web-2]}\n"


def invoke(*argv: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environ}
    return subprocess.run([sys.executable, "-m", "invoke", *argv], cwd=cwd, env=env, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "deploy.yml").write_text(GOOD)
    (tmp_path / "tasks.py").write_text("from kamalnb.tasks import ns\n")
    return tmp_path


def parsed(*argv: str) -> dict[str, object]:
    (context,) = Parser(contexts=ns.to_contexts()).parse_argv(list(argv))
    return dict(context.as_kwargs)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_and_every_option_has_help(name: str) -> None:
    assert (ns[name].__doc__ or "").strip()
    for argument in ns[name].get_arguments():
        assert argument.help, f"{name}: {argument.name}"


@pytest.mark.parametrize("name", TASKS)
def test_short_flags_are_the_declared_ones_and_no_others(name: str) -> None:
    for argument in ns[name].get_arguments():
        short = [flag for flag in argument.names if len(flag) == 1]
        name = argument.attr_name or argument.name
        assert short == [flag for flag in [OPTIONS[name][0]] if flag], argument.name


def test_short_flags_mean_what_they_mean_in_kamal() -> None:
    given = parsed("boot", "-d", "staging", "-r", "web", "-p", "-c", "x.yml", "-q", "-v", "-H", "web-1")
    assert (given["destination"], given["roles"], given["primary"]) == ("staging", ["web"], True)
    assert (given["config_file"], given["quiet"], given["verbose"], given["hosts"]) == ("x.yml", True, True, ["web-1"])


@pytest.mark.parametrize(
    "argv", [("--roles=web,jobs",), ("--roles=web", "--roles=jobs"), ("-r", "web", "-r", "jobs"), ("-r", "web, jobs")]
)
def test_lists_are_given_with_commas_or_by_repeating_the_flag(argv: tuple[str, ...]) -> None:
    assert words(parsed("boot", *argv)["roles"]) == ("web", "jobs")  # type: ignore[arg-type]


def test_h_is_help() -> None:
    for argv in (("boot", "-h"), ("boot", "--help"), ("--help", "boot")):
        done = invoke(*argv)
        assert done.returncode == 0
        assert "--skip-unreachable" in done.stdout


def loaded_for_list(cwd: Path) -> set[str]:
    code = (
        "import sys\nfrom invoke.main import program\n"
        "try:\n    program.run(['invoke', '--list'])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    listed, _, modules = done.stdout.strip().rpartition("\n")
    assert "Available tasks" in listed
    return set(modules.split())


def test_listing_the_tasks_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("from invoke import task\n\n@task\ndef one(c):\n    pass\n")
    by_invoke_alone = loaded_for_list(tmp_path)  # PyYAML, where Invoke comes without its own copy
    ours = loaded_for_list(ROOT) - by_invoke_alone
    assert "kamalnb.tasks" in ours
    assert ours & set(HEAVY) == set()
    light = {"kamalnb", "kamalnb.command_line", "kamalnb.flags", "kamalnb.errors", "kamalnb.development"}
    rest = {name for name in ours if name.startswith("kamalnb") and not name.startswith("kamalnb.tasks")}
    assert rest <= light


def test_a_role_that_does_not_exist_is_a_sentence_with_the_choices(project: Path) -> None:
    done = invoke("boot", "--roles=wbe", cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "No role is called “wbe”. There are: web, jobs.\n"


def test_broken_yaml_is_a_sentence_with_its_line(project: Path) -> None:
    (project / "config" / "deploy.yml").write_text("service: [\n")
    done = invoke("boot", cwd=project)
    assert done.returncode == 2
    assert "line " in done.stderr
    assert "Traceback" not in done.stderr


def test_check_shows_a_broken_file_as_rows(project: Path) -> None:
    (project / "config" / "deploy.yml").write_text(GOOD + "servrs: 1\n")
    done = invoke("check", "--json", cwd=project)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (1, "")
    assert [(row["name"], row["verdict"]) for row in rows] == [("config", "failed")]
    assert "Did you mean servers?" in rows[0]["sentence"]


def test_json_and_an_unusable_command_leave_standard_output_empty(project: Path) -> None:
    done = invoke("boot", "--json", "-d", "nowhere", cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere" in done.stderr


def test_the_schema_is_one_json_document() -> None:
    assert "service" in json.loads(invoke("config.schema").stdout)["properties"]


def test_no_lab_is_said_in_a_sentence(tmp_path: Path) -> None:
    done = invoke("lab.ssh", "web-1", f"--directory={tmp_path / 'none'}")
    assert done.returncode == 1
    assert done.stderr.startswith("There is no lab in")


def test_errors_have_exit_codes_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    def ends(error: Exception) -> int:
        def action() -> None:
            raise error

        return guarded(action)

    errors = (UsageError("x"), ConfigError((("a", "b"),)), HostUnreachable("h", "connect", "s"), LockHeld("x"))
    assert [ends(error) for error in errors] == [2, 2, 69, 75]
    capsys.readouterr()
    assert ends(TypeError("oops")) == 70
    assert capsys.readouterr().err == (
        "This is a defect of kamalnb (TypeError: oops). "
        "Run it again with KAMALNB_DEBUG=1 to see where, and report it.\n"
    )


def test_the_traceback_is_there_for_those_who_ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAMALNB_DEBUG", "1")
    assert guarded(lambda: 1 / 0) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_task_that_exits_otherwise_is_left_alone() -> None:
    assert guarded(lambda: None) == 0
    assert guarded(lambda: 3) == 3
    with pytest.raises(SystemExit):
        guarded(lambda: sys.exit(4))


def test_hints_carry_the_options_that_chose_the_configuration() -> None:
    chosen = At({"config_file": "a.yml", "destination": "staging"}, Context())
    assert chosen.called.options == ("-c", "a.yml", "-d", "staging")
    assert At({}, Context()).called == Called(chosen.called.program)
