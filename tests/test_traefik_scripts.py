"""The shell functions about Traefik, for real: under dash, bash and busybox, with our own docker on the PATH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from kamalnb.commands import host, running_traefik, traefik, traefik_reboot
from kamalnb.script import Script, render
from kamalnb.shell import Command, look

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
OURS = (traefik.SETTLE, traefik.BOOT, running_traefik.LOOK, running_traefik.LOG, *traefik_reboot.ALL)
FUNCTIONS = "\n".join((*host.ALL, *OURS))

# Containers are directories: id, name, state. A file "refuse" in one makes it end as soon as it is started.
DOCKER = r"""#!/bin/sh
cd "$STUB" || exit 99
echo "$*" >>calls
[ ! -e down ] || { echo "Cannot connect to the Docker daemon" >&2; exit 1; }
find() {
  for d in box/*/; do [ "$(cat "$d/id")" != "$1" ] && [ "$(cat "$d/name")" != "$1" ] || { echo "$d"; return; }; done
}
last() { for w in "$@"; do l=$w; done; echo "$l"; }
d=$(find "$(last "$@")")
case "$1 $2" in
  "inspect "*)
    [ -n "$d" ] || { echo "No such object" >&2; exit 1; }
    case "$*" in
      *RestartCount*) echo "$(cat "$d/state") 0 none" ;;
      *Networks*) echo "bridge 172.17.0.2" ;;
      *.Id*) cat "$d/id" ;;
      *State.Status*) cat "$d/state" ;;
      *.Image*) echo sha256:x ;;
      *.Path*) echo /traefik ;;
      *"log of"*) echo "log of /traefik" ;;
      *) echo "document $(cat "$d/name")" ;;
    esac ;;
  "rename "*) d=$(find "$2"); [ -n "$d" ] && [ -z "$(find "$3")" ] && echo "$3" >"$d/name" ;;
  "stop "*) [ -n "$d" ] && echo exited >"$d/state" ;;
  "start "*)
    [ -n "$d" ] || exit 1
    if [ -e "$d/refuse" ]; then echo exited >"$d/state"; else echo running >"$d/state"; fi ;;
  "rm "*) [ -n "$d" ] && rm -r "$d" ;;
  "ps "*) for d in box/*/; do echo "$(cat "$d/id") $(cat "$d/name")"; done ;;
  "create "*) exit "$(cat creates 2>/dev/null || echo 0)" ;;
  "logs "*) echo "last words"; echo "of $(cat "$d/name")" >&2 ;;
  "exec "*)
    [ "$3" = /traefik ] || { echo "OCI runtime exec failed"; exit 126; }
    printf 'Version:      3.7.15\nCodename:     x\n' ;;
  "image "*) [ -e image ] && cat image ;;
  "run "*) printf 'Version:      2.11.31\n' ;;
  "version "*) echo up ;;
  "info "*) cat security 2>/dev/null || echo '["name=seccomp,profile=default"]' ;;
  "cp "*) if [ "$3" = - ]; then cat "$(find "${2%%:*}")/kept"; else cat >"$(find "${3%%:*}")/kept"; fi ;;
esac
"""


@dataclass
class Host:
    path: Path
    shell: str

    def box(self, name: str, state: str, **files: str) -> Host:
        place = self.path / "box" / name
        place.mkdir(parents=True)
        for file, text in {"id": f"id-{name}", "name": name, "state": state, **files}.items():
            (place / file).write_text(f"{text}\n")
        return self

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        shell = ["busybox", "sh", "-c"] if self.shell == "busybox" else [self.shell, "-c"]
        environment = {"PATH": f"{self.path}/bin:{os.environ['PATH']}", "STUB": str(self.path), "LC_ALL": "C"}
        line = Command(name="x", words=words).line()
        return subprocess.run(
            [*shell, f"{FUNCTIONS}\n({line})"], capture_output=True, text=True, timeout=60, env=environment,
            cwd=self.path, check=False,
        )  # fmt: skip

    @property
    def boxes(self) -> dict[str, str]:
        found = (self.path / "box").iterdir()
        return {(one / "name").read_text().strip(): (one / "state").read_text().strip() for one in found}

    @property
    def calls(self) -> list[str]:
        return (self.path / "calls").read_text().splitlines()


@pytest.fixture(params=SHELLS)
def stub(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    (tmp_path / "bin").mkdir()
    (tmp_path / "box").mkdir()
    for name, text in (("docker", DOCKER), ("curl", '#!/bin/sh\ncat "$STUB/head" 2>/dev/null\n')):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "head").write_text("HTTP/1.1 404 Not Found\n")
    return Host(tmp_path, request.param)


NEW, ASIDE = "traefik_new_0123456789abcdef", "traefik_replaced_0123456789abcdef"
ANSWERS = ("any-answer", "host", "bridge", "http:80", "-", "-")
NEVER = ("app-web-v1", "host", "elsewhere", "http:80", "-", "-")


def reboot(stub: Host, *new: str, old: tuple[str, ...] = ANSWERS) -> subprocess.CompletedProcess[str]:
    counted = (str(len(new) // 6), *new, str(len(old) // 6), *old)
    return stub.run("k_reboot_traefik", NEW, ASIDE, "12", "/acme.json", "60", *counted)


def test_the_new_one_takes_the_place_of_the_old_one(stub: Host) -> None:
    stub.box("traefik", "running", kept="certificates").box(NEW, "created")
    done = reboot(stub, *ANSWERS)
    assert done.returncode == 0, done
    assert re.fullmatch(r"gap \d+\.\d\d\n", done.stdout)
    assert stub.boxes == {"traefik": "running"}
    assert (stub.path / "box" / NEW / "kept").read_text() == "certificates\n"
    assert stub.calls.index("stop -t 12 id-traefik") < stub.calls.index(f"start id-{NEW}")


def test_the_old_one_is_started_again_where_the_new_one_does_not_stay(stub: Host) -> None:
    stub.box("traefik", "running").box(NEW, "created", refuse="1")
    done = reboot(stub, *ANSWERS)
    assert done.returncode == host.GONE
    assert {"state exited 0 none", "log last words", "old again"} <= set(done.stdout.splitlines())
    assert stub.boxes == {"traefik": "running"}
    assert (stub.path / "box" / "traefik").exists()


def test_the_old_one_is_started_again_where_the_new_one_does_not_route(stub: Host) -> None:
    stub.box("traefik", "running").box(NEW, "created")
    done = reboot(stub, *ANSWERS, *NEVER)
    assert done.returncode == host.UNROUTED
    assert {"missing app-web-v1", "old again"} <= set(done.stdout.splitlines())
    assert (stub.path / "box" / "traefik").exists()


def test_an_old_one_that_does_not_come_back_is_told(stub: Host) -> None:
    stub.box("traefik", "running", refuse="1").box(NEW, "created", refuse="1")
    assert "old lost" in reboot(stub, *ANSWERS).stdout


@pytest.mark.parametrize(
    ("security", "words", "code"),
    [
        ('["name=seccomp"]', (), 0),
        ('["name=userns"]', (), 78),
        ('["name=userns"]', ("--userns", "host"), 0),
        ('["name=userns"]', ("--providers.docker.endpoint=tcp://proxy:2375",), 0),
    ],
)
def test_where_docker_maps_users_only_a_traefik_that_can_read_the_socket_is_started(
    stub: Host, security: str, words: tuple[str, ...], code: int
) -> None:
    (stub.path / "security").write_text(f"{security}\n")
    done = stub.run("k_boot_traefik", "docker", "run", "--name", "traefik", *words, "traefik:v3.7")
    assert done.returncode == code
    assert ("say userns: host" in done.stderr) is (code == 78)
    assert any(call.startswith("run ") for call in stub.calls) is (code == 0)


def test_nothing_stops_where_the_new_one_was_never_made(stub: Host) -> None:
    stub.box("traefik", "running")
    assert reboot(stub, *ANSWERS).returncode != 0
    assert stub.boxes == {"traefik": "running"}
    assert not any(call.startswith("stop") for call in stub.calls)


def test_what_holds_is_told_by_number(stub: Host) -> None:
    stub.box("traefik", "running")
    assert stub.run("k_holding", *NEVER, *ANSWERS, *NEVER, *ANSWERS).stdout.split() == ["1", "3"]


def test_a_header_that_comes_with_the_proxys_own_502_does_not_hold(stub: Host) -> None:
    stub.box("traefik", "running")
    thing = ("app", "host", "bridge", "https:443 http:80", "abc", "-")
    for status, held in (("502 Bad Gateway", ""), ("200 OK", "0")):
        (stub.path / "head").write_text(f"HTTP/1.1 {status}\nX-Kamalnb-Boot: abc\n")
        assert stub.run("k_holding", *thing).stdout.strip() == held


def test_a_restart_measures_its_gap_and_notices_one_that_does_not_stay(stub: Host) -> None:
    stub.box("traefik", "running")
    assert stub.run("k_restart_traefik", "12", "60", "1", *ANSWERS).stdout.startswith("gap ")
    (stub.path / "box" / "traefik" / "refuse").touch()
    done = stub.run("k_restart_traefik", "12", "60", "1", *ANSWERS)
    assert done.returncode == host.GONE
    assert "log last words" in done.stdout


def test_half_done_reboots_are_settled_and_nothing_else_is_touched(stub: Host) -> None:
    stub.box(ASIDE, "exited").box("traefik", "created").box(NEW, "created")
    stub.box("traefik_new_mine", "exited").box("traefik_replaced_", "exited")
    assert stub.run("k_settle_traefik").returncode == 0
    assert stub.boxes == {"traefik": "exited", "traefik_new_mine": "exited", "traefik_replaced_": "exited"}
    assert (stub.path / "box" / ASIDE).exists()


def test_a_confirmed_new_one_stays_and_the_one_aside_goes(stub: Host) -> None:
    stub.box(ASIDE, "exited").box("traefik", "running")
    stub.run("k_settle_traefik")
    assert (stub.path / "box" / "traefik").exists()
    assert stub.boxes == {"traefik": "running"}


def test_a_docker_that_is_down_is_not_an_absent_traefik(stub: Host) -> None:
    assert stub.run("k_traefik", "a", "b").returncode == 0
    assert stub.run("k_proxy_log", "-", "-", "docker", "logs", "traefik").returncode == 0
    (stub.path / "down").touch()
    for words in (("k_traefik", "a", "b"), ("k_traefik_image", "a", "b", "ask"), ("k_proxy_log", "-", "-", "docker")):
        assert stub.run(*words).returncode != 0


def test_a_traefik_that_is_not_on_its_path_is_asked_for_its_version_all_the_same(stub: Host) -> None:
    stub.box("traefik", "running")
    assert stub.run("k_traefik", "a", "b").stdout.splitlines() == ["document traefik", "{}", "version 3.7.15"]


def test_an_image_is_started_for_its_version_only_where_its_name_says_none(stub: Host) -> None:
    (stub.path / "image").write_text("{}\n")
    assert stub.run("k_traefik_image", "x", "f", "ask").stdout.splitlines() == ["{}", "version 2.11.31"]
    assert stub.run("k_traefik_image", "x", "f", "named").stdout.splitlines() == ["{}"]


@pytest.mark.parametrize("pattern", ["words", "-e", "nothing like it", "$(x) '`"])
def test_the_log_is_filtered_by_any_pattern(stub: Host, pattern: str) -> None:
    stub.box("traefik", "running")
    done = stub.run("k_proxy_log", "grep", pattern, "docker", "logs", "traefik")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == (["last words"] if pattern == "words" else [])


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed; CI installs it")
def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    # SC2086: lists of ports and paths are split on purpose. SC2154, SC2034: set in one function, read in another.
    off = "SC2086,SC2154,SC2034,SC2016,SC2119,SC2120,SC2317,SC2329,SC2015"
    file = tmp_path / "functions.sh"
    file.write_text(f"#!/bin/sh\n{FUNCTIONS}\n")
    done = subprocess.run(["shellcheck", "-s", "sh", "-e", off, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_every_function_parses(shell: str, tmp_path: Path) -> None:
    file = tmp_path / "all.sh"
    file.write_text(render(Script.of(look("x", "true", uses=OURS)), "mark"))
    words = ["busybox", "sh", "-n"] if shell == "busybox" else [shell, "-n"]
    done = subprocess.run([*words, str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
