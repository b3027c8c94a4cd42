"""The verbs that bring a version to serve."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from .. import exits
from ..engine import Engine
from ..errors import KamalnbError, UsageError
from ..plan import refuse_impossible
from ..report import Report
from ..rollout import Job
from ..runs import How, Options
from ..runs.back import BackRun
from ..runs.boot import BootRun, Planned
from ..runs.deploy import DeployRun
from ..runs.secrets import EnvFiles
from ..tables import Table
from .looking import Looking, why
from .plan import Plan
from .rollout import Rollout

if TYPE_CHECKING:
    import pandas as pd

    from ..candidates import Candidate
    from ..project import Project


BACK = "To bring one of them back: invoke rollback --version=VERSION"


@dataclass(frozen=True, kw_only=True)
class Booting(Looking):
    """Boot, deploy and the ways back. ``how`` is ``runs.How`` as keywords."""

    def boot(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """Replaces what runs by ``version`` with no lost request. Iterate the rollout or ``wait()`` for it."""
        return self._rollout(self._project(), version, "boot", How(**how))

    def plan(self, version: str | None = None, *, verb: str = "boot", **how: Unpack[Options]) -> Plan:
        """What ``boot(version)`` would change, host by host; nothing is changed. Raises where it could not begin.

        ``verb`` is boot, deploy, redeploy, undo or rollback.
        """
        project = self._project()
        run = self._run(project, version, verb, How(**how))
        planned, report = self._planned(project, run)
        return Plan(
            planned=planned,
            verb=verb,
            warnings=tuple(fact.text for fact in report.notes if fact.warning),
            as_of=time.time(),
            begin=lambda more: self._rollout(self._project(), _again(verb, planned), verb, How(**_both(how, more))),
        )

    def deploy(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """Login, pull everywhere, release command, boot, prune, with hooks at their places. ``version`` from git."""
        return self._rollout(self._project(), version, "deploy", How(**how))

    def redeploy(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """A deploy without registry login, Traefik and prune."""
        return self._rollout(self._project(), version, "redeploy", How(**how))

    def undo(self, **how: Unpack[Options]) -> Rollout:
        """Takes the last version away: what served before serves again, the quickest way there is on each host."""
        return self._rollout(self._project(), None, "undo", How(**how))

    def rollback(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """Brings ``version`` back to serve, the quickest way there is on each host; without one: what served before."""
        return self._rollout(self._project(), version, "rollback", How(**how))

    def candidates(self) -> pd.DataFrame:
        """The versions that could be gone back to: where they are, when they ran last, who booted them."""
        from ..frames import frame

        return frame(self.candidate_table())

    def candidate_table(self) -> Table:
        """The same as a table."""
        from ..candidates import COLUMNS

        found, failed, hosts = self._candidates()
        rows, notes = tuple(one.row for one in found), (BACK,) if found else ()
        return Table(
            name="candidates", columns=COLUMNS, rows=rows, as_of=time.time(), hosts=hosts, failed=failed, notes=notes
        )

    def _candidates(self) -> tuple[tuple[Candidate, ...], dict[str, str], int]:
        """The versions, the hosts that did not answer with why, and how many were asked."""
        from .. import shown
        from ..candidates import candidates

        project = self._project()
        selection = self._select(project.config)
        jobs = tuple(Job(host, "", shown.look(project.config, host)) for host in selection.hosts)
        outcomes = self._each(project, jobs)
        found = [outcome.value for outcome in outcomes if outcome.ok]
        failed = {one.job.host: why(one.job.host, one.error) for one in outcomes if one.error is not None}
        return candidates(found, selection.pairs, project.config.repository), failed, len(selection.hosts)

    def _rollout(self, project: Project, version: str | None, verb: str, how: How) -> Rollout:
        run = self._run(project, version, verb, how)
        return Rollout(Engine(self._executor(project), self.clock, dry_run=how.dry_run), run.stream)

    def _run(self, project: Project, version: str | None, verb: str, how: How) -> BootRun:
        refuse_impossible(version)
        selection = self._select(project.config)
        kind = BackRun if verb in ("undo", "rollback") else BootRun if verb == "boot" else DeployRun
        run = kind(project, selection, version, EnvFiles(project), verb, how)
        run.read_secrets()
        return run

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


def _again(verb: str, planned: Planned) -> str | None:
    return None if verb == "undo" else planned.made.version


def _both(how: Options, more: Options) -> Options:
    return {**how, **more}


def _impossible(report: Report) -> KamalnbError:
    told = [f"{failure.host}: {failure.error.removeprefix(f'{failure.host}: ')}" for failure in report.failures]
    closing = report.finished.sentence if report.finished else "It cannot begin."
    error = UsageError("\n".join(dict.fromkeys([*told, closing])))
    error.exit_code = exits.of(report)
    return error
