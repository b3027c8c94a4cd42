"""README's table of commands, made from the tasks themselves; ``invoke docs`` writes it, a test checks it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from invoke.collection import Collection

BEGIN, END = "<!-- commands -->", "<!-- /commands -->"


def with_table(text: str, tasks: Collection) -> str:
    """README's ``text`` with the table of today's tasks between its marks. ValueError where the marks are missing."""
    if BEGIN not in text or END not in text:
        raise ValueError("README has no marks for the table of commands")
    table = "\n".join(["| command | what it does |", "|---|---|", *_rows(tasks)])
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table}\n{END}", text, flags=re.S)


def _rows(tasks: Collection) -> Iterator[str]:
    for name in sorted(tasks.task_names, key=lambda name: ("." in name, name)):
        about = (tasks[name].__doc__ or "").strip().splitlines()[0].replace("|", "\\|")
        words = "".join(f" {word.upper()}" for word in tasks[name].positional)
        yield f"| `{name}{words}` | {about} |"
