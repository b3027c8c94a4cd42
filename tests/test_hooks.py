"""Hooks as a team writes them: real shell scripts, what they are told, and what comes of their exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kamalnb.errors import HookFailed
from kamalnb.hooks import NAMES, TRUTHS, Details, environment, inherited_lock, overlooked, problems, run_hook
from kamalnb.project import Project, load

RUN = "0123456789abcdef"
DETAILS = Details(version="abc12345", hosts=("web-1", "web-2"), command="deploy", lock=RUN)
Make = Callable[..., Project]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A project with hooks: ``make(pre_deploy="echo hi")``."""

    def build(
        *, destination: str | None = None, env: str = "", environ: dict[str, str] | None = None, **hooks: str
    ) -> Project:
        files = {"config/deploy.yml": "service: shop\nimage: shop\nservers: [web-1, web-2]\n", ".env": env}
        if destination:
            files[f"config/deploy.{destination}.yml"] = "{}"
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        directory = tmp_path / ".kamal" / "hooks"
        directory.mkdir(parents=True, exist_ok=True)
        for name, script in hooks.items():
            path = directory / name.replace("_", "-")
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        given = {"PATH": os.environ["PATH"], "KAMALNB_PERFORMER": "jana@example.com", **(environ or {})}
        return load(destination=destination, environ=given, cwd=tmp_path)

    return build


def nothing(line: str) -> None:
    """Nobody listens."""


def refused(project: Project, name: str, **more: object) -> HookFailed:
    with pytest.raises(HookFailed) as caught:
        run_hook(project, name, DETAILS, nothing, **more)  # type: ignore[arg-type]
    assert caught.value.exit_code == 1
    return caught.value


def told(project: Project, details: Details, name: str = "pre-deploy") -> dict[str, str]:
    """The variables of ours that a hook sees."""
    lines: list[str] = []
    run_hook(project, name, details, lines.append)
    return dict(line.split("=", 1) for line in lines if line.startswith("KAMAL"))


def test_a_hook_that_is_not_there_is_nothing(make: Make) -> None:
    result = run_hook(make(), "pre-deploy", DETAILS, nothing)
    assert (result.ran, result.warning) == (False, "")


def test_a_hook_is_told_what_kamal_tells_it(make: Make) -> None:
    found = told(make(pre_deploy="env"), DETAILS)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("KAMAL_RECORDED_AT"))
    assert found == {
        "KAMAL_PERFORMER": "jana@example.com",
        "KAMAL_VERSION": "abc12345",
        "KAMAL_SERVICE_VERSION": "shop@abc1234",
        "KAMAL_SERVICE": "shop",
        "KAMAL_HOSTS": "web-1,web-2",
        "KAMAL_COMMAND": "deploy",
        "KAMALNB_LOCK": RUN,
        "KAMALNB_PERFORMER": "jana@example.com",
    }


def test_what_is_not_always_there_is_told_where_it_is(make: Make) -> None:
    details = Details(
        version="1_uncommitted_2", command="app", subcommand="boot", roles=("web", "jobs"), runtime=12.6,
        error="web-1: it is\n  away", failed_hosts=("web-1",),
    )  # fmt: skip
    found = told(make(destination="staging", pre_deploy="env"), details)
    assert found["KAMAL_DESTINATION"] == "staging"
    assert found["KAMAL_SERVICE_VERSION"] == "shop@1_uncommitted_2"
    assert (found["KAMAL_SUBCOMMAND"], found["KAMAL_ROLE"], found["KAMAL_ROLES"]) == ("boot", "web,jobs", "web,jobs")
    assert found["KAMAL_RUNTIME"] == "13"
    assert (found["KAMALNB_ERROR"], found["KAMALNB_FAILED_HOSTS"]) == ("web-1: it is away", "web-1")
    assert "KAMALNB_LOCK" not in found


def test_every_variable_that_is_told_is_declared(make: Make) -> None:
    details = Details(
        version="v", hosts=("a",), roles=("r",), command="c", subcommand="s", runtime=1.0, lock=RUN, error="e",
        failed_hosts=("a",),
    )  # fmt: skip
    before = make(destination="staging")
    assert {name for name in environment(before, details) if name not in before.environ} == NAMES


def test_what_an_outer_run_told_its_hook_is_not_passed_on_but_for_its_lock(make: Make) -> None:
    outer = {"KAMAL_RUNTIME": "7", "KAMAL_DESTINATION": "production", "KAMALNB_LOCK": RUN}
    found = told(make(environ=outer, pre_deploy="env"), Details(version="v"))
    assert ("KAMAL_RUNTIME" in found, "KAMAL_DESTINATION" in found, found["KAMALNB_LOCK"]) == (False, False, RUN)


@pytest.mark.parametrize(("given", "lock"), [(RUN, RUN), ("", ""), ("../../etc", ""), ("$(id)", "")])
def test_the_lock_of_an_outer_run_is_an_id_and_nothing_else(given: str, lock: str) -> None:
    assert inherited_lock({"KAMALNB_LOCK": given}) == lock
    assert inherited_lock({}) == ""


def test_a_hook_runs_in_the_project_with_the_secrets_of_dotenv_and_no_standard_input(
    make: Make, tmp_path: Path
) -> None:
    lines: list[str] = []
    project = make(env="TOKEN=hunter2\n", pre_connect='cat; echo "$(pwd) $TOKEN"; echo wrong >&2')
    result = run_hook(project, "pre-connect", DETAILS, lines.append)
    assert lines == [f"{tmp_path} hunter2", "wrong"]
    assert (result.ran, result.last_lines) == (True, tuple(lines))


def test_a_script_without_a_first_line_is_one_for_the_shell(make: Make, tmp_path: Path) -> None:
    project = make(pre_deploy="")
    (tmp_path / ".kamal/hooks/pre-deploy").write_text("echo hello\n")
    assert run_hook(project, "pre-deploy", DETAILS, nothing).last_lines == ("hello",)


def test_lines_come_while_the_hook_still_runs(make: Make, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    project = make(pre_deploy="echo one; read line < go; echo $line")
    lines: list[str] = []

    def answer(line: str) -> None:
        lines.append(line)
        if line == "one":
            (tmp_path / "go").write_text("two\n")

    run_hook(project, "pre-deploy", DETAILS, answer, limit=20)
    assert lines == ["one", "two"]


def test_all_that_a_hook_prints_is_read(make: Make) -> None:
    lines: list[str] = []
    project = make(pre_deploy="i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; printf 'no break\\377'")
    result = run_hook(project, "pre-deploy", DETAILS, lines.append)
    assert lines == [*(f"line {number}" for number in range(3000)), "no break�"]
    assert len(result.last_lines) == 20


def test_a_line_without_an_end_does_not_fill_the_memory(make: Make) -> None:
    lines: list[str] = []
    run_hook(make(pre_deploy="head -c 1000000 /dev/zero | tr '\\0' x"), "pre-deploy", DETAILS, lines.append)
    assert sum(len(line) for line in lines) == 1_000_000
    assert max(len(line) for line in lines) < 100_000


@pytest.mark.parametrize("name", [name for name in TRUTHS if name != "deploy-failed"])
def test_a_hook_that_fails_aborts_and_says_what_is_true(make: Make, name: str) -> None:
    error = refused(make(**{name.replace("-", "_"): "echo first; echo last; exit 3"}), name)
    assert error.sentence == (
        f"The hook {name} ended with exit code 3. {TRUTHS[name]} "
        f"Correct .kamal/hooks/{name}, or pass over hooks with --skip-hooks."
    )
    assert error.lines == ("first", "last")
    assert str(error).splitlines()[1:] == ["    first", "    last"]


def test_what_is_true_may_be_said_by_the_caller(make: Make) -> None:
    assert "web-1 serves v2. Correct" in str(
        refused(make(post_app_boot="false"), "post-app-boot", truth="web-1 serves v2.")
    )


def test_deploy_failed_that_fails_is_a_warning_only(make: Make) -> None:
    result = run_hook(make(deploy_failed="exit 1"), "deploy-failed", DETAILS, nothing)
    assert (result.ran, result.warning) == (True, "The hook deploy-failed ended with exit code 1.")


def test_a_hook_that_is_killed_is_told_by_its_signal(make: Make) -> None:
    assert "was ended by SIGKILL" in str(refused(make(pre_deploy="kill -9 $$"), "pre-deploy"))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.chmod(0o644), "is not executable (`chmod +x .kamal/hooks/pre-deploy`)"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "is a link to nothing"),
        (lambda path: path.write_text("#!/no/such/program\n"), "does not start: No such file or directory"),
    ],
)
def test_a_hook_that_cannot_be_run_is_a_sentence(
    make: Make, tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    project = make(pre_deploy="true")
    spoil(tmp_path / ".kamal/hooks/pre-deploy")
    assert why in str(refused(project, "pre-deploy"))


def test_hooks_that_cannot_be_run_are_told_before_a_run(make: Make, tmp_path: Path) -> None:
    project = make(pre_deploy="true", post_deploy="true")
    assert problems(project) == ()
    (tmp_path / ".kamal/hooks/post-deploy").chmod(0o644)
    assert problems(project) == (
        "The hook post-deploy cannot be run: .kamal/hooks/post-deploy is not executable "
        "(`chmod +x .kamal/hooks/post-deploy`).",
    )


def test_files_that_are_mistaken_for_hooks_are_told(make: Make, tmp_path: Path) -> None:
    project = make(pre_build="true", pre_deploy="true")
    for name in ("pre_deploy", "post-deploy.sample", "README.md", "lib.sh"):
        (tmp_path / ".kamal/hooks" / name).touch()
    assert overlooked(project) == (
        "the hook pre-build is not run: kamalnb does not build images. Run it before you build.",
        ".kamal/hooks/pre_deploy is not run: no hook has that name. Call it pre-deploy.",
    )


def test_without_a_directory_of_hooks_nothing_is_overlooked(make: Make, tmp_path: Path) -> None:
    project = make()
    (tmp_path / ".kamal/hooks").rmdir()
    assert (overlooked(project), problems(project)) == ((), ())


def test_a_hook_of_another_name_is_a_defect_of_the_caller(make: Make) -> None:
    with pytest.raises(ValueError, match="pre-lunch"):
        run_hook(make(), "pre-lunch", DETAILS, nothing)


def gone(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return state.strip()[:1] in ("", "Z")


def test_a_hook_that_takes_too_long_is_ended_with_all_that_it_started(make: Make, tmp_path: Path) -> None:
    project = make(pre_deploy="sleep 60 & echo $! > child; echo waiting; wait")
    error = refused(project, "pre-deploy", limit=0.5)
    assert "took more than 0.5 s and was ended. Nothing was changed." in str(error)
    assert error.lines == ("waiting",)
    assert gone(int((tmp_path / "child").read_text()))


def test_a_hook_that_closes_its_output_is_still_waited_for_and_bounded(make: Make) -> None:
    project = make(pre_deploy="exec >&- 2>&-; sleep 60")
    assert "took more than 0.3 s" in str(refused(project, "pre-deploy", limit=0.3))


def test_a_hook_is_ended_when_the_run_is_stopped(make: Make) -> None:
    stop = threading.Event()
    project = make(pre_deploy="echo up; sleep 60")
    with pytest.raises(HookFailed, match="since the run was stopped"):
        run_hook(project, "pre-deploy", DETAILS, lambda line: stop.set(), abort=stop.is_set)


def test_what_a_hook_leaves_in_the_background_is_not_waited_for(make: Make, tmp_path: Path) -> None:
    project = make(post_deploy="sleep 30 & echo $! > child; echo done")
    began = time.monotonic()
    assert run_hook(project, "post-deploy", DETAILS, nothing, limit=10).last_lines == ("done",)
    assert time.monotonic() - began < 10
    child = int((tmp_path / "child").read_text())
    assert not gone(child)
    os.kill(child, 9)
