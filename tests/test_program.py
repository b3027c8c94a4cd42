"""The command ``kamalnb``: the list, help, aliases, completion, and one sentence for each mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kamalnb import __version__
from kamalnb.program import KamalnbProgram, main, program
from kamalnb.tasks import ns

ROOT = Path(__file__).parents[1]
GOOD = """
service: app
image: app
servers: {web: [web-1]}
aliases:
  good: check --json
  quoted: check --roles="no such"
  broken: chek --json
  check: boot
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "deploy.yml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        main(["kamalnb", *words])
    shown = capsys.readouterr()
    return int(leaving.value.code or 0), shown.out, shown.err


def parsed(*words: str) -> list[tuple[str, dict[str, object]]]:
    """What would be run, with which options."""
    found = KamalnbProgram(version="1", namespace=ns, name="kamalnb", binary="kamalnb", binary_names=["kamalnb"])
    found.create_config()
    found.parse_core(["kamalnb", *words])
    found.parse_collection()
    found.parse_tasks()
    return [(str(context.name), dict(context.as_kwargs)) for context in found.tasks]


def test_alone_it_says_what_it_is_and_lists_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys)
    assert (code, err) == (0, "")
    assert out.startswith(f"kamalnb {__version__} deploys containers to your own servers")
    assert [name for name in ns.task_names if f"  {name} " not in out] == []


@pytest.mark.parametrize(
    "words", [("check", "--help"), ("check", "-h"), ("check", "--json", "-h"), ("--help", "check"), ("help", "check")]
)
def test_help_of_a_task(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, out, _err = ran(capsys, *words)
    assert code == 0
    assert out.startswith("Usage: kamalnb check [--options]\n\n  Looks at")
    assert "-d STRING, --destination=STRING" in out


def test_help_of_a_task_is_not_taken_for_its_first_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "lab.ssh", "--help")[:2][1].startswith("Usage: kamalnb lab.ssh HOST [--options]")


def test_help_of_nothing_is_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "help") == ran(capsys, "--help") == ran(capsys)


def test_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "--version") == ran(capsys, "-V") == (0, f"kamalnb {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("bot", "no task is called “bot”. Did you mean boot?"),
        ("zzz", "no task is called “zzz”. `kamalnb --list` has them all."),
        ("goood", "no task is called “goood”. Did you mean good?"),
        ("traefik boot", "no task is called traefik. Did you mean traefik.boot?"),
        ("traefik", "traefik is a group of tasks. Write one of these: traefik."),
        ("app boot", "no task is called app. Did you mean boot?"),
        ("lab", "lab is a group of tasks. Write one of these: lab.down, lab.ssh, lab.status, lab.up."),
        ("check abc1234", "check takes no “abc1234” there. If it is the version, write --version=abc1234."),
        ("boot --verison=1", "boot has no option --verison. Did you mean --version?"),
        ("boot --zzzzzz", "boot has no option --zzzzzz. `kamalnb boot --help` has them all."),
        ("boot -x", "boot has no option -x. `kamalnb boot --help` has them all."),
        ("--foo boot", "kamalnb itself has no option --foo. Options of a task are written after it."),
        ("-d staging boot", "kamalnb itself has no option -d. Options of a task are written after it."),
        ("boot --version", "--version is empty. Give it a value, or leave it away."),
        ("boot --version=", "--version is empty. Give it a value, or leave it away."),
        ("boot --hosts", "--hosts is empty. Give it a value, or leave it away."),
        ("boot --hosts=", "--hosts is empty. Give it a value, or leave it away."),
        ("boot -r --json", "-r is empty. Give it a value, or leave it away."),
        ("lab.ssh", "lab.ssh needs HOST. Write `kamalnb lab.ssh HOST`."),
        ("lab.up --count=x", "“x” stands where a whole number is wanted. Write one like 2."),
        ("help bot", "no task is called “bot”. Did you mean boot?"),
        ("--list nope", "sub-collection 'nope' not found."),
        ("--print-completion-script=tcsh", 'completion for shell "tcsh" not supported (options are: bash, fish, zsh).'),
        ("broken", "the alias broken of deploy.yml begins with chek, and there is no such task. Did you mean check?"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_begun(
    capsys: pytest.CaptureFixture[str], project: Path, words: str, sentence: str
) -> None:
    code, out, err = ran(capsys, *words.split())
    assert (code, out) == (2, "")
    assert err.rstrip("\n").startswith(sentence)
    assert err.count("\n") == 1


def test_an_empty_variable_in_front_of_another_word_is_no_choice_either(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "boot", "--hosts", "")[0] == 2
    assert ran(capsys, "boot", "-H", "", "--json")[0] == 2


def test_options_mean_what_they_mean_under_invoke() -> None:
    ((name, given),) = parsed("boot", "--version=abc", "-d", "staging", "-p", "-c", "x.yml", "-H", "a,b", "-q")
    assert name == "boot"
    assert (given["version"], given["destination"], given["primary"], given["quiet"]) == ("abc", "staging", True, True)
    assert (given["config_file"], given["hosts"]) == ("x.yml", ["a,b"])


def test_an_alias_stands_for_its_words_and_more_may_follow(project: Path) -> None:
    ((name, given),) = parsed("good", "--roles=web")
    assert (name, given["json"], given["roles"]) == ("check", True, ["web"])
    ((name, given),) = parsed("quoted")
    assert given["roles"] == ["no such"]


def test_a_tasks_own_name_wins_over_an_alias(project: Path) -> None:
    assert parsed("check")[0][0] == "check"


def test_an_alias_is_read_from_the_file_that_is_chosen(project: Path) -> None:
    (project / "other.yml").write_text(GOOD.replace("good:", "other:"))
    assert parsed("other", "-c", "other.yml")[0][0] == "check"
    assert parsed("other", "--config-file=other.yml")[0][1]["config_file"] == "other.yml"
    (project / "config/deploy.staging.yml").write_text("aliases: {stage: boot}")
    assert parsed("stage", "-d", "staging")[0][0] == "boot"


def test_a_file_that_cannot_be_read_is_said_where_an_alias_may_have_been_meant(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    (project / "config/deploy.yml").write_text("service: [")
    code, _out, err = ran(capsys, "good")
    assert code == 2
    assert err.endswith("(Its aliases could not be read: config/deploy.yml has 1 problem.)\n")


def test_where_there_is_no_project_an_unknown_word_is_just_that(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ran(capsys, "bot")[2] == "no task is called “bot”. Did you mean boot?\n"


def test_the_file_is_not_read_for_a_task_that_is_known() -> None:
    code = (
        "import sys\nfrom kamalnb.program import main\n"
        "try:\n    main(['kamalnb', 'check', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('kamalnb.project' in sys.modules, 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


def called(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "kamalnb", *words], cwd=cwd, env=env, capture_output=True, text=True)


def test_as_a_module_it_is_the_same_and_hints_are_as_it_was_called(project: Path) -> None:
    assert called("boot", "--nonsense", cwd=project).returncode == 2
    code = (
        "import sys, runpy\nsys.argv = ['x', '--version']\n"
        "try:\n    runpy.run_module('kamalnb', run_name='__main__')\nexcept SystemExit:\n    pass\n"
        "from kamalnb.command_line import program\nprint(program())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "python -m kamalnb"


def test_a_reader_that_goes_away_is_no_crash(project: Path) -> None:
    shell = f"{sys.executable} -m kamalnb config.schema | head -n 1"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", shell], cwd=project, env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_for_this_name(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    code, out, _err = ran(capsys, f"--print-completion-script={shell}")
    assert code == 0
    assert "kamalnb" in out
    assert not {"_complete_invoke", "invoke --complete", "inv"} & set(out.split())


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("kamalnb bo", ["boot"]), ("kamalnb boot --vers", ["--version"]), ("kamalnb --li", ["--list"])],
)
def test_bash_completes(tmp_path: Path, typed: str, offered: list[str]) -> None:
    (tmp_path / "kamalnb").write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c "\nfrom kamalnb.program import main\nmain()" "$@"\n'
    )
    (tmp_path / "kamalnb").chmod(0o755)
    script = (
        'eval "$(kamalnb --print-completion-script=bash)"\n'
        f"COMP_WORDS=({typed}); COMP_CWORD=$(({len(typed.split())} - 1))\n"
        f'_complete_kamalnb kamalnb "{typed.split()[-1]}" ""\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert set(offered) <= set(done.stdout.split())
    assert all(word.startswith(typed.split()[-1]) for word in done.stdout.split())


def test_the_program_has_the_tasks_of_invoke() -> None:
    assert program.namespace is ns
