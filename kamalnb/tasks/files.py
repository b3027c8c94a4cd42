"""Tasks about the project's own files: no host is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context

from ..command_line import face
from ..flags import FILE

if TYPE_CHECKING:
    from ..at import At


@face(common=FILE, name="show")
def show_config(at: At, version: str | None = None) -> int:
    """The configuration as it is understood, defaults filled in, without secrets.

    invoke config -d staging
    """

    from ..config.shown import as_mapping, as_text
    from ..console.jsonlines import as_json

    config = at.fleet.config
    if at.style.json:
        print(as_json(as_mapping(config, version)))
    else:
        print(as_text(config, version), end="")
    return 0


@face()
def schema(c: Context) -> None:
    """The JSON Schema of deploy.yml, for editors.

    invoke config.schema > deploy.schema.json
    """
    import json

    from ..config.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@face()
def init(c: Context, ci: str = "", service: str = "") -> int:
    """Writes what a project needs at first: deploy.yml, tasks.py, sample hooks, .env. Overwrites nothing.

    invoke init --ci=github
    """
    from pathlib import Path

    from ..command_line import program
    from ..init import NEXT
    from ..init import init as write
    from ..wording import Called

    for written in write(Path.cwd(), ci=ci, service=service):
        print(written.sentence)
    print(Called(program()).spelled(NEXT))
    return 0


def _config() -> Collection:
    group = Collection("config")
    group.add_task(show_config, default=True)
    group.add_task(schema)
    return group


TASKS = (init,)
"""In the order of the list."""
GROUPS = (_config(),)
"""``config``."""
