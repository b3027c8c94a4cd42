"""The verbs for what runs inside: logs, and commands of a person's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .looking import Looking

if TYPE_CHECKING:
    import pandas as pd

    from ..executing import Execution
    from ..following_logs import Following


@dataclass(frozen=True, kw_only=True)
class Running(Looking):
    """Logs and exec."""

    def logs(self, **options: Any) -> pd.DataFrame:
        """Lines of the chosen roles' containers, all hosts merged by time. Columns: reads.logs.

        ``since`` (``42m``, or a moment), ``lines`` (100 of each container), ``grep`` (done on the host),
        ``grep_options``, ``version`` (that one's container, also stopped), ``container_id``. Raises ``UsageError``.
        """
        from ..commands.log_options import LogOptions
        from ..reads.logs import read

        return self._frame(read(LogOptions(**options)))

    def follow_logs(self, **options: Any) -> Following:
        """The same as they come, over boots and lost connections: iterate, and ``close`` when it is enough."""
        from ..commands.log_options import LogOptions
        from ..following_logs import follow

        project = self._project()
        chosen = self._select(project.config)
        return follow(self._executor(project), project.config, chosen, LogOptions(**options))

    def exec(self, command: str, **options: Any) -> Execution:
        """Runs ``command`` in a new container on every chosen host, or in the running ones (``reuse``).

        ``version``, ``reuse``, ``env`` (``KEY=VALUE`` words), ``detach``. Iterate the execution for what it prints, or
        ``wait()`` for how it ended on each host. Raises ``UsageError``.
        """
        from ..commands.exec import ExecOptions
        from ..executing import Execution

        project = self._project()
        return Execution(
            self._executor(project), project.config, self._select(project.config),
            ExecOptions(command=command, **options), performer=project.performer(),
        )  # fmt: skip

    def exec_here(self, command: str, **options: Any) -> int:
        """Runs ``command`` with this terminal on the first chosen host. Its exit code."""
        from ..commands.exec import ExecOptions
        from ..executing import forgotten, launch_here
        from ..ssh import terminal

        project = self._project()
        executor, ssh = self._executor(project), project.config.ssh
        options_ = ExecOptions(command=command, interactive=True, **options)
        try:
            launch = launch_here(executor, project.config, self._select(project.config), options_, project.performer())
            executor.close()  # a person may sit there for hours
            line = launch.command.line()
            code = terminal.run(terminal.interactive_argv(launch.host, line, ssh, project.root, tty=options_.tty))
            if code == terminal.NOT_THERE:
                forgotten(executor, launch)
            return code
        finally:
            executor.close()
