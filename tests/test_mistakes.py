"""What a newcomer gets wrong before any host is asked: a sentence or two on what is wrong, where, and what to do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from kamalnb.program import main

FILE = """\
service: shop
image: team/shop
registry: {server: registry.example, username: team, password: [REGISTRY_PASSWORD]}
servers: {web: [127.0.0.99], jobs: {hosts: [127.0.0.98], cmd: bin/jobs}}
ssh: {config: false}
env: {secret: [DATABASE_URL]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "deploy.yml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kamalnb"])
    for name in ("REGISTRY_PASSWORD", "DATABASE_URL", "VERSION", "KAMALNB_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """What is told of a mistake; nothing goes to standard output, and nobody sees a traceback."""
    with pytest.raises(SystemExit) as leaving:
        main(["kamalnb", *words])
    shown = capsys.readouterr()
    assert (leaving.value.code, shown.out) == (code, ""), shown
    assert "Traceback" not in shown.err
    assert "defect" not in shown.err
    return shown.err.strip()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("boot --roles=wbe", "No role is called “wbe”. There are: web, jobs."),
        ("boot --hosts=127.0.0.9", "No host is called “127.0.0.9”. There are: 127.0.0.99, 127.0.0.98."),
        ("boot --hosts=", "--hosts is empty. Give it a value, or leave it away."),
        ("boot --hots=x", "boot has no option --hots. Did you mean --hosts?"),
        ("deply", "no task is called “deply”. Did you mean deploy?"),
        ("lock status", "no task is called lock. Did you mean lock.status?"),
        ("exec", "exec needs COMMAND. Write `kamalnb exec COMMAND`."),
        ("remove-container", "remove-container needs VERSION. Write `kamalnb remove-container VERSION`."),
        ("exec ls -i --detach", "--interactive and --detach cannot both be had. Choose one."),
        ("exec ls --env=FOO", "--env=FOO names no value. Write --env=KEY=VALUE."),
        ("logs --lines=many", "“many” stands where a whole number is wanted. Write one like 2."),
        ("logs --lines=-3", "--lines=-3 shows nothing. Give a number from 1 on."),
        (
            "logs --since=yesterday",
            "--since=yesterday is neither a time nor a duration. Write 2026-01-02T13:23:37Z, or 42m for 42 minutes.",
        ),
        ("boot --lock-wait=long", "“long” stands where a whole number is wanted. Write one like 2."),
        ("lock.acquire", 'A lock needs a reason for whoever meets it: kamalnb lock.acquire -m "database is moved"'),
        ("server.remove 127.0.0.9 --yes", "No host is called “127.0.0.9”. There are: 127.0.0.99, 127.0.0.98."),
        ("server.remove 127.0.0.9", "No host is called “127.0.0.9”. There are: 127.0.0.99, 127.0.0.98."),
        (
            "traefik.stop",
            "Nobody is served by 127.0.0.99, 127.0.0.98 then. Stop Traefik? Nothing was changed. "
            "Say --yes where nobody can be asked.",
        ),
    ],
)
def test_mistake_on_the_command_line(
    project: Path, capsys: pytest.CaptureFixture[str], line: str, sentence: str
) -> None:
    told = said(capsys, *line.split())
    assert re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "2026-01-02T13:23:37Z", told) == sentence


@pytest.mark.parametrize("task", ["boot", "deploy", "redeploy", "rollback", "plan"])
def test_version_with_a_space(project: Path, capsys: pytest.CaptureFixture[str], task: str) -> None:
    assert said(capsys, task, "--version=a b") == (
        "“a b” cannot be a version: letters, digits, “_”, “.” and “-”, at most 128. "
        "Name an image tag: --version=abc1234."
    )


def test_secrets_that_are_not_set_are_told_together(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "deploy", "--version=v1")
    assert told.splitlines()[0].endswith("config/deploy.yml has 2 problems:")
    for name in ("DATABASE_URL", "REGISTRY_PASSWORD"):
        assert f"needs {name}, which is not set. Set it in the environment, or in {project / '.env'}." in told


def test_deploy_without_a_version_where_there_is_no_git(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "deploy")
    assert told == f"{project} has no git commit to take a version from. Name one: --version=abc1234."


def test_no_deploy_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = said(capsys, "boot")
    assert told.startswith(f"no config/deploy.yml in {tmp_path} or above it. Go to the project, or ")


def test_broken_yaml(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "config" / "deploy.yml").write_text("service: shop\nservers:\n  web: [web-1\nimage: x\n")
    told = said(capsys, "boot")
    assert "deploy.yml has 1 problem" in told
    assert re.search(r"line [34]", told)


def test_key_that_deploy_yml_does_not_know(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "config" / "deploy.yml").write_text(FILE.replace("servers:", "server:"))
    assert "Did you mean servers?" in said(capsys, "status")


def test_destination_that_does_not_exist(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "config" / "deploy.staging.yml").write_text("{}\n")
    told = said(capsys, "boot", "-d", "stagign")
    assert told.endswith("does not exist. Did you mean staging?")


def test_hosts_where_nothing_answers(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["kamalnb", "rollback", "--candidates"])
    shown = capsys.readouterr()
    assert leaving.value.code == 69
    assert "127.0.0.99: no connection to port 22 (127.0.0.99: connection refused)." in shown.out
    assert "rollback --version" not in shown.out  # there is nothing to choose from
