"""Logs on real hosts: read and followed, over boots, lost connections, two drivers, and hostile patterns."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import MakeShop
from shop import Shop, until

from kamalnb.commands.log_options import LogOptions
from kamalnb.executor import Executor
from kamalnb.following_logs import Following, LogLine, follow
from kamalnb.reads import Answers, Scene, logs
from kamalnb.testing import drive

NO_VOLUME: dict[str, Any] = {"volumes": [], "env": {"clear": {}}}
DRIVERS: dict[str, dict[str, Any]] = {"json-file": {}, "local": {"logging": {"driver": "local"}}}


def rows_of(shop: Shop, **options: Any) -> tuple[dict[str, Any], ...]:
    read = logs.read(LogOptions(**options))
    with shop.opened(**NO_VOLUME) as (project, selection, executor):
        rows: list[Any] = []
        for host in selection.hosts:
            scene = Scene(config=project.config, host=host, roles=project.config.roles_on(host))
            driven = drive(read.look(scene), lambda run, host=host: run_on(executor, host, run))
            if driven.error is not None:
                raise driven.error
            rows += driven.value
        answers = Answers(config=project.config, selection=selection, rows=tuple(rows))
        return tuple(dict(row) for row in read.whole(answers))


def run_on(executor: Executor, host: str, run: Any) -> Any:
    return executor.run(host, run.script, lambda number, what: None, lambda number, line: None)


class Listener:
    """Somebody who follows, in a thread of the test's own."""

    def __init__(self, following: Following) -> None:
        self.lines: list[LogLine] = []
        self.following = following
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        for line in self.following:
            self.lines.append(line)

    def heard(self, message: str, host: str = "", seconds: float = 20.0) -> None:
        until(lambda: any(message in line.message and host in line.host for line in self.lines), message, seconds)

    def messages(self, host: str, kind: str = "line") -> list[str]:
        return [line.message for line in list(self.lines) if (line.host, line.kind) == (host, kind)]


@contextmanager
def listening(shop: Shop, **options: Any) -> Iterator[Listener]:
    with shop.opened(**NO_VOLUME) as (project, selection, executor):
        following = follow(executor, project.config, selection, LogOptions(**options))
        listener = Listener(following)
        try:
            yield listener
        finally:
            following.close()
            listener.thread.join(10)


def write(shop: Shop, host: str, version: str, script: str, *words: str) -> None:
    """Runs a script in a container, its output in the container's log."""
    container = f"{shop.name}-web-{version}"
    line = 'c=$1; s=$2; shift 2; docker exec "$c" sh -c "{ $s\n} >/proc/1/fd/1" sh "$@"'
    shop.shell(host, line, container, script, *words)


def ours(shop: Shop, host: str) -> list[str]:
    """Processes on a host that follow this service's logs."""
    text = shop.shell(host, "ps -eo pid,ppid,args")
    ids = shop.shell(host, 'docker ps --all --no-trunc --quiet --filter label=service="$1"', shop.name).split()
    marks = [f"label=service={shop.name}", *ids]
    return [line for line in text.splitlines() if "docker " in line and any(mark in line for mark in marks)]


def nothing_left(shop: Shop) -> Callable[[], bool]:
    return lambda: not any(ours(shop, host) for host in shop.hosts)


@pytest.fixture(scope="module", params=list(DRIVERS))
def shop(request: pytest.FixtureRequest, make_shop: MakeShop) -> Shop:
    made = make_shop(f"tail-{request.param}", **DRIVERS[request.param])
    made.must_boot("v1", **NO_VOLUME)
    return made


def test_lines_of_all_hosts_come_in_the_order_of_their_times(shop: Shop) -> None:
    for number, host in enumerate(("web-1", "web-2", "web-1")):
        write(shop, host, "v1", 'echo "turn $1"', str(number))
    rows = rows_of(shop, grep="^turn [0-9]$")
    assert [(row["message"], row["host"]) for row in rows[-3:]] == [
        ("turn 0", "web-1"), ("turn 1", "web-2"), ("turn 2", "web-1"),
    ]  # fmt: skip
    assert {(row["role"], row["version"]) for row in rows} == {("web", "v1")}


def test_a_pattern_is_not_found_in_times_and_its_ends_are_the_messages(shop: Shop) -> None:
    write(shop, "web-1", "v1", 'printf "%s\\n" "status 404" "404 is first" "GET /x 40"')
    rows = rows_of(shop, grep="404")
    assert {row["message"] for row in rows} >= {"status 404", "404 is first"}
    assert all("404" in row["message"] for row in rows)
    assert {row["message"] for row in rows_of(shop, grep="404$")} == {"status 404"}
    assert {row["message"] for row in rows_of(shop, grep="^404")} == {"404 is first"}
    assert all(row["at"] is not None for row in rows)


@pytest.mark.parametrize(
    "pattern",
    [
        "$(touch /tmp/kamalnb-ran)",
        "`touch /tmp/kamalnb-ran`",
        "'; touch /tmp/kamalnb-ran; '",
        "-f/etc/passwd",
        "--help",
    ],
)
def test_a_hostile_pattern_runs_nothing_and_finds_itself(shop: Shop, pattern: str) -> None:
    write(shop, "web-1", "v1", "printf '%s\\n' \"$1\"", f"said {pattern}")
    rows = rows_of(shop, grep=pattern, grep_options="-F")
    assert f"said {pattern}" in [row["message"] for row in rows]
    shop.shell("web-1", "[ ! -e /tmp/kamalnb-ran ]")


def test_nothing_found_is_no_failure(shop: Shop) -> None:
    assert rows_of(shop, grep="no line of this test has this in it: zzz") == ()


def test_a_pattern_that_grep_does_not_take_is_a_sentence(shop: Shop) -> None:
    with pytest.raises(Exception, match="grep on web-1 does not take this pattern: "):
        rows_of(shop, grep="[")


def test_lines_and_since_choose(shop: Shop) -> None:
    write(shop, "web-2", "v1", "i=0; while [ $i -lt 30 ]; do echo count $i; i=$((i + 1)); done")
    assert [row["message"] for row in rows_of(shop, lines=2) if row["host"] == "web-2"] == ["count 28", "count 29"]
    found = [row["message"] for row in rows_of(shop, grep="count", lines=3, since="1m") if row["host"] == "web-2"]
    assert found == ["count 27", "count 28", "count 29"]
    assert rows_of(shop, since="2100-01-01T00:00:00Z") == ()


def test_following_moves_to_the_new_containers_of_a_boot_on_every_host(shop: Shop) -> None:
    with listening(shop, lines=1) as listener:
        until(lambda: {line.host for line in listener.lines} == set(shop.hosts), "both hosts were heard")
        shop.must_boot("v2", **NO_VOLUME)
        for host in shop.hosts:
            listener.heard("v1 stopped", host)
            listener.heard("v2 listens", host)
            write(shop, host, "v2", "echo after the boot")
            listener.heard("after the boot", host)
    versions = {(line.host, line.version) for line in listener.lines if line.message.startswith("v2 listens")}
    assert versions == {(host, "v2") for host in shop.hosts}
    for host in shop.hosts:
        heard = listener.messages(host)
        assert len(heard) == len(set(heard)), "a line came twice"
    until(nothing_left(shop), "no docker of ours is left")
    stopped = [row["message"] for row in rows_of(shop, version="v1") if row["host"] == "web-1"]
    assert any(message.startswith("v1 stopped") for message in stopped)
    shop.must_boot("v1", **NO_VOLUME)


def test_a_container_that_restarts_is_followed_on(shop: Shop) -> None:
    container = f"{shop.name}-web-v1"
    with listening(shop, lines=1) as listener:
        listener.heard("", "web-1")
        shop.shell("web-1", 'docker restart --time 3 "$1" >/dev/null', container)
        listener.heard("v1 stopped", "web-1")
        time.sleep(1.5)
        write(shop, "web-1", "v1", "echo once more")
        listener.heard("once more", "web-1")
    heard = [(line.at, line.message) for line in listener.lines if line.host == "web-1"]
    assert len(heard) == len(set(heard))
    assert [message for _at, message in heard if "listens" in message] == [heard[0][1]] * 2


TICKS = 'i=0; while [ $i -lt "$1" ]; do echo "tick $2 $i"; i=$((i + 1)); sleep 0.02; done'


def test_a_cut_connection_is_said_and_no_line_is_lost_or_doubled(shop: Shop) -> None:
    with listening(shop, lines=1) as listener:
        listener.heard("", "web-2")
        writer = threading.Thread(target=write, args=(shop, "web-2", "v1", TICKS, "300", "cut"))
        writer.start()
        listener.heard("tick cut 30", "web-2")
        cut(shop, "web-2")
        writer.join()
        listener.heard("tick cut 299", "web-2", 40.0)
        listener.heard("connected again", "web-2")
    ticks = [message for message in listener.messages("web-2") if message.startswith("tick cut")]
    assert ticks == [f"tick cut {number}" for number in range(300)]
    notes = listener.messages("web-2", "note")
    assert [note.rpartition(";")[2].strip() for note in notes] == ["connecting again", "connected again"], notes
    until(nothing_left(shop), "no docker of ours is left")


def cut(shop: Shop, host: str) -> None:
    """Kills the sshd processes through which this service's logs are followed."""
    processes: dict[str, tuple[str, str]] = {}
    for line in shop.shell(host, "ps -eo pid,ppid,args").splitlines()[1:]:
        pid, parent, args = line.split(None, 2)
        processes[pid] = (parent, args)
    followers = [pid for pid, (_parent, args) in processes.items() if f"label=service={shop.name}" in args]
    assert followers
    pid = followers[0]
    while "sshd:" not in processes[pid][1]:
        pid = processes[pid][0]
    shop.shell(host, 'kill -9 "$1"', pid)


def test_a_follower_that_is_killed_leaves_nothing_on_the_hosts(shop: Shop) -> None:
    with listening(shop, lines=1) as listener:
        listener.heard("", "web-1")
        assert ours(shop, "web-1")
        cut(shop, "web-1")
        listener.following.close()
    until(nothing_left(shop), "no docker of ours is left", 30.0)


FOLLOWER = """
import sys
from kamalnb.commands.log_options import LogOptions
from kamalnb.console import Style
from kamalnb.console.logs import follow_logs
from kamalnb.following_logs import follow
from kamalnb.plan import select
from kamalnb.project import load
from kamalnb.ssh import SshExecutor
project = load(sys.argv[1], None)
executor = SshExecutor(project.config.ssh, directory=project.root)
following = follow(executor, project.config, select(project.config), LogOptions(lines=1))
code = follow_logs(following, project.config.hosts, ("web",), Style())
executor.close()
sys.exit(code)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_ctrl_c_and_sigkill_leave_nothing_on_the_hosts(shop: Shop, number: signal.Signals, code: int) -> None:
    argv = [sys.executable, "-c", FOLLOWER, str(shop.config(**NO_VOLUME))]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        heard = {process.stdout.readline().split(None, 1)[0] for _ in shop.hosts}
        assert heard == set(shop.hosts)
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (code, "", "")
        assert time.monotonic() - began < 5
    finally:
        process.kill()
        process.communicate()
    until(nothing_left(shop), "no docker of ours is left", 30.0)


def test_following_with_a_pattern_shows_what_fits_at_once(shop: Shop) -> None:
    with listening(shop, grep="error$", grep_options="-i") as listener:
        time.sleep(2.0)
        for word in ("an ERROR", "errors everywhere", "no Error"):
            write(shop, "web-1", "v1", 'echo "$1"', word)
        listener.heard("no Error", "web-1")
    assert listener.messages("web-1")[-2:] == ["an ERROR", "no Error"]
    assert "errors everywhere" not in listener.messages("web-1")


LONG = 'i=0; while [ $i -lt 60 ]; do printf "%s%09000d\\n" "$1$i." 0; i=$((i + 1)); done'
TWIN = (
    'docker run --detach --name "$1-web-twin" --label service="$1" --label role=web --label traefik.enable=false'
    ' --log-driver "$2" registry:5000/app:v1 sh -c "$3" sh b >/dev/null'
)


def test_long_and_broken_lines_of_two_containers_do_not_mix(shop: Shop) -> None:
    driver = shop.settings.get("logging", {}).get("driver", "json-file")
    with listening(shop, lines=1) as listener:
        listener.heard("", "web-1")
        shop.shell("web-1", TWIN, shop.name, driver, LONG)
        write(shop, "web-1", "v1", LONG, "a")
        write(shop, "web-1", "v1", 'printf "\\033[31mred\\033[0m \\377 \\000 end\\n"')
        listener.heard("end", "web-1")
        listener.heard("b59.", "web-1")
    long = [message.partition(".") for message in listener.messages("web-1") if message.endswith("0...")]
    assert sorted(name for name, _dot, _rest in long) == sorted(
        f"{who}{number}" for who in "ab" for number in range(60)
    )
    assert all(set(rest) == {"0", "."} for _name, _dot, rest in long)
    shop.shell("web-1", 'docker rm --force "$1-web-twin" >/dev/null', shop.name)


def test_a_driver_that_keeps_nothing_is_said_in_dockers_words(make_shop: MakeShop) -> None:
    shop = make_shop("tail-none", ("web-1",), logging={"driver": "none"})
    shop.must_boot("v1", **NO_VOLUME)
    (row,) = rows_of(shop)
    assert row["error"] == "Docker shows no log: configured logging driver does not support reading"
    with listening(shop) as listener:
        listener.heard("configured logging driver does not support reading")
