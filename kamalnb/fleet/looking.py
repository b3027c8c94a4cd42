"""The verbs that only look: each asks every chosen host once, side by side, and gives a plain DataFrame."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import KamalnbError
from ..flow import Flow
from ..preflight import Check
from ..reads import Answers, Read, Scene
from ..rollout import Job
from ..tables import Row, Table
from .base import Base

if TYPE_CHECKING:
    import pandas as pd

    from ..plan import Selection
    from ..project import Project
    from ..tags import Listed


@dataclass(frozen=True, kw_only=True)
class Looking(Base):
    """What a fleet can be asked. A host that does not answer is a row, never a missing one."""

    def table(self, read: Read) -> Table:
        """Asks every chosen host for one table."""
        project = self._project()
        return self._table(project, self._select(project.config), read)

    def status(self) -> pd.DataFrame:
        """Who serves what, since when and by whom, with what is wrong in ``attrs["notes"]``. Columns: reads.status."""
        from ..reads import status

        return self._frame(status.READ)

    def containers(self) -> pd.DataFrame:
        """Every container of the service. Columns: reads.containers."""
        from ..reads import containers

        return self._frame(containers.READ)

    def stale_containers(self) -> pd.DataFrame:
        """Containers that run besides the one that serves. Columns: reads.containers."""
        from ..reads import containers

        return self._frame(containers.STALE)

    def versions(self) -> pd.DataFrame:
        """What serves, and what served before. Columns: reads.versions."""
        from ..reads import versions

        return self._frame(versions.READ)

    def lock(self) -> pd.DataFrame:
        """Who holds the lock, host by host. Columns: reads.locks."""
        from ..reads import locks

        return self._frame(locks.READ)

    def images(self) -> pd.DataFrame:
        """The service's images on each host. Columns: reads.images."""
        from ..reads import images

        return self._frame(images.IMAGES)

    def stats(self) -> pd.DataFrame:
        """What each running container uses now: processor, memory, network, disks. Columns: reads.stats."""
        from ..reads import stats

        return self._frame(stats.READ)

    def audit(self, lines: int | None = None, since: str | None = None) -> pd.DataFrame:
        """Who did what, all hosts merged, the newest first: the last ``lines`` of each host (50), or ``since``.

        ``since`` is ``42m``, ``3h``, ``2d`` or a moment (ISO 8601). Columns: reads.audit.
        """
        from ..reads import audit

        return self._frame(audit.audits(lines, since))

    def registry_tags(self) -> Listed:
        """The tags that the registry lists for the image, with the login of the file; a note where it does not."""
        from ..tags import listed

        project = self._project()
        return self.listing(project) if self.listing is not None else listed(project)

    def check(self, version: str | None = None) -> tuple[Check, ...]:
        """Looks at everything that a boot (of ``version``) needs, changes nothing: one row for each host and thing."""
        from ..check import check

        project = self._project()
        return check(project, self._select(project.config), self._executor(project), version)

    def _frame(self, read: Read) -> pd.DataFrame:
        from ..frames import frame

        return frame(self.table(read))

    def _table(self, project: Project, selection: Selection, read: Read) -> Table:
        now = time.time()
        scenes = {
            host: Scene(
                config=project.config, host=host, now=now,
                roles=tuple(role for one, role in selection.pairs if one == host),
            )
            for host in selection.hosts
        }  # fmt: skip
        outcomes = self._each(project, tuple(Job(host, "", _asked(read, scenes[host])) for host in scenes))
        rows: list[Row] = []
        failed: dict[str, str] = {}
        for outcome in outcomes:
            host = outcome.job.host
            if outcome.error is None:
                rows += outcome.value
            else:
                failed[host] = why(host, outcome.error)
                rows += read.missing(scenes[host], failed[host])
        failed |= dict(selection.left_out)
        answers = Answers(config=project.config, selection=selection, rows=tuple(rows), failed=failed, now=now)
        whole = read.whole(answers)
        return Table(
            name=read.name, columns=read.columns, rows=whole, as_of=now, hosts=len(scenes), failed=failed,
            notes=read.notes(answers, whole),
        )  # fmt: skip


def _asked(read: Read, scene: Scene) -> Flow[tuple[Row, ...]]:
    """One host's rows. A generator of its own, so that a mistake in a read is told as any other failure."""
    return (yield from read.look(scene))


def why(host: str, error: KamalnbError) -> str:
    """Why a host did not answer, on one line."""
    first = str(error).removeprefix(f"{host}: ").splitlines()
    return " ".join(line.strip() for line in first)
