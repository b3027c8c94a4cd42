"""Tasks for working on kamalnb itself: tests, linters, measurements, the demo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context

from .command_line import face


@face(name="test")
def run_tests(c: Context, lab: bool = True, quick: bool = False, thorough: bool = False) -> int:
    """Runs linters, types and every test, on a lab of its own (--no-lab leaves out those that need real hosts)."""
    from .lab import suite

    return suite.run(lab=lab, quick=quick, thorough=thorough)


@face()
def lint(c: Context) -> int:
    """Runs the linters and the type checker."""
    tools = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"])
    return max([subprocess.call([sys.executable, "-m", *words]) for words in tools])


@face()
def demo(c: Context, count: int = 2, ports: bool = False, directory: str = ".lab") -> int:
    """Brings the lab up and boots two versions, the second one under load: the whole story in a minute or two."""
    from .lab import demo

    return demo.run(directory=Path(directory), count=count, ports=ports)


@face()
def soak(c: Context, minutes: str = "", rounds: str = "", seed: str = "", directory: str = ".lab") -> int:
    """Plays random boots, ways back, failures, deaths and faults on the lab under load. 1 where anything was lost.

    invoke soak --minutes=10
    """
    from .errors import UsageError
    from .lab import soak

    try:
        given = float(minutes or 0), int(rounds or 0), int(seed or 0)
    except ValueError:
        raise UsageError("--minutes, --rounds and --seed take numbers: invoke soak --minutes=10.") from None
    done = soak.run(print, Path(directory), minutes=given[0], rounds=given[1], seed=given[2])
    return int(not done.ok)


@face()
def docs(c: Context) -> int:
    """Writes README's table of commands anew.

    invoke docs
    """
    from .readme import with_table
    from .tasks import ns

    file = Path("README.md")
    file.write_text(with_table(file.read_text(), ns))
    return 0


@face(name="ssh")
def bench_ssh(c: Context) -> int:
    """Measures the SSH engine against stock Fabric. 1 where a target is missed."""
    from .lab import bench_ssh

    return int(not all(row.met for row in bench_ssh.run(print)))


@face(name="boot")
def bench_boot(c: Context, directory: str = ".lab") -> int:
    """Measures a whole boot on the lab against bare docker commands. 1 where a target is missed."""
    from .lab import bench_boot

    return int(any(row.met is False for row in bench_boot.run(print, Path(directory))))


@face(name="notebook")
def bench_notebook(c: Context) -> int:
    """Measures tables and live views of a thousand pretend hosts. 1 where a target is missed."""
    from .notebook import bench

    return int(not all(row.met for row in bench.run(print)))


bench = Collection("bench", bench_ssh, bench_boot, bench_notebook)
