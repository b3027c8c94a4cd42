"""``runbook.*``, and the notebook itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context

from ..command_line import face
from ..flags import OUTPUT

if TYPE_CHECKING:
    from ..at import At


@face(common=OUTPUT, positional=("name",))
def run(
    at: At, name: str, set: list[str] | None = None, dry_run: bool = False, confirm: str = "", out: str = ""
) -> int:
    """Runs a runbook without a person: parameters checked first, the notebook saved with what came of it.

    --dry-run stops at its plan. What it boots has to be confirmed: --confirm=web@abc1234.

    invoke runbook rollout --set version=abc1234 --confirm=web@abc1234
    """
    from ..runbook import run

    return run(name, set or (), dry_run=dry_run, confirm=confirm, out=out, as_json=at.style.json, quiet=at.style.quiet)


@face(common=OUTPUT, name="list")
def list_runbooks(at: At) -> int:
    """The project's runbooks: what each is for, and its parameters.

    invoke runbook.list
    """
    from ..console.tables import show_table
    from ..runbook import listing

    return show_table(listing(), at.style)


@face(positional=("name",))
def new(c: Context, name: str) -> None:
    """Writes a small runbook to begin with, in runbooks/.

    invoke runbook.new rollout
    """
    from ..runbook import create

    print(f"{create(name)} was written. Open it: kamalnb notebook")


@face()
def notebook(c: Context) -> None:
    """Opens JupyterLab on the project, with this Python for a kernel.

    invoke notebook
    """
    from ..runbook import open_lab

    open_lab()


def _runbooks() -> Collection:
    group = Collection("runbook")
    group.add_task(run, default=True)
    for one in (list_runbooks, new):
        group.add_task(one)
    return group


TASKS = (notebook,)
"""In the order of the list."""
GROUPS = (_runbooks(),)
"""``runbook``."""
