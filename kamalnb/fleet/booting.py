"""The verbs that bring a version to serve."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from ..engine import Engine
from ..errors import KamalnbError, UsageError
from ..report import Report
from ..runs import How, Options
from ..runs.boot import BootRun, EnvFiles, Planned
from .looking import Looking
from .plan import Plan
from .rollout import Rollout

if TYPE_CHECKING:
    from ..project import Project


@dataclass(frozen=True, kw_only=True)
class Booting(Looking):
    """Boot, deploy and the ways back. ``how`` is ``runs.How`` as keywords."""

    def boot(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """Replaces what runs by ``version`` with no lost request. Iterate the rollout or ``wait()`` for it."""
        return self._rollout(self._project(), version, "boot", How(**how))

    def plan(self, version: str | None = None, **how: Unpack[Options]) -> Plan:
        """What ``boot(version)`` would change, host by host; nothing is changed. Raises where it could not begin."""
        project = self._project()
        run = self._run(project, version, "boot", How(**how))
        planned, report = self._planned(project, run)
        return Plan(
            planned=planned,
            warnings=tuple(fact.text for fact in report.notes if fact.warning),
            as_of=time.time(),
            begin=lambda options: self.boot(planned.made.version, **_both(how, options)),
        )

    def _rollout(self, project: Project, version: str | None, verb: str, how: How) -> Rollout:
        run = self._run(project, version, verb, how)
        return Rollout(Engine(self._executor(project), self.clock, dry_run=how.dry_run), run.stream)

    def _run(self, project: Project, version: str | None, verb: str, how: How) -> BootRun:
        selection = self._select(project.config)
        env_files = EnvFiles(project)
        env_files.read(selection)
        return BootRun(project, selection, version, env_files, verb, how)

    def _planned(self, project: Project, run: BootRun) -> tuple[Planned, Report]:
        """The plan of a run that is not begun. Raises what its report says."""
        run.with_images = True
        executor = self._executor(project)
        report = Report()
        stream = run.planned(Engine(executor, self.clock))
        try:
            while True:
                try:
                    report = report.after(next(stream))
                except StopIteration as stop:
                    planned: Planned | None = stop.value
                    break
        finally:
            stream.close()
            executor.close()
        if planned is None:
            raise _impossible(report)
        return planned, report


def _both(how: Options, more: Options) -> Options:
    return {**how, **more}


def _impossible(report: Report) -> KamalnbError:
    told = [f"{failure.host}: {failure.error.removeprefix(f'{failure.host}: ')}" for failure in report.failures]
    closing = report.finished.sentence if report.finished else "It cannot begin."
    return UsageError("\n".join(dict.fromkeys([*told, closing])))
