"""The shell functions around a boot, for real: under dash, bash and busybox, with our own docker on the PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamalnb.commands import app, audit, bootstrap, env_files, images, leftovers, server, stats
from kamalnb.shell import Command, Secret

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


@dataclass
class Host:
    """A directory that plays a host for one shell."""

    path: Path
    shell: str

    def program(self, name: str, text: str) -> None:
        file = self.path / "bin" / name
        file.write_text(f"#!/bin/sh\ncd '{self.path}' || exit 99\n{text}\n")
        file.chmod(0o755)

    def run(self, command: Command) -> subprocess.CompletedProcess[str]:
        shell = ["busybox", "sh", "-s"] if self.shell == "busybox" else [self.shell, "-s"]
        text = "\n".join((*command.uses, f"({command.line()}\n) </dev/null"))
        environment = {"PATH": f"{self.path}/bin:{os.environ['PATH']}", "LC_ALL": "C"}
        return subprocess.run(
            shell, input=text, capture_output=True, text=True, timeout=60, env=environment, cwd=self.path, check=False
        )

    def said(self, command: Command) -> str:
        done = self.run(command)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=SHELLS)
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    (tmp_path / "bin").mkdir()
    return Host(tmp_path, request.param)


# -- env files ------------------------------------------------------------------------------------------------------


def test_pushed_file_is_private_and_its_keys_are_told(there: Host) -> None:
    path = there.path / "env" / "roles" / "app.env"
    first = env_files.difference(there.said(env_files.push(str(path), Secret("A=1\nB=two words\n"))))
    assert first.added == ("A", "B")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    second = env_files.difference(there.said(env_files.push(str(path), Secret("A=1\nB=other\nC=x=y\n"))))
    assert (second.same, second.changed, second.added, second.removed) == (("A",), ("B",), ("C",), ())
    assert path.read_text() == "A=1\nB=other\nC=x=y\n"
    third = env_files.difference(there.said(env_files.push(str(path), Secret(""))))
    assert third.removed == ("A", "B", "C")
    assert [file.name for file in path.parent.iterdir()] == ["app.env"]


VALUES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\n\r"), max_size=20)
KEYS = st.from_regex(r"[A-Z_*?\[][A-Z0-9_*?\]]{0,4}", fullmatch=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.dictionaries(KEYS, VALUES, max_size=4), after=st.dictionaries(KEYS, VALUES, max_size=4))
def test_difference_is_that_of_the_two_files_whatever_is_in_them(
    there: Host, before: dict[str, str], after: dict[str, str]
) -> None:
    path = there.path / "x.env"
    path.unlink(missing_ok=True)
    texts = ["".join(f"{key}={value}\n" for key, value in one.items()) for one in (before, after)]
    there.said(env_files.push(str(path), Secret(texts[0])))
    found = env_files.difference(there.said(env_files.push(str(path), Secret(texts[1]))))
    assert path.read_bytes() == texts[1].encode()
    assert set(found.added) == after.keys() - before.keys()
    assert set(found.removed) == before.keys() - after.keys()
    assert set(found.changed) == {key for key in after.keys() & before.keys() if after[key] != before[key]}
    assert set(found.same) == {key for key in after.keys() & before.keys() if after[key] == before[key]}


def test_old_file_stays_where_the_new_one_cannot_be_written(there: Host) -> None:
    (there.path / "env").write_text("a file in the way")
    done = there.run(env_files.push(str(there.path / "env" / "app.env"), Secret("A=canary\n")))
    assert done.returncode != 0
    assert "canary" not in done.stdout + done.stderr


def test_deleting_says_whether_it_was_there(there: Host) -> None:
    path = there.path / "app.env"
    path.write_text("A=1\n")
    command = env_files.delete(str(path))
    assert [there.said(command).strip() for _ in range(2)] == ["deleted", "missing"]


# -- leftovers ------------------------------------------------------------------------------------------------------


def test_prune_tells_what_went_and_what_stayed(there: Host) -> None:
    there.program("docker", 'case "$1 $2" in "rm keeps") exit 1 ;; "ps --all") echo keeps ;; esac')
    text = there.said(leftovers.prune(("goes", "keeps")))
    assert text.splitlines() == ["removed goes", "kept keeps"]
    assert leftovers.pruned(text) == {"goes"}


def test_container_that_is_gone_already_counts_as_removed(there: Host) -> None:
    there.program("docker", "case $1 in rm) exit 1 ;; ps) exit 0 ;; esac")
    assert leftovers.pruned(there.said(leftovers.prune(("a",)))) == {"a"}


def test_docker_that_does_not_answer_has_removed_nothing(there: Host) -> None:
    there.program("docker", "exit 1")
    assert there.run(leftovers.prune(("a",))).returncode == 1


def test_only_old_logs_are_found(there: Host) -> None:
    (there.path / "logs").mkdir()
    for name, days in (("old.log", 40), ("new.log", 1), ("old.txt", 40)):
        file = there.path / "logs" / name
        file.touch()
        os.utime(file, (time.time() - days * 86400,) * 2)
    question = leftovers.old_logs(str(there.path), 30)
    assert question.read(there.said(question.command)) == (str(there.path / "logs" / "old.log"),)
    nowhere = leftovers.old_logs(str(there.path / "nowhere"), 30)
    assert nowhere.read(there.said(nowhere.command)) == ()


def journals(there: Host) -> Path:
    """Two that have ended, one whose script runs, one that is being made, one whose maker died before it began."""
    runs = there.path / "runs"
    pids = {"ended": "999999999", "mine": "999999999", "alive": str(os.getpid()), "made": "", "stillborn": ""}
    for name, pid in pids.items():
        (runs / name).mkdir(parents=True)
        (runs / name / "pid").write_text(f"{pid}\n" if pid else "")
    os.utime(runs / "stillborn", (time.time() - 300,) * 2)
    return runs


def test_journals_of_what_has_ended_go_and_those_of_what_runs_or_begins_stay(there: Host) -> None:
    runs = journals(there)
    there.said(server.tidy_runs(str(runs)))
    assert sorted(one.name for one in runs.iterdir()) == ["alive", "made"]


def test_run_forgets_its_own_journals_alone_and_none_that_still_runs(there: Host) -> None:
    runs = journals(there)
    there.said(server.forget((str(runs / "mine"), str(runs / "alive"), str(runs / "never"))))
    assert sorted(one.name for one in runs.iterdir()) == ["alive", "ended", "made", "stillborn"]


def test_journals_that_ended_are_counted(there: Host) -> None:
    nowhere, question = server.ended(str(there.path / "nowhere")), server.ended(str(journals(there)))
    assert nowhere.read(there.said(nowhere.command)) == 0
    assert question.read(there.said(question.command)) == 4
    running = server.switching(str(there.path / "runs"))
    assert running.read(there.said(running.command)) == 1


# -- names ----------------------------------------------------------------------------------------------------------

DOCKER = """d=$HOME/names; mkdir -p "$d"
case "$1" in
  inspect) cat "$d/$6" 2>/dev/null ;;
  rename) [ ! -e "$d/$3" ] || exit 1
    for n in "$d"/*; do [ "$(cat "$n")" != "$2" ] || { mv "$n" "$d/$3"; exit 0; }; done; exit 1 ;;
esac"""


@pytest.mark.parametrize("holder", ["other", "", "mine"])
def test_container_gets_its_name_and_who_has_it_steps_aside(there: Host, holder: str) -> None:
    there.program("docker", DOCKER.replace("$HOME", str(there.path)))
    names = there.path / "names"
    names.mkdir()
    (names / "app").write_text(holder) if holder else None
    (names / "app_replaced_0").write_text("mine") if holder != "mine" else None
    there.said(app.named("mine", "app", "app_replaced_1"))
    there.said(app.named("mine", "app", "app_replaced_1"))
    found = {one.name: one.read_text() for one in names.iterdir()}
    assert found == {"app": "mine", **({"app_replaced_1": "other"} if holder == "other" else {})}


# -- images, audit --------------------------------------------------------------------------------------------------


def test_images_of_the_repository_and_nameless_ones_of_the_service_are_asked_for_once(there: Host) -> None:
    there.program(
        "docker",
        'case "$*" in *--filter*) printf "sha256:b\\nsha256:a\\n" ;; "image ls"*) echo sha256:a ;; '
        '"image inspect"*) shift 4; echo "$@" ;; esac',
    )
    assert there.said(images.of_service("r/app", "app").command).split() == ["sha256:a", "sha256:b"]


def test_no_image_is_no_question(there: Host) -> None:
    there.program("docker", 'case "$2" in ls) ;; *) exit 9 ;; esac')
    assert there.said(images.of_service("r/app", "app").command) == ""


def test_list_of_images_that_fails_is_no_empty_list(there: Host) -> None:
    there.program("docker", "exit 1")
    assert there.run(images.of_service("r/app", "app").command).returncode != 0


def test_image_that_docker_keeps_is_told(there: Host) -> None:
    there.program("docker", 'case $3 in used) echo "conflict: unable to remove" >&2; exit 1 ;; esac')
    assert images.removed(there.said(images.remove(("free", "used")))) == (("free",), ("used",))


def test_usage_is_asked_again_where_a_container_vanished_meanwhile(there: Host) -> None:
    there.program(
        "docker",
        'echo x >>calls; case $1 in ps) echo "a b" ;; '
        'stats) [ "$(wc -l <calls)" -gt 2 ] || exit 1; shift 5; echo "$@" ;; esac',
    )
    assert there.said(stats.usage("app").command) == "a b\n"
    assert (there.path / "calls").read_text().count("x") == 4


def test_usage_of_nothing_is_no_question_and_no_failure(there: Host) -> None:
    there.program("docker", "case $1 in ps) ;; *) exit 9 ;; esac")
    assert there.said(stats.usage("app").command) == ""


def test_usage_that_docker_never_gives_is_no_empty_answer(there: Host) -> None:
    there.program("docker", 'case $1 in ps) echo a ;; *) echo "no such container" >&2; exit 1 ;; esac')
    assert there.run(stats.usage("app").command).returncode != 0


def test_tail_of_the_audit_log_is_bounded_in_lines_and_bytes(there: Host) -> None:
    log = there.path / "audit.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert [entry.message for entry in audit.entries(there.said(audit.tail(str(log), 2).command))] == [
        "line 98", "line 99",
    ]  # fmt: skip
    log.write_text("x" * 3_000_000 + "\n")
    assert len(there.said(audit.tail(str(log), 50).command)) <= audit.MOST_BYTES
    assert there.said(audit.tail(str(there.path / "nowhere"), 50).command) == ""


# -- a bare host ----------------------------------------------------------------------------------------------------


def facts(there: Host) -> bootstrap.Facts:
    question = bootstrap.facts(str(there.path / "run"))
    return question.read(there.said(question.command))


@pytest.mark.parametrize(
    ("docker", "means"),
    [
        ("echo 20.10.24", "20.10.24"),
        ("echo 'Got permission denied while trying to connect' >&2; exit 1", "denied"),
        ("echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1", "denied"),
        ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "down"),
    ],
)
def test_how_docker_is_there_is_told(there: Host, docker: str, means: str) -> None:
    there.program("docker", docker)
    assert facts(there).docker == means


def test_rights_are_told(there: Host) -> None:
    if there.shell == "busybox":
        pytest.skip("busybox has an id of its own")
    there.program("docker", "echo 1")
    there.program("id", 'case "$*" in -un) echo deploy ;; -u) echo 1000 ;; esac')
    there.program("sudo", '[ "$1" = -n ]')
    assert (facts(there).user, facts(there).rights) == ("deploy", "sudo")
    there.program("sudo", "exit 1")
    assert facts(there).rights == "none"
    there.program("id", 'case "$*" in -un) echo root ;; -u) echo 0 ;; esac')
    assert facts(there).rights == "root"


def test_run_directory_is_told(there: Host) -> None:
    there.program("docker", "echo 1")
    assert facts(there).directory == "no"
    assert "=" not in facts(there).os
    (there.path / "run").mkdir()
    assert facts(there).directory == "yes"


def test_installing_goes_through_sudo_without_a_question(there: Host) -> None:
    if there.shell == "busybox":
        pytest.skip("busybox has an id of its own")
    there.program("id", 'case "$*" in -un) echo deploy ;; -u) echo 1000 ;; esac')
    there.program("sudo", 'printf "%s\\n" "$*" >>calls')
    for command in (bootstrap.install("docker.io"), bootstrap.join_group()):
        there.said(command)
    assert (there.path / "calls").read_text().splitlines() == [
        "-n apt-get update -q",
        "-n env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends docker.io",
        "-n usermod -aG docker deploy",
    ]
