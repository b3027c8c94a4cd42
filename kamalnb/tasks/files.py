"""Tasks about the project's own files: no host is asked."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context

from ..command_line import face


@face()
def schema(c: Context) -> None:
    """The JSON Schema of deploy.yml, for editors.

    invoke config.schema > deploy.schema.json
    """
    import json

    from ..config.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


GROUPS = (Collection("config", schema),)
"""``config``."""
