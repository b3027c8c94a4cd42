"""Real shells that run what ``script.render`` made, with a docker of our own that keeps its argv NUL-separated."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hostile_words import CANARY

from kamalnb.script import Frames, Script, render
from kamalnb.shell import Command, Result

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
MARK = "kmark7f3a"

# Each call's arguments, each with a NUL behind it. What our loops wait for is answered at once.
BODY = """
  printf '%s\\0' "$@" >>"$STUB/argv"
  case $1 in
    inspect) case $3 in *RestartCount*) echo 'running 0 healthy' ;; *) echo '{}' ;; esac ;;
    logs) cat "$STUB/log" 2>/dev/null ;;
    ps) cat "$STUB/ps" 2>/dev/null ;;
    login) cat >>"$STUB/stdin" ;;
    exec) case $* in *--env-file*) tr '\\n' '\\0' <&3 >>"$STUB/argv" ;; esac ;;
  esac
"""
PROGRAM = f"#!/bin/sh{BODY}exit 0\n"
FUNCTION = f"docker() {{{BODY}  return 0\n}}\n"
"""The same inside the shell itself: a thousand calls without a process each."""


@dataclass
class Ran:
    """What a script did."""

    results: tuple[Result, ...]
    argv: list[str]


@dataclass
class Host:
    """An empty directory, and next to it what plays Docker."""

    home: Path
    stub: Path
    shell: str

    @classmethod
    def make(cls, path: Path, shell: str) -> Host:
        home, stub = path / "home", path / "stub"
        (stub / "bin").mkdir(parents=True)
        home.mkdir()
        docker = stub / "bin" / "docker"
        docker.write_text(PROGRAM)
        docker.chmod(0o755)
        return cls(home, stub, shell)

    @property
    def words(self) -> list[str]:
        return ["busybox", "sh", "-s"] if self.shell == "busybox" else [self.shell, "-s"]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.stub}/bin:{os.environ['PATH']}",
            "STUB": str(self.stub),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
        }

    def run(self, *commands: Command, inside: bool = True) -> Ran:
        """The commands in one script, whatever each ends with; ``inside`` plays docker in the shell itself."""
        script = Script.of(*(command.failing_ok() for command in commands))
        text = (FUNCTION if inside else "") + render(script, MARK)
        argv = self.stub / "argv"
        argv.write_bytes(b"")
        done = subprocess.run(
            self.words,
            input=text.encode(),
            capture_output=True,
            cwd=self.home,
            env=self.environment,
            timeout=280,
            check=False,
        )
        frames = Frames(script, MARK, lambda: 0.0)
        frames.out(done.stdout.decode(errors="replace"))
        frames.err(done.stderr.decode(errors="replace"))
        assert frames.done, done.stderr[-2000:]
        return Ran(frames.results(), argv.read_bytes().decode().split("\0")[:-1])

    def untouched(self) -> bool:
        """No word was obeyed."""
        return not any(CANARY in names for _, *both in os.walk(self.home) for names in both)


def missing(wanted: Sequence[str], argv: Sequence[str]) -> list[str]:
    """Those words of ``wanted`` that no call was given, byte for byte."""
    there = set(argv)
    return [word for word in wanted if word not in there]
