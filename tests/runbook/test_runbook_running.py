"""Runbooks run by nobody: what is kept, what is told, and the one table of exit codes. Kernels are real here."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from runbooks import run, run_and_answer, run_and_signal, write

from kamalnb import exits, runbook
from kamalnb.errors import UsageError

pytestmark = pytest.mark.slow

FLEET = "import kamalnb as kn\nfleet = kn.pretend(hosts=2)"


def outputs(record: dict[str, Any]) -> str:
    texts = []
    for cell in record["cells"]:
        for output in cell.get("outputs", ()):
            texts.append(str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", "")))
    return "\n".join(texts)


def banner(record: dict[str, Any]) -> str:
    first = record["cells"][0]
    return str(first["source"]) if first["metadata"].get("tags") == ["kamalnb-banner"] else ""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


def test_a_boot_that_goes_well_ends_with_0_and_a_true_record(project: Path) -> None:
    template = write(
        project, "rollout", "#: parameters\nversion: str  # tag\nrole: str = 'web'", FLEET,
        "plan = fleet.plan(version)\nplan", "run = plan.boot()", "run.wait()\nprint(version, role)",
    )  # fmt: skip
    ran = run(project, "rollout", "version=v2", confirm="web@v2")
    assert (ran.code, ran.err.splitlines()[-1][:6]) == (exits.OK, "exit 0"), ran.err
    assert ran.path.parent == project / "runs"
    assert ran.path.name.endswith("Z-rollout.ipynb")
    nbformat.validate(nbformat.from_dict(ran.record))
    assert banner(ran.record) == ""
    assert "v2 web" in outputs(ran.record)
    injected = ran.record["cells"][1]
    assert (injected["metadata"]["tags"], injected["source"]) == (
        ["injected-parameters"],
        "# Parameters\nversion = 'v2'\n",
    )
    about = ran.about
    told = subprocess.run(["git", "hash-object", template], capture_output=True, text=True, check=True).stdout
    assert about["template_sha"] == told.strip()
    assert (about["parameters"], about["exit"]) == ({"version": "v2"}, 0)
    assert about["started_at"] <= about["finished_at"]
    assert {"user", "host", "plan"} <= set(about)
    assert f"plan {about['plan']}: 2 hosts, web@v2" in ran.err
    assert "done 2/2" in ran.err
    assert "widgets" not in ran.record["metadata"]
    assert "widget-view" not in ran.text


def test_a_dry_run_stops_after_the_plan_and_ends_with_0(project: Path) -> None:
    write(project, "dry", FLEET, "run = fleet.plan('v2').boot()\nrun.wait()", "print(*fleet.versions().version)")
    ran = run(project, "dry", dry_run=True)
    assert ran.code == exits.OK, ran.err
    assert "v1 v1" in outputs(ran.record)


def test_without_confirmation_nothing_is_begun_and_it_ends_with_2(project: Path) -> None:
    write(project, "asks", FLEET, "run = fleet.plan('v2').boot()", "print('never')")
    ran = run(project, "asks", confirm="", environ={"KAMALNB_CONFIRM": "web@v2"})  # left over from another run
    assert ran.code == exits.WRONG, ran.err
    assert "--confirm=web@v2" in ran.err
    assert "never" not in outputs(ran.record)


def test_a_failed_boot_ends_with_1_and_a_banner_that_points_at_the_cell(project: Path) -> None:
    write(
        project, "fails", "import kamalnb as kn\nfleet = kn.pretend(fail={'web-2': 'never healthy'})",
        "run = fleet.plan('v2').boot()", "print('never')",
    )  # fmt: skip
    ran = run(project, "fails", confirm="web@v2", out="out/failed.ipynb")
    assert ran.code == exits.FAILED, ran.err
    assert ran.path == project / "out" / "failed.ipynb"
    assert banner(ran.record).startswith("**This run ended with exit code 1.**")
    assert "web-2" in banner(ran.record)
    assert "(#kamalnb-failed-cell)" in banner(ran.record)
    cells = ran.record["cells"]
    marked = next(number for number, cell in enumerate(cells) if cell["id"] == "kamalnb-banner-cell")
    assert cells[marked + 1]["id"] == "c1"
    assert cells[-1]["outputs"] == []
    assert ran.about["exit"] == 1


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("LockHeld('somebody')", exits.LOCKED),
        ("HostUnreachable('web-1', 'connect', 'gone')", exits.UNREACHABLE),
        ("UsageError('no')", exits.WRONG),
        ("KamalnbError('no')", exits.FAILED),
        ("ValueError('a mistake in the notebook')", exits.FAILED),
    ],
)
def test_an_error_ends_a_runbook_as_it_ends_a_task(raised: str, code: int) -> None:
    from kamalnb import errors
    from kamalnb.runbook.inside import failure

    told = failure(eval(raised, vars(errors) | {"ValueError": ValueError}))  # noqa: S307
    assert told is not None
    assert told["code"] == code


@pytest.mark.parametrize("given", [["verison=abc"], ["version=abc", "n=two"], []])
def test_a_wrong_parameter_is_refused_before_anything_begins(tmp_path: Path, given: list[str]) -> None:
    write(tmp_path, "strict", "#: parameters\nversion: str\nn: int = 1")
    with pytest.raises(UsageError):
        runbook.run("strict", given, directory=tmp_path)
    assert not (tmp_path / "runs").exists()


def test_a_record_never_takes_the_place_of_its_runbook(tmp_path: Path) -> None:
    path = write(tmp_path, "itself", "1")
    with pytest.raises(UsageError, match="is the runbook itself"):
        runbook.run("itself", out=str(path), directory=tmp_path)


def test_a_secret_is_in_no_saved_notebook(project: Path) -> None:
    word = "pa'ss&wo\"rd12"
    write(
        project, "leaks", "import os, base64, html, json, shlex\nv = os.environ['DB_PASSWORD']",
        "print(v, base64.b64encode(('u:' + v).encode()).decode(), json.dumps(v), shlex.quote(v))",
        "print(v[:4], end='', flush=True)\nprint(v[4:])",
        "from IPython.display import HTML\nHTML('<b>' + html.escape(v) + '</b>')", "raise ValueError(v)",
    )  # fmt: skip
    ran = run(project, "leaks", environ={"DB_PASSWORD": word})
    assert ran.code == exits.FAILED
    assert "[REDACTED]" in ran.text
    inner = base64.b64encode(f"u:{word}".encode()).decode()[4:-4]
    for form in (word, "wo&quot;rd12", "ss&amp;wo", inner, "rd12"):
        assert form not in ran.text
        assert form not in ran.err


def test_a_secret_that_a_command_prints_is_hidden_once_it_was_read(project: Path) -> None:
    (project / "config").mkdir(exist_ok=True)
    (project / "config" / "deploy.yml").write_text(
        "service: app\nimage: app\nservers: [web-1]\nregistry: {server: registry.example}\n"
        "env: {secret: {WORD: {command: [sh, -c, 'echo from-a-\"\"command']}}}\n"
    )
    write(
        project, "asks-a-command",
        "from kamalnb.project import load\nproject = load()\nrole = project.config.roles[0]",
        "print('it is', project.secret(role.env_on('web-1').secret['WORD']).value)",
    )  # fmt: skip
    ran = run(project, "asks-a-command")
    assert ran.code == exits.OK, ran.err
    assert "it is [REDACTED]" in outputs(ran.record)


def test_a_rollout_that_goes_on_behind_the_last_cell_is_waited_for(project: Path) -> None:
    write(
        project, "behind",
        "import os, threading, pathlib\nos.mkfifo('answer')\n"
        "def work():\n    pathlib.Path('answer').read_text()\n    pathlib.Path('done').touch()",
        "threading.Thread(target=work, name='kamalnb-rollout', daemon=True).start()",
    )  # fmt: skip
    answer = project / "runbooks" / "answer"
    ran = run_and_answer(project, "behind", at="still going on", answer=lambda: answer.write_text("go on"))
    assert ran.code == exits.OK, ran.err
    assert (project / "runbooks" / "done").exists()
    assert "still going on: kamalnb-rollout; waiting" in ran.err


def test_a_background_boot_that_fails_is_no_success(project: Path) -> None:
    write(
        project, "background", "import os\nos.environ.pop('KAMALNB_HEADLESS')",
        "get_ipython().kernel._allow_stdin = True   # as where a person watches\nimport kamalnb as kn\n"
        "fleet = kn.pretend(fail={'web-2': 'never healthy'}, speed=5)\nrun = fleet.boot('v2', confirm='web@v2')",
    )  # fmt: skip
    ran = run(project, "background")
    assert ran.code == exits.FAILED, ran.err
    assert "still going on: boot web@v2; waiting" in ran.err


def test_a_rollout_that_nobody_ran_is_no_success(project: Path) -> None:
    write(project, "lazy", "from kamalnb.testing import pretend\nrun = pretend().boot('v2')")
    ran = run(project, "lazy")
    assert ran.code == exits.WRONG, ran.err
    assert "was made and never run" in banner(ran.record)


def test_a_kernel_that_dies_is_a_failure_with_its_record(project: Path) -> None:
    write(project, "dies", "print('alive')", "import os\nos._exit(0)", "print('never')")
    ran = run(project, "dies")
    assert ran.code == exits.FAILED
    assert "The kernel ended by itself." in banner(ran.record)
    assert "alive" in outputs(ran.record)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_cancels_the_boot_and_the_record_says_so(project: Path, number: signal.Signals, code: int) -> None:
    name = f"cancelled-{code}"
    write(
        project, name, "import kamalnb as kn\nfleet = kn.pretend(hosts=2, speed=0.05)", "run = fleet.plan('v2').boot()",
        "print('never')",
    )  # fmt: skip
    out = project / f"{name}-out.ipynb"
    got, told = run_and_signal(
        project, name, at=lambda one: one["event"] == "RolloutProgressed", send=number, confirm="web@v2", out=str(out)
    )
    assert got == code, told
    assert told[-1]["event"] == "RunbookFinished"
    assert [one["outcome"] for one in told if one["event"] == "CellFinished"] == ["ok", "stopped"]
    record = nbformat.read(out, as_version=4)
    assert record.metadata.kamalnb["exit"] == code
    assert number.name in banner(record)
    assert "KeyboardInterrupt" not in str([cell.get("outputs") for cell in record.cells])
    told = str(record.cells)
    assert "v2 serves nowhere" in told or "Nothing was changed: cancelled" in told  # as far as it had come


def test_papermill_runs_the_same_file(project: Path) -> None:
    path = write(
        project, "mill", "#: parameters\nversion: str  # tag\nrole: str = 'web'", FLEET,
        "run = fleet.plan(version).boot(confirm=f'{role}@{version}')\nrun.wait()\nprint(*fleet.versions().version)",
    )  # fmt: skip
    out = project / "milled.ipynb"
    words = [sys.executable, "-m", "papermill", str(path), str(out), "-p", "version", "v2", "--no-progress-bar"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "v2 v2" in outputs(nbformat.read(out, as_version=4))
