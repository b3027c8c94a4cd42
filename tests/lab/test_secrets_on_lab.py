"""No secret leaves a real host: whole deploys, broken at some of their commands, while somebody watches everything.

Process lists of the host and of this machine, every file below the run directory and /tmp with its mode, what Docker
shows but the environment that it must hold, and all that people read. KAMALNB_LEAKS (6) says how many are broken.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from anywhere import spread
from canaries import canary, needles, seen_of, sung
from conftest import MakeShop
from test_deploy_on_lab import Deployed
from watching import Seen, Watching, here
from wire import Wire

from kamalnb.fleet import Fleet
from kamalnb.lab import Lab
from kamalnb.project import Project
from kamalnb.ssh import SshExecutor

HOST = "web-1"
MANY = int(os.environ.get("KAMALNB_LEAKS", "6"))
NAMES = ("DATABASE_URL", "TOKEN")
FAULTS = ("non-zero", "reply lost")
EVERYTHING = """\
ids=$(docker ps --all --quiet --no-trunc)
docker ps --all --no-trunc
shown='{{.Name}} {{json .Path}} {{json .Args}} {{json .State}} {{json .HostConfig}} {{json .Mounts}}'
of='{{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.Labels}} {{json .Config.Healthcheck}}'
docker inspect --format "$shown $of" $ids
for id in $ids; do docker logs "$id" 2>&1; done
docker events --since "$1" --until "$(date +%s)" --format '{{json .}}'
"""
DOCKERS_OWN = ("/home/deploy/.docker/config.json", "/tmp/runc-process")
"""Where ``docker login`` keeps the password, and what a ``docker exec`` is made from (environment too): private."""


@dataclass
class Stage:
    """A service that is deployed with secrets, and what was seen of it."""

    app: Deployed
    turn: int = 0
    seen: list[str] = field(default_factory=list)

    @property
    def secrets(self) -> dict[str, str]:
        """Other ones at each turn, so that the env file is written anew."""
        return {name: canary(self.turn, name) for name in NAMES}

    @property
    def env_file(self) -> bytes:
        return "".join(f"{name}={value}\n" for name, value in self.secrets.items()).encode()

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, **self.app.environ, **self.secrets}

    @property
    def settings(self) -> dict[str, Any]:
        changes = {"release": {"cmd": 'test -n "$TOKEN" && echo released'}}
        env = {"clear": {"ORDERS_LOG": "/orders/log"}, "secret": list(NAMES)}
        return {**self.app.settings(**changes), "env": env}

    def fleet(self, wire: Wire | None = None) -> Fleet:
        def connect(project: Project) -> Any:
            inner = SshExecutor(project.config.ssh, secrets=project.secret, directory=project.root)
            if wire is None:
                return inner
            wire.inner = inner
            return wire

        return replace(self.app.shop.fleet(**self.settings), environ=self.environ, connect=connect)

    def deploy(self, version: str, wire: Wire | None = None) -> bool:
        rollout = self.fleet(wire).deploy(version, force=True)
        self.seen.append(seen_of(rollout, __file__))
        return rollout.report.ok

    def typed(self, version: str, *words: str) -> int:
        """``invoke deploy`` in a process of its own, and what it printed."""
        file = self.app.shop.config(**self.settings)
        argv = [sys.executable, "-m", "invoke", "deploy", f"--version={version}", f"--config-file={file}", *words]
        done = subprocess.run(
            argv, cwd=file.parents[1], env=self.environ, capture_output=True, text=True, timeout=120, check=False
        )
        self.seen += [done.stdout, done.stderr]
        return done.returncode

    def left(self) -> str:
        """What Docker shows of everything, environments apart."""
        began = str(int(float(self.app.shop.shell(HOST, "date +%s").strip())) - 900)
        return self.app.shop.shell(HOST, EVERYTHING, began)


@pytest.fixture
def stage(make_shop: MakeShop, tmp_path: Path) -> Iterator[Stage]:
    app = Deployed(make_shop("secretive", (HOST,), min_healthy=1), tmp_path)
    app.forget()
    yield Stage(app)
    app.shop.clean()
    app.forget()


def watchers(lab: Lab, run_directory: str) -> tuple[Watching, Watching]:
    """One on the host, one on this machine."""
    there = Watching(
        lambda words, text: lab.exec(HOST, words, input=text), (run_directory, "/tmp", "/home/deploy/.docker")
    )
    return there, Watching(here, (), pause=20)


def test_no_secret_is_seen_by_anybody(stage: Stage, lab: Lab) -> None:
    shop = stage.app.shop
    full: set[bytes] = set()
    there, local = watchers(lab, shop.run_directory)
    with there, local:
        clean = Wire(None, lab)  # type: ignore[arg-type]
        assert all(stage.deploy(version) for version in ("v1", "v2", "v1"))  # an image is pulled once
        assert stage.deploy("v2", clean)
        full.add(stage.env_file)
        names = list(dict.fromkeys(step.name for step in clean.steps))
        for turn, name in enumerate(spread(names, MANY), start=1):
            stage.turn = turn
            full.add(stage.env_file)
            wire = Wire(None, lab, FAULTS[turn % 2], name)  # type: ignore[arg-type]
            ended = stage.deploy("v1" if turn % 2 else "v2", wire)
            assert wire.happened == name
            print(f"{wire.fault} at “{name}”: {'deployed' if ended else 'failed'}")
        stage.turn += 1
        full.add(stage.env_file)
        assert stage.typed("v3", "--verbose") == 0
        assert stage.typed("never-healthy", "--json") != 0
        executed(stage)
        for _ in range(20):  # proves that the watcher sees words at all
            lab.exec(HOST, ["sh", "-c", ": c0ntr0l-word; sleep 0.02"])
    assert any("c0ntr0l-word" in words for words in there.words)
    assert any("c0ntr0l-word" in words for words in local.words)
    judged(stage, there, local, full)


def executed(stage: Stage) -> None:
    """A person's own command with a secret for it, in its three ways."""
    env = (f"GIVEN={canary(90, 'given')}", f"path={canary(91, 'path')}")
    fleet = stage.fleet()
    for how in ({}, {"reuse": True}):
        results = fleet.exec('sh -c "test -n \\"$GIVEN\\""', env=env, **how).wait()
        assert [one.exited for one in results] == [0], results
        stage.seen += [repr(results)]
        assert fleet.exec_here('sh -c "sleep 0.3; test -n \\"$GIVEN\\""', env=env, tty=False, **how) == 0


def judged(stage: Stage, there: Watching, local: Watching, full: set[bytes]) -> None:
    """What was seen, judged."""
    shop = stage.app.shop
    env_files = f"{shop.run_directory}/env/roles/"
    owner = int(shop.shell(HOST, "id -u deploy").strip())
    password = stage.app.environ["LAB_REGISTRY_PASSWORD"]
    secrets = [canary(turn, name) for turn in range(stage.turn + 1) for name in NAMES]
    looked_for = needles([*secrets, password, canary(90, "given"), canary(91, "path")])
    print(f"looked {there.rounds} times on the host and {local.rounds} here;", end=" ")
    print(
        f"{len(there.words)} and {len(local.words)} different command lines, {len(there.files)} states of files,",
        end=" ",
    )
    print(f"{sum(map(len, stage.seen))} characters for people")
    assert not [told for words in (*there.words, *local.words) if (told := sung(words, looked_for))]
    assert not sung("\n".join(stage.seen), looked_for)
    assert not sung(stage.left(), looked_for)
    private = [one for one in there.files if one.path.startswith(env_files) or "/exec-" in one.path]
    contents = {one.content for one in private if one.path.endswith(".env")} - {b""}
    assert len(contents) > 1, "the file was written anew, and seen"
    assert contents <= full, "a part of it was seen"
    assert not [str(one) for one in private if (one.mode, one.owner) != (0o600, owner)]
    others = [one for one in there.files if one not in private and not own_of_docker(one)]
    assert len(others) > 3
    assert not [str(one) for one in others if sung(f"{one.path} {one.content.decode(errors='replace')}", looked_for)]
    assert shop.shell(HOST, 'find "$1" -name "exec-*" -o -name "*.tmp*"', shop.run_directory) == ""


def own_of_docker(one: Seen) -> bool:
    return one.path.startswith(DOCKERS_OWN) and one.mode == 0o600
