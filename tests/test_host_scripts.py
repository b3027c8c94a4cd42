"""The shell functions that run on hosts, for real: under dash, bash and busybox, with our own docker on the PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kamalnb.commands import (
    app,
    audit,
    bootstrap,
    env_files,
    host,
    images,
    leftovers,
    lock,
    proxy,
    server,
    stats,
    traefik,
)
from kamalnb.script import Script, render
from kamalnb.shell import Command, look

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
NONCE = "0123456789abcdef0123456789abcdef"
EACH = "\n".join(host.ALL)

# A docker that answers from files: state (one line a call, the last one stays), exec (a script), ids, top-level codes.
DOCKER = """#!/bin/sh
cd "$STUB" || exit 99
echo "$*" >>calls
next() { if [ "$(wc -l <"$1")" -gt 1 ]; then head -n 1 "$1"; sed -i 1d "$1"; else cat "$1"; fi; }
case $1 in
  inspect)
    [ -e state ] || { echo "Error: No such object" >&2; exit 1; }
    case $3 in
      *State.Status*) next state ;;
      *ExitCode*) cat code ;;
      .) : ;;
      *) next inspect ;;
    esac ;;
  exec) shift 2; . ./exec ;;
  ps) next ids ;;
  stop) exit "$(cat stops 2>/dev/null || echo 0)" ;;
  logs) cat log; echo "to stderr" >&2 ;;
  *) exit 98 ;;
esac
"""


@dataclass
class Host:
    """A directory that plays Docker for one shell."""

    path: Path
    shell: str

    def put(self, name: str, *lines: str) -> Host:
        (self.path / name).write_text("".join(f"{line}\n" for line in lines))
        return self

    def run(self, *words: str, stdin: str = "", limit: float = 120.0) -> subprocess.CompletedProcess[str]:
        line = Command(name="x", words=words).line()
        shell = ["busybox", "sh", "-c"] if self.shell == "busybox" else [self.shell, "-c"]
        environment = {"PATH": f"{self.path}/bin:{os.environ['PATH']}", "STUB": str(self.path), "LC_ALL": "C"}
        return subprocess.run(
            [*shell, f"{EACH}\n({line})"],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=limit,
            env=environment,
            cwd=self.path,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return (self.path / "calls").read_text().splitlines()


@pytest.fixture(params=SHELLS)
def stub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    return Host(tmp_path, request.param)


def fetches(stub: Host, head: str, body: str = "") -> None:
    """A curl of our own: the head of any answer, and its body."""
    curl = stub.path / "bin" / "curl"
    curl.write_text('#!/bin/sh\ncase " $* " in *" -D "*) cat "$STUB/head" ;; *) cat "$STUB/body" ;; esac\n')
    curl.chmod(0o755)
    (stub.path / "head").write_text(head)
    (stub.path / "body").write_text(body)


# -- verify --------------------------------------------------------------------------------------------------


def test_verify_waits_until_the_check_passes(stub: Host) -> None:
    stub.put("state", "running 0 unhealthy").put(
        "exec", 'n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) >n; [ "$n" -ge 2 ]'
    )
    assert stub.run("k_verify", "abc", "9000", "check", "-").returncode == 0
    assert (stub.path / "n").read_text().strip() == "3"


def test_verify_ends_at_its_deadline_and_says_what_the_check_said(stub: Host) -> None:
    stub.put("state", "running 0 unhealthy").put("exec", "echo refused; return 22")
    began = time.monotonic()
    done = stub.run("k_verify", "abc", "30", "check", "-")
    assert done.returncode == host.LATE
    assert done.stdout.splitlines() == ["refused"]
    assert time.monotonic() - began > 0.25


@pytest.mark.parametrize(
    "state", ["restarting 1 unhealthy", "exited 0 unhealthy", "running 1 unhealthy", "created 0 starting"]
)
def test_verify_gives_up_on_what_does_not_stay_up(stub: Host, state: str) -> None:
    stub.put("state", state).put("exec", "return 0")
    done = stub.run("k_verify", "abc", "9000", "check", "-")
    assert (done.returncode, done.stdout.strip()) == (host.GONE, f"state {state}")


def test_verify_of_a_vanished_container_is_gone(stub: Host) -> None:
    assert stub.run("k_verify", "abc", "9000", "check", "-").returncode == host.GONE


@pytest.mark.parametrize(
    ("script", "code"), [("exit 127", host.NO_SHELL), ("exit 126", host.NO_SHELL), ("return 68", host.NO_TOOL)]
)
def test_verify_tells_a_missing_shell_from_a_missing_tool(stub: Host, script: str, code: int) -> None:
    stub.put("state", "running 0 unhealthy").put("exec", script)
    assert stub.run("k_verify", "abc", "9000", "check", "-").returncode == code


def test_check_that_ends_with_127_inside_a_shell_is_no_missing_shell(stub: Host) -> None:
    stub.put("state", "running 0 unhealthy").put("exec", "case $3 in :) return 0 ;; *) return 127 ;; esac")
    assert stub.run("k_verify", "abc", "20", "check", "-").returncode == host.LATE


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ('case $3 in *"exit 71; shift; check") [ "$4 $5" = "k /cord" ] ;; *) return 1 ;; esac', 0),
        ("return 71", host.BLIND),
        ("case $3 in *check) return 71 ;; *) return 0 ;; esac", host.LATE),
    ],
    ids=["seen", "not seen", "the check itself ends with that code"],
)
def test_verify_looks_for_the_cord_before_it_asks_the_app(stub: Host, script: str, code: int) -> None:
    stub.put("state", "running 0 unhealthy").put("exec", script)
    assert stub.run("k_verify", "abc", "20", "check", "/cord").returncode == code


# -- the proxy -----------------------------------------------------------------------------------------------


def routed(
    stub: Host, hundredths: str = "30", api: str = "-", routers: str = "web"
) -> subprocess.CompletedProcess[str]:
    return stub.run("k_routed", "host", "abc", hundredths, NONCE, api, routers, "svc", "172.17.0.5:3000", "http://p:80")


def answer(status: int, *headers: str) -> str:
    return "\r\n".join([f"HTTP/1.1 {status} X", *headers, "", ""])


@pytest.mark.parametrize("name", ["X-Kamalnb-Boot", "x-kamalnb-boot"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_the_header_acknowledges_whatever_the_status(stub: Host, name: str, status: int) -> None:
    stub.put("state", "running 0 healthy")
    fetches(stub, answer(status, "Content-Length: 502", f"{name}: {NONCE}"))
    done = routed(stub)
    assert (done.returncode, done.stdout.strip()) == (0, "acknowledged")


@pytest.mark.parametrize(
    "head",
    [
        answer(200),
        answer(200, f"X-Other: /.kamalnb/{NONCE}"),
        answer(302, f"Location: http://p/.kamalnb/{NONCE}"),
        answer(200, "X-Kamalnb-Boot: ffffffffffffffffffffffffffffffff"),
        answer(200, "X-Kamalnb-Boot:"),
        answer(502, f"X-Kamalnb-Boot: {NONCE}"),
        answer(503, f"X-Kamalnb-Boot: {NONCE}"),
        answer(504, f"X-Kamalnb-Boot: {NONCE}").replace("HTTP/1.1", "  HTTP/2"),
        "",
    ],
)
def test_answer_without_our_header_is_no_acknowledgement(stub: Host, head: str) -> None:
    stub.put("state", "running 0 healthy")
    fetches(stub, head, body=f"X-Kamalnb-Boot: {NONCE}")
    done = routed(stub)
    assert done.returncode == host.UNROUTED
    assert done.stdout.strip() == "waiting for proxy"


def test_unhealthy_container_is_not_routed_whatever_the_proxy_says(stub: Host) -> None:
    stub.put("state", "running 0 unhealthy")
    fetches(stub, answer(200, f"X-Kamalnb-Boot: {NONCE}"))
    done = routed(stub)
    assert (done.returncode, done.stdout.strip()) == (host.UNROUTED, "waiting for health")


def test_container_that_died_is_gone_at_once(stub: Host) -> None:
    stub.put("state", "running 0 unhealthy", "exited 0 unhealthy")
    fetches(stub, answer(404))
    assert routed(stub, "9000").returncode == host.GONE


@pytest.mark.parametrize(
    ("body", "waits_for"),
    [
        ('{"status":"enabled","serverStatus":{"http://172.17.0.5:3000":"UP"},"url":"http://172.17.0.5:3000"}', ""),
        ('{"status":"enabled","url":"http://172.17.0.55:3000"}', "service"),
        ('{"status":"enabled","error":["no service"],"url":"http://172.17.0.5:3000"}', "router"),
        ('{"status":"disabled","url":"http://172.17.0.5:3000"}', "router"),
        ("", "service"),
    ],
)
def test_the_api_has_to_list_the_router_and_the_address(stub: Host, body: str, waits_for: str) -> None:
    stub.put("state", "running 0 healthy")
    fetches(stub, answer(200, f"X-Kamalnb-Boot: {NONCE}"), body)
    done = routed(stub, api="http://p:8080")
    assert (done.returncode == 0) is (waits_for == "")
    if waits_for:
        assert f"waiting for {waits_for}" in done.stdout


def out(stub: Host, nonce: str = NONCE, api: str = "-", hundredths: str = "30") -> subprocess.CompletedProcess[str]:
    return stub.run("k_out", "host", "abc", hundredths, nonce, api, "svc", "172.17.0.5:3000", "0.1", "http://p:80")


def test_out_is_confirmed_when_the_header_is_gone(stub: Host) -> None:
    stub.put("state", "running 0 healthy", "running 0 unhealthy")
    fetches(stub, answer(404))
    done = out(stub, hundredths="9000")
    assert (done.returncode, done.stdout.strip()) == (0, "confirmed")


@pytest.mark.parametrize("state", ["running 0 healthy", "running 0 none"])
def test_healthy_container_is_never_out(stub: Host, state: str) -> None:
    stub.put("state", state)
    fetches(stub, answer(404))
    assert out(stub).returncode == host.UNROUTED


def test_proxy_that_does_not_answer_confirms_nothing(stub: Host) -> None:
    stub.put("state", "running 0 unhealthy")
    fetches(stub, "")
    assert out(stub).returncode == host.UNROUTED


@pytest.mark.parametrize("status", [200, 502])
def test_proxy_that_still_knows_the_nonce_confirms_nothing(stub: Host, status: int) -> None:
    stub.put("state", "running 0 unhealthy")
    fetches(stub, answer(status, f"X-Kamalnb-Boot: {NONCE}"))
    assert out(stub).returncode == host.UNROUTED


@pytest.mark.parametrize(
    ("body", "code"),
    [('{"servers":[]}', 0), ('{"url":"http://172.17.0.5:3000"}', 69), ("", 69), ("404 page not found", 69)],
)
def test_without_a_nonce_the_api_decides_and_unknown_is_not_out(stub: Host, body: str, code: int) -> None:
    stub.put("state", "running 0 unhealthy")
    fetches(stub, answer(200), body)
    assert out(stub, nonce="-", api="http://p:8080").returncode == code


@pytest.mark.parametrize("state", ["exited 0 unhealthy", "restarting 1 none"])
def test_one_that_ended_is_out_where_nobody_is_left_to_ask_with(stub: Host, state: str) -> None:
    stub.put("state", state)
    fetches(stub, "")
    done = out(stub, hundredths="9000")
    assert (done.returncode, done.stdout.strip()) == (0, "gone")


def test_with_neither_it_is_assumed_after_a_wait(stub: Host) -> None:
    stub.put("state", "running 0 unhealthy")
    done = out(stub, nonce="-")
    assert (done.returncode, done.stdout.strip()) == (0, "assumed")


def test_vanished_container_is_out_when_the_proxy_says_so(stub: Host) -> None:
    fetches(stub, answer(404))
    assert out(stub).returncode == 0


# -- drain, stop, alive --------------------------------------------------------------------------------------

TABLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
FROM_PROXY = "   1: 030011AC:0BB8 020011AC:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1"
FROM_PROXY_6 = (
    "   2: 0000000000000000FFFF0000030011AC:0BB8 0000000000000000FFFF0000020011AC:C351 01 00000000:00000000 00:00000000"
)
ELSEWHERE = "   3: 030011AC:0BB8 090011AC:C352 01 00000000:00000000 00:00000000"
CLOSING = "   4: 030011AC:0BB8 020011AC:C353 06 00000000:00000000 00:00000000"
OTHER_PORT = "   5: 030011AC:1F90 020011AC:C354 01 00000000:00000000 00:00000000"
LISTENING = "   0: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000"


def drained(stub: Host, *rows: str, hundredths: str = "60") -> list[str]:
    stub.put("state", "running 0 unhealthy").put("table", TABLE, *rows).put("exec", "cat table")
    done = stub.run("k_drain", "abc", "999999", "0BB8", hundredths, "020011AC")
    assert done.returncode == 0
    return done.stdout.splitlines()


@pytest.mark.parametrize("rows", [(), (LISTENING,), (LISTENING, ELSEWHERE, CLOSING, OTHER_PORT)])
def test_drain_ends_when_the_proxy_has_no_connection_left(stub: Host, rows: tuple[str, ...]) -> None:
    assert drained(stub, *rows) == ["open 0", "left 0"]


@pytest.mark.parametrize(
    ("rows", "count"), [((FROM_PROXY,), 1), ((FROM_PROXY_6,), 1), ((FROM_PROXY, FROM_PROXY_6, ELSEWHERE), 2)]
)
def test_drain_counts_connections_from_the_proxy_in_both_families(
    stub: Host, rows: tuple[str, ...], count: int
) -> None:
    assert drained(stub, *rows) == [f"open {count}", f"left {count}"]


def test_drain_looks_twice_since_the_next_request_may_be_on_its_way(stub: Host) -> None:
    stub.put("state", "running 0 unhealthy").put("none", TABLE).put("one", TABLE, FROM_PROXY)
    stub.put(
        "exec", 'n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) >n; if [ "$n" = 1 ]; then cat one; else cat none; fi'
    )
    done = stub.run("k_drain", "abc", "999999", "0BB8", "9000", "020011AC")
    assert done.stdout.splitlines() == ["open 0", "open 1", "open 0", "left 0"]


def test_drain_that_cannot_look_waits_its_limit_and_says_unknown(stub: Host) -> None:
    stub.put("state", "running 0 unhealthy").put("exec", "return 1")
    began = time.monotonic()
    done = stub.run("k_drain", "abc", "999999", "0BB8", "40", "020011AC")
    assert done.stdout.splitlines() == ["open unknown", "left unknown"]
    assert time.monotonic() - began > 0.35


def test_drain_of_a_stopped_container_is_over(stub: Host) -> None:
    stub.put("state", "exited 0 unhealthy")
    assert stub.run("k_drain", "abc", "1", "0BB8", "500", "020011AC").stdout.splitlines() == ["left 0"]


@pytest.mark.parametrize("code", ["0", "137", "143"])
def test_stop_tells_the_exit_code(stub: Host, code: str) -> None:
    stub.put("state", "running 0 none").put("code", code)
    done = stub.run("k_stop", "-", "abc")
    assert (done.returncode, done.stdout.strip()) == (0, f"exit {code} abc")
    assert "stop abc" in stub.calls


def test_stop_waits_as_long_as_it_is_told(stub: Host) -> None:
    stub.put("state", "running 0 none").put("code", "0")
    stub.run("k_stop", "25", "abc", "def")
    assert [call for call in stub.calls if call.startswith("stop")] == ["stop -t 25 abc", "stop -t 25 def"]


def test_stop_of_a_container_that_is_gone_is_no_failure(stub: Host) -> None:
    done = stub.run("k_stop", "-", "abc")
    assert (done.returncode, done.stdout.strip()) == (0, "gone abc")


def test_stop_that_docker_refuses_is_a_failure(stub: Host) -> None:
    stub.put("state", "running 0 none").put("code", "0").put("stops", "1")
    assert stub.run("k_stop", "-", "abc").returncode != 0


@pytest.mark.parametrize(
    ("states", "health", "code"),
    [
        (["running 0 healthy"], "healthy", 0),
        (["running 0 none"], "healthy", 0),
        (["running 0 healthy", "running 0 unhealthy"], "healthy", host.GONE),
        (["running 0 unhealthy"], "any", 0),
        (["running 0 none", "running 1 none"], "any", host.GONE),
        (["running 0 none", "restarting 0 none"], "any", host.GONE),
    ],
)
def test_alive_holds_only_for_what_stays_as_it_is(stub: Host, states: list[str], health: str, code: int) -> None:
    stub.put("state", *states)
    assert stub.run("k_alive", "abc", "9000" if code else "25", health).returncode == code


# -- inspect, cords, files -----------------------------------------------------------------------------------


def test_inspect_asks_again_when_a_container_vanished_between_its_two_commands(stub: Host) -> None:
    stub.put("state", "x").put("ids", "abc").put("inspect", "answer")
    flaky = stub.path / "bin" / "docker"
    once = 'if [ "$1" = inspect ] && [ ! -e "$STUB/once" ]; then touch "$STUB/once"; exit 1; fi'
    flaky.write_text(DOCKER.replace("#!/bin/sh\n", f"#!/bin/sh\n{once}\n"))
    done = stub.run("k_inspect", "{{json .}}")
    assert (done.returncode, done.stdout.strip()) == (0, "answer")
    assert (stub.path / "once").exists()


def test_inspect_without_containers_prints_nothing(stub: Host) -> None:
    stub.put("ids", "")
    done = stub.run("k_inspect", "{{json .}}", "--all")
    assert (done.returncode, done.stdout) == (0, "")


def test_inspect_where_docker_does_not_answer_is_a_failure(stub: Host) -> None:
    (stub.path / "bin" / "docker").write_text("#!/bin/sh\nexit 1\n")
    assert stub.run("k_inspect", "{{json .}}").returncode != 0


def test_cords_move_and_stay_where_they_are_when_asked_twice(stub: Host) -> None:
    cord = stub.path / "cords" / "app web 'x'"

    def state() -> str:
        return stub.run("k_cords", str(stub.path / "cords")).stdout.strip()

    for function, expected in [
        ("k_dark", "dark"),
        ("k_cut", "dark"),
        ("k_tie", "tied"),
        ("k_tie", "tied"),
        ("k_cut", "dark"),
        ("rm", "cut"),
        ("k_cut", "cut"),
    ]:
        path = cord / "dark" if function == "rm" else cord
        assert stub.run(function, str(path)).returncode == 0
        assert state() == f"{expected} {cord}"
    assert cord.stat().st_mode & 0o777 == 0o755


def test_dark_refuses_a_cord_that_is_tied(stub: Host) -> None:
    cord = str(stub.path / "cords" / "x")
    stub.run("k_dark", cord)
    stub.run("k_tie", cord)
    assert stub.run("k_dark", cord).returncode != 0


def test_tying_what_is_gone_fails_and_cutting_it_does_not(stub: Host) -> None:
    assert stub.run("k_tie", str(stub.path / "gone")).returncode != 0
    assert stub.run("k_cut", str(stub.path / "gone")).returncode == 0


def test_no_cords_are_no_lines(stub: Host) -> None:
    assert stub.run("k_cords", str(stub.path / "none")).stdout == ""
    (stub.path / "cords" / "bare").mkdir(parents=True)
    assert stub.run("k_cords", str(stub.path / "cords")).stdout.strip() == f"empty {stub.path}/cords/bare"


def test_write_is_private_and_leaves_no_half_file(stub: Host) -> None:
    path = stub.path / "env" / "roles" / "app.env"
    assert stub.run("k_write", str(path), stdin="A=1\n").returncode == 0
    assert path.read_text() == "A=1\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["app.env"]


def test_broken_write_leaves_the_old_file(stub: Host) -> None:
    path = stub.path / "app.env"
    path.write_text("old\n")
    (stub.path / "bin" / "cat").write_text("#!/bin/sh\nprintf half\nexit 1\n")
    (stub.path / "bin" / "cat").chmod(0o755)
    if stub.shell == "busybox":
        pytest.skip("busybox has a cat of its own")
    assert stub.run("k_write", str(path), stdin="new\n").returncode != 0
    assert path.read_text() == "old\n"


def test_audit_adds_one_line_whatever_the_text(stub: Host) -> None:
    path = stub.path / ".kamal" / "app-audit.log"
    for text in ("first\nsecond", "$(touch x); `y`", "ü" * 3000):
        command = server.audit(str(path), ("me", "", "web"), text)
        assert stub.run(*map(str, command.words)).returncode == 0
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("Z] [me] [web] first?second")
    assert all(line.startswith("[20") and len(line) < 2100 for line in lines)


def test_keep_saves_the_whole_log_and_shows_its_end(stub: Host) -> None:
    stub.put("log", *(f"line {number}" for number in range(100)))
    path = stub.path / "logs" / "app.log"
    done = stub.run("k_keep", "abc", str(path), "3")
    assert done.stdout.splitlines() == ["line 98", "line 99", "to stderr"]
    assert len(path.read_text().splitlines()) == 101
    assert path.stat().st_mode & 0o777 == 0o600


# -- all of them ---------------------------------------------------------------------------------------------


def everything() -> str:
    functions = [
        *host.ALL,
        lock.STATE,
        lock.PERSON,
        proxy.SERVERS,
        *server.switching("x").command.uses,
        traefik.BOOT,
        *app.image("x").command.uses,
        *app.images("x").command.uses,
    ]
    functions += [*server.tool().command.uses, *server.touch_env_file("x").uses, *app.remove("x").uses]
    functions += [images.OURS, images.UNTAG, images.USES, stats.STATS, env_files.PUSH, audit.TAIL]
    functions += [*leftovers.ALL, *bootstrap.ALL]
    return "\n".join(functions)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed; CI installs it")
def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    # SC2086: lists of ids and of routers are split on purpose. SC2154, SC2034: set in one function, read in another.
    # SC2016: docker's templates. SC2120/SC2119: functions called from elsewhere. SC3043 does not occur.
    off = "SC2086,SC2154,SC2034,SC2016,SC2119,SC2120,SC2317,SC2329,SC2015"
    for name, text in (("functions", everything()), ("fetch", host.FETCH), ("hold", lock.HOLD)):
        file = tmp_path / f"{name}.sh"
        file.write_text(f"#!/bin/sh\n{text}\n")
        done = subprocess.run(
            ["shellcheck", "-s", "sh", "-e", off, str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_every_function_parses(shell: str, tmp_path: Path) -> None:
    file = tmp_path / "all.sh"
    file.write_text(render(Script.of(look("x", "true", uses=(everything(),))), "mark"))
    words = ["busybox", "sh", "-n"] if shell == "busybox" else [shell, "-n"]
    done = subprocess.run([*words, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
