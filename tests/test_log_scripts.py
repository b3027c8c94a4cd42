"""The shell functions that read and follow logs, for real: under dash, bash and busybox, with our own docker."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamalnb import live
from kamalnb.commands import log_scripts, logs
from kamalnb.commands.log_options import LogOptions
from kamalnb.commands.logs import Failed, Opened, Printed
from kamalnb.config.model import Role
from kamalnb.shell import Command

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
ROLE = Role(name="web", service="app", destination=None, hosts=("web-1",), traefik=True)
OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64

# ps prints the file containers; logs prints the file named by the id's first letter, following adds its .more; events
# waits for the file events.
DOCKER = """#!/bin/sh
cd "$STUB" || exit 99
echo "$*" >>calls
for last in "$@"; do :; done
case $1 in
  ps) cat containers ;;
  version) : ;;
  inspect) echo exited ;;
  events) while [ ! -e events ]; do sleep 0.05; done; cat events; sleep 300 ;;
  logs)
    f=log.${last%"${last#?}"}
    [ -e "$f" ] || { echo "Error response from daemon: no reading here" >&2; exit 1; }
    cat "$f"
    case $* in *--follow*) if [ -e "$f.wait" ]; then sleep 300; fi ;; esac ;;
  *) exit 98 ;;
esac
"""


@dataclass
class Stub:
    """A host with one shell, and a docker that answers from files."""

    path: Path
    shell: str

    def put(self, name: str, *lines: str) -> Stub:
        (self.path / name).write_text("".join(f"{line}\n" for line in lines))
        return self

    def start(self, text: str) -> subprocess.Popen[str]:
        shell = ["busybox", "sh", "-c"] if self.shell == "busybox" else [self.shell, "-c"]
        path = f"{self.path}/bin:{os.environ['PATH']}"
        return subprocess.Popen(
            [*shell, text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={"PATH": path, "STUB": str(self.path), "LC_ALL": "C"}, start_new_session=True, errors="replace",
        )  # fmt: skip

    def run(self, command: Command) -> tuple[int, list[object], str]:
        text = "\n".join((*command.uses, f"({command.line()})"))
        with self.start(text) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, [one for one in map(logs.spoken, out.split("\n")) if one], err


@pytest.fixture(params=SHELLS)
def stub(request: pytest.FixtureRequest, tmp_path: Path) -> Stub:
    (tmp_path / "bin").mkdir()
    for name, text in (("docker", DOCKER),):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    if request.param == "busybox":
        for applet in ("awk", "grep", "tail", "head", "date", "timeout", "tr", "sleep", "cat"):
            (tmp_path / "bin" / applet).symlink_to(shutil.which("busybox") or "")
    made = Stub(tmp_path, request.param)
    made.put(
        "containers",
        f"{NEW} running app-web-v2 d v", f"{OLD} exited app-web-v1 d v", f"{OTHER} running app-web-v9 dstaging v",
    )  # fmt: skip
    return made.put("log.a", *stamped("old line")).put("log.b", *stamped("one", "two 404", "", "404 three"))


def stamped(*messages: str) -> list[str]:
    return [f"2026-01-02T13:23:{number:02d}.404404404Z {message}" for number, message in enumerate(messages)]


def said(found: list[object]) -> list[str]:
    return [one.message for one in found if isinstance(one, Printed)]


def test_the_running_container_is_read_with_its_times(stub: Stub) -> None:
    code, found, _ = stub.run(logs.read(ROLE, LogOptions()))
    assert (code, found[0]) == (0, Opened("web", NEW, "app-web-v2", ""))
    assert said(found) == ["one", "two 404", "", "404 three"]
    assert {one.id for one in found} == {"b" * 12}  # type: ignore[attr-defined]
    assert found[1] == Printed("b" * 12, "2026-01-02T13:23:00.404404404Z", "one")
    assert f"logs --timestamps --tail 100 {NEW}" in (stub.path / "calls").read_text()


def test_where_none_runs_the_newest_one_is_read(stub: Stub) -> None:
    stub.put("containers", f"{OLD} exited app-web-v1 d v", f"{NEW} exited app-web-v0 d v")
    assert said(stub.run(logs.read(ROLE, LogOptions()))[1]) == ["old line"]


@pytest.mark.parametrize(
    "options", [LogOptions(version="v1"), LogOptions(container_id="aaaa"), LogOptions(container_id="app-web-v1")]
)
def test_a_stopped_container_is_read_by_version_id_or_name(stub: Stub, options: LogOptions) -> None:
    assert said(stub.run(logs.read(ROLE, options))[1]) == ["old line"]


def test_a_version_that_begins_like_another_is_not_that_one(stub: Stub) -> None:
    assert stub.run(logs.read(ROLE, LogOptions(version="v")))[1] == []


@pytest.mark.parametrize(
    ("pattern", "options", "lines"),
    [
        ("404", "", ["two 404", "404 three"]),
        ("404$", "", ["two 404"]),
        ("^404", "", ["404 three"]),
        ("^$", "", [""]),
        ("TWO", "-i", ["two 404"]),
        ("one|three", "-E", ["one", "404 three"]),
        ("404", "-v", ["one", ""]),
        ("404$", "-F", []),
        ("one", "-A 1", ["one", "two 404"]),
        ("nothing like it", "", []),
    ],
)
def test_a_pattern_sees_the_message_alone(stub: Stub, pattern: str, options: str, lines: list[str]) -> None:
    code, found, _ = stub.run(logs.read(ROLE, LogOptions(grep=pattern, grep_options=options)))
    assert (code, said(found)) == (0, lines)
    assert all(one.at for one in found if isinstance(one, Printed))


def test_a_pattern_that_grep_does_not_take_has_its_own_exit_code(stub: Stub) -> None:
    code, _, err = stub.run(logs.read(ROLE, LogOptions(grep="[")))
    assert code == logs.BAD_PATTERN
    assert err


def test_a_log_that_cannot_be_read_is_told_in_dockers_words(stub: Stub) -> None:
    (stub.path / "log.b").unlink()
    assert Failed("b" * 12, "no reading here") in stub.run(logs.read(ROLE, LogOptions()))[1]


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(word=st.text(st.characters(exclude_characters="\0\n\r", codec="utf-8"), min_size=1, max_size=30))
def test_any_text_finds_itself_and_runs_nothing(shell: str, tmp_path: Path, word: str) -> None:
    stub = Stub(tmp_path, shell)
    if not (tmp_path / "bin").exists():
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "docker").write_text(DOCKER)
        (tmp_path / "bin" / "docker").chmod(0o755)
    stub.put("containers", f"{NEW} running app-web-v2 d v").put("log.b", *stamped(f"<{word}>", "else"))
    code, found, _ = stub.run(logs.read(ROLE, LogOptions(grep=word, grep_options="-F")))
    assert code == 0
    assert f"<{word}>" in said(found)


# -- following -----------------------------------------------------------------------------------------------


def followed(stub: Stub, lease: int = 60) -> subprocess.Popen[str]:
    """Nobody sends heartbeats here: after ``lease`` seconds it is over."""
    command = logs.follow((ROLE,), LogOptions(), {}, None)
    return stub.start(live.render(command, "MARK", lease=lease))


def line_of(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """What is printed up to a line that has ``wanted`` in it."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line.rstrip("\n"))
        if wanted in line:
            return seen
    raise AssertionError(seen)


def end(process: subprocess.Popen[str]) -> None:
    with process:
        os.killpg(process.pid, signal.SIGKILL)


def test_a_container_that_starts_is_followed_from_its_first_line(stub: Stub) -> None:
    stub.put("log.b", *stamped("b one")).put("log.b.wait")
    process = followed(stub)
    try:
        line_of(process, "b one")
        stub.put("events", f"web {OTHER} start app-web-v9 dstaging v", f"web {OLD} start app-web-v1 d vv1")
        stub.put("log.a", *stamped("a one", "a two"))
        seen = line_of(process, "a two")
    finally:
        end(process)
    assert f"=web {OLD} app-web-v1 vv1" in seen
    assert not any(OTHER in line for line in seen)
    assert f"logs --timestamps --follow --tail all {OLD}" in (stub.path / "calls").read_text()


def test_without_heartbeats_nothing_of_it_stays(stub: Stub) -> None:
    stub.put("log.b.wait")
    process = followed(stub, lease=5)
    line_of(process, "three")
    assert group(process.pid)
    with process:
        process.communicate(timeout=20)
    until_gone(process.pid)


def test_the_end_of_its_stdin_ends_it_at_once(stub: Stub) -> None:
    stub.put("log.b.wait")
    process = followed(stub)
    line_of(process, "three")
    began = time.monotonic()
    with process:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        process.communicate(timeout=20)
    assert time.monotonic() - began < 15  # long before the lease is over
    until_gone(process.pid)


def group(leader: int) -> list[str]:
    done = subprocess.run(["ps", "-o", "args=", "-g", str(leader)], capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if "defunct" not in line]


def until_gone(leader: int) -> None:
    end_at = time.monotonic() + 10
    while left := group(leader):
        assert time.monotonic() < end_at, left
        time.sleep(0.05)


# -- all of them ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed; CI installs it")
def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "logs.sh"
    file.write_text("\n".join(("#!/bin/sh", *log_scripts.ALL, live.WATCH, "")))
    off = "SC2086,SC2154,SC2034,SC2016,SC2119,SC2120,SC2317,SC2329,SC2015"
    done = subprocess.run(["shellcheck", "-s", "sh", "-e", off, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_long_line_loses_the_times_where_docker_cut_it() -> None:
    whole = "x" * 16_384 + "y" * 100
    cut = f"2026-01-02T13:23:37.1Z {whole[:16_384]}2026-01-02T13:23:37.2Z {whole[16_384:]}"
    assert logs.spoken(f">abc {cut}") == Printed("abc", "2026-01-02T13:23:37.1Z", whole)


@pytest.mark.parametrize("line", ["", "noise", "*x", ">abc --"])
def test_what_says_nothing_is_passed_over(line: str) -> None:
    assert logs.spoken(line) is None


def test_every_timestamp_survives_its_coding() -> None:
    stamp = "2026-09-08T17:36:45.123456789Z"
    coded = stamp.translate(str.maketrans("0123456789.:-TZ", "".join(map(chr, (*range(1, 9), *range(14, 21))))))
    assert not re.search(r"[0-9TZ]", coded)
    assert logs.spoken(f">abc message\037{coded}") == Printed("abc", stamp, "message")
