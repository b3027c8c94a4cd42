"""deploy.reference.yml is the schema: valid, complete, with nothing that the schema does not know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from kamalnb.config import model
from kamalnb.config.reading import read_config
from kamalnb.config.schema import DeployFile, Section, json_schema, keys_at, models_at

CONFIG = Path(model.__file__).parent
REFERENCE = CONFIG / "deploy.reference.yml"
GENERATE = (
    'python -c "import json, kamalnb.config.schema as s; print(json.dumps(s.json_schema(), indent=1))"'
    " > kamalnb/config/deploy.schema.json"
)
FREE_NAMES = {("servers",), ("env", "tags")}
"""Where keys are names that the user chooses, and sections are below them."""


def keys_of_file(tree: Any, path: tuple[str, ...] = (), shown: tuple[str, ...] = ()) -> Iterator[str]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if shown in FREE_NAMES:
            yield from keys_of_file(value, (*path, key), (*shown, "*"))
        elif models_at(path):
            yield "/".join((*shown, key))
            yield from keys_of_file(value, (*path, key), (*shown, key))


def keys_of_schema(path: tuple[str, ...] = ()) -> Iterator[str]:
    for key in keys_at(path):
        here = (*path, key)
        yield "/".join(here)
        yield from keys_of_schema((*here, "*") if here in FREE_NAMES else here)


def test_the_reference_file_is_valid() -> None:
    config = read_config(REFERENCE.read_text(), environ={})
    assert config.service == "shop"
    assert config.warnings == ()


def test_the_reference_file_has_every_key_of_the_schema_and_no_other() -> None:
    assert set(keys_of_file(yaml.safe_load(REFERENCE.read_text()))) == set(keys_of_schema())


def test_every_top_level_key_of_the_reference_is_explained() -> None:
    lines = REFERENCE.read_text().splitlines()
    bare = [line for before, line in pairwise(lines) if re.match(r"[a-z]", line) and before[:1] != "#"]
    assert bare == ["sshkit:", "traefik:", "accessories:"]  # each under a heading or with its neighbour's words


def test_the_checked_in_json_schema_is_what_the_code_says() -> None:
    written = json.loads((CONFIG / "deploy.schema.json").read_text())
    assert written == json_schema(), GENERATE


def test_the_json_schema_knows_both_forms_of_servers_and_refuses_unknown_keys() -> None:
    schema = json_schema()
    forms = schema["properties"]["servers"]["anyOf"]
    assert [form["type"] for form in forms] == ["array", "object"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["service", "image", "servers"]


def test_every_section_refuses_keys_it_does_not_know() -> None:
    assert DeployFile.model_config["extra"] == Section.model_config["extra"] == "forbid"
