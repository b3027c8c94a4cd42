"""Commands about what boots leave behind: stopped containers, kept logs. Nothing here may do I/O."""

from __future__ import annotations

from ..errors import Unclear
from ..shell import Command, Question, look

# Without --force: one that was started meanwhile must stay. A Docker that does not answer has removed nothing.
PRUNE = """\
k_prune() {
  for k_id in "$@"; do
    docker rm "$k_id" >/dev/null 2>&1 && { echo "removed $k_id"; continue; }
    k_left=$(docker ps --all --quiet --no-trunc --filter "id=$k_id") || return 1
    if [ -z "$k_left" ]; then echo "removed $k_id"; else echo "kept $k_id"; fi
  done
}"""

OLD_LOGS = """\
k_old_logs() { [ ! -d "$1" ] || find "$1" -type f -name '*.log' -mtime "+$2"; }"""


def prune(identifiers: tuple[str, ...]) -> Command:
    """Removes stopped containers; one that runs, or that Docker keeps, is told and stays."""
    return Command(name="prune containers", words=("k_prune", *identifiers), uses=(PRUNE,), limit=300.0)


def pruned(text: str) -> frozenset[str]:
    """The ids that ``prune`` removed."""
    gone = set()
    for line in text.splitlines():
        kind, _, identifier = line.partition(" ")
        if kind not in ("removed", "kept"):
            raise Unclear("prune containers", line, "neither removed nor kept")
        if kind == "removed":
            gone.add(identifier)
    return frozenset(gone)


def old_logs(directory: str, days: int) -> Question[tuple[str, ...]]:
    """The logs of failed boots that were kept more than ``days`` days ago, as paths."""
    command = look("look for old logs", "k_old_logs", f"{directory}/logs", str(days), uses=(OLD_LOGS,))
    return Question(command, lambda text: tuple(filter(None, text.split("\n"))))


def remove_files(paths: tuple[str, ...]) -> Command:
    """Removes files."""
    return Command(name="remove files", words=("rm", "-f", "--", *paths))


def remove_directories(paths: tuple[str, ...]) -> Command:
    """Removes directories with all that is in them."""
    return Command(name="remove cords", words=("rm", "-rf", "--", *paths))


ALL = (PRUNE, OLD_LOGS)
