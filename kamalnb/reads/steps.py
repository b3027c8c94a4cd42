"""A plan's steps as a table. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ..steps import Step
from ..tables import Column, Table

COLUMNS = (
    Column(name="batch", kind="count", about="Hosts of one batch go side by side."),
    Column(name="host"),
    Column(name="role"),
    Column(name="before", about="What serves now; empty where nothing does.", heading="from"),
    Column(name="after", about="What serves then.", heading="to"),
    Column(
        name="way",
        words=("nothing", "finish", "switch back", "start", "boot", "pull", "refused"),
        about="nothing: serves already. switch back: still runs. start: is stopped there. boot: the image is there. "
        "pull: the image has to be fetched first.",
    ),
    Column(name="note"),
)


def table(steps: Sequence[Step], notes: Sequence[str] = (), as_of: float = 0.0) -> Table:
    """One row for each role on each host."""
    rows = tuple(
        {
            "batch": step.batch, "host": step.host, "role": step.role, "before": step.before, "after": step.after,
            "way": str(step.way), "note": step.note,
        }
        for step in steps
    )  # fmt: skip
    hosts = len({step.host for step in steps})
    return Table(name="plan", columns=COLUMNS, rows=rows, as_of=as_of, hosts=hosts, notes=tuple(notes))
