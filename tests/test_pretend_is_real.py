"""The pretend host against a real one: the same scripts and boots, the same outcomes (the lab's half is marked)."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from boots import plan

from kamalnb.boot import boot
from kamalnb.commands import app, cord, proxy, server, stats
from kamalnb.config.model import Role
from kamalnb.config.reading import read_config
from kamalnb.cutover import belongs, version_of
from kamalnb.errors import HostUnreachable, KamalnbError
from kamalnb.executor import Executor
from kamalnb.flow import Run
from kamalnb.script import Script
from kamalnb.shell import Command, Question, Result
from kamalnb.testing import Driven, PretendFleet, PretendHost, PretendTraefik, drive

SERVICE = "twin"
REPOSITORY = "registry:5000/app"
FILE = f"""
service: {SERVICE}
image: app
registry: {{server: "registry:5000"}}
servers: {{web: [web-1], job: [web-1]}}
labels:
  traefik.http.routers.{SERVICE}-web.rule: Host(`twin.example`)
  traefik.http.routers.{SERVICE}-web.priority: "60"
"""


@dataclass
class Twin:
    """One host, real or pretend."""

    executor: Executor
    home: str = ""

    def ran(self, *steps: Command) -> tuple[Result, ...]:
        return self.executor.run("web-1", Script.of(*steps), lambda number, result: None, lambda number, line: None)

    def asked(self, question: Question) -> object:
        (result,) = self.ran(question.command)
        return question.read(result.stdout)

    def booted(self, version: str, role: Role) -> Driven:
        ran: list[Command] = []

        def answered(run: Run) -> tuple[Result, ...] | KamalnbError:
            commands = run.script.commands
            try:
                return self.executor.run(
                    "web-1", run.script, lambda number, _: ran.append(commands[number]), lambda number, line: None
                )
            except HostUnreachable as error:
                return error

        nonce = secrets.token_hex(16)  # a real host may have the journal of an earlier run of these tests
        done = drive(boot(plan(version, role, reference=f"{REPOSITORY}:{version}", nonce=nonce)), answered)
        done.ran = ran
        return done

    def tidy(self) -> None:
        found = self.asked(app.containers(SERVICE))
        steps = [*(app.remove(one.id) for one in found), *(cord.remove(path) for path in self.cords())]
        if steps:
            self.ran(*steps)

    def cords(self) -> dict[str, str]:
        found = self.asked(cord.all_of(f"{self.home}/.kamal"))
        return {path: state for path, state in found.items() if f"/{SERVICE}-" in path}


def role(name: str = "web", **changes: object) -> Role:
    found = read_config(FILE, environ={}).role(name)
    return replace(found, readiness_delay=1.5, healthcheck=replace(found.healthcheck, deadline=4.0), **changes)


def pretend(request: pytest.FixtureRequest) -> Iterator[Twin]:
    host = PretendHost("web-1", repository=REPOSITORY, traefik=PretendTraefik())
    yield Twin(PretendFleet([host]))


def real(request: pytest.FixtureRequest) -> Iterator[Twin]:
    from kamalnb.fleet import Fleet
    from kamalnb.project import load
    from kamalnb.ssh import SshExecutor

    config_file = request.getfixturevalue("lab").config_file
    # A dockerd that was killed, as other tests do it, leaves Traefik stopped.
    assert Fleet(config_file=config_file, hosts=["web-1"]).boot_traefik().wait().ok
    project = load(config_file, environ=dict(os.environ))
    executor = SshExecutor(project.config.ssh, secrets=project.secret, directory=project.root)
    yield Twin(executor)
    executor.close()


@pytest.fixture(params=["pretend", pytest.param("real", marks=pytest.mark.lab)])
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    for one in {"pretend": pretend, "real": real}[request.param](request):
        one.home = str(one.asked(server.home()))
        one.tidy()
        yield one
        one.tidy()


def test_cords_move_alike(twin: Twin) -> None:
    path = f"{twin.home}/.kamal/cords/{SERVICE}-web-cord"
    gone = f"{twin.home}/.kamal/cords/{SERVICE}-web-gone"
    steps = [
        cord.dark(path),
        cord.cut(path),
        cord.served(path),
        cord.tie(path),
        cord.tie(path),
        cord.dark(path),
        cord.cut(path),
        cord.tie(gone),
        cord.cut(gone),
    ]
    codes, states = [], []
    for step in steps:
        (result,) = twin.ran(step)
        codes.append(result.exited)
        states.append(twin.cords().get(path))
    assert codes == [0, 0, 0, 0, 0, 1, 0, 1, 0]
    assert states == ["dark", "dark", "cut", "tied", "tied", "tied", "cut", "cut", "cut"]
    twin.ran(cord.remove(path))
    assert twin.cords() == {}


def test_what_is_not_there_is_answered_alike(twin: Twin) -> None:
    nobody = "f" * 64
    steps = [
        app.container(nobody).command,
        app.stop((nobody,), None),
        app.remove(nobody),
        app.alive(nobody, 0.1),
        app.rename(nobody, "x"),
        app.healthy(nobody, 0.1),
    ]
    results = twin.ran(*(step.failing_ok() for step in steps))
    assert [result.exited for result in results] == [1, 0, 0, 65, 1, 65]
    assert results[1].stdout.split() == ["gone", nobody]
    assert twin.asked(app.image(f"{REPOSITORY}:no-such-tag")) is None
    assert twin.asked(app.containers("no-such-service")) == ()


def test_what_is_there_is_described_alike(twin: Twin) -> None:
    image = twin.asked(app.image(f"{REPOSITORY}:two-ports"))
    assert image.ports == (3000, 9090)
    assert image.versions(REPOSITORY) == ("two-ports",)
    traefik = proxy.among(twin.asked(app.census(SERVICE)))
    assert traefik.name == "traefik"
    assert traefik.routable
    assert "bridge" in traefik.networks


def test_usage_is_told_alike(twin: Twin) -> None:
    assert twin.asked(stats.usage(SERVICE)) == ()
    assert twin.booted("v1", role()).error is None
    assert twin.booted("v2", role()).error is None  # v1 stands there stopped, and uses nothing
    (raw,) = twin.ran(stats.usage(SERVICE).command)
    assert [list(json.loads(line)) for line in raw.stdout.splitlines()] == [
        ["id", "cpu", "memory", "net", "block", "pids"]
    ]
    (used,) = stats.usages(raw.stdout)
    running = [one for one in twin.asked(app.containers(SERVICE)) if one.running]
    assert [used.id] == [one.id for one in running]
    numbers = (used.cpu, used.received, used.sent, used.read, used.written, used.pids, used.memory, used.limit)
    assert all(number is not None for number in numbers), used
    assert used.pids >= 1
    assert 2**20 < used.memory < used.limit


def steps_of(done: Driven) -> list[str]:
    return [command.name for command in done.ran]


UP = [
    "guard",
    "leave the dark",
    "tie cord",
    "wait for proxy",
    "soak",
    "cut cord",
    "wait until out",
    "drain",
    "still well",
    "stop container",
]
DOWN = [
    "tie cord",
    "wait for proxy",
    "wait for proxy",
    "leave the dark",
    "cut cord",
    "wait until out",
    "soak",
    "drain",
    "still well",
    "stop container",
]


def standing(twin: Twin) -> list[tuple[str, str, str | None]]:
    found = [one for one in twin.asked(app.containers(SERVICE)) if belongs(one, role()) and one.running]
    return sorted((version_of(one, role()), one.labels["kamalnb.level"], one.health) for one in found)


def test_boots_go_alike_up_down_and_again(twin: Twin) -> None:
    first = twin.booted("v1", role())
    assert first.value.replaced is None
    for version, level, tail in (("v2", "1", UP), ("v3", "0", DOWN), ("v3", "1", UP)):
        done = twin.booted(version, role())
        assert done.error is None
        assert steps_of(done)[-len(tail) :] == tail
        assert standing(twin) == [(version, level, "healthy")]
        assert sorted(twin.cords().values()).count("tied") == 1
        assert not any(fact.kind in ("assumed", "killed", "cut-short", "lost") for fact in done.facts)


FAILING = {
    "never-healthy": "The app did not become healthy within 4 s",
    "exits": "The new container did not stay up",
    "loopback": "The app listens on port 3000 of the loopback address only",
    "wrong-port": "The app answers its check but nothing listens on port 8080",
    "no-probe": "The image has none of curl",
    "no-sh": "The image has no sh",
    "no-such-tag": "The image registry:5000/app:no-such-tag is not on this host and cannot be pulled",
}


def test_failing_versions_fail_alike_and_leave_the_old_one(twin: Twin) -> None:
    assert twin.booted("v1", role()).error is None
    before = standing(twin)
    for version, sentence in FAILING.items():
        done = twin.booted(version, role())
        assert done.error is not None
        assert done.error.why.startswith(sentence), (version, done.error.why)
        assert done.error.serving == "v1 serves, as before."
        assert standing(twin) == before
        assert list(twin.cords().values()) == ["tied"]


def test_workers_boot_alike(twin: Twin) -> None:
    job = role("job")
    assert twin.booted("v1", job).error is None
    done = twin.booted("v2", job)
    assert done.error is None
    assert steps_of(done)[-3:] == ["look at container", "readiness delay", "stop container"]
    failed = twin.booted("exits", job)
    assert failed.error is not None
    assert failed.error.why.startswith("The new container did not stay up")
    running = [one for one in twin.asked(app.containers(SERVICE)) if one.running]
    assert [version_of(one, job) for one in running] == ["v2"]
