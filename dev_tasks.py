"""Tasks for working on kamalnb itself: tests, linters, measurements, the demo."""

from __future__ import annotations

import subprocess
import sys

from invoke import Collection, Context, task

from kamalnb.command_line import FaceTask


@task(klass=FaceTask)
def test(c: Context, lab: bool = False, quick: bool = False) -> int:
    """Runs the tests: the fast ones, with --lab those on real hosts too."""
    marks = "not browser" if lab else "not lab and not browser"
    words = ["-m", marks, *(["-x"] if quick else [])]
    return subprocess.call([sys.executable, "-m", "pytest", *words])


@task(klass=FaceTask)
def lint(c: Context) -> int:
    """Runs the linters and the type checker."""
    tools = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"])
    return max([subprocess.call([sys.executable, "-m", *words]) for words in tools])


@task(klass=FaceTask)
def demo(c: Context) -> int | None:
    """Brings the lab up and boots two versions under load: the whole story in a minute or two."""
    from kamalnb.lab import demo

    return demo.run()  # type: ignore[no-any-return]


@task(klass=FaceTask, name="ssh")
def bench_ssh(c: Context) -> int | None:
    """Measures the SSH engine against stock Fabric."""
    from kamalnb.lab import bench_ssh

    return bench_ssh.run(print)  # type: ignore[no-any-return]


@task(klass=FaceTask, name="boot")
def bench_boot(c: Context) -> int | None:
    """Measures a whole boot on the lab against bare docker commands."""
    from kamalnb.lab import bench_boot

    return bench_boot.run()  # type: ignore[no-any-return]


bench = Collection("bench", bench_ssh, bench_boot)
