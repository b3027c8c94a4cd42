"""README, CI and the demo's hints: what they say exists, and what they tell people to type is understood."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kamalnb import exits
from kamalnb.fleet import Fleet
from kamalnb.readme import with_table
from kamalnb.tasks import ns

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci" / "run").read_text()

# Run in the checkout: says for each command whether Invoke understands it, with this checkout's tasks.
PARSE = """
import json, shlex, sys
from invoke import Program
from invoke.parser import Parser
import tasks
initial = Program().initial_context
for line in json.load(sys.stdin):
    try:
        Parser(contexts=tasks.ns.to_contexts(), initial=initial).parse_argv(shlex.split(line)[1:])
        print(json.dumps([line, ""]))
    except Exception as error:
        print(json.dumps([line, str(error)]))
"""


def blocks() -> list[str]:
    """The lines of README's shell blocks, comments cut off."""
    text = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.S))
    return [line.split("  #")[0].split(" # ")[0].strip() for line in text.splitlines() if line.strip()]


def inline() -> list[str]:
    """Commands in README's sentences."""
    return re.findall(r"`(invoke [^`]+)`", README)


def hints() -> list[str]:
    """What the demo says to try."""
    source = (ROOT / "kamalnb" / "lab" / "demo.py").read_text()
    return [f"invoke {words}" for words in re.findall(r'\{program\(\)\} ([^"{]+?)\{chosen\}', source)]


@pytest.fixture(scope="module")
def listed() -> dict[str, str]:
    """Each task of this checkout with its first line of help."""
    words = [sys.executable, "-m", "invoke", "--list", "--list-format=json"]
    document = json.loads(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    found = {task["name"]: task["help"] or "" for task in document["tasks"]}
    for group in document["collections"]:
        found |= {f"{group['name']}.{task['name']}": task["help"] or "" for task in group["tasks"]}
        if group.get("default"):
            found[group["name"]] = "its default task"
    return found


def understood(commands: list[str]) -> dict[str, str]:
    """What is wrong with each command; empty where nothing is."""
    words = [sys.executable, "-c", PARSE]
    told = subprocess.run(words, cwd=ROOT, input=json.dumps(commands), capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in told.stdout.splitlines())


def test_every_task_that_readme_names_exists(listed: dict[str, str]) -> None:
    named = {command.split()[1] for command in (*blocks(), *inline()) if command.startswith("invoke ")}
    assert {"demo", "test", "check", "boot", "lab.up"} <= named
    assert named - set(listed) == set()


def test_every_task_has_help(listed: dict[str, str]) -> None:
    assert [name for name, about in listed.items() if not about.strip()] == []


def test_every_task_has_an_example_that_parses() -> None:
    examples = {}
    for name in ns.task_names:
        lines = [line.strip() for line in (ns[name].__doc__ or "").splitlines()]
        examples[name] = [line for line in lines if line.startswith("invoke ")]
    assert [name for name, found in examples.items() if not found] == []
    commands = [line.partition(" >")[0] for found in examples.values() for line in found]
    assert {command: why for command, why in understood(commands).items() if why} == {}


def test_the_table_of_commands_is_that_of_the_tasks() -> None:
    assert with_table(README, ns) == README


def test_every_task_is_a_verb_of_the_fleet_too() -> None:
    words = {name.partition(".")[0] for name in ns.task_names} - {
        "lab",
        "config",
        "init",
        "setup",
        "runbook",
        "notebook",
    }
    verbs = {name for name in dir(Fleet) if not name.startswith("_")}
    same = {"version": "versions", "audit": "audit", "details": "containers", "prune": "prune", "server": "bootstrap"}
    same |= {"env": "push_env", "registry": "login", "stale-containers": "stale_containers", "lock": "lock"}
    assert {word for word in words if same.get(word, word.replace("-", "_")) not in verbs} == set()


def test_every_command_in_readme_parses() -> None:
    commands = [command for command in (*blocks(), *inline()) if command.startswith("invoke ")]
    assert {command: why for command, why in understood(commands).items() if why} == {}


def test_a_command_with_a_flag_that_does_not_exist_would_be_noticed() -> None:
    assert understood(["invoke boot --nonsense=1"])["invoke boot --nonsense=1"]


def test_every_command_that_the_demo_hints_at_parses() -> None:
    assert len(hints()) >= 3
    assert {command: why for command, why in understood(hints()).items() if why} == {}


def test_readme_has_the_exit_codes_of_the_program() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README, re.M)
    assert {int(code): meaning.replace("`", "") for code, meaning in rows} == exits.MEANING


def test_every_file_that_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_readme_starts_with_what_it_is_then_the_commands() -> None:
    marks = ["# kamalnb", "invoke demo", "invoke test", "On your own servers", "ssh HOST docker ps", "does not build"]
    places = [README.index(mark) for mark in marks]
    assert places == sorted(places)
    assert README[: places[-1]].count("\n") < 40


def test_ci_runs_the_set_up_and_the_test_command_of_readme() -> None:
    assert re.search(r"^invoke test &$", CI, re.M)
    install = next(line for line in blocks() if line.startswith("pip "))
    assert shlex.split(install)[3:] == ["install", "-e", ".[dev]"]
    assert "install --quiet -e '.[dev]'" in CI
    assert "venv --without-pip" in CI
    assert "venv --without-pip" in README


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_linter_has_nothing_to_say_about_ci() -> None:
    done = subprocess.run(["shellcheck", ".ci/run"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == ""
