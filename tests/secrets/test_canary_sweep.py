"""No secret leaves: a whole deploy, broken at each of its commands in turn, and all that anybody could see of it.

Every secret is a canary. The one place where it may be found is the env file on the host, and what the registry took.
"""

from __future__ import annotations

import base64
import copy
import json
import pickle
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from canaries import MARK, canary, encodings, needles, raised, seen_of, sung

from kamalnb.config.shown import as_mapping, as_text
from kamalnb.errors import ConfigError
from kamalnb.fleet import Fleet
from kamalnb.script import Script
from kamalnb.shell import Command, Secret
from kamalnb.testing import PretendHost
from kamalnb.testing.fleet import PretendFleet

pytestmark = pytest.mark.slow

NAMES = (
    "DATABASE_URL",
    "PASSWORD",
    "USERNAME",
    "TRAEFIK_TOKEN",
    "KEY_DATA",
    "TAGGED",
    "FROM_DOT_ENV",
    "KAMALNB_SSH_KEY",
)
SECRETS = {name: canary(number, name) for number, name in enumerate(NAMES)}
FILE = """
service: app
image: app
registry: {server: registry.example, username: [USERNAME], password: [PASSWORD]}
servers:
  web: {hosts: [web-1: [blue]], env: {secret: [DATABASE_URL]}}
env: {clear: {MODE: prod}, secret: [FROM_DOT_ENV], tags: {blue: {secret: [TAGGED]}}}
traefik: {env: {secret: [TRAEFIK_TOKEN]}}
release: {cmd: bin/rails db:migrate}
ssh: {key_data: [KEY_DATA]}
"""


NEEDLES = needles(SECRETS.values())


def found_in(text: str) -> str:
    """Where a canary sings, with what is around it; empty where none does."""
    return sung(text, NEEDLES)


class Spied(PretendFleet):
    """Keeps each command that it ran, as people and logs would see it."""

    def __init__(self, hosts: list[PretendHost]) -> None:
        super().__init__(hosts)
        self.commands: list[Command] = []

    def run(self, host: str, script: Script, *more: Any, **other: Any) -> Any:
        self.commands += script.commands
        return super().run(host, script, *more, **other)


class Stage:
    """A project on disk, its pretend host, and its fleet."""

    def __init__(self, path: Path) -> None:
        (path / "config").mkdir(parents=True, exist_ok=True)
        file = path / "config" / "deploy.yml"
        file.write_text(FILE)
        name = "FROM_DOT_ENV"
        escaped = SECRETS[name].replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
        (path / ".env").write_text(f'{name}="{escaped}"\n')
        self.host = PretendHost()
        self.executor = Spied([self.host])
        environ = {key: value for key, value in SECRETS.items() if key != name}
        self.fleet = Fleet(
            config_file=file, environ=environ, connect=lambda project: self.executor, clock=self.executor.clock
        )

    def deployed(self, version: str = "v1", **how: Any) -> str:
        """Everything that anybody could see of a deploy."""
        rollout = self.fleet.deploy(version, **how)
        return "\n".join([seen_of(rollout, __file__), *self.left()])

    def left(self) -> Iterator[str]:
        """What lies on the host and what ran there, env files apart; and the objects at hand."""
        yield from (f"{path}: {text}" for path, text in self.host.files.items() if not path.endswith(".env"))
        yield from self.host.files
        for command in self.executor.commands:
            yield f"{command} {command!r} {command.details}"
        for container in self.host.containers.values():
            yield repr(container)


@cache
def command_names() -> tuple[str, ...]:
    """Every command of a deploy over a version that serves, by machine."""
    import tempfile

    with tempfile.TemporaryDirectory() as path:
        stage = Stage(Path(path))
        stage.deployed("v1")
        stage.executor.commands.clear()
        stage.deployed("v2")
        assert stage.host.serving == "v2"
        return tuple(dict.fromkeys(command.name for command in stage.executor.commands))


def test_the_canaries_are_where_they_belong_or_the_sweep_proves_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.deployed()
    files = "".join(text for path, text in stage.host.files.items() if path.endswith(".env"))
    for name in ("DATABASE_URL", "TAGGED", "FROM_DOT_ENV", "TRAEFIK_TOKEN"):
        assert SECRETS[name] in files, name
    fed = [command.stdin.value for command in stage.executor.commands if isinstance(command.stdin, Secret)]
    assert SECRETS["PASSWORD"] in fed
    for name in NAMES:
        for form in encodings(SECRETS[name]):
            assert found_in(f"some {form} text"), form
        for shift in ("", "x", "xy"):  # one spelling inside of another
            quoted = f"{shift}{shlex.quote(SECRETS[name])}".encode()
            assert found_in(base64.b64encode(quoted).decode())


def test_no_secret_is_seen_of_a_deploy_wherever_it_fails(tmp_path: Path) -> None:
    names = command_names()
    assert len(names) > 25
    for number, name in enumerate(names):
        for how in ("fails", "is lost"):
            stage = Stage(tmp_path / f"{number} {how}")
            if how == "fails":
                stage.host.fail(name, times=3)
            else:
                stage.host.lose_connection(name, times=3)
            assert not found_in(stage.deployed("v1")), f"{name} {how}"
            stage.host.failing.clear()
            stage.host.losing.clear()
            if number % 4 == 0:
                assert not found_in(stage.deployed("v2")), f"after {name} {how}"


def test_no_secret_is_seen_of_a_dry_run_a_plan_or_the_configuration(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert not found_in(stage.deployed("v1", dry_run=True))
    project = stage.fleet._project()
    for source in project.config.roles[0].env_on("web-1").secret.values():
        project.secret(source)  # once it is known, too
    assert not found_in(json.dumps(as_mapping(project.config, "v1"), default=str) + as_text(project.config, "v1"))
    plan = stage.fleet.plan("v1", verb="deploy")
    for thing in (stage.fleet, project, project.config, plan, plan.planned, stage.fleet.config):
        assert not found_in(repr(thing) + str(thing)), type(thing)


def test_copies_and_pickles_have_no_secret(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.deployed()
    project, plan = stage.fleet._project(), stage.fleet.plan("v2", verb="deploy")
    tried = 0
    for thing in (*stage.executor.commands, plan.planned.made, project.config, *plan.planned.made.boots):
        for dump in (pickle.dumps, lambda one: pickle.dumps(copy.deepcopy(one))):
            try:
                data = dump(thing)
            except (TypeError, AttributeError, pickle.PicklingError):
                continue
            tried += 1
            assert not found_in(data.decode("utf-8", errors="replace")), type(thing)
    assert tried > 20


@pytest.mark.parametrize("missing", [name for name in NAMES if name not in ("KAMALNB_SSH_KEY", "KEY_DATA")])
def test_a_secret_that_cannot_be_read_shows_none_of_the_others(tmp_path: Path, missing: str) -> None:
    stage = Stage(tmp_path)
    if missing == "FROM_DOT_ENV":
        (tmp_path / ".env").unlink()
    fleet = Fleet(
        config_file=tmp_path / "config" / "deploy.yml",
        environ={key: value for key, value in SECRETS.items() if key not in (missing, "FROM_DOT_ENV")},
        connect=lambda project: stage.executor,
        clock=stage.executor.clock,
    )
    with pytest.raises(ConfigError, match=missing):
        fleet.deploy("v1").wait()
    for text in raised(lambda: fleet.deploy("v1").wait(), __file__):
        assert not found_in(text)


@pytest.mark.parametrize("text", ["\0", "a\nb\n", "\r", "x" * 65_536], ids=["NUL", "lines", "return", "long"])
def test_a_secret_that_docker_cannot_take_is_refused_unseen(tmp_path: Path, text: str) -> None:
    stage = Stage(tmp_path)
    environ = {**SECRETS, "DATABASE_URL": SECRETS["DATABASE_URL"] + text + MARK}
    fleet = Fleet(
        config_file=tmp_path / "config" / "deploy.yml", environ=environ, connect=lambda project: stage.executor
    )
    seen = "\n".join(raised(lambda: fleet.deploy("v1").wait(), __file__))
    assert "secret/DATABASE_URL" in seen
    assert stage.host.files == {}
    assert not found_in(seen)
