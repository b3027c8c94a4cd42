"""Which runbooks a project has, what each is for, and a new one: plain files in ``runbooks/`` and ``notebooks/``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..project import CONFIG_FILE
from ..tables import Column, Row, Table
from . import template
from .parameters import Parameter, declared

FOLDERS = ("runbooks", "notebooks")
"""Where runbooks are, below the project; new ones go into the first."""
COLUMNS = (
    Column(name="name"),
    Column(name="title"),
    Column(name="parameters"),
    Column(name="path", wide=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """A runbook as it stands in its file. ``document`` is the notebook's JSON."""

    path: Path
    document: dict[str, Any]
    raw: bytes

    @property
    def name(self) -> str:
        """What people call it."""
        return self.path.stem

    @property
    def title(self) -> str:
        """Its first heading, or its name."""
        for cell in self.document["cells"]:
            if cell["cell_type"] == "markdown" and (found := re.search(r"^#+ +(.+?)\s*$", text_of(cell), re.M)):
                return found[1]
        return self.name

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What can be set. Raises ``UsageError`` where the cell cannot be understood."""
        place = self.parameters_cell
        return () if place is None else declared(text_of(self.document["cells"][place]))

    @property
    def parameters_cell(self) -> int | None:
        """Where the cell tagged ``parameters`` is."""
        for number, cell in enumerate(self.document["cells"]):
            if cell["cell_type"] == "code" and "parameters" in cell.get("metadata", {}).get("tags", []):
                return number
        return None


def listing(directory: Path | None = None) -> Table:
    """Every runbook of the project at ``directory`` or above it: name, title, parameters, path."""
    root = project_root(directory)
    rows = tuple(_row(path, root) for path in _paths(root))
    notes = () if rows else (f"There is no runbook in {' or '.join(FOLDERS)}. Write one: invoke runbook.new rollout",)
    return Table(name="runbooks", columns=COLUMNS, rows=rows, notes=notes)


def create(name: str, directory: Path | None = None) -> Path:
    """Writes a small runbook to begin with. Raises ``UsageError`` where there is one of that name already."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UsageError(f"“{name}” is no name for a runbook: letters, digits, - and _ only. Try rollout.")
    path = project_root(directory) / FOLDERS[0] / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template.text(name))
    except FileExistsError:
        raise UsageError(f"{path} is there already. Take another name, or change that one.") from None
    return path


def find(name: str, directory: Path | None = None) -> Runbook:
    """The runbook called ``name`` (``02_rollout`` is ``rollout`` too), or the file. Raises ``UsageError``."""
    root, cwd = project_root(directory), directory or Path.cwd()
    if name.endswith(".ipynb"):
        path = cwd / Path(name).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no file {path}. invoke runbook.list shows what there is.")
        return read(path)
    there = {path.stem: path for path in _paths(root)}
    called = {_plain(stem): path for stem, path in reversed(there.items())}
    path_ = there.get(name) or called.get(_plain(name))
    if path_ is None:
        near = get_close_matches(_plain(name), called, n=1)
        hint = f"Did you mean {near[0]}?" if near else "invoke runbook.list shows what there is."
        raise UsageError(f"no runbook is called {name}. {hint}")
    return read(path_)


def read(path: Path) -> Runbook:
    """The runbook in a file. Raises ``UsageError`` for anything that is no notebook in Python of format 4."""
    try:
        raw = path.read_bytes()
        document = json.loads(raw)
        cells = document["cells"]
        kinds = [(cell["cell_type"], text_of(cell)) for cell in cells]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise UsageError(f"{path} is no notebook. Save it from Jupyter again.") from None
    if document.get("nbformat") != 4 or not kinds:
        raise UsageError(f"{path} is no notebook of format 4 with cells. Save it from Jupyter again.")
    return Runbook(path=path, document=document, raw=raw)


def project_root(directory: Path | None = None) -> Path:
    """The directory with ``config/deploy.yml``, ``directory`` or above; where there is none, that with a folder."""
    here = (directory or Path.cwd()).absolute()
    for place in (here, *here.parents):
        if (place / CONFIG_FILE).is_file():
            return place
    return next((place for place in (here, *here.parents) if any((place / one).is_dir() for one in FOLDERS)), here)


def text_of(cell: dict[str, Any]) -> str:
    """A cell's source: one text, or a list of lines in the file."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _paths(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((root / folder).glob("*.ipynb"))


def _plain(name: str) -> str:
    return re.sub(r"^\d+[_-]", "", name).replace("_", "-").lower()


def _row(path: Path, root: Path) -> Row:
    shown = {"name": path.stem, "path": str(path.relative_to(root))}
    try:
        runbook = read(path)
        title = runbook.title
        return {**shown, "title": title, "parameters": "; ".join(map(str, runbook.parameters))}
    except UsageError as error:
        return {**shown, "title": f"cannot be used: {error}", "parameters": ""}
