"""A fleet and a plan show themselves without reaching a host; what is loaded when; remains of a dead kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kamalnb as kn
from kamalnb.errors import UsageError
from kamalnb.notebook import remains
from kamalnb.notebook.magics import call, completions
from kamalnb.project import load

ROOT = Path(__file__).parents[2]
FILE = "service: shop\nimage: shop\nservers: {web: [web-1, web-2], jobs: [web-2]}\n"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> kn.Fleet:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "deploy.yml"
    file.write_text(FILE)
    return kn.Fleet(config_file=file, connect=_nobody)


def _nobody(project: object) -> Any:
    raise AssertionError("a host was reached")


def test_showing_a_fleet_reaches_no_host(fleet: kn.Fleet) -> None:
    assert repr(fleet) == "Fleet('shop', 2 hosts, 2 roles: web=2 jobs=1)"
    forms = fleet._repr_mimebundle_()
    assert "not contacted" in forms["text/html"]
    assert repr(fleet["jobs"]) == "Fleet('shop', 1 host, 1 role: jobs=1)"


def test_showing_a_fleet_with_a_broken_file_says_what_is_wrong(tmp_path: Path) -> None:
    fleet = kn.Fleet(config_file=tmp_path / "deploy.yml")
    assert "there is no file" in repr(fleet)
    assert "there is no file" in fleet._repr_html_()


def test_roles_and_hosts_are_completed(fleet: kn.Fleet) -> None:
    assert fleet._ipython_key_completions_() == ["web", "jobs", "web-1", "web-2"]


def test_a_part_of_a_fleet_shows_itself_too() -> None:
    part = kn.pretend(3)["web-1"]
    assert type(part) is kn.Fleet
    assert type(part.plan("v2")) is kn.Plan


def test_a_plan_tells_what_it_would_do_and_how_to_do_it() -> None:
    forms = kn.pretend(3, file="boot: {limit: 2}").plan("v2")._repr_mimebundle_()
    assert "v1 → v2 on 3 hosts in 2 batches. Nothing was changed." in forms["text/plain"]
    assert "plan.boot()" in forms["text/html"]


def test_a_run_whose_kernel_died_is_told_of_by_the_next_card(fleet: kn.Fleet) -> None:
    project = load(fleet.config_file)
    file = remains.begun(project, "boot web@v2", "v2", "ana")
    assert file is not None
    assert "Unfinished" not in repr(fleet)  # this process lives
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    file.write_text(json.dumps({**json.loads(file.read_text()), "pid": dead.pid}))
    assert "Unfinished: boot web@v2 by ana" in repr(fleet)
    assert "fleet.status()" in fleet._repr_html_()
    remains.forget(project)
    assert "Unfinished" not in repr(fleet)


def test_importing_kamalnb_and_making_a_fleet_loads_no_widget() -> None:
    code = (
        "import sys, kamalnb as kn; kn.pretend(1); kn.Fleet, kn.Plan, kn.Rollout, kn.show, kn.options;"
        "print(*[n for n in ('ipywidgets', 'anywidget', 'IPython', 'rich', 'pandas') if n in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == []


def test_magic_calls_the_verb_of_the_fleet_at_hand() -> None:
    fleet = kn.pretend(2)
    names = {"fleet": fleet}
    assert call("", names) is fleet
    assert call("plan v2", names).target == "web@v2"
    assert list(call("containers", names).host) == ["web-1", "web-2"]
    with pytest.raises(UsageError, match="containers"):
        call("explode", names)
    assert completions("%kamal stal") == ["stale_containers"]
