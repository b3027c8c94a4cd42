"""Tasks for what runs inside the containers: logs, and commands of a person's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..command_line import looks

if TYPE_CHECKING:
    from ..at import At


@looks()
def logs(
    at: At,
    since: str = "",
    lines: int = 0,
    grep: str = "",
    grep_options: str = "",
    timestamps: bool = False,
    version: str | None = None,
    container_id: str = "",
    follow: bool = False,
) -> int:
    """Log lines of every chosen host, merged by time, each with its host. --follow goes on over boots until Ctrl-C.

    invoke logs --since=10m --grep=ERROR
    """
    from ..commands.log_options import LogOptions
    from ..console.logs import follow_logs, show_logs
    from ..console.meanwhile import meanwhile
    from ..reads.logs import read

    asked: dict[str, Any] = {
        "since": since or None, "lines": lines or None, "grep": grep or None, "grep_options": grep_options,
        "version": version, "container_id": container_id or None,
    }  # fmt: skip
    fleet, roles = at.fleet, at.roles()
    if follow:
        return follow_logs(fleet.follow_logs(**asked), fleet.names, roles, at.style, timestamps=timestamps)
    with meanwhile("asking every host…", at.style):
        table = fleet.table(read(LogOptions(**asked)))
    return show_logs(table, fleet.names, roles, at.style, timestamps=timestamps)


@looks(name="exec", positional=("command",))
def execute(
    at: At,
    command: str,
    version: str | None = None,
    reuse: bool = False,
    interactive: bool = False,
    env: list[str] | None = None,
    detach: bool = False,
    raw: bool = False,
) -> int:
    """Runs a command in a new container on every chosen host, or in the running ones (--reuse).

    --interactive gives it this terminal, on the first chosen host.

    invoke exec --reuse --interactive "bin/rails console"
    """
    import sys

    from ..console.executions import show_execution

    asked: dict[str, Any] = {"version": version, "reuse": reuse, "env": tuple(env or ())}
    if interactive:
        return at.fleet.exec_here(command, tty=sys.stdin.isatty(), detach=detach, **asked)
    return show_execution(at.fleet.exec(command, detach=detach, **asked), at.style, raw=raw)


TASKS = (logs, execute)
"""In the order of the list."""
