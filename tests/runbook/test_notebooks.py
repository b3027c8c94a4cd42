"""The notebooks that ship: stored clean, saying only what exists, and the tour runs anywhere."""

from __future__ import annotations

import ast
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from runbooks import run

import kamalnb as kn
from kamalnb.runbook import listing
from kamalnb.runbook.catalogue import read, text_of

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HELD = {"kn": kn, "fleet": kn.Fleet(), "broken": kn.Fleet()}
"""What the notebooks call things, and what these are."""


def sources(path: Path) -> str:
    return "\n".join(text_of(cell) for cell in read(path).document["cells"] if cell["cell_type"] == "code")


def ids(path: Path) -> str:
    return path.stem


def test_they_are_all_there() -> None:
    assert [path.stem for path in PATHS] == ["00_tour", "01_explore", "02_careful_rollout", "incident", "rollback"]


@pytest.mark.parametrize("path", PATHS, ids=ids)
def test_it_is_stored_clean(path: Path) -> None:
    document: dict[str, Any] = json.loads(path.read_text())
    nbformat.validate(nbformat.from_dict(document))
    assert document["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    names = [cell["id"] for cell in document["cells"]]
    assert len(set(names)) == len(names)
    for cell in document["cells"]:
        assert set(cell["metadata"]) <= {"tags"}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert path.read_text() == json.dumps(document, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("path", PATHS, ids=ids)
def test_it_is_short_and_begins_with_what_it_is_for(path: Path) -> None:
    document = read(path).document
    assert document["cells"][0]["cell_type"] == "markdown"
    assert sum(cell["cell_type"] == "code" for cell in document["cells"]) <= 12


@pytest.mark.parametrize("path", PATHS, ids=ids)
def test_every_name_that_it_uses_exists(path: Path) -> None:
    tree = ast.parse(sources(path))
    used = [
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in HELD
    ]
    assert used
    assert [f"{name}.{attribute}" for name, attribute in used if not hasattr(HELD[name], attribute)] == []
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"kamalnb"}


@pytest.mark.parametrize("path", PATHS, ids=ids)
def test_its_parameters_are_understood_and_the_commands_in_it_too(path: Path) -> None:
    runbook = read(path)
    names = {parameter.name for parameter in runbook.parameters}
    assert runbook.path.stem == "00_tour" or {"config_file", "destination"} <= names
    words = " ".join(text_of(cell) for cell in runbook.document["cells"] if cell["cell_type"] == "markdown").split()
    given = {after.partition("=")[0] for word, after in pairwise(words) if word == "--set"}
    assert given <= names


def test_the_list_tells_what_each_is_for() -> None:
    titles = {row["name"]: row["title"] for row in listing(ROOT).rows if row["path"].startswith("notebooks/")}
    assert titles["rollback"] == "Roll back to a version"
    assert len(titles) == len(PATHS)


@pytest.mark.slow
def test_the_tour_runs_anywhere(tmp_path: Path) -> None:
    ran = run(tmp_path, str(ROOT / "notebooks" / "00_tour.ipynb"), out=str(tmp_path))
    assert ran.code == 0, ran.err
    assert "web-3" in ran.text
    assert "widget-view" not in ran.text
