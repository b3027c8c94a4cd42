"""The ground of a soak: a service of its own on the lab, the program that changes it, faults, looks at the hosts."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import yaml

from ...errors import LabError
from ..lab import Lab

SERVICE = "kamalnb-soak"
HOST_HEADER = "soak.test"
DIRECTORY = f"/home/deploy/.{SERVICE}"
PRIORITY = 400
"""Above the lab's ``app``, whose rule matches every request."""
Meanwhile = Callable[["subprocess.Popen[bytes]"], None]
LONGEST = 240.0
"""Seconds that one command may take."""

# $1 service, $2 run directory. One line for each thing: container NAME STATE HEALTH CORD; cord PATH STATE; run NAME.
LOOK = """\
health='{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}'
cord='{{range .Mounts}}{{if eq .Destination "/tmp/kamal-cord"}}{{.Source}}{{end}}{{end}}'
ids=$(docker ps --all --quiet --no-trunc --filter label=service="$1") || exit 1
[ -z "$ids" ] || docker inspect --format "container {{.Name}} {{.State.Status}} $health $cord" $ids || exit 1
cd "$2" 2>/dev/null || exit 0
for c in cords/*/; do
  [ -d "$c" ] || continue
  s=empty; [ ! -e "$c/cord.cut" ] || s=cut; [ ! -e "$c/cord" ] || s=tied; echo "cord $2/${c%/} $s"
done
for r in runs/*/; do [ ! -d "$r" ] || echo "run $r"; done
find . -name '*.tmp*' | while read -r f; do echo "temporary $f"; done
exit 0
"""
# The look takes the lock for an instant: nobody may deploy meanwhile. $1 run directory.
LOCKS = """\
cd "$1" || exit 0
for l in kamalnb-*.lock; do [ ! -e "$l" ] || flock -n "$l" true || echo "lock $l"; done
for l in locks/* lock-* kamalnb-*.held; do [ ! -e "$l" ] || echo "lock $l"; done
"""
SESSIONS = """\
for p in /proc/[0-9]*; do
  [ "$(cat "$p/comm" 2>/dev/null)" = sshd ] && [ "$(stat -c %U "$p" 2>/dev/null)" = deploy ] && kill -9 "${p#/proc/}"
done
exit 0
"""
CLEAR = 'i=$(docker ps -aq --filter label=service="$1"); [ -z "$i" ] || docker rm --force $i >/dev/null; rm -rf "$2"'


@dataclass(frozen=True, slots=True)
class Found:
    """One container of the service."""

    name: str
    state: str
    health: str
    cord: str


@dataclass(frozen=True, slots=True)
class Look:
    """What one host has of the service at one moment."""

    containers: tuple[Found, ...]
    cords: dict[str, str]
    others: tuple[str, ...]
    """Journals of runs, temporary files."""

    @property
    def running(self) -> tuple[Found, ...]:
        """All that were not ended."""
        return tuple(one for one in self.containers if one.state != "exited")

    @property
    def serving(self) -> tuple[Found, ...]:
        """Those that run, are healthy and have their cord tied."""
        return tuple(
            one
            for one in self.running
            if (one.state, one.health) == ("running", "healthy") and self.cords.get(one.cord) == "tied"
        )


@dataclass(frozen=True, slots=True)
class Ran:
    """One command that has ended, or was ended."""

    words: tuple[str, ...]
    exited: int
    seconds: float
    said: str


@dataclass(frozen=True)
class Ground:
    """The service on the lab's hosts, and a project directory for it."""

    lab: Lab
    project: Path

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names."""
        return tuple(host.name for host in self.lab.hosts)

    def invoke(self, *words: str, meanwhile: Meanwhile = lambda process: None) -> Ran:
        """Runs ``invoke`` in a process of its own. ``meanwhile`` gets it when its first event was told."""
        began = time.monotonic()
        with tempfile.TemporaryFile() as told:
            argv = [sys.executable, "-m", "invoke", *words, "--json"]
            process = subprocess.Popen(
                argv, cwd=self.project, stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT
            )
            try:
                while process.poll() is None and told.seek(0, 2) == 0:
                    time.sleep(0.02)
                meanwhile(process)
                process.wait(LONGEST)
            except subprocess.TimeoutExpired:
                raise LabError(f"“invoke {' '.join(words)}” did not end within {LONGEST:g} seconds.") from None
            finally:
                process.kill()
                process.wait()
            told.seek(0)
            said = told.read().decode(errors="replace")
        return Ran(words, process.returncode, time.monotonic() - began, said)

    def must(self, *words: str) -> Ran:
        """The same, where nothing else can be done without it."""
        done = self.invoke(*words)
        if done.exited:
            raise LabError(f"“invoke {' '.join(words)}” ended with {done.exited}:\n{done.said[-1500:]}")
        return done

    def look(self, host: str) -> Look | None:
        """What is there; None where the host could not say (a container went while it was looked at)."""
        done = self.lab.exec(host, ["sh", "-c", LOOK, "look", SERVICE, DIRECTORY])
        if done.returncode:
            return None
        containers, cords, others = [], {}, []
        for line in done.stdout.splitlines():
            kind, name, *rest = line.split()
            if kind == "container":
                containers.append(Found(name.removeprefix("/"), rest[0], rest[1], (rest[2:] or [""])[0]))
            elif kind == "cord":
                cords[name] = rest[0]
            else:
                others.append(line)
        return Look(tuple(containers), cords, tuple(others))

    def locks(self, host: str) -> list[str]:
        """Locks that are held there: ours, a person's, Kamal's."""
        return self.lab.exec(host, ["sh", "-c", LOCKS, "locks", DIRECTORY]).stdout.splitlines()

    def version_at(self, host: str) -> str:
        """The version that answers through a host's proxy; what went wrong, in brackets, where none does."""
        connection = HTTPConnection(self.lab.host(host).proxy_url.removeprefix("http://"), timeout=5)
        try:
            connection.request("GET", "/version", headers={"Host": HOST_HEADER})
            answer = connection.getresponse()
            return str(answer.getheader("X-Version") or f"({answer.status})")
        except (OSError, HTTPException) as error:
            return f"({type(error).__name__})"
        finally:
            connection.close()

    def orders(self) -> list[str]:
        """The order ids that the containers of all hosts have counted."""
        path = f"{DIRECTORY}/orders/log"
        return "".join(self.lab.exec(host, ["cat", path]).stdout for host in self.hosts).split()

    def kill_sessions(self, host: str) -> None:
        """Every SSH session of the deploying user dies, those that hold the lock too."""
        self.lab.exec(host, ["sh", "-c", SESSIONS])

    def reload_docker(self, host: str) -> None:
        """SIGHUP to the engine: it reads its settings again, which should be nobody's business."""
        self.lab.exec(host, ["sh", "-c", 'kill -HUP "$(cat /run/lab/docker.pid)"'])

    def clear(self) -> None:
        """Takes away all of the service."""
        for host in self.hosts:
            self.lab.exec(host, ["sh", "-c", CLEAR, "clear", SERVICE, DIRECTORY])


def stopping(moment: float, number: signal.Signals) -> Meanwhile:
    """Sends a signal ``moment`` seconds after the first event."""

    def stop(process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(number)

    return stop


def disturbing(moment: float, fault: Callable[[], None]) -> Meanwhile:
    """Does ``fault`` ``moment`` seconds after the first event, if the command still runs."""

    def disturb(process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        if process.poll() is None:
            fault()

    return disturb


@contextmanager
def ground_of(lab: Lab) -> Iterator[Ground]:
    """The ground, cleared before and after."""
    with tempfile.TemporaryDirectory(prefix="kamalnb-soak-") as name:
        directory = Path(name)
        (directory / "config").mkdir()
        (directory / "tasks.py").write_text("from kamalnb.tasks import ns\n")
        document = _deploy_yml(yaml.safe_load(lab.config_file.read_text()))
        (directory / "config" / "deploy.yml").write_text(yaml.safe_dump(document))
        ground = Ground(lab, directory)
        ground.clear()
        try:
            yield ground
        finally:
            ground.clear()


def _deploy_yml(document: dict[str, Any]) -> dict[str, Any]:
    """The lab's own, for another service that answers to another name and counts its orders in a file."""
    rule = {"rule": f"Host(`{HOST_HEADER}`)", "priority": str(PRIORITY)}
    return {
        **document,
        "service": SERVICE,
        "labels": {f"traefik.http.routers.{SERVICE}-web.{key}": value for key, value in rule.items()},
        "run_directory": DIRECTORY,
        "drain_timeout": 4,
        "deploy_timeout": 15,
        "min_healthy": 1,
        "volumes": [f"{DIRECTORY}/orders:/orders"],
        "env": {"clear": {"ORDERS_LOG": "/orders/log"}},
    }
