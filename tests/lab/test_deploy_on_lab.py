"""``deploy`` as a whole on real hosts, from a registry with a real login: what the hosts show before and after."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeShop
from shop import Ran, Shop
from typed import ROOT, Keyboard

from kamalnb import events
from kamalnb.errors import ConfigError
from kamalnb.lab.registry import LOGIN_REGISTRY, LOGIN_USER

IMAGE = f"{LOGIN_REGISTRY}/app"
HOSTS = ("web-1", "web-2")
PRIMARY = "web-1"
FORGET = """docker logout "$1" >/dev/null; i=$(docker image ls "$1/app" --format '{{.Repository}}:{{.Tag}}')
[ -z "$i" ] || docker rmi --force $i >/dev/null"""
HOOKS = ("pre-connect", "pre-deploy", "pre-app-boot", "post-app-boot", "post-deploy", "deploy-failed")
HOOK = """#!/bin/sh
{ printf '%s' "${0##*/}"; env | grep '^KAMAL' | sort | tr '\\n' ' ' | sed 's/^/ /'; echo; } >>"$HOOKS_LOG"
[ ! -e "$HOOKS_LOG.fail-${0##*/}" ]
"""


class Deployed:
    """One service that is deployed from the registry with a login, and the hooks that it calls."""

    def __init__(self, shop: Shop, directory: Path) -> None:
        self.shop = shop
        self.hooks = directory / "hooks"
        self.log = directory / "hooks.log"
        self.hooks.mkdir(exist_ok=True)
        for name in HOOKS:
            self.hook(name, HOOK)
        self.environ = {
            "LAB_REGISTRY_PASSWORD": shop.lab.registry_login.password,
            "CANARY": "canary-1", "HOOKS_LOG": str(self.log), "PYTHONPATH": str(ROOT), "KAMALNB_PERFORMER": "jana",
        }  # fmt: skip

    def hook(self, name: str, script: str) -> None:
        (self.hooks / name).write_text(script)
        (self.hooks / name).chmod(0o755)

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "registry": {"server": LOGIN_REGISTRY, "username": LOGIN_USER, "password": ["LAB_REGISTRY_PASSWORD"]},
            "hooks_path": str(self.hooks),
            "env": {"clear": {"ORDERS_LOG": "/orders/log"}, "secret": ["CANARY"]},
            "deploy_timeout": 8,
            **changes,
        }

    def run(
        self, verb: str, version: str | None = None, hosts: tuple[str, ...] = (), how: Any = None, **changes: Any
    ) -> Ran:
        environ = {**os.environ, **self.environ, **changes.pop("environ", {})}
        fleet = replace(self.shop.fleet(hosts, **self.settings(**changes)), environ=environ)
        self.log.unlink(missing_ok=True)
        began = time.monotonic()
        verbs = {"deploy": fleet.deploy, "redeploy": fleet.redeploy, "rollback": fleet.rollback}
        rollout = verbs[verb](version, **(how or {}))
        seen = tuple(rollout)
        return Ran(rollout.report, seen, time.monotonic() - began)

    def deploy(self, version: str | None = None, **changes: Any) -> Ran:
        return self.run("deploy", version, **changes)

    def must(self, version: str | None = None, **changes: Any) -> Ran:
        ran = self.deploy(version, **changes)
        assert ran.ok, f"{ran.report.finished} {ran.report.failures}"
        return ran

    def keyboard(self, **changes: Any) -> Keyboard:
        return Keyboard.at(self.shop.config(**self.settings(**changes)), **self.environ)

    @property
    def called(self) -> list[str]:
        """The hooks that were called, in their order."""
        return [line.split()[0] for line in self._lines()]

    def told(self, name: str) -> list[dict[str, str]]:
        """The variables that each call of a hook was given."""
        calls = [line.partition(" ")[2] for line in self._lines() if line.split()[0] == name]
        return [dict(word.partition("=")[::2] for word in call.split(" ") if "=" in word) for call in calls]

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def image(self, host: str, tag: str) -> str:
        return self.shop.shell(
            host, 'docker image inspect --format "{{.Id}}" "$1" 2>/dev/null || :', f"{IMAGE}:{tag}"
        ).strip()

    def container(self, host: str) -> str:
        """The id of the one container that runs."""
        found = self.shop.shell(host, 'docker ps --quiet --no-trunc --filter label=service="$1"', self.shop.name)
        (one,) = found.split()
        return one

    def everything(self) -> dict[str, Any]:
        """What the hosts have of this service: containers, cords, env files, the tag latest."""
        return {
            host: (
                self.shop.standing(host).containers,
                self.shop.standing(host).cords,
                self.image(host, "latest"),
                self.shop.shell(host, 'cat "$1"/env/roles/* 2>/dev/null || :', self.shop.run_directory),
            )
            for host in self.shop.hosts
        }

    def released(self, host: str) -> list[str]:
        """What the release command has written there."""
        return self.shop.shell(host, 'cat "$1/orders/release" 2>/dev/null || :', self.shop.run_directory).splitlines()

    def forget(self) -> None:
        """The hosts know neither the registry nor its images."""
        for host in self.shop.hosts:
            assert self.shop.as_deploy(host, f"set -- {LOGIN_REGISTRY}; {FORGET}").returncode == 0


@pytest.fixture(scope="module")
def app(make_shop: MakeShop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    deployed = Deployed(make_shop("deployed"), tmp_path_factory.mktemp("deployed"))
    deployed.forget()
    yield deployed
    deployed.shop.clean()
    deployed.forget()


@pytest.fixture
def v1(app: Deployed) -> Deployed:
    """v1 serves on both hosts, v2 stopped before it, and nothing of a test before."""
    for name in HOOKS:
        app.hook(name, HOOK)
    for mark in app.log.parent.glob("hooks.log.fail-*"):
        mark.unlink()
    serving = {app.shop.version_at(host) for host in HOSTS}
    if serving != {"v1"} or any(len(app.shop.standing(host).running) != 1 for host in HOSTS):
        app.must("v1")
    return app


RELEASE = {"cmd": 'echo "$VERSION $CANARY" >>/orders/release'}


def test_first_deploy_on_hosts_that_have_nothing_yet(app: Deployed) -> None:
    ran = app.must("v1", release=RELEASE, environ={"KAMALNB_PERFORMER": "jana"})
    for host in HOSTS:
        assert app.shop.standing(host).serving == ("deployed-web-v1",)
        assert app.shop.version_at(host) == "v1"
        assert app.image(host, "latest") == app.image(host, "v1") != ""
        assert LOGIN_REGISTRY in app.shop.as_deploy(host, "cat .docker/config.json").stdout
        env = app.shop.shell(host, 'cat "$1"/env/roles/*', app.shop.run_directory)
        assert env.strip() == "CANARY=canary-1"
    # Once, on the primary host, in the new image, with the secrets of its role.
    assert (app.released("web-1"), app.released("web-2")) == (["v1 canary-1"], [])
    assert app.called == ["pre-connect", "pre-deploy", "pre-app-boot", "post-app-boot", "post-deploy"]
    told = app.told("post-deploy")[0]
    assert told["KAMAL_VERSION"] == "v1"
    assert told["KAMAL_HOSTS"] == "web-1,web-2"
    assert (told["KAMAL_COMMAND"], told["KAMAL_SERVICE_VERSION"]) == ("deploy", "deployed@v1")
    assert (told["KAMAL_PERFORMER"], "KAMAL_SUBCOMMAND" in told) == ("jana", False)
    assert 0 <= int(told["KAMAL_RUNTIME"]) <= ran.seconds + 1
    assert "canary-1" not in repr(ran.events)
    assert app.environ["LAB_REGISTRY_PASSWORD"] not in repr(ran.events)


def test_version_of_the_environment_in_batches_with_hooks_for_each(v1: Deployed) -> None:
    ran = v1.deploy(None, environ={"VERSION": "v2"}, boot={"limit": 1})
    assert ran.ok
    assert {v1.shop.version_at(host) for host in HOSTS} == {"v2"}
    assert [call["KAMAL_HOSTS"] for call in v1.told("pre-app-boot")] == ["web-1", "web-2"]
    assert [call["KAMAL_HOSTS"] for call in v1.told("post-app-boot")] == ["web-1", "web-2"]
    for host in HOSTS:  # the way back is not pruned, the tag has moved
        assert v1.shop.standing(host).containers["deployed-web-v1"][0] == "exited"
        assert v1.image(host, "v1")
        assert v1.image(host, "latest") == v1.image(host, "v2")


def test_prune_keeps_the_version_that_served_before_and_no_more(v1: Deployed) -> None:
    for version in ("v2", "v3"):
        v1.must(version, retain_containers=1)
    for host in HOSTS:
        assert set(v1.shop.standing(host).containers) == {"deployed-web-v2", "deployed-web-v3"}
        assert v1.image(host, "v2")
        assert not v1.image(host, "v1")
    assert v1.run("rollback", "v2", release=RELEASE).ok


@pytest.mark.parametrize(
    ("release", "why"),
    [
        ({"cmd": "echo broken >&2; exit 3"}, "exit code 3"),
        ({"cmd": "sleep 60", "timeout": 2}, "took more than 2 s"),
    ],
)
def test_release_command_that_fails_changes_nothing(v1: Deployed, release: dict[str, object], why: str) -> None:
    before = v1.everything()
    ran = v1.deploy("v3", release=release)
    assert not ran.ok
    assert v1.everything() == before
    assert ran.report.finished is not None
    assert why in ran.report.finished.sentence
    assert "Nothing was booted" in ran.report.finished.sentence
    assert v1.called == ["pre-connect", "pre-deploy", "deploy-failed"]
    assert why in v1.log.read_text()
    for host in HOSTS:
        assert v1.shop.shell(host, "docker ps -aq --filter label=kamalnb.exec=deployed").split() == []


def test_rollback_runs_no_release_command(v1: Deployed) -> None:
    v1.must("v2")
    before = v1.released(PRIMARY)
    assert v1.run("rollback", "v1", release=RELEASE).ok
    assert {v1.shop.version_at(host) for host in HOSTS} == {"v1"}
    assert v1.released(PRIMARY) == before
    assert v1.called == ["pre-connect", "pre-deploy", "pre-app-boot", "post-app-boot", "post-deploy"]
    assert v1.told("post-deploy")[0]["KAMAL_COMMAND"] == "rollback"


def test_pre_deploy_hook_that_fails_stops_with_nothing_booted(v1: Deployed) -> None:
    before = v1.everything()
    Path(f"{v1.log}.fail-pre-deploy").touch()
    ran = v1.deploy("v2", release=RELEASE)
    assert (ran.ok, v1.everything()) == (False, before)
    assert v1.called == ["pre-connect", "pre-deploy", "deploy-failed"]


def test_pre_app_boot_hook_that_fails_begins_no_batch(v1: Deployed) -> None:
    Path(f"{v1.log}.fail-pre-app-boot").touch()
    ran = v1.deploy("v2", boot={"limit": 1})
    assert not ran.ok
    assert {v1.shop.version_at(host) for host in HOSTS} == {"v1"}
    assert v1.called == ["pre-connect", "pre-deploy", "pre-app-boot", "deploy-failed"]


def test_hook_that_calls_kamalnb_has_the_lock_already(v1: Deployed) -> None:
    keyboard = v1.keyboard()
    us = f"cd {keyboard.directory} && {shutil.which('python')} -m kamalnb"
    v1.hook(
        "pre-deploy",
        f"#!/bin/sh\nset -e\n{us} lock.status --json >>$HOOKS_LOG.inner\nCANARY=canary-2 {us} env.push\n",
    )
    ran = v1.deploy("v2")
    assert ran.ok, (ran.report.finished, ran.report.failures)
    assert '"status": "held"' in Path(f"{v1.log}.inner").read_text()
    log = v1.shop.shell(PRIMARY, 'cat "$1"/*-audit.log', v1.shop.run_directory)
    assert "Pushed env files" in log
    free = keyboard.kamalnb("lock.status", "--json").must().rows
    assert {row["status"] for row in free} == {"free"}


def test_traefik_is_booted_where_it_does_not_run(v1: Deployed) -> None:
    v1.shop.shell("web-2", "docker rm --force traefik")
    kept = v1.shop.shell("web-1", "docker inspect --format {{.Id}} traefik")
    v1.must("v2")
    assert v1.shop.shell("web-1", "docker inspect --format {{.Id}} traefik") == kept
    assert [v1.shop.version_at(host) for host in HOSTS] == ["v2", "v2"]


def test_redeploy_needs_no_password_where_hosts_are_logged_in(v1: Deployed) -> None:
    ran = v1.run("redeploy", "v2", environ={"LAB_REGISTRY_PASSWORD": "wrong"})
    assert ran.ok
    assert {v1.shop.version_at(host) for host in HOSTS} == {"v2"}
    assert v1.told("post-deploy")[0]["KAMAL_COMMAND"] == "redeploy"


def test_same_command_after_an_unfinished_rollout_boots_what_is_missing(v1: Deployed) -> None:
    broken = "registry:5000/app:never-healthy"
    v1.shop.shell(
        "web-2", f"docker pull --quiet {broken}; docker rmi --force {IMAGE}:v4; docker tag {broken} {IMAGE}:v4"
    )
    latest = v1.image("web-1", "latest")
    assert not v1.deploy("v4").ok
    assert [v1.shop.version_at(host) for host in HOSTS] == ["v4", "v1"]
    assert v1.image("web-1", "latest") == latest  # moved when all serve, and not before
    assert v1.called[-1] == "deploy-failed"
    v1.shop.shell("web-2", f"docker image rm --force {IMAGE}:v4")
    done = v1.container("web-1")
    again = v1.must("v4")
    assert [v1.shop.version_at(host) for host in HOSTS] == ["v4", "v4"]
    assert v1.container("web-1") == done
    assert "web on web-1 serves v4 already" in again.told("")
    v1.must("v4", hosts=("web-1",), how={"force": True})
    assert v1.container("web-1") != done
    for host in HOSTS:
        assert v1.image(host, "latest") == v1.image(host, "v4")


def test_version_comes_from_git(v1: Deployed) -> None:
    keyboard = v1.keyboard()
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(keyboard.directory)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    commit = done.stdout.strip()
    for host in HOSTS:
        v1.shop.shell(
            host, f"docker pull --quiet registry:5000/app:v3; docker tag registry:5000/app:v3 {IMAGE}:{commit}"
        )
    typed = keyboard.kamalnb("deploy").must()
    assert [v1.shop.standing(host).serving for host in HOSTS] == [(f"deployed-web-{commit}",)] * 2
    assert commit[:7] in typed.said
    shown = keyboard.kamalnb("status", "--json").must().rows
    assert {(row["version"], row["revision"]) for row in shown} == {(commit, commit[:7])}


# Errors: one or two sentences, and nothing half done.


def told(ran: Ran) -> str:
    assert not ran.ok
    assert ran.report.finished is not None
    return ran.report.finished.sentence


def test_wrong_password(v1: Deployed) -> None:
    before = v1.everything()
    sentence = told(v1.deploy("v2", environ={"LAB_REGISTRY_PASSWORD": "wrong-canary"}))
    assert f"The registry {LOGIN_REGISTRY} does not take this user and password ({LOGIN_USER})." in sentence
    assert "wrong-canary" not in sentence
    assert v1.everything() == before


def test_password_that_is_not_set_is_told_with_all_other_secrets(v1: Deployed) -> None:
    environ = dict(v1.environ)
    fleet = replace(v1.shop.fleet(**v1.settings()), environ={"PATH": os.environ["PATH"]})
    with pytest.raises(ConfigError) as caught:
        fleet.deploy("v2")
    assert {path for path, _ in caught.value.problems} == {"env/secret/CANARY", "registry/password"}
    assert environ["CANARY"] not in str(caught.value)


def test_tag_that_the_registry_has_not(v1: Deployed) -> None:
    before = v1.everything()
    ran = v1.deploy("no-such-tag")
    sentence = told(ran)
    line = f"docker build --label service=deployed -t {IMAGE}:no-such-tag . && docker push {IMAGE}:no-such-tag"
    assert sentence.count(line) == 1, sentence
    assert v1.everything() == before


def test_registry_that_is_down(v1: Deployed) -> None:
    before = v1.everything()
    registry = {"server": "registry:5999", "username": LOGIN_USER, "password": ["LAB_REGISTRY_PASSWORD"]}
    sentence = told(v1.deploy("v2", registry=registry))
    assert "The registry registry:5999 cannot be reached from the host" in sentence
    assert v1.everything() == before


def test_new_host_is_deployed_beside_those_that_serve(v1: Deployed) -> None:
    v1.must("v2")
    v1.shop.shell("web-2", 'docker rm -f $(docker ps -aq --filter label=service="$1"); rm -rf "$2"', v1.shop.name,
                  v1.shop.run_directory)  # fmt: skip
    assert v1.shop.as_deploy("web-2", f"set -- {LOGIN_REGISTRY}; {FORGET}").returncode == 0
    kept = v1.container("web-1")
    v1.must("v2")
    assert [v1.shop.version_at(host) for host in HOSTS] == ["v2", "v2"]
    assert v1.container("web-1") == kept


def test_host_removed_from_the_file_is_said_before_it_does_harm(v1: Deployed) -> None:
    servers = {"web": {"hosts": ["web-1"], "labels": v1.shop.labels()}}
    typed = v1.keyboard(servers=servers).kamalnb("status").must()
    assert "Your file knows 1 host, the last boot 2" in typed.out
    plan = v1.keyboard(servers=servers).kamalnb("plan", "--version=v2").must()
    assert "Your file knows 1 host, the last boot 2" in plan.said


def test_fleet_that_asks_for_confirmation(v1: Deployed) -> None:
    keyboard = v1.keyboard(confirm=True)
    before = v1.everything()
    refused = keyboard.kamalnb("deploy", "--version=v2")
    assert refused.code == 2
    assert "--confirm=web@v2" in refused.said
    wrong = keyboard.kamalnb("deploy", "--version=v2", "--confirm=web@v3")
    assert (wrong.code, v1.everything()) == (2, before)
    keyboard.kamalnb("deploy", "--version=v2", "--confirm=web@v2").must()
    assert {v1.shop.version_at(host) for host in HOSTS} == {"v2"}


# The lock.


def until_held(keyboard: Keyboard) -> None:
    end = time.monotonic() + 60
    while not any(row["status"] == "held" for row in keyboard.kamalnb("lock.status", "--json").rows):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_second_deploy_is_refused_or_waits_and_a_killed_one_frees_the_lock(v1: Deployed) -> None:
    slow = v1.keyboard(release={"cmd": "sleep 300"})
    plain = v1.keyboard()
    holder = slow.begin("deploy", "--version=v2")
    try:
        until_held(plain)
        refused = plain.kamalnb("deploy", "--version=v3", "-q")
        assert refused.code == 75
        assert "Another deploy is under way on web-1 (jana since " in refused.said
        assert "Nothing was changed" in refused.said
        assert "deploy-failed" not in v1.called
        waiting = plain.begin("deploy", "--version=v3", "--lock-wait=60")
        assert waiting.stdout is not None
        for line in waiting.stdout:
            if "waiting for the lock" in line:
                break
        holder.kill()
        killed = time.monotonic()
        while v1.shop.as_deploy(PRIMARY, "flock -n .deployed/kamalnb-deployed.lock true").returncode != 0:
            assert time.monotonic() < killed + 30
        free = time.monotonic() - killed
        out, err = waiting.communicate(timeout=120)
        assert waiting.returncode == 0, (out, err)
    finally:
        holder.kill()
        holder.communicate()
    print(f"free {free:.2f} s after SIGKILL")
    assert free < 5.0
    assert {v1.shop.version_at(host) for host in HOSTS} == {"v3"}


def test_every_hook_has_the_lock_of_its_run(v1: Deployed) -> None:
    ran = v1.must("v2")
    started = next(event for event in ran.events if isinstance(event, events.RunStarted))
    assert {v1.told(name)[0]["KAMALNB_LOCK"] for name in ("pre-deploy", "post-app-boot")} == {started.run_id}
