"""Records what a lab host really prints, into this directory: ``python tests/docker/record.py HOST SSH_CONFIG``.

The files beside it are its output and are never edited by hand. It only looks.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kamalnb.commands import app
from kamalnb.preflight import _docker
from kamalnb.script import Script, render
from kamalnb.shell import Command, look

HERE = Path(__file__).parent
SOCKETS = (
    "docker exec $(docker ps -q --filter ancestor=registry:5000/app:v1 | head -n 1) cat /proc/net/tcp /proc/net/tcp6"
)

COMMANDS: dict[str, Command] = {
    "containers.json": app.containers("app").command,
    "traefik.json": app.census("app").command,
    "image.json": app.image("registry:5000/app:v1").command,
    "images.json": app.images("registry:5000/app").command,
    "version.json": _docker().command,
    "sockets.txt": look("sockets", "sh", "-c", SOCKETS),
    "disk.txt": look("disk", "df", "-Pk", "."),
}


def main(host: str, config: str) -> None:
    for name, command in COMMANDS.items():
        text = render(Script.of(command), "mark")
        done = subprocess.run(
            ["ssh", "-F", config, host, "sh -s"], input=text, capture_output=True, text=True, check=False
        )
        (HERE / name).write_text(done.stdout.partition("\nmark 0 ")[0] + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
