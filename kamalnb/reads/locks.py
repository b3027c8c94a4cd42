"""``lock.status``: who holds each host: a run, what one left at work, a person, or Kamal. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ..commands import lock
from ..flow import Flow, ask
from ..tables import Column, Row
from . import Answers, Read, Scene

COLUMNS = (
    Column(name="host"),
    Column(name="status", words=("free", "held", "unreachable")),
    Column(name="holder", words=("nobody", "a run", "a script", "a person", "Kamal"), about="Who holds it."),
    Column(name="details", about="Who, since when, and why."),
    Column(name="error", wide=True),
)


def _look(scene: Scene) -> Flow[tuple[Row, ...]]:
    found = yield from ask(lock.state(scene.config))
    holders = {"a run": found.run, "a script": found.work, "a person": found.person, "Kamal": found.kamal}
    holder, details = next(((who, what) for who, what in holders.items() if what), ("nobody", ""))
    row = {
        "host": scene.host, "status": "free" if holder == "nobody" else "held", "holder": holder,
        "details": details, "error": "",
    }  # fmt: skip
    return (row,)


def _notes(answers: Answers, rows: Sequence[Row]) -> tuple[str, ...]:
    holders = {row.get("holder") for row in rows}
    if "a run" in holders:
        return ("A run's lock is free by itself as soon as the run ends or dies.",)
    if "a script" in holders:
        return (
            "A script of a run that has ended is still at work: the host finishes it by itself; a boot waits for it.",
        )
    if "a person" in holders or "Kamal" in holders:
        return ("It stays until it is released: invoke lock.release",)
    return ("A boot can begin.",)


READ = Read(name="lock", columns=COLUMNS, look=_look, notes=_notes)
"""One row a host."""
