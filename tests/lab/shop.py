"""A service of the tests' own on the lab's hosts: its deploy.yml, its boots, its load, and what it leaves there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import yaml

from kamalnb import events
from kamalnb.events import Event, HostFailed, Phase
from kamalnb.fleet import Fleet
from kamalnb.lab import Lab
from kamalnb.lab.load import Profile, RunningLoad, Tally, running_load
from kamalnb.plan import Selection
from kamalnb.project import Project, load
from kamalnb.report import Line, Report
from kamalnb.ssh import SshExecutor

REPOSITORY = "registry:5000/app"
CALM = Profile(new=15, keepalive=20, post=10, slow=2, slow_seconds=3.0, websockets=1)
"""Every kind of traffic, at a rate that leaves a machine with two cores time for the boots."""
NO_WEBSOCKET = Profile(new=15, keepalive=20, post=10, slow=2, slow_seconds=1.5, websockets=0)
"""A WebSocket holds every drain to its limit, and a rude app drops it without a word."""


@dataclass(frozen=True)
class Ran:
    """One boot that has ended: its report, its events, its seconds."""

    report: Report
    events: tuple[Event, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        return self.report.ok

    def line(self, host: str, role: str = "web") -> Line:
        line = self.report.line(host, role)
        assert line is not None
        return line

    def failure(self, host: str) -> HostFailed:
        failure = self.line(host).failure
        assert failure is not None, f"{host} did not fail: {self.report.finished}"
        return failure

    def fact(self, kind: str, host: str) -> Mapping[str, Any]:
        found = [
            e.fact.data
            for e in self.events
            if isinstance(e, events.FactLearned) and (e.fact.kind, e.host) == (kind, host)
        ]
        assert found, f"no fact “{kind}” of {host}"
        return found[-1]

    def direction(self, host: str) -> str:
        return str(self.fact("cutover", host)["direction"])

    def phases(self, host: str) -> tuple[Phase, ...]:
        return tuple(e.phase for e in self.events if isinstance(e, events.PhaseEntered) and e.host == host)

    def told(self, host: str) -> str:
        return "\n".join(e.fact.text for e in self.events if isinstance(e, events.FactLearned) and e.host == host)


@dataclass(frozen=True)
class Standing:
    """What a service has on one host. ``containers`` maps names to (state, health)."""

    containers: Mapping[str, tuple[str, str]]
    cords: Mapping[str, str]
    runs: tuple[str, ...]

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(sorted(name for name, (state, _) in self.containers.items() if state != "exited"))

    @property
    def serving(self) -> tuple[str, ...]:
        return tuple(
            sorted(
                name for name, (state, health) in self.containers.items() if (state, health) == ("running", "healthy")
            )
        )


STANDING = """\
f='container {{.Name}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}'
for c in $(docker ps --all --quiet --no-trunc --filter label=service="$1"); do docker inspect --format "$f" "$c"; done
cd "$2" 2>/dev/null || exit 0
for c in cords/*/; do
  [ -d "$c" ] || continue
  s=empty; [ ! -e "$c/cord.cut" ] || s=cut; [ ! -e "$c/cord" ] || s=tied; echo "cord $c $s"
done
for r in runs/*/; do [ -d "$r" ] || continue; echo "run $r -"; done
exit 0
"""


class Shop:
    """One service with a Host rule, so that the other apps of the lab are not disturbed."""

    def __init__(self, lab: Lab, directory: Path, name: str, hosts: tuple[str, ...] = (), **settings: Any) -> None:
        self.lab = lab
        self.directory = directory
        self.name = name
        self.hosts = hosts or tuple(host.name for host in lab.hosts)
        self.run_directory = f"/home/deploy/.{name}"
        self.settings = settings
        self._written = 0
        self._loads: list[RunningLoad] = []

    @property
    def host_header(self) -> str:
        return f"{self.name}.test"

    def labels(self, role: str = "web", host: str = "", priority: int = 100) -> dict[str, str]:
        router = f"traefik.http.routers.{self.name}-{role}"
        return {f"{router}.rule": f"Host(`{host or self.host_header}`)", f"{router}.priority": str(priority)}

    def orders_file(self) -> str:
        return f"{self.run_directory}/orders/log"

    def config(self, **changes: Any) -> Path:
        """Writes a deploy.yml. ``changes`` replace whole keys; None removes one."""
        wanted = {
            "service": self.name,
            "image": "app",
            "registry": {"server": "registry:5000"},
            "servers": {"web": {"hosts": list(self.hosts), "labels": self.labels()}},
            "healthcheck": {"path": "/up", "port": 3000},
            "traefik": {"image": "traefik:v3.7"},
            "ssh": {"user": "deploy", "config": str(self.lab.ssh_config)},
            "run_directory": self.run_directory,
            "drain_timeout": 4,
            "volumes": [f"{self.run_directory}/orders:/orders"],
            "env": {"clear": {"ORDERS_LOG": "/orders/log"}},
            **self.settings,
            **changes,
        }
        self._written += 1
        directory = self.directory / f"{self.name}-{self._written}"
        (directory / "config").mkdir(parents=True)
        (directory / "tasks.py").write_text("from kamalnb.tasks import ns\n")
        file = directory / "config" / "deploy.yml"
        file.write_text(yaml.safe_dump({key: value for key, value in wanted.items() if value is not None}))
        return file

    def fleet(self, hosts: tuple[str, ...] = (), roles: tuple[str, ...] = (), **changes: Any) -> Fleet:
        return Fleet(config_file=self.config(**changes), hosts=hosts, roles=roles)

    @contextmanager
    def opened(self, *hosts: str, **changes: Any) -> Iterator[tuple[Project, Selection, SshExecutor]]:
        """What a command beside boots is given: the file that was read, the hosts that were chosen, the way to them."""
        fleet = self.fleet(hosts, **changes)
        project = load(fleet.config_file, None)
        executor = SshExecutor(project.config.ssh, directory=project.root)
        try:
            yield project, fleet._select(project.config), executor
        finally:
            executor.close()

    def boot(
        self,
        version: str | None,
        *,
        hosts: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
        skip_unreachable: bool = False,
        after: str = "",
        on_event: Callable[[Event], None] = lambda event: None,
        **changes: Any,
    ) -> Ran:
        """Boots and waits for the end, however it ends.

        Each boot is a stage of the loads that run; ``after`` is the older version of the two.
        """
        for running in self._loads:
            running.stage(f"boot {version}", order=(after, version) if after and version else ())
        began = time.monotonic()
        rollout = self.fleet(hosts, roles, **changes).boot(version, skip_unreachable=skip_unreachable)
        seen = []
        for event in rollout:
            seen.append(event)
            on_event(event)
        return Ran(rollout.report, tuple(seen), time.monotonic() - began)

    def must_boot(self, version: str, **how: Any) -> Ran:
        ran = self.boot(version, **how)
        assert ran.ok, f"{version}: {ran.report.finished} {ran.report.failures}"
        return ran

    def shell(self, host: str, script: str, *words: str) -> str:
        """Runs ``script`` as root on a host, with ``words`` as $1 and on; it must end well."""
        done = self.lab.exec(host, ["sh", "-c", script, "sh", *words])
        assert done.returncode == 0, f"{script!r} on {host}: {done.stdout}{done.stderr}"
        return done.stdout

    def as_deploy(self, host: str, line: str) -> subprocess.CompletedProcess[str]:
        """Runs a line in the login directory, over ssh, as Kamal would."""
        return subprocess.run(
            ["ssh", "-F", str(self.lab.ssh_config), host, line], capture_output=True, text=True, timeout=60, check=False
        )

    def standing(self, host: str) -> Standing:
        containers, cords, runs = {}, {}, []
        for line in self.shell(host, STANDING, self.name, self.run_directory).splitlines():
            kind, name, *rest = line.split()
            if kind == "container":
                containers[name.removeprefix("/")] = (rest[0], rest[1])
            elif kind == "cord":
                cords[name.strip("/").rpartition("/")[2]] = rest[0]
            else:
                runs.append(name)
        return Standing(containers, cords, tuple(runs))

    def orders(self) -> list[str]:
        """The order ids that the containers of all hosts have counted, one for each time."""
        texts = [self.shell(host, 'cat "$1" 2>/dev/null || :', self.orders_file()) for host in self.hosts]
        return "".join(texts).split()

    @contextmanager
    def load(
        self, profile: Profile = CALM, hosts: tuple[str, ...] = (), header: str = "", trust: Path | None = None
    ) -> Iterator[RunningLoad]:
        """Requests to the hosts' proxies; with ``trust`` (a certificate) over HTTPS, to their own addresses."""
        there = [self.lab.host(host) for host in hosts or self.hosts]
        urls = {one.name: f"https://{one.inside}" if trust else one.proxy_url for one in there}
        inside = [one.inside for one in there if trust]
        certificate = str(trust) if trust else None
        header = header or self.host_header
        with running_load(urls, profile, header, lab_addresses=inside, trust=certificate) as load:
            self._loads.append(load)
            try:
                yield load
            finally:
                self._loads.remove(load)

    def headers_at(self, host: str, path: str = "/") -> Mapping[str, str]:
        """The headers of one answer through a host's proxy; none where nothing answers."""
        connection = HTTPConnection(self.lab.host(host).proxy_url.removeprefix("http://"), timeout=5)
        try:
            connection.request("GET", path, headers={"Host": self.host_header})
            return dict(connection.getresponse().getheaders())
        except (OSError, HTTPException):
            return {}
        finally:
            connection.close()

    def version_at(self, host: str, path: str = "/") -> str:
        """The version that answers through a host's proxy; empty where none does."""
        return self.headers_at(host, path).get("X-Version", "")

    def clean(self) -> None:
        """Takes away everything of this service."""
        script = (
            'i=$(docker ps --all --quiet --filter label=service="$1");'
            ' [ -z "$i" ] || docker rm --force --volumes $i >/dev/null;'
            ' rm -rf "$2"'
        )
        for host in self.hosts:
            self.shell(host, script, self.name, self.run_directory)


class Controller:
    """``invoke boot --json`` in a process of its own, which can be killed. Its events are read as they come."""

    def __init__(self, shop: Shop, version: str, hosts: tuple[str, ...] = (), **changes: Any) -> None:
        file = shop.config(**changes)
        argv = [sys.executable, "-m", "invoke", "boot", "--json", f"--version={version}", f"--config-file={file}"]
        argv += [f"--hosts={host}" for host in hosts]
        self.process = subprocess.Popen(
            argv, cwd=file.parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def until(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> None:
        """Returns as soon as such an event was told."""
        end, looked = time.monotonic() + seconds, 0
        with self._changed:
            while True:
                if any(wanted(event) for event in self.events[looked:]):
                    return
                looked = len(self.events)
                assert not self._ended, f"the boot ended first: {self.events[-3:]} {self.said()}"
                assert time.monotonic() < end, f"not within {seconds} s: {self.events[-3:]}"
                self._changed.wait(0.5)

    def said(self) -> str:
        """What an ended process printed for people."""
        return self.process.stderr.read() if self.process.stderr else ""

    def phase(self, phase: str) -> None:
        self.until(lambda event: event["event"] == "PhaseEntered" and event["phase"] == phase)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        try:
            code = self.process.wait(timeout=seconds)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(timeout=5)
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None:
                    stream.close()
        return code


def until(holds: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Waits for ``holds``, asked twice a second."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.5)


def assert_nothing_lost(tally: Tally) -> None:
    told = "\n".join(map(str, tally.losses))
    marks = "\n".join(f"{mark.at:.2f} s  {mark.label}" for mark in tally.marks)
    assert tally.clean, f"{tally.sentence}\n{told}\n{marks}\n{tally.by_host}"
