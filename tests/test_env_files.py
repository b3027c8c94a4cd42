"""Env files: pushed with a diff of keys, never a value; deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from boots import role
from changes import must, on_host

from kamalnb.commands.env_files import PUSH, difference, push
from kamalnb.errors import Unclear
from kamalnb.flows.env_files import deleted, path_of, pushed
from kamalnb.script import Script
from kamalnb.shell import Secret
from kamalnb.testing import PretendHost, drive_on

PATH = "/home/deploy/.kamal/env/roles/app-web.env"


def secrets(**values: str) -> dict[str, Secret]:
    return {key: Secret(value) for key, value in values.items()}


def test_push_writes_the_file_and_tells_each_key_and_no_value() -> None:
    host = PretendHost()
    must(host, pushed(on_host(), {"web": secrets(KEY="one", OLD="x", SAME="s")}))
    done = drive_on(host, pushed(on_host(), {"web": secrets(KEY="two", NEW="y", SAME="s")}))
    assert host.files[PATH] == "KEY=two\nNEW=y\nSAME=s\n"
    assert done.value.sentence == "env files pushed (web: added NEW; removed OLD; changed KEY; 1 the same)."
    assert done.value.data["files"]["web"]["changed"] == ("KEY",)
    shown = "\n".join(str(command) for command in done.ran) + str(done.value) + repr(done.facts)
    assert "two" not in shown


def test_traefiks_file_is_pushed_too() -> None:
    host = PretendHost()
    must(host, pushed(on_host(), {"web": {}, "traefik": secrets(TOKEN="t")}))
    assert host.files["/home/deploy/.kamal/env/traefik/traefik.env"] == "TOKEN=t\n"
    assert host.files[PATH] == ""


def test_path_is_the_boots_own() -> None:
    from boots import config, plan

    from kamalnb.commands.app import env_file

    assert f"/home/deploy/{path_of(config(), role())}" == env_file(plan("v1"), "/home/deploy")


def test_delete_removes_each_and_says_when_none_was_there() -> None:
    host = PretendHost()
    must(host, pushed(on_host(), {"web": secrets(A="a"), "job": {}, "traefik": {}}))
    assert must(host, deleted(on_host())).sentence == "env files deleted: web, job, traefik."
    assert not [path for path in host.files if path.endswith(".env")]
    assert must(host, deleted(on_host())).sentence == "no env file was there."


def test_line_that_is_no_key_is_refused_without_being_shown() -> None:
    with pytest.raises(Unclear) as caught:
        difference("hunter2 is the password\n")
    assert "hunter2" not in str(caught.value)


def test_command_keeps_its_values_out_of_its_own_line() -> None:
    command = push("x.env", Secret("KEY=hunter2\n"))
    assert "hunter2" not in str(command)
    assert Script.of(command).changes
    assert PUSH in command.uses
    assert Path("x.env").name in command.words
