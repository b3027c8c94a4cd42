"""``bench.boot``: how long a boot takes beside bare docker commands, what it costs, and how soon the program starts.

Everything runs on the lab, in one go, ours and the yardstick by turns, so that a busy machine is busy for both. A
service of its own is booted; the lab's ``app`` is left alone.
"""

from __future__ import annotations

import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LabError
from .bare import BareBoots
from .lab import Lab, find
from .load import Profile, Tally, running_load
from .machine import Say
from .process import Ran, ran

SERVICE = "kamalnb-bench"
HOST_HEADER = "ours.bench.test"
PRIORITY = 500
"""Above the lab's ``app``, whose rule matches every request."""
VERSIONS = ("v2", "v1")
STARTS = 11
TASKS = "from kamalnb.tasks import *\nfrom kamalnb.tasks import ns\n"

# What boots of the service leave on a host, and the tag that they move.
CLEAR = f"""
ids=$(docker ps --all --quiet --filter label=service={SERVICE}); [ -z "$ids" ] || docker rm --force $ids >/dev/null
cd ~deploy/.kamal 2>/dev/null && rm -rf cords/{SERVICE}-* env/roles/{SERVICE}-* logs/{SERVICE}-* {SERVICE}-audit.log \\
  kamalnb-{SERVICE}.lock kamalnb-{SERVICE}.work
[ -z "$1" ] || docker tag "$1" "$2"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table: what was measured, and what it should be. ``met`` is None where there is no target."""

    name: str
    value: str
    target: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return f"  {self.name:<58} {self.value:>22}  {self.target:<16} {verdict}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A directory with a ``tasks.py`` and a ``deploy.yml`` for the bench's own service, and an empty one beside it."""

    directory: Path
    empty: Path
    image: str

    @property
    def config_file(self) -> Path:
        """The deploy.yml."""
        return self.directory / "config" / "deploy.yml"

    def invoke(self, *words: str) -> Ran:
        """Runs ``invoke`` there as a process of its own."""
        return ran([sys.executable, "-m", "invoke", *words], self.directory)

    def boot(self, version: str) -> Ran:
        """A whole ``invoke boot``. LabError with its last lines where it failed."""
        done = self.invoke("boot", f"--version={version}", "--json")
        if done.exited != 0:
            what = f"“invoke boot --version={version}” ended with {done.exited}"
            raise LabError(f"{what}:\n{done.last_lines}\nRun lab.status.")
        return done


def run(say: Say = print, directory: Path = Path(".lab"), rounds: int = 5) -> tuple[Figure, ...]:
    """Measures, says the table line by line, and returns it. LabError where there is no lab, or a boot failed."""
    lab = find(directory)
    with _project(lab) as project, _own_service(lab, project):
        bare = BareBoots(lab, project.image)
        try:
            figures = [*_boots(project, bare, max(5, rounds), say)]
        finally:
            bare.clear()
        figures += _under_load(project, lab, say)
        figures += _starts(project, say)
    for line in ("", *map(str, figures)):
        say(line)
    return tuple(figures)


def _boots(project: Project, bare: BareBoots, rounds: int, say: Say) -> Iterator[Figure]:
    say("a first boot of each, which is not counted…")
    bare.boot("v1")
    project.boot("v1")
    bares: list[float] = []
    ours: list[Ran] = []
    for number in range(rounds):
        version = VERSIONS[number % 2]
        bares.append(bare.boot(version))
        ours.append(project.boot(version))
        say(f"round {number + 1} of {rounds}: bare docker {bares[-1]:.2f} s, invoke boot {ours[-1].seconds:.2f} s")
    hosts = len(bare.lab.hosts)
    base, whole = statistics.median(bares), statistics.median(one.seconds for one in ours)
    inside = statistics.median(_run_seconds(one) for one in ours)
    yield Figure(name=f"bare docker commands, {hosts} hosts side by side (median of {rounds})", value=f"{base:.2f} s")
    yield _ratio("invoke boot, the whole process", whole, base, 1.5)
    value = f"{inside:.2f} s ({inside / base:.2f} x)"
    yield Figure(name="… of it, the run itself (without starting Python); phases:", value=value)
    yield from _phases(ours, bare.lab)
    peak = max((one.peak or 0) for one in ours)
    if peak:
        name = f"peak memory of a {hosts}-host boot"
        yield Figure(name=name, value=f"{peak / 1e6:.0f} MB", target="under 100 MB", met=peak < 100e6)


def _under_load(project: Project, lab: Lab, say: Say) -> Iterator[Figure]:
    """Two boots, since one switches up and the next one down."""
    urls = {host.name: host.proxy_url for host in lab.hosts}
    profile = Profile(new=30, keepalive=30, post=10, websockets=0)  # an open WebSocket holds a drain for 30 s
    for version in ("v3", "v4"):
        with running_load(urls, profile, HOST_HEADER) as load:
            done = project.boot(version)
            tally = load.stop()
        say(f"under load: {done.seconds:.2f} s, {tally.sentence}")
        yield from _of_tally(version, tally)


def _of_tally(version: str, tally: Tally) -> Iterator[Figure]:
    for host in tally.by_host:
        name = f"first to last mixed answer on {host.host}, boot of {version}"
        yield Figure(name=name, value=f"{host.mixed_seconds:.3f} s", target="0", met=host.mixed == 0)
    lost = f"{tally.lost} of {tally.requests:,}"
    yield Figure(name=f"requests lost, boot of {version}", value=lost, target="0", met=tally.lost == 0)


def _starts(project: Project, say: Say) -> Iterator[Figure]:
    say("how soon the program starts…")
    words = {"invoke --list": ["--list"], "invoke --help boot": ["--help", "boot"]}
    times: dict[str, list[float]] = {"empty": [], **{name: [] for name in words}}
    for _ in range(STARTS):
        empty = ran([sys.executable, "-m", "invoke", "--list"], project.empty)
        times["empty"].append(empty.seconds)
        for name, told in words.items():
            times[name].append(project.invoke(*told).seconds)
    base = statistics.median(times["empty"])
    yield Figure(name=f"invoke --list with an empty tasks file (median of {STARTS})", value=f"{base:.3f} s")
    for name in words:
        yield _ratio(name, statistics.median(times[name]), base, 2.0, digits=3)


def _ratio(name: str, seconds: float, base: float, most: float, digits: int = 2) -> Figure:
    value = f"{seconds:.{digits}f} s ({seconds / base:.2f} x)"
    return Figure(name=name, value=value, target=f"at most {most:g} x", met=seconds <= most * base)


def _phases(ours: Sequence[Ran], lab: Lab) -> Iterator[Figure]:
    """Where the time goes: the median of each phase on each host, in the order in which they come."""
    runs = [seconds_by_phase(_events(one)) for one in ours]
    for phase in dict.fromkeys(phase for run in runs for _, phase in run):
        each = (statistics.median(run.get((host.name, phase), 0.0) for run in runs) for host in lab.hosts)
        yield Figure(name=f"    {phase}", value=", ".join(f"{seconds:.2f}" for seconds in each) + " s")


def seconds_by_phase(events: Sequence[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """(host, phase): seconds. What comes before the first phase is the survey, after ``done`` the end of the run."""
    found: dict[tuple[str, str], float] = {}
    since: dict[str, tuple[str, float]] = {host: ("survey, lock", 0.0) for host, _ in events[0]["targets"]}
    for event in events:
        hosts = [event["host"]] if event["event"] == "PhaseEntered" else list(since)
        if event["event"] in ("PhaseEntered", "RunFinished"):
            for host in hosts:
                phase, began = since[host]
                found[host, phase] = found.get((host, phase), 0.0) + event["at"] - began
                since[host] = (str(event.get("phase", "")).replace("done", "tag, end"), event["at"])
    return found


def _run_seconds(done: Ran) -> float:
    """When the run ended, by its own last event."""
    return float(_events(done)[-1]["at"])


def _events(done: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.output.splitlines()]


@contextmanager
def _project(lab: Lab) -> Iterator[Project]:
    with tempfile.TemporaryDirectory(prefix="kamalnb-bench-") as name:
        directory, empty = Path(name) / "project", Path(name) / "empty"
        (directory / "config").mkdir(parents=True)
        empty.mkdir()
        (directory / "tasks.py").write_text(TASKS)
        (empty / "tasks.py").write_text("")
        document = _deploy_yml(lab.config_file)
        (directory / "config" / "deploy.yml").write_text(json.dumps(document, indent=1))
        image = f"{document['registry']['server']}/{document['image']}"
        yield Project(directory=directory, empty=empty, image=image)


def _deploy_yml(path: Path) -> Any:
    """The lab's own, for another service that answers to another name."""
    import yaml

    document = yaml.safe_load(path.read_text())
    rule = {"rule": f"Host(`{HOST_HEADER}`)", "priority": str(PRIORITY)}
    labels = {f"traefik.http.routers.{SERVICE}-web.{key}": value for key, value in rule.items()}
    return {**document, "service": SERVICE, "labels": labels}


@contextmanager
def _own_service(lab: Lab, project: Project) -> Iterator[None]:
    """Traefik runs everywhere; afterwards nothing of the service is left and ``latest`` is what it was."""
    from ..fleet import Fleet

    for failure in Fleet(config_file=project.config_file).boot_traefik().wait(check=False).failures:
        raise LabError(f"Traefik does not start on {failure.host}: {failure.error} Run lab.up, then try again.")
    latest = f"{project.image}:latest"
    ids = {host.name: _on(lab, host.name, ["docker", "images", "--quiet", "--no-trunc", latest]) for host in lab.hosts}
    try:
        yield
    finally:
        for name, identifier in ids.items():
            _on(lab, name, ["sh", "-c", CLEAR, "clear", identifier, latest])


def _on(lab: Lab, host: str, words: Sequence[str]) -> str:
    done = lab.exec(host, list(words))
    if done.returncode != 0:
        raise LabError(f"“{shlex.join(words)[:80]}” failed on {host}: {done.stderr.strip()}. Run lab.status.")
    return done.stdout.strip()
