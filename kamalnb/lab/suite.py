"""``test``: all that must hold in a checkout: linters, types, fast tests, then those on the real hosts of a lab."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import LabError
from . import lifecycle, machine
from .machine import Say

LINTERS = {"ruff": ["ruff", "check", "--output-format=concise", "."], "mypy --strict": ["mypy"]}
FAST, SLOW, BROWSER, LAB = "not lab and not browser and not slow", "slow and not lab", "browser and not lab", "lab"
USUAL, USUAL_BROWSER = f"{LAB} and not thorough", f"{BROWSER} and not thorough"
"""CI's time is limited: faults and restarts at many steps, engines unlike ours, clocks and an older kernel are for
``--thorough``; crash points and soak are a few there, and as many as one likes by themselves."""
PROGRAMS = {
    "git": "git", "ssh": "openssh-client", "sshd": "openssh-server", "shellcheck": "shellcheck",
    "busybox": "busybox-static", "tmux": "tmux", "ps": "procps", "chromium": "chromium",
}  # fmt: skip
"""What tests use besides the lab's own, and Debian's package for it."""
SIDE_BY_SIDE = ("-n", "3")
"""Fast tests mostly wait for real sockets and shells."""
DIRECTORIES = (Path(".lab-test"), Path(".lab-test-2"))
"""The tests' own labs: one that somebody plays with must not be broken, nor taken down. Tests that wait for a drain or
a proxy leave half of two cores idle, so two labs are used side by side, each by one worker."""


@dataclass(frozen=True, slots=True)
class Count:
    """Tests (and linters, each as one) by how they ended."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run(lab: bool = True, quick: bool = False, thorough: bool = False, say: Say = print) -> int:
    """Runs it all in this directory; without ``lab`` what needs no hosts. The last line says “N passed, N failed”.

    ``quick`` stops at the first failure of a part; ``thorough`` adds what takes long there and in a browser. An
    environment with KAMALNB_LAB names the labs that run already: directories, with “:” between them.
    """
    began = time.monotonic()
    count = Count()
    _installed(say)
    for name, words in LINTERS.items():
        count += _linted(name, words, say)
    say("== tests without a lab")
    count += _tested(FAST, quick, {}, SIDE_BY_SIDE)
    for name, marks in (("long tests", SLOW), ("tests in a browser", BROWSER if thorough else USUAL_BROWSER)):
        if not (quick and count.failed):
            say(f"== {name}")
            count += _tested(marks, quick, {}, SIDE_BY_SIDE if marks == SLOW else ())
    if lab and not (quick and count.failed):
        count += _on_lab(quick, LAB if thorough else USUAL, say)
    say(f"all of it took {time.monotonic() - began:.0f} s")
    say(str(count))
    return int(count.failed > 0)


def _installed(say: Say) -> None:
    """Where apt and the rights are there, what is missing is installed; else the tests that need it say so."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    try:
        machine.install(PROGRAMS, say)
    except LabError as error:
        say(f"warning: {error}")


def _on_lab(quick: bool, marks: str, say: Say) -> Count:
    say("== tests on the lab's hosts")
    try:
        with _labs(say) as directories:
            named = os.pathsep.join(str(directory) for directory in directories)
            return _tested(marks, quick, {"KAMALNB_LAB": named}, ("-n", str(len(directories)), "--dist", "loadfile"))
    except LabError as error:
        say(f"FAILED: {error}")
        return Count(failed=1)


@contextmanager
def _labs(say: Say) -> Iterator[Sequence[Path]]:
    """A lab for each worker, taken down again however its tests end; those that run already are left as they are."""
    if running := os.environ.get("KAMALNB_LAB"):
        yield [Path(name) for name in running.split(os.pathsep)]
        return
    directories, say = [directory.absolute() for directory in DIRECTORIES], machine.one_at_a_time(say)
    with ExitStack() as stack, ThreadPoolExecutor(len(directories)) as pool:
        for directory in directories:
            stack.callback(lifecycle.down, directory, say=say)
        list(pool.map(partial(lifecycle.up, say=say), directories))
        yield directories


def _linted(name: str, words: Sequence[str], say: Say) -> Count:
    say(f"== {name}")
    return Count(passed=1) if _call(words, {}) == 0 else Count(failed=1)


def _tested(marks: str, quick: bool, env: Mapping[str, str], options: Sequence[str] = ()) -> Count:
    """Runs pytest, and counts what it reports; an exit code that no failed test explains is a failure of its own."""
    with tempfile.TemporaryDirectory(prefix="kamalnb-test-") as name:
        report = Path(name) / "report.xml"
        code = _call(["pytest", "-m", marks, f"--junitxml={report}", *options, *(["-x"] if quick else [])], env)
        count = counted(report.read_text()) if report.is_file() else Count()
    return count if code == 0 or count.failed else count + Count(failed=1)


def counted(report: str) -> Count:
    """What a JUnit report counts. A test with an error in its setup or teardown has failed."""
    suites = ElementTree.fromstring(report).iter("testsuite")  # noqa: S314 - pytest wrote it just now
    total = Count()
    for suite in suites:
        tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        total += Count(passed=max(0, tests - failed - skipped), failed=failed, skipped=skipped)
    return total


def _call(words: Sequence[str], env: Mapping[str, str]) -> int:
    sys.stdout.flush()
    return subprocess.call([sys.executable, "-m", *words], stdin=subprocess.DEVNULL, env={**os.environ, **env})
