"""Framed scripts in real shells: every step's output and exit code kept, undo, fence, and detached ones."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalnb.script import CUT_OFF, DIED, REFUSED, Frames, Script, Section, mark_of, render
from kamalnb.shell import Command, Raw, Result, look

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
MARK = "m4rk"


def sh(name: str, text: str, **more: object) -> Command:
    return Command(name=name, words=("sh", "-c", text), **more)


def argv(shell: str) -> list[str]:
    return ["busybox", "sh", "-s"] if shell == "busybox" else [shell, "-s"]


def ran(script: Script, shell: str = "dash", cwd: Path | None = None) -> tuple[Result, ...]:
    mark = mark_of(script, MARK)
    done = subprocess.run(
        argv(shell), input=render(script, mark).encode(), capture_output=True, cwd=cwd, timeout=60, check=False
    )
    frames = Frames(script, mark, lambda: 0.0)
    frames.out(done.stdout.decode())
    frames.err(done.stderr.decode())
    return frames.results()


@pytest.mark.parametrize("shell", SHELLS)
def test_each_step_keeps_its_output_and_exit_code(shell: str) -> None:
    script = Script.of(
        sh("one", "echo out; echo err >&2"), sh("two", "exit 7", may_fail=True), sh("three", "printf no-newline")
    )
    one, two, three = ran(script, shell)
    assert (one.name, one.exited, one.stdout.strip(), one.stderr.strip()) == ("one", 0, "out", "err")
    assert two.exited == 7
    assert three.stdout.strip() == "no-newline"


@pytest.mark.parametrize("shell", SHELLS)
def test_first_failure_ends_the_script(shell: str) -> None:
    results = ran(Script.of(sh("one", "true"), sh("two", "exit 3"), sh("three", "echo never")), shell)
    assert [(result.name, result.exited) for result in results] == [("one", 0), ("two", 3)]


@pytest.mark.parametrize("shell", SHELLS)
def test_undo_of_the_section_that_failed_runs_and_no_other(shell: str) -> None:
    script = Script(
        sections=(
            Section(steps=(sh("a", "true"),), undo=(sh("undo a", "echo undone a"),)),
            Section(
                steps=(sh("b", "exit 4"), sh("c", "true")),
                undo=(sh("undo b", "exit 9"), sh("undo b too", "echo undone b")),
            ),
            Section(steps=(sh("d", "true"),)),
        )
    )
    results = ran(script, shell)
    assert [(result.name, result.exited) for result in results] == [
        ("a", 0),
        ("b", 4),
        ("undo b", 9),
        ("undo b too", 0),
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_exit_in_a_step_ends_that_step_alone(shell: str) -> None:
    function = "k_leave() { exit 65; }"
    script = Script.of(
        Command(name="leave", words=("k_leave",), uses=(function,), may_fail=True), sh("next", "echo here")
    )
    assert [result.exited for result in ran(script, shell)] == [65, 0]


@pytest.mark.parametrize("shell", SHELLS)
def test_steps_cannot_read_the_script(shell: str) -> None:
    first, second = ran(Script.of(sh("greedy", "cat"), sh("next", "echo here")), shell)
    assert (first.stdout.strip(), second.stdout.strip()) == ("", "here")


@pytest.mark.parametrize("shell", SHELLS)
def test_script_that_was_cut_on_its_way_runs_nothing(shell: str, tmp_path: Path) -> None:
    text = render(Script.of(sh("touch", f"touch {tmp_path}/there"), sh("next", "true")), MARK)
    whole = text.rindex("k_main")
    for end in (whole // 3, whole // 2, whole - 40, whole - 3, whole, whole + 3):
        subprocess.run(argv(shell), input=text[:end].encode(), capture_output=True, check=False)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_stdin_of_a_step_arrives_whole(shell: str) -> None:
    text = "a 'quoted' $(x)\n\nline\\n"
    (result,) = ran(Script.of(Command(name="cat", words=("cat",), stdin=text)), shell)
    assert result.stdout.strip("\n") == text.strip("\n")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("content", "runs"),
    [("me", True), ("me\nand who I am", True), ("other", False), ("", False), (None, False), ("me too", False)],
)
def test_fence_lets_only_the_holder_of_the_lock_run(
    shell: str, content: str | None, runs: bool, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    (tmp_path / "lock.work").touch()
    if content is not None:
        lock.write_text(content)
    script = Script(
        sections=(Section(steps=(sh("touch", f"touch {tmp_path}/there"), sh("more", "true"))),), fence=(str(lock), "me")
    )
    results = ran(script, shell)
    assert (tmp_path / "there").exists() is runs
    assert [result.exited for result in results] == ([0, 0] if runs else [REFUSED])


@pytest.mark.parametrize("shell", SHELLS)
def test_script_that_cannot_hold_its_place_is_refused(shell: str, tmp_path: Path) -> None:
    """There is no work file: no lock session of this run can have been here."""
    (tmp_path / "lock").write_text("me")
    script = Script(
        sections=Script.of(sh("touch", f"touch {tmp_path}/there")).sections, fence=(f"{tmp_path}/lock", "me")
    )
    assert [result.exited for result in ran(script, shell)] == [REFUSED]
    assert not (tmp_path / "there").exists()


def test_only_what_changes_a_host_and_may_not_go_on_beside_others_holds_its_place() -> None:
    fence = ("app.lock", "me")
    change, pull = sh("change", "true"), sh("pull", "true", beside=True)

    def held(*steps: Command, fence: tuple[str, str] | None = fence) -> str | None:
        return Script(sections=(Section(steps=steps),), fence=fence).held

    assert held(change) == held(look("look", "true"), pull, change) == "app.work"
    assert held(pull) is held(look("look", "true")) is held(change, fence=None) is None


PRINTABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=60)


@given(texts=st.lists(PRINTABLE, min_size=1, max_size=4), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(deadline=None)
def test_any_output_in_pieces_of_any_size_is_framed(texts: list[str], sizes: list[int]) -> None:
    script = Script.of(*(look(f"step {number}", "true") for number in range(len(texts))))
    told: list[int] = []
    lines: list[str] = []
    frames = Frames(
        script, MARK, lambda: 0.0, lambda number, result: told.append(number), lambda number, line: lines.append(line)
    )
    out = "".join(f"{text}\n{MARK} {number} {number}\n" for number, text in enumerate(texts)) + f"\n{MARK} end 0\n"
    err = "".join(f"\n{MARK} {number} {number}\n" for number in range(len(texts))) + f"\n{MARK} end 0\n"
    for take, text in ((frames.out, out), (frames.err, err)):
        at, turn = 0, 0
        while at < len(text):
            size = sizes[turn % len(sizes)]
            take(text[at : at + size])
            at, turn = at + size, turn + 1
    results = frames.results()
    assert [result.stdout for result in results] == texts
    assert [result.exited for result in results] == list(range(len(texts)))
    assert told == list(range(len(texts)))
    assert frames.done
    assert lines == [line for text in texts for line in text.split("\n") if line]


@given(st.integers(0, 400))
def test_output_that_ends_anywhere_has_no_exit_status_for_the_step_at_hand(share: int) -> None:
    script = Script.of(look("one", "true"), look("two", "true"))
    out, err = (
        f"hello\n{MARK} 0 0\nworld\n{MARK} 1 0\n\n{MARK} end 0\n",
        f"\n{MARK} 0 0\n\n{MARK} 1 0\n\n{MARK} end 0\n",
    )
    frames = Frames(script, MARK, lambda: 0.0)
    frames.out(out[:share])
    frames.err(err)
    results = frames.results()
    if share < len(out):
        whole = [result for result in results if result.exited is not None]
        assert all(result.exited == 0 for result in whole)
        assert len(whole) == 2 or results[-1].exited is None
        assert len(whole) == 2 or results[-1].stderr in ("", CUT_OFF)


def test_numbers_of_steps_leave_undo_out() -> None:
    script = Script(
        sections=(
            Section(steps=(look("a", "true"), look("b", "true")), undo=(look("u", "true"),)),
            Section(steps=(look("c", "true"),)),
        )
    )
    assert script.order == (0, 1, 3)
    assert [command.name for command in script.commands] == ["a", "b", "u", "c"]
    assert not script.changes
    assert script.limit == 4 * 30 + 5


# -- detached --------------------------------------------------------------------------------------------------------


def detached(directory: Path, *steps: Command, undo: tuple[Command, ...] = ()) -> Script:
    return Script(sections=(Section(steps=steps, undo=undo),), journal=str(directory / "runs" / "abc"))


def followed(script: Script, shell: str, directory: Path) -> tuple[Result, ...]:
    """As the engine does it: reads until both streams have come to their end, then leaves."""
    mark = mark_of(script, MARK)
    with (directory / "out").open("wb") as out, (directory / "err").open("wb") as err:
        starter = subprocess.Popen(argv(shell), stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True)
        assert starter.stdin is not None
        starter.stdin.write(render(script, mark).encode())
        starter.stdin.close()
        frames = Frames(script, mark, lambda: 0.0)

        def done() -> bool:
            nonlocal frames
            frames = Frames(script, mark, lambda: 0.0)
            frames.out((directory / "out").read_text())
            frames.err((directory / "err").read_text())
            return frames.done

        assert eventually(done)
        os.killpg(starter.pid, signal.SIGKILL)
        starter.wait()
    return frames.results()


def eventually(what: Callable[[], bool], seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("shell", SHELLS)
def test_detached_script_that_is_sent_again_is_followed_not_started_again(shell: str, tmp_path: Path) -> None:
    script = detached(
        tmp_path, sh("count", f"echo x >>{tmp_path}/count; echo counted"), sh("two", "exit 3", may_fail=True)
    )
    first = followed(script, shell, tmp_path)
    second = followed(script, shell, tmp_path)
    assert [(result.name, result.exited, result.stdout.strip()) for result in first] == [
        ("count", 0, "counted"),
        ("two", 3, ""),
    ]
    assert [(one.name, one.exited, one.stdout) for one in second] == [
        (one.name, one.exited, one.stdout) for one in first
    ]
    assert (tmp_path / "count").read_text() == "x\n"


def _on_its_own(pid: Path) -> bool:
    """The script runs in a session of its own: the file is there, empty, a moment before it is started."""
    text = pid.read_text().strip() if pid.exists() else ""
    return bool(text) and os.getsid(int(text)) == int(text)


@pytest.mark.parametrize("shell", SHELLS)
def test_detached_script_survives_the_death_of_its_starter(shell: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = detached(tmp_path, sh("wait", f"cat {gate}"), sh("touch", f"touch {tmp_path}/there"))
    text = render(script, mark_of(script, MARK))
    starter = subprocess.Popen(
        argv(shell), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert starter.stdin is not None
    starter.stdin.write(text.encode())
    starter.stdin.close()
    assert eventually(lambda: _on_its_own(tmp_path / "runs" / "abc" / "pid"))
    os.killpg(starter.pid, signal.SIGHUP)
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    gate.write_text("go\n")
    assert eventually((tmp_path / "there").exists)
    assert [result.exited for result in followed(script, shell, tmp_path)] == [0, 0]


@pytest.mark.parametrize("shell", SHELLS)
def test_detached_script_undoes_by_itself(shell: str, tmp_path: Path) -> None:
    script = detached(tmp_path, sh("fail", "exit 5"), undo=(sh("undo", f"touch {tmp_path}/undone"),))
    results = followed(script, shell, tmp_path)
    assert [(result.name, result.exited) for result in results] == [("fail", 5), ("undo", 0)]
    assert (tmp_path / "undone").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_detached_script_that_was_killed_is_told_apart_from_one_that_goes_on(shell: str, tmp_path: Path) -> None:
    killed = Command(name="two", words=(Raw("echo half; kill -9 $$"),))
    script = detached(tmp_path, sh("one", "echo 1"), killed, sh("three", "true"))
    for _met_again in range(2):
        results = followed(script, shell, tmp_path)
        assert [(one.name, one.exited, one.stdout.strip()) for one in results] == [
            ("one", 0, "1"),
            ("two", DIED, "half"),
        ]


@pytest.mark.parametrize("shell", SHELLS)
def test_detached_script_that_its_host_refuses_says_so(shell: str, tmp_path: Path) -> None:
    script = Script(
        sections=(Section(steps=(sh("touch", f"touch {tmp_path}/there"),)),),
        journal=f"{tmp_path}/runs/x",
        fence=(f"{tmp_path}/lock", "me"),
    )
    assert [result.exited for result in followed(script, shell, tmp_path)] == [REFUSED]
    assert not (tmp_path / "there").exists()


def test_detached_script_keeps_its_mark_so_that_it_can_be_met_again(tmp_path: Path) -> None:
    script = detached(tmp_path, sh("x", "true"))
    assert mark_of(script, "fresh") == mark_of(script, "other") == "kamalnb-abc"
    assert mark_of(Script.of(sh("x", "true")), "fresh") == "fresh"
