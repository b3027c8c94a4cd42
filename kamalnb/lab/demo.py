"""``demo``: the lab, Traefik, a first version, then a second one under a stream of requests, and what came of each."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ..command_line import program
from ..console import Style, follow, presenter
from ..console.choice import Presenter, is_terminal
from ..errors import LabError
from ..fleet import Fleet
from ..wording import Called
from . import lifecycle
from .lab import Lab
from .load import Profile, RunningLoad, Tally, running_load
from .machine import Say

OLD, NEW = "v1", "v2"
BEFORE, AFTER = 3.0, 4.0
"""Seconds of load before and after the second boot: enough for every slow request to begin and to end."""
TICK = 1.0
SHOWN = 4
"""Containers of a host in the table: the newest ones."""


def run(
    say: Say | None = None,
    directory: Path = Path(".lab"),
    *,
    count: int = 2,
    ports: bool = False,
    rate: float = 100.0,
    out: TextIO | None = None,
) -> int:
    """Plays it in ``directory``, with ``rate`` requests a second over all hosts. 0, or 1 where anything was lost.

    The lab stays up, to be played with. Without ``say``, lines go to ``out`` (standard output). Raises ``LabError``
    where this machine cannot have a lab.
    """
    screen = Screen(out or sys.stdout, say)
    try:
        return _played(screen, directory, count, ports, rate)
    except KeyboardInterrupt:
        screen.line(f"stopped. The lab stays as it is; {_command(directory, 'lab.down')} removes it.")
        return 130


def _played(screen: Screen, directory: Path, count: int, ports: bool, rate: float) -> int:
    screen.heading(f"{counted(count, 'real host')} on this machine: sshd, Docker, a registry")
    with screen.working() as told:
        lab = lifecycle.up(directory, count=count, ports=ports, say=told)
    fleet = Fleet(config_file=lab.config_file)
    screen.heading("Traefik in front")
    _start_traefik(fleet, screen)
    screen.heading(f"the first version, {OLD}")
    if code := follow(fleet.boot(OLD), screen.presenter(lab)):
        return code
    screen.heading(f"{NEW} replaces it under load: {rate:.0f} requests a second, some of them 3 s long")
    code, tally = _under_load(fleet, lab, rate, screen)
    screen.heading("what runs now")
    screen.table(_containers(lab))
    screen.heading("what came of every request")
    _tell(tally, screen)
    _next(lab, directory, screen)
    return code or int(not well(tally))


def _start_traefik(fleet: Fleet, screen: Screen) -> None:
    report = fleet.boot_traefik().wait(check=False)
    for failure in report.failures:
        raise LabError(f"Traefik does not start on {failure.host}: {failure.error} Run lab.up, then try again.")
    for line in report.lines:
        screen.line(f"✓ {line.host}: {line.doing}")


def _under_load(fleet: Fleet, lab: Lab, rate: float, screen: Screen) -> tuple[int, Tally]:
    urls = {host.name: host.proxy_url for host in lab.hosts}
    # No WebSockets: the drain would give an open one its 30 seconds, and that is dull to watch.
    profile = Profile(new=rate * 0.4, keepalive=rate * 0.4, post=rate * 0.2, websockets=0)
    with running_load(urls, profile, order=(OLD, NEW)) as load:
        time.sleep(BEFORE)
        with screen.beside(load):
            code = follow(fleet.boot(NEW), screen.presenter(lab, load))
            time.sleep(AFTER)
        return code, load.stop()


def well(tally: Tally) -> bool:
    """Something was asked, and nothing was lost, doubled, or answered by the old version after the new one."""
    return tally.requests > 0 and not (tally.lost or tally.mixed or tally.orders.doubled_count)


def _tell(tally: Tally, screen: Screen) -> None:
    for loss in tally.losses:
        screen.line(f"lost: {loss}")
    for host in tally.by_host:
        each = ", ".join(f"{version} answered {answers:,}" for version, answers in host.answers)
        back = f"{host.mixed:,} went back to {OLD}" if host.mixed else f"none went back to {OLD}"
        screen.line(f"{host.host}: {host.requests:,} requests, lost {host.lost:,}; {each}; {back}")
    screen.line(f"99 % answered within {tally.latency_p99 * 1000:.0f} ms, the slow ones left out")
    versions = " → ".join(tally.versions)
    screen.verdict(f"requests {tally.requests:,}, lost {tally.lost:,}, versions {versions}", good=well(tally))


def _containers(lab: Lab) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("host", "container", "image", "state")]
    words = ["docker", "ps", "--all", "--filter", "label=service=app", "--format"]
    for host in lab.hosts:
        listed = lab.exec(host.name, [*words, "{{.Names}}\t{{.Image}}\t{{.Status}}"]).stdout.splitlines()
        rows += [(host.name, *line.split("\t")) for line in listed[:SHOWN]]
        if len(listed) > SHOWN:
            rows.append((host.name, f"… and {len(listed) - SHOWN} older ones", "", ""))
    return rows


def _next(lab: Lab, directory: Path, screen: Screen) -> None:
    chosen = f" -c {shlex.quote(os.path.relpath(lab.config_file))}"
    tries = {
        f"{program()} check{chosen}": "is all ready for a boot?",
        f"{program()} boot --version=v3{chosen}": "another one",
        f"{program()} boot --version=never-healthy{chosen}": f"a bad one: {NEW} serves on",
        f"{program()} boot --version=v4 --dry-run{chosen}": "every command, none run",
        _command(directory, "lab.ssh", lab.hosts[0].name): "look around on a host",
        _command(directory, "lab.down"): "remove it all",
    }
    screen.heading("what to try next")
    width = max(map(len, tries))
    for command, about in tries.items():
        screen.line(f"{command:<{width}}  # {about}")


def _command(directory: Path, task: str, *words: str) -> str:
    where = () if directory == Path(".lab") else (f"--directory={directory}",)
    return " ".join((program(), task, *map(shlex.quote, (*words, *where))))


def counted(number: int, noun: str) -> str:
    """``1 real host``, ``2 real hosts``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Screen:
    """Where the demo is shown: a terminal, with colours and the live table, or plain lines."""

    out: TextIO
    say: Say | None = None

    @property
    def live(self) -> bool:
        """A person watches."""
        return self.say is None and is_terminal(self.out, os.environ)

    def heading(self, text: str) -> None:
        """Begins a part."""
        self._write("")
        self._write(f"\x1b[1;36m{text}\x1b[0m" if self.live else f"== {text}")

    def line(self, text: str) -> None:
        """One line within a part."""
        self._write(f"   {text}")

    def verdict(self, text: str, good: bool) -> None:
        """The line that everything else was for."""
        self._write(f"\x1b[1;{32 if good else 31}m   {text}\x1b[0m" if self.live else f"   {text}")

    def table(self, rows: list[tuple[str, ...]]) -> None:
        """Rows of words, the first one their headings."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def presenter(self, lab: Lab, load: RunningLoad | None = None) -> Presenter:
        """What shows a boot: with ``load`` and a terminal, its count stands below the table."""
        style = Style(called=Called(program(), ("-c", os.path.relpath(lab.config_file))))
        if self.live and load is not None:
            from .demo_table import TableOverLoad

            return TableOverLoad(self.out, style, load)
        return presenter(style, out=self.out)

    @contextmanager
    def working(self) -> Iterator[Say]:
        """Takes lines on slow work; on a terminal a clock runs below them."""
        if not self.live:
            yield self.line
            return
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

        columns = ("  ", SpinnerColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(file=self.out, highlight=False), transient=True) as progress:
            progress.add_task("")
            yield lambda text: progress.console.print(f"   {text}", markup=False)

    @contextmanager
    def beside(self, load: RunningLoad) -> Iterator[None]:
        """Without a live table: a line on the load each second while the block runs."""
        if self.live:
            yield
            return
        over = threading.Event()

        def tell() -> None:
            while not over.wait(TICK):
                self.line(f"load: {load.snapshot().sentence}")

        thread = threading.Thread(target=tell, name="kamalnb-demo", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _write(self, text: str) -> None:
        if self.say is not None:
            self.say(text)
        else:
            print(text, file=self.out, flush=True)


__all__ = ["Screen", "run"]
