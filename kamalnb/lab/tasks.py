"""The lab's tasks: what ``lab.up`` and its neighbours print. Imported when one of them runs."""

from __future__ import annotations

import json as jsons
import os
import time
from dataclasses import asdict
from pathlib import Path

from . import down as take_down
from . import ssh_command
from . import status as rows_of
from . import up as bring_up


def up(directory: str, count: int, ports: bool, docker: str, program: str) -> None:
    """Brings it up, telling each step, then what to try."""
    began = time.monotonic()
    lab = bring_up(Path(directory), count=count, ports=ports, say=_say, docker=docker)
    _say(f"the lab is up after {time.monotonic() - began:.1f} s:")
    for host in lab.hosts:
        about = f", {host.special}" if host.special else ""
        _say(f"  {host.name}  {host.proxy_url}{about}")
    config = os.path.relpath(lab.config_file)
    _say("try:")
    for words in ("check", "traefik.boot", "boot --version=v1"):
        _say(f"  {program} {words} -c {config}")


def down(directory: str) -> None:
    """Removes it."""
    take_down(Path(directory), say=_say)
    _say("nothing is left of the lab.")


def status(directory: str, json: bool) -> int:
    """A row for each host; exit code 1 where one does not run, or there is no lab."""
    rows = rows_of(Path(directory))
    if json:
        for row in rows:
            print(jsons.dumps(asdict(row)))
        return int(not rows or any(row.state != "running" for row in rows))
    if not rows:
        _say(f"There is no lab in {directory}. Run lab.up.")
        return 1
    lines = [("host", "state", "docker", "ssh", "proxy", "")]
    lines += [
        (r.name, r.state, r.docker or "–", f"{r.user}@{r.address}:{r.ssh_port}", r.proxy_url or "–", r.special)
        for r in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        _say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return int(any(row.state != "running" for row in rows))


def ssh(directory: str, host: str) -> None:
    """Becomes ``ssh`` to that host."""
    command = ssh_command(Path(directory), host)
    os.execvp(command[0], command)  # noqa: S606 - a constant program, its words from the lab's plan


def _say(line: str) -> None:
    print(line, flush=True)
