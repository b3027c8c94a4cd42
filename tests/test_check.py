"""``check``: a row for each thing, on pretend hosts that lack it; and a dry run, which changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from boots import booted

from kamalnb import check as checking
from kamalnb.errors import HostUnreachable
from kamalnb.executor import Abort, Hold, OnLine, OnResult, never
from kamalnb.fleet import Fleet
from kamalnb.preflight import Check
from kamalnb.script import Script
from kamalnb.shell import Command, Result
from kamalnb.ssh.openssh import Login
from kamalnb.testing import PretendFleet, PretendHost

FILE = """
service: app
image: app
registry: {server: registry.example}
servers: {web: [web-1]}
"""
LOGIN = Login(
    host="web-1", address="10.0.0.1", port=2222, user="deploy", key="~/.ssh/id (ed25519 SHA256:a)",
    host_key="ed25519 SHA256:b", jump="jump", server="OpenSSH_9.2", seconds=0.3,
    notes=("id_rsa (needs its passphrase)",),
)  # fmt: skip

Answer = tuple[int, str]


class Entered:
    """Pretend hosts behind a login, with answers for what only ``check`` asks of a host."""

    def __init__(
        self, fleet: PretendFleet, answers: Mapping[str, Answer], login: Login | HostUnreachable = LOGIN
    ) -> None:
        self._fleet = fleet
        self._answers = {"look into image": (0, "curl\n"), "routers": (0, "[]"), **answers}
        self._login = login
        self.ran: list[Command] = []

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        self.ran += script.commands
        first = script.commands[0]
        if first.name in self._answers:
            exited, text = self._answers[first.name]
            return (Result(name=first.name, line=str(first), exited=exited, stdout=text),)
        return self._fleet.run(host, script, on_result, on_line, abort)

    def hold(self, host: str, command: Command, heartbeat: float) -> Hold:
        raise AssertionError("check takes no lock")

    def probe(self, host: str) -> Login:
        if isinstance(self._login, HostUnreachable):
            raise self._login
        return self._login

    def close(self) -> None:
        self._fleet.close()


Rows = Callable[..., dict[str, list[Check]]]


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    def rows(
        host: PretendHost,
        answers: Mapping[str, Answer] | None = None,
        login: Login | HostUnreachable = LOGIN,
        file: str = FILE,
        version: str | None = "v2",
        **environ: str,
    ) -> dict[str, list[Check]]:
        path = tmp_path / "deploy.yml"
        path.write_text(file)
        executor = Entered(PretendFleet([host]), answers or {}, login)
        fleet = Fleet(config_file=path, environ=environ, connect=lambda project: executor)
        found: dict[str, list[Check]] = {}
        for row in fleet.check(version):
            found.setdefault(row.name, []).append(row)
        assert not [command for command in executor.ran if command.changes], "check changes nothing"
        return found

    return rows


def verdicts(found: dict[str, list[Check]]) -> dict[str, str]:
    return {name: "/".join(dict.fromkeys(row.verdict for row in them)) for name, them in found.items()}


def test_a_host_where_all_is_well_has_a_row_for_everything(rows: Rows) -> None:
    host = PretendHost()
    host.began = time.time()
    booted(host, "v1")
    found = rows(host)
    assert set(verdicts(found).values()) <= {"ok"}, found
    assert list(found) == [
        *(
            "config",
            "secrets",
            "name",
            "tcp",
            "host key",
            "login",
            "docker",
            "disk",
            "clock",
            "traefik",
            "routers",
            "image",
        )
    ]
    assert found["login"][0].sentence == (
        "deploy with ~/.ssh/id (ed25519 SHA256:a), in 0.3 s; passed over: id_rsa (needs its passphrase)"
    )
    assert found["name"][0].sentence == "10.0.0.1 port 2222, through jump"
    assert found["routers"][0].sentence == "web: v1 serves; a boot would take the slot green, above it."


@pytest.mark.parametrize(
    ("step", "name", "before"),
    [
        ("resolve", "name", []),
        ("connect", "tcp", ["name"]),
        ("host key", "host key", ["name", "tcp"]),
        ("login", "login", ["name", "tcp", "host key"]),
        ("session", "shell", ["name", "tcp", "host key", "login"]),
    ],
)
def test_a_step_that_fails_on_the_way_in_is_a_row_and_the_rest_is_not_reached(
    rows: Rows, step: str, name: str, before: list[str]
) -> None:
    error = HostUnreachable("web-1", step, "it does not work (no reason). Try `ssh -p 2222 web-1`.")
    found = {key: them for key, them in rows(PretendHost(), login=error).items() if key not in ("config", "secrets")}
    assert list(found) == [*before, name, "the rest"]
    assert found["the rest"][0].verdict == "skipped"
    (row,) = found[name]
    assert (row.verdict, row.sentence, row.fix) == (
        *("failed", "it does not work (no reason).", "Try `ssh -p 2222 web-1`."),
    )


def test_no_docker_ends_the_looks_at_that_host(rows: Rows) -> None:
    host = PretendHost()
    host.docker_answers = False
    found = rows(host)
    assert (found["docker"][0].verdict, found["the rest"][0].verdict) == ("failed", "skipped")
    assert found["docker"][0].fix


def test_a_host_without_traefik_names_the_task_that_starts_it(rows: Rows) -> None:
    host = PretendHost()
    found = host.find("traefik")
    assert found is not None
    del host.containers[found.id]
    assert (rows(host)["traefik"][0].verdict, rows(host)["traefik"][0].fix) == ("failed", "invoke traefik.boot")


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        ((0, "curl\n"), "ok", "has sh and curl"),
        ((68, ""), "failed", "has none of curl, wget"),
        ((127, ""), "failed", "has no sh"),
        ((125, ""), "warning", "could not be looked into"),
    ],
)
def test_the_image_is_looked_into(rows: Rows, answer: Answer, verdict: str, words: str) -> None:
    (row,) = rows(PretendHost(), {"look into image": answer})["image"]
    assert (row.verdict, words in row.sentence) == (verdict, True)


def test_an_image_that_is_not_there_yet_is_not_looked_into(rows: Rows) -> None:
    (row,) = rows(PretendHost(), version="not-there")["image"]
    assert (row.verdict, "registry.example/app:not-there is not on this host yet" in row.sentence) == ("skipped", True)


def test_one_router_name_defined_in_two_ways_is_told_with_both_containers(rows: Rows) -> None:
    host = PretendHost()
    for name, rule in (("shop-1", "Host(`a`)"), ("shop-2", "Host(`b`)")):
        host.start(name, "registry.example/app:v1", labels={"traefik.http.routers.shop.rule": rule})
    warned = [row for row in rows(host)["routers"] if row.verdict == "warning"]
    assert [row.sentence for row in warned] == [
        "router shop is defined differently by shop-1 and shop-2: Traefik drops it."
    ]


def test_a_neighbour_that_takes_the_same_requests_at_our_priority_is_told(rows: Rows) -> None:
    host = PretendHost()
    labels = {"traefik.http.routers.shop.rule": "PathPrefix(`/`)", "traefik.http.routers.shop.priority": "2"}
    host.start("shop", "registry.example/app:v1", labels=labels)
    (row,) = [row for row in rows(host)["routers"] if row.verdict != "ok"]
    assert "shop of shop stands at priority 2, one of web's two levels" in row.sentence


def test_what_traefik_says_of_its_routers_is_passed_on(rows: Rows) -> None:
    host = PretendHost()
    booted(host, "v1")
    said = '[{"name": "a@docker", "status": "enabled"}, {"name": "b@docker", "error": ["middleware x does not exist"]}]'
    warned = [row.sentence for row in rows(host, {"routers": (0, said)})["routers"] if row.verdict == "warning"]
    assert warned == ["Traefik says of b@docker: middleware x does not exist."]


def test_a_program_that_restarts_unhealthy_containers_is_told(rows: Rows) -> None:
    host = PretendHost()
    container = host.start("healer", "registry.example/app:v1")
    container.image = "willfarrell/autoheal:1.2"
    (row,) = rows(host)["restarters"]
    assert (row.verdict, "healer (willfarrell/autoheal:1.2)" in row.sentence) == ("warning", True)


def test_a_slow_health_interval_is_told_once(rows: Rows) -> None:
    found = rows(PretendHost(), file=FILE + "healthcheck: {interval: 5s}\n")["config"]
    assert [(row.verdict, "interval is 5 s" in row.sentence) for row in found] == [("ok", False), ("warning", True)]


def test_secrets_are_asked_for_and_never_shown(rows: Rows) -> None:
    file = FILE + "env: {secret: [TOKEN, OTHER]}\n"
    found = rows(PretendHost(), file=file, TOKEN="canary-1")["secrets"]
    assert [row.verdict for row in found] == ["failed"]
    assert "OTHER" in found[0].sentence
    found = rows(PretendHost(), file=file, TOKEN="canary-1", OTHER="canary-2")["secrets"]
    assert [(row.verdict, row.sentence) for row in found] == [("ok", "all 2 can be read.")]


def test_a_dry_run_changes_nothing_and_tells_every_command_without_its_secrets(tmp_path: Path) -> None:
    host = PretendHost()
    booted(host, "v1")
    path = tmp_path / "deploy.yml"
    path.write_text(FILE + "env: {secret: [TOKEN]}\n")
    before = state(host)
    executor = Entered(PretendFleet([host]), {})
    fleet = Fleet(config_file=path, environ={"TOKEN": "canary-1"}, connect=lambda project: executor)
    events = list(fleet.boot("v2", dry_run=True))
    assert state(host) == before
    assert not [command for command in executor.ran if command.changes]
    told = [event for event in (event.as_dict() for event in events) if event["event"] == "StepSkipped"]
    assert [step["name"] for step in told if step["changes"]] == [
        *("env file", "make cord", "audit", "start container"),
        *("leave the dark", "tie cord", "cut cord", "stop container"),
        *("tidy up", "audit", "tag image"),
    ]
    assert "[REDACTED]" in told[0]["line"]
    assert "canary-1" not in str(events)
    assert events[-1].as_dict()["sentence"] == "dry run: nothing was changed on web-1."


def state(host: PretendHost) -> Any:
    containers = {name: (c.name, c.labels, c.running) for name, c in host.containers.items()}
    return containers, dict(host.cords), dict(host.files), list(host.did), sorted(host.images)


def test_the_steps_of_getting_in_are_those_that_ssh_knows() -> None:
    assert list(checking.STEPS) == ["resolve", "connect", "host key", "login", "session"]
