"""Which runbooks a project has; a new one; JupyterLab on the project."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kamalnb.errors import UsageError
from kamalnb.runbook import create, listing, open_lab
from kamalnb.runbook.catalogue import find, project_root
from kamalnb.runbook.parameters import SECRET_NAME


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "deploy.yml").write_text("service: app\n")
    (tmp_path / "notebooks").mkdir()
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "source": "Some words.\n\n## The careful one\n"},
        {"cell_type": "code", "source": ["version: str  # tag\n", "n: int = 2"], "metadata": {"tags": ["parameters"]}},
    ]
    text = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})
    (tmp_path / "notebooks" / "02_careful_rollout.ipynb").write_text(text)
    (tmp_path / "notebooks" / "broken.ipynb").write_text("{")
    return tmp_path


def test_the_list_has_name_title_parameters_and_path(project: Path) -> None:
    row = listing(project).rows[0]
    assert row == {
        "name": "02_careful_rollout", "title": "The careful one", "parameters": "version: str, required; n: int = 2",
        "path": "notebooks/02_careful_rollout.ipynb",
    }  # fmt: skip


def test_a_broken_one_is_a_row_that_says_so(project: Path) -> None:
    row = listing(project).rows[1]
    assert row["name"] == "broken"
    assert "is no notebook" in row["title"]


def test_a_project_without_any_says_how_to_write_one(tmp_path: Path) -> None:
    assert "invoke runbook.new" in listing(tmp_path).notes[0]


def test_they_are_found_from_a_folder_below(project: Path) -> None:
    assert len(listing(project / "notebooks").rows) == 2
    assert project_root(project / "config") == project


@pytest.mark.parametrize("name", ["02_careful_rollout", "careful_rollout", "careful-rollout", "Careful-Rollout"])
def test_one_is_found_by_its_name_without_number(project: Path, name: str) -> None:
    assert find(name, project).name == "02_careful_rollout"


def test_one_is_found_by_its_file(project: Path) -> None:
    assert find("notebooks/02_careful_rollout.ipynb", project).title == "The careful one"


def test_a_misspelt_name_is_refused_with_the_right_one(project: Path) -> None:
    with pytest.raises(UsageError, match=r"no runbook is called carefull-rollout\. Did you mean careful-rollout\?"):
        find("carefull-rollout", project)


def test_a_new_one_lists_itself_and_can_be_run_headless(project: Path) -> None:
    path = create("friday", project)
    assert path == project / "runbooks" / "friday.ipynb"
    row = listing(project).rows[0]
    assert (row["name"], row["title"]) == ("friday", "Friday")
    assert [one.name for one in find("friday", project).parameters] == ["version", "role"]
    assert not any(SECRET_NAME.search(one.name) for one in find("friday", project).parameters)


def test_a_new_one_overwrites_nothing(project: Path) -> None:
    create("friday", project)
    with pytest.raises(UsageError, match="is there already"):
        create("friday", project)


@pytest.mark.parametrize("name", ["../evil", "a b", "", "-x", "x.ipynb"])
def test_a_name_is_a_plain_word(project: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a runbook"):
        create(name, project)


def test_jupyterlab_opens_on_the_project_with_this_python(project: Path) -> None:
    became: list[tuple[str, list[str], Mapping[str, str]]] = []
    open_lab(["--no-browser"], project, become=lambda *words: became.append(words))
    program, words, environ = became[0]
    assert program == sys.executable
    assert words[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={project}" in words
    assert "--LabApp.default_url=/lab/tree/notebooks" in words
    assert words[-1] == "--no-browser"
    assert environ["JUPYTER_PREFER_ENV_PATH"] == "1"
