"""Scripts over SSH, against a real sshd: what comes back, and that nothing ever hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ssh_server import Place, QuickScript, Sshd, command_line, nobody, opened, sh, until

from kamalnb.errors import HostUnreachable
from kamalnb.script import Script, Section
from kamalnb.shell import Command, Result, Secret, look
from kamalnb.ssh import SshExecutor, lines, talk, wire
from kamalnb.ssh.transport import HostKeyPolicy


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from opened(tmp_path_factory.mktemp("ssh"))


@pytest.fixture(scope="module")
def web(place: Place) -> Sshd:
    return place.serve("web")


@pytest.fixture
def ssh(place: Place, web: Sshd) -> Iterator[SshExecutor]:
    executor = place.executor()
    yield executor
    executor.close()
    web.hang_up()


def run(ssh: SshExecutor, *steps: Command) -> tuple[Result, ...]:
    return ssh.run("web", Script.of(*steps), nobody, nobody)


def test_each_step_has_its_own_output_error_and_exit_code(ssh: SshExecutor) -> None:
    first, second = run(ssh, look("greet", "echo", "grüß “dich” $HOME `x`"), sh("echo out; echo err >&2; exit 3"))
    assert (first.stdout, first.stderr, first.exited) == ("grüß “dich” $HOME `x`\n", "", 0)
    assert (second.stdout, second.stderr, second.exited) == ("out\n", "err\n", 3)


def test_a_failing_step_ends_the_script(ssh: SshExecutor) -> None:
    results = run(ssh, sh("exit 9"), sh("echo never"))
    assert [result.exited for result in results] == [9]


def test_bytes_that_are_no_text_are_replaced_and_the_rest_survives(ssh: SshExecutor) -> None:
    (result,) = run(ssh, sh(r"printf 'a\377\000\001b\nc'"))
    assert result.stdout == "a\ufffd\0\x01b\nc"


def test_four_megabytes_come_back_whole(ssh: SshExecutor) -> None:
    (result,) = run(ssh, sh("yes 0123456789abcdef | head -c 4194304"))
    assert len(result.stdout) == 4 << 20
    assert result.stdout.startswith("0123456789abcdef\n0123")


def test_a_script_of_megabytes_with_as_much_output_does_not_lock_up(ssh: SshExecutor) -> None:
    text = "ein Häuflein\n" * 250_000
    (result,) = run(ssh, Command(name="echo", words=("cat",), stdin=text))
    assert result.stdout == text


def test_lines_are_told_while_the_step_still_runs(ssh: SshExecutor, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    step = sh(f"echo ready; until [ -e {answer} ]; do sleep 0.02; done; echo done")
    lines: list[str] = []

    def on_line(number: int, line: str) -> None:
        lines.append(line)
        answer.touch()

    ssh.run("web", Script.of(step), nobody, on_line)
    assert lines == ["ready", "done"]


def test_what_a_listener_raises_is_not_swallowed_and_the_next_script_runs(ssh: SshExecutor) -> None:
    def on_result(number: int, result: Result) -> None:
        raise OSError("the listener's own")

    with pytest.raises(OSError, match="the listener's own"):
        ssh.run("web", Script.of(sh("true"), sh("sleep 20")), on_result, nobody)
    assert run(ssh, sh("true"))[0].ok


def test_a_connection_killed_in_mid_run_leaves_no_exit_status(ssh: SshExecutor, web: Sshd) -> None:
    def kill(number: int, line: str) -> None:
        os.kill(web.sessions()[0], signal.SIGKILL)

    results = ssh.run("web", Script.of(sh("true"), sh("echo now; sleep 20")), nobody, kill)
    assert [result.exited for result in results] == [0, None]
    assert results[1].stdout == "now"
    assert not results[1].ok


def test_the_next_script_after_that_connects_again(ssh: SshExecutor, web: Sshd) -> None:
    run(ssh, sh("true"))
    before = web.logins
    os.kill(web.sessions()[0], signal.SIGKILL)
    assert run(ssh, sh("echo again"))[0].stdout == "again\n"
    assert web.logins == before + 1


def test_a_script_is_given_up_at_its_limit(ssh: SshExecutor) -> None:
    run(ssh, sh("true"))  # the login is not in the limit
    begun = time.monotonic()
    script = QuickScript(sections=(Section(steps=(sh("echo begun; sleep 30"),)),))
    (result,) = ssh.run("web", script, nobody, nobody)
    assert 2.5 < time.monotonic() - begun < 15.0
    assert (result.exited, result.stdout) == (None, "begun")
    assert "given up after 3 s, its time limit" in result.stderr


def test_a_frozen_session_is_given_up_at_the_limit(ssh: SshExecutor, web: Sshd) -> None:
    frozen: list[str] = []

    def freeze(number: int, line: str) -> None:
        os.kill(web.sessions()[0], signal.SIGSTOP)
        frozen.append(line)

    begun = time.monotonic()
    script = QuickScript(sections=(Section(steps=(sh("echo begun; sleep 30"),)),))
    (result,) = ssh.run("web", script, nobody, freeze)
    assert time.monotonic() - begun < 15.0
    assert frozen == ["begun"]
    assert result.exited is None


def test_a_host_that_stops_taking_a_large_script_is_given_up_too(ssh: SshExecutor, web: Sshd) -> None:
    frozen: list[int] = []

    def freeze_when_the_shell_is_there() -> None:
        until(lambda: any("/bin/sh" in command_line(pid) for pid in web.everything()))
        os.kill(web.sessions()[0], signal.SIGSTOP)
        frozen.extend(web.sessions())

    big = Command(name="big", words=("sh", "-c", "sleep 30"), stdin="x" * (24 << 20))
    freezer = threading.Thread(target=freeze_when_the_shell_is_there)
    freezer.start()
    begun = time.monotonic()
    results = ssh.run("web", QuickScript(sections=(Section(steps=(big,)),)), nobody, nobody)
    freezer.join()
    assert time.monotonic() - begun < 15.0
    assert frozen
    assert results[-1].exited is None


def test_a_connection_that_went_dead_while_idle_is_replaced(
    ssh: SshExecutor, web: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(ssh, sh("true"))
    monkeypatch.setattr(wire, "SESSION_PATIENCE", 2.0)
    os.kill(web.sessions()[0], signal.SIGSTOP)
    assert run(ssh, sh("echo alive"))[0].stdout == "alive\n"


def test_a_silent_host_is_asked_for_a_sign_of_life(
    ssh: SshExecutor, web: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "ASK_AFTER", 0.1)
    monkeypatch.setattr(talk, "DEAD_AFTER", 3.0)
    (living,) = run(ssh, sh("sleep 4"))
    assert living.exited == 0

    (frozen,) = ssh.run(
        "web",
        Script.of(sh("echo begun; sleep 30")),
        nobody,
        lambda number, line: os.kill(web.sessions()[0], signal.SIGSTOP),
    )
    assert frozen.exited is None
    assert "has not answered" in frozen.stderr


def test_endless_output_is_cut_off(ssh: SshExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "OUTPUT_CAP", 3 << 20)
    (result,) = run(ssh, sh("yes 0123456789012345678901234567890123456789"))
    assert result.exited is None
    assert "printed more than 3 MiB" in result.stderr
    assert len(result.stdout) < 8 << 20


def test_ten_threads_share_one_connection(ssh: SshExecutor, web: Sshd) -> None:
    before = web.logins
    with ThreadPoolExecutor(10) as pool:
        outputs = list(pool.map(lambda number: run(ssh, sh(f"sleep 0.1; echo {number}"))[0].stdout, range(30)))
    assert outputs == [f"{number}\n" for number in range(30)]
    assert web.logins == before + 1


def test_more_sessions_than_the_server_allows_wait_for_their_turn(
    ssh: SshExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "SESSIONS", 30)  # sshd's MaxSessions is 10
    with ThreadPoolExecutor(20) as pool:
        outputs = list(pool.map(lambda number: run(ssh, sh(f"sleep 0.2; echo {number}"))[0].stdout, range(20)))
    assert outputs == [f"{number}\n" for number in range(20)]


def test_a_detached_script_survives_its_connection(ssh: SshExecutor, tmp_path: Path) -> None:
    journal, go, proof = tmp_path / "journal", tmp_path / "go", tmp_path / "proof"
    step = sh(f"echo begun; until [ -e {go} ]; do sleep 0.02; done; echo still here > {proof}")
    script = Script(sections=(Section(steps=(step,)),), journal=str(journal))
    results = ssh.run("web", script, nobody, lambda number, line: ssh.close())
    assert results[0].exited is None
    assert not proof.exists()
    go.touch()
    until(proof.exists)


def test_a_detached_script_is_done_when_its_last_step_is(ssh: SshExecutor, tmp_path: Path) -> None:
    script = Script(sections=(Section(steps=(sh("echo hello"),)),), journal=str(tmp_path / "journal"))
    run(ssh, sh("true"))
    begun = time.monotonic()
    (result,) = ssh.run("web", script, nobody, nobody)
    assert (result.stdout, result.exited) == ("hello\n", 0)
    assert time.monotonic() - begun < 1.5


def test_a_secret_is_in_no_process_list_while_it_is_used(ssh: SshExecutor, tmp_path: Path) -> None:
    canary, looked = "canary-7f3a91", tmp_path / "looked"
    text = f"read word; echo reading; until [ -e {looked} ]; do sleep 0.02; done"
    step = Command(name="use", words=("sh", "-c", text), stdin=Secret(canary + "\n"))
    seen: list[str] = []

    def look_around(number: int, line: str) -> None:
        lists = [command_line(pid.name) for pid in Path("/proc").iterdir() if pid.name.isdigit()]
        looked.touch()
        seen.extend(line for line in lists if canary in line)
        assert any("exec" in line or "read word" in line for line in lists)

    for journal in (None, str(tmp_path / "journal")):
        looked.unlink(missing_ok=True)
        script = Script(sections=(Section(steps=(step,)),), journal=journal)
        (result,) = ssh.run("web", script, nobody, look_around)
        assert result.ok
    assert seen == []


def test_a_login_shell_that_is_not_posix_does_not_matter(place: Place) -> None:
    shell = place.directory / "fishy"
    # It knows words and `exec`, and stops at every character that fish, csh and sh read differently.
    shell.write_text("#!/bin/sh\ncase $1 in *[!a-z\\ /-]*) echo syntax error >&2; exit 1;; esac\nexec ${1#exec }\n")
    shell.chmod(0o755)
    place.serve("fish", settings=f'ForceCommand {shell} "$SSH_ORIGINAL_COMMAND"')
    (result,) = place.executor().run("fish", Script.of(sh("echo 'a  b' && echo \"$0\"")), nobody, nobody)
    assert result.stdout == "a  b\nsh\n"


def test_closing_ends_what_runs_and_the_next_run_connects_again(ssh: SshExecutor) -> None:
    results = ssh.run("web", Script.of(sh("echo begun; sleep 20")), nobody, lambda number, line: ssh.close())
    assert results[0].exited is None
    assert run(ssh, sh("echo back"))[0].stdout == "back\n"


def test_an_interrupt_ends_the_wait_and_the_next_script_runs(ssh: SshExecutor) -> None:
    def interrupt(number: int, line: str) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ssh.run("web", Script.of(sh("echo begun; sleep 20")), nobody, interrupt)
    assert time.monotonic() - begun < 15.0
    assert run(ssh, sh("true"))[0].ok


def test_an_idle_connection_is_not_trusted_for_ever(place: Place, web: Sshd) -> None:
    before = web.logins
    ssh = place.executor(pool_idle_timeout=0.0)
    run(ssh, sh("true"))
    run(ssh, sh("true"))
    assert web.logins == before + 2


def test_a_connection_in_use_is_not_idle(place: Place, web: Sshd, tmp_path: Path) -> None:
    ssh = place.executor(pool_idle_timeout=0.0)
    step = sh(f"echo begun; until [ -e {tmp_path}/go ]; do sleep 0.02; done")
    others: list[Result] = []

    def on_line(number: int, line: str) -> None:
        thread = threading.Thread(target=lambda: others.extend(run(ssh, sh(f"touch {tmp_path}/go"))))
        thread.start()
        thread.join()

    (first,) = ssh.run("web", Script.of(step), nobody, on_line)
    assert [first.exited, *(result.exited for result in others)] == [0, 0]


@pytest.mark.parametrize("allowed", [1, 2])
def test_a_server_with_few_sessions_per_connection_gets_more_connections(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    """A lock, a followed log and three scripts at once: hardened servers often say MaxSessions 1 or 2."""
    # A busy sshd may free a session late; that must not look like one that allows fewer.
    monkeypatch.setattr(wire, "ROOM_PATIENCE", 5.0)
    enough = tmp_path / "enough"
    name = f"narrow-{allowed}"
    server = place.serve(name, settings=f"MaxSessions {allowed}")
    ssh = place.executor()
    held = ssh.hold(name, sh("echo held; cat >/dev/null"), 5.0)
    log = sh(f"until [ -e {enough} ]; do sleep 0.02; done")
    follow = threading.Thread(target=lambda: ssh.stream(name, log, lambda error, piece: None))
    follow.start()
    barrier = threading.Barrier(3, timeout=20)

    def run_beside_the_others(number: int, line: str) -> None:
        barrier.wait()

    def script(_number: int) -> tuple[Result, ...]:
        return ssh.run(name, Script.of(sh("echo begun; sleep 0.1")), nobody, run_beside_the_others)

    with ThreadPoolExecutor(3) as pool:
        exited = [results[0].exited for results in pool.map(script, range(3))]
    enough.touch()
    follow.join()
    assert exited == [0, 0, 0]
    assert held.held
    assert server.logins <= 5
    held.release()
    before = server.logins
    for _ in range(6):
        assert ssh.run(name, Script.of(sh("true")), nobody, nobody)[0].ok
    assert server.logins == before


def test_a_server_that_lets_no_session_in_is_told(place: Place) -> None:
    place.serve("closed", settings="MaxSessions 0")
    with pytest.raises(HostUnreachable, match="MaxSessions") as caught:
        place.executor().run("closed", Script.of(sh("true")), nobody, nobody)
    assert caught.value.step == "session"


def test_a_process_that_just_ends_is_not_held_up_by_its_connections(place: Place, web: Sshd) -> None:
    program = f"""
import time
from pathlib import Path
from kamalnb.config.model import Ssh
from kamalnb.ssh import SshExecutor
ssh = SshExecutor(Ssh(config=("config",)), directory=Path({str(place.directory)!r}))
ssh.probe("web")
print(time.time())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path.cwd())
    assert done.stderr == ""
    assert time.time() - float(done.stdout) < 4.5  # a connection that held it up would do so for 5 s


def test_importing_the_executor_imports_no_fabric(place: Place) -> None:
    program = "import sys, kamalnb.ssh; print(*{'fabric', 'paramiko', 'invoke', 'pydantic', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path.cwd())
    assert done.stdout == "\n"


def test_no_connection_accepts_host_keys_by_itself(ssh: SshExecutor) -> None:
    policy = ssh._link("web").open("web").client._policy
    assert isinstance(policy, HostKeyPolicy)
