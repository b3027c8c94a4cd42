"""The notebook that a run leaves: saved after each cell, without secrets, true without a kernel."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .catalogue import Runbook
from .hiding import hidden, hider
from .parameters import injected

FOLDER = "runs"
OURS = "kamalnb-banner"
"""Tag of cells that a record has and its runbook has not."""
ANCHOR = "kamalnb-failed-cell"
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(slots=True, kw_only=True)
class Record:
    """``document`` is the notebook as nbclient fills it; ``secrets`` may grow while it runs."""

    path: Path
    document: Any
    about: dict[str, Any]
    secrets: set[str] = field(default_factory=set, repr=False)

    def save(self) -> None:
        """Writes it whole, or not at all."""
        clean = _static(hidden(self.document, hider(self.secrets)))
        clean["metadata"] = {key: value for key, value in clean["metadata"].items() if key != "widgets"}
        clean["metadata"]["kamalnb"] = hidden(self.about, hider(self.secrets))
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        beside.write_text(json.dumps(clean, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(self.path)

    def ended(self, code: int, banner: str, cell: int | None) -> None:
        """Says how it ended; ``banner`` stands above everything, ``cell`` is where it points."""
        self.about |= {"finished_at": now(), "exit": code}
        if not banner:
            return
        if cell is not None:
            link = f'<span id="{ANCHOR}">**This cell is where it ended.**</span>'
            self.document["cells"].insert(cell, _markdown(f"{OURS}-cell", link))
            banner += f" [Go to the cell](#{ANCHOR})"
        self.document["cells"].insert(0, _markdown(OURS, banner))


def started(runbook: Runbook, values: dict[str, Any], path: Path, secrets: Iterable[str], who: str) -> Record:
    """A record that begins: the runbook without old outputs, its parameters set."""
    import nbformat

    document = nbformat.from_dict(json.loads(runbook.raw))  # type: ignore[no-untyped-call,unused-ignore]
    document["cells"] = [one for one in document["cells"] if not _tags(one) & {OURS, "injected-parameters"}]
    place = next((number for number, one in enumerate(document["cells"]) if "parameters" in _tags(one)), None)
    if place is not None and values:
        document["cells"].insert(place + 1, _code("injected-parameters", injected(values)))
    for number, cell in enumerate(document["cells"]):
        cell.setdefault("id", f"cell-{number}")
        cell["source"] = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    document["nbformat_minor"] = max(5, document["nbformat_minor"])
    about = {
        "template_sha": blob(runbook.raw), "parameters": values, "plan": None, "user": who or getpass.getuser(),
        "host": socket.gethostname(), "started_at": now(), "finished_at": None, "exit": None,
    }  # fmt: skip
    return Record(path=path, document=nbformat.from_dict(document), about=about, secrets=set(secrets))  # type: ignore[no-untyped-call,unused-ignore]


@contextlib.contextmanager
def place(out: str, runbook: Runbook, root: Path, cwd: Path) -> Iterator[Path]:
    """Where a record goes: ``runs/2026-11-23T0540Z-rollout.ipynb``, or the directory or file that ``out`` names.

    A name that is chosen here is taken by an empty file, which does not stay where no record is saved.
    """
    wanted = cwd / Path(out).expanduser() if out else root / FOLDER
    if out and wanted.suffix == ".ipynb" and not wanted.is_dir():
        if wanted.resolve() == runbook.path.resolve():
            raise UsageError(f"--out={out} is the runbook itself. Name another file, or a directory.")
        wanted.parent.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    wanted.mkdir(parents=True, exist_ok=True)
    base = f"{datetime.now(UTC):%Y-%m-%dT%H%MZ}-{runbook.name}"
    names = (f"{base}.ipynb", *(f"{base}-{number}.ipynb" for number in range(2, 1000)))
    path = next(wanted / name for name in names if _taken(wanted / name))
    try:
        yield path
    finally:
        if path.exists() and not path.stat().st_size:
            path.unlink()


def _taken(path: Path) -> bool:
    """False where somebody has it: another run may choose a name at the same moment."""
    try:
        path.open("x").close()
    except FileExistsError:
        return False
    return True


def blob(raw: bytes) -> str:
    """What git calls a file with this content: ``git cat-file -p`` finds the runbook as it was."""
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()


def now() -> str:
    """The time, UTC, in ISO 8601."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _static(document: dict[str, Any]) -> dict[str, Any]:
    """Widgets die with their kernel; what stands beside them in an output stays."""
    for cell in document["cells"]:
        for output in cell.get("outputs", ()):
            if isinstance(output.get("data"), dict):
                output["data"].pop(WIDGET, None)
        if "outputs" in cell:
            cell["outputs"] = [one for one in cell["outputs"] if one.get("data") != {}]
    return document


def _tags(cell: Any) -> set[str]:
    return set(cell.get("metadata", {}).get("tags", ()))


def _markdown(id_: str, source: str) -> Any:
    import nbformat

    cell = {"cell_type": "markdown", "id": id_, "metadata": {"tags": [OURS]}, "source": source}
    return nbformat.from_dict(cell)  # type: ignore[no-untyped-call,unused-ignore]


def _code(tag: str, source: str) -> Any:
    return {
        "cell_type": "code", "id": tag, "metadata": {"tags": [tag]}, "source": source, "outputs": [],
        "execution_count": None,
    }  # fmt: skip


def added(source: str) -> Any:
    """A code cell of ours at the end of a record."""
    import nbformat

    return nbformat.from_dict(_code(OURS, source))  # type: ignore[no-untyped-call,unused-ignore]
