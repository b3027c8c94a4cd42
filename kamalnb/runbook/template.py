"""The runbook that ``runbook.new`` writes: parameters, look, plan, boot, look again."""

from __future__ import annotations

import json
from typing import Any

KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
METADATA = {**KERNEL, "language_info": {"name": "python"}}
CELLS: tuple[tuple[str, str, str], ...] = (
    ("markdown", "title", "# {title}\n\nSay here when this is for, and what has to be true before it.\n\n"
     "`invoke runbook {name} --set version=abc1234 --dry-run`"),
    ("parameters", "parameters",
     'version: str                # image tag to boot\nrole: str = "web"           # role to boot'),
    ("code", "fleet", "import kamalnb as kn\n\nfleet = kn.Fleet()[role]\nfleet.status()"),
    ("markdown", "about-plan", "## What would change\n\nNothing has been changed so far."),
    ("code", "plan", "plan = fleet.plan(version)\nplan"),
    ("markdown", "about-boot", "## Do it\n\nIn Jupyter the boot waits until you have typed its target. From a shell: "
     "`--confirm={role}@VERSION`."),
    ("code", "boot", "run = plan.boot()\nrun"),
    ("code", "wait", "run.wait()   # raises where a host failed; interrupting it cancels"),
    ("code", "after", "fleet.status()"),
)  # fmt: skip


def text(name: str) -> str:
    """The file."""
    title = name.replace("_", " ").replace("-", " ").capitalize()
    cells = [_cell(*one, title=title, name=name) for one in CELLS]
    return document(cells)


def document(cells: list[dict[str, Any]]) -> str:
    """A notebook with these cells, as the text of its file."""
    notebook = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, id_: str, source: str, *, title: str, name: str) -> dict[str, Any]:
    lines = source.replace("{title}", title).replace("{name}", name).replace("{role}", "ROLE").splitlines(keepends=True)
    if kind == "markdown":
        return {"cell_type": "markdown", "id": id_, "metadata": {}, "source": lines}
    metadata = {"tags": ["parameters"]} if kind == "parameters" else {}
    return {
        "cell_type": "code", "execution_count": None, "id": id_, "metadata": metadata, "outputs": [], "source": lines,
    }  # fmt: skip
