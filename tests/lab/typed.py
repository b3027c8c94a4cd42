"""What people type: a task through ``invoke`` or ``kamalnb``, in a process of its own, with nobody at the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Typed:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return f"{self.out}{self.err}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Standard output as ``--json`` promises it: one document a line, and nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]

    def must(self) -> Typed:
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


@dataclass(frozen=True)
class Keyboard:
    """A project, and somebody who types there."""

    directory: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, config_file: Path, **environ: str) -> Keyboard:
        """In the project of a ``deploy.yml``."""
        return cls(config_file.parents[1], environ)

    def invoke(self, *words: str, stdin: str = "", **environ: str) -> Typed:
        return self._typed("invoke", words, stdin, environ)

    def kamalnb(self, *words: str, stdin: str = "", **environ: str) -> Typed:
        return self._typed("kamalnb", words, stdin, environ)

    def begin(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Does not wait for its end."""
        return subprocess.Popen(
            [sys.executable, "-m", "kamalnb", *words],
            cwd=self.directory, env=self._environ(environ), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def _typed(self, program: str, words: tuple[str, ...], stdin: str, environ: Mapping[str, str]) -> Typed:
        done = subprocess.run(
            [sys.executable, "-m", program, *words],
            cwd=self.directory, env=self._environ(environ), text=True,
            input=stdin, capture_output=True, timeout=180, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Typed(done.returncode, done.stdout, done.stderr)

    def _environ(self, more: Mapping[str, str]) -> dict[str, str]:
        ours = {"PYTHONPATH": str(ROOT), "KAMALNB_PERFORMER": "jana", "COLUMNS": "200"}
        return {**os.environ, **ours, **self.environ, **more}
