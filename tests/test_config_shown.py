"""A configuration as it is shown: everything it came to, and no secret; and what a deploy would pass over."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from kamalnb.config import model
from kamalnb.config.ignored import ignored
from kamalnb.config.model import Config, SecretSource
from kamalnb.config.reading import read_config
from kamalnb.config.shown import as_mapping, as_text, redacted, rows
from kamalnb.shell import Secret

CANARY = "hunter2canary"
REFERENCE = (Path(model.__file__).parent / "deploy.reference.yml").read_text()
BASE = "service: app\nimage: app\nservers: {web: [a, b], jobs: [c]}\n"
TAGGED = BASE.replace("b]", "b: [canary]]")


def read(more: str = "", text: str = BASE, **environ: str) -> Config:
    return read_config(text + more, environ=environ)


ENV = """
env:
  clear: {A: "1"}
  secret: [DB]
  tags: {canary: {A: "2", B: "3"}}
"""


def test_a_release_command_is_a_text_or_a_mapping() -> None:
    assert read("release: bin/x y").release == model.Release(cmd="bin/x y", timeout=600.0, role="web")
    full = read("release: {cmd: bin/x, timeout: 5m, role: jobs}").release
    assert full == model.Release(cmd="bin/x", timeout=300.0, role="jobs")
    assert read("").release is None
    assert read("primary_role: jobs\nrelease: x").release == model.Release(cmd="x", role="jobs")


def test_an_alias_is_the_words_of_a_command_line() -> None:
    found = read("""aliases: {console: 'exec -i "bin/rails console"', 2nd: logs}""").aliases
    assert found == {"console": ("exec", "-i", "bin/rails console"), "2nd": ("logs",)}


def test_the_whole_reference_file_is_shown_and_is_json_and_yaml() -> None:
    config = read(text=REFERENCE)
    tree = as_mapping(config, "abc")
    assert json.loads(json.dumps(tree)) == yaml.safe_load(as_text(config, "abc")) == tree
    assert (tree["version"], tree["repository"]) == ("abc", "ghcr.io/my-name/shop")
    assert tree["aliases"]["console"] == "exec --interactive --reuse bin/console"
    assert "&id" not in as_text(config)


def test_every_value_of_a_role_is_shown_or_named_otherwise() -> None:
    shown = as_mapping(read(text=REFERENCE))["servers"]["web"]
    elsewhere = {"name", "service", "destination", "env_tags"}
    assert set(model.Role.__dataclass_fields__) - elsewhere <= set(shown)
    assert set(model.Ssh.__dataclass_fields__) == set(as_mapping(read(text=REFERENCE))["ssh"])


def test_each_host_with_a_tag_has_its_own_environment() -> None:
    web = as_mapping(read(ENV, TAGGED))["servers"]["web"]
    assert web["env"]["clear"] == {"A": "1"}
    assert {host: env["clear"] for host, env in web["env_on"].items()} == {"b": {"A": "2", "B": "3"}}
    assert web["env_on"]["b"]["secret"] == {"DB": "[REDACTED] from the variable DB"}


def test_a_secret_is_shown_by_where_it_comes_from() -> None:
    assert redacted(SecretSource(env="DB")) == "[REDACTED] from the variable DB"
    assert redacted(SecretSource(file="a/b")) == "[REDACTED] from the file a/b"
    assert redacted(SecretSource(command=("pass", "show", CANARY))) == "[REDACTED] from the command pass"
    assert redacted(SecretSource(value=Secret(CANARY))) == "[REDACTED] written in the file itself"


def test_no_secret_is_shown_wherever_it_stands() -> None:
    more = f"""
registry: {{username: [CANARY], password: {CANARY}}}
ssh: {{key_data: [{CANARY}]}}
traefik: {{env: {{secret: [CANARY]}}}}
env: {{secret: {{X: {{command: [echo, {CANARY}]}}}}}}
"""
    config = read(more, CANARY=CANARY)
    assert CANARY not in as_text(config) + json.dumps(as_mapping(config)) + str(rows(config))
    assert "[REDACTED] from the variable CANARY" in as_text(config)


def test_a_row_is_one_value_with_its_place() -> None:
    found = {row["key"]: row["value"] for row in rows(read(ENV, TAGGED))}
    assert found["servers/web/env_on/b/clear/B"] == "3"
    assert found["servers/web/hosts"] == "a, b"
    assert found["confirm"] == "false"
    assert "servers/jobs/healthcheck" not in found


def test_what_a_deploy_would_pass_over_is_named_with_what_to_do() -> None:
    more = "builder: {context: .}\naccessories: {db: {}}\nasset_path: /assets\nx-a: 1\n"
    assert [(one.key, one.sentence) for one in ignored(read(more))] == [
        (
            "builder",
            "builder is not used, since kamalnb builds no images: push one with `kamal build push` or Docker.",
        ),
        ("accessories", "accessories are not started by kamalnb: go on with `kamal accessory boot`."),
        (
            "asset_path",
            "asset_path (web) is not used by kamalnb: old and new version do not share their assets, so pages of the "
            "old one may miss some after the switch. Serve them from a CDN.",
        ),
    ]
    assert ignored(read()) == ()
