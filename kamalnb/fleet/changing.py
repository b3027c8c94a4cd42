"""The verbs that change containers and images, but not the version that is to serve: Kamal's ``app``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

from ..config.model import Role
from ..engine import Engine
from ..flow import Flow
from ..flows.change import OnHost
from ..rollout import Done
from ..runs import How, Options
from ..runs.change import ChangeRun, Work
from .looking import Looking
from .rollout import Rollout


@dataclass(frozen=True, kw_only=True)
class Changing(Looking):
    """Each verb gives a ``Rollout``; ``how`` is ``runs.How`` as keywords.

    Whatever may be routed is cut, confirmed out and drained before it is stopped.
    """

    def start(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """Starts the newest stopped container of each role (or ``version``'s) again, in the dark, then routes to it."""
        from ..flows import stopping

        return self._change(
            Work(verb="start", done="started", on_role=lambda change: stopping.started(change, version)), how
        )

    def stop(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """Stops every running container of each role, or those of ``version``."""
        from ..flows import stopping

        return self._change(
            Work(verb="stop", done="stopped", on_role=lambda change: stopping.stopped(change, version)), how
        )

    def stop_stale(self, **how: Unpack[Options]) -> Rollout:
        """Stops every running container but the one that serves."""
        from ..flows import stopping

        return self._change(Work(verb="stale-containers", done="stopped", on_role=stopping.stale_stopped), how)

    def remove(self, **how: Unpack[Options]) -> Rollout:
        """Stops and removes every container of the chosen roles, then the images that nothing uses any more."""
        roles = {host: [role for one, role in self._chosen() if one == host] for host, _ in self._chosen()}

        def removed(place: OnHost) -> Flow[Done]:
            from ..flows import removing

            told = []
            for role in roles[place.host]:
                told.append((yield from removing.containers_removed(place.of(role))))
            told.append((yield from removing.images_removed(place)))
            return Done(" ".join(done.sentence for done in told))

        return self._change(Work(verb="remove", done="removed", on_host=removed), how)

    def remove_container(self, version: str, **how: Unpack[Options]) -> Rollout:
        """Removes the containers of ``version``."""
        from ..flows import removing

        return self._change(
            Work(
                verb="remove-container",
                done="removed",
                on_role=lambda change: removing.container_removed(change, version),
            ),
            how,
        )

    def remove_containers(self, **how: Unpack[Options]) -> Rollout:
        """Removes every container of the chosen roles."""
        from ..flows import removing

        return self._change(Work(verb="remove-containers", done="removed", on_role=removing.containers_removed), how)

    def remove_images(self, **how: Unpack[Options]) -> Rollout:
        """Removes the service's images, but for those that a container is made from."""
        from ..flows import removing

        return self._change(Work(verb="remove-images", done="removed", on_host=removing.images_removed), how)

    def _chosen(self) -> Iterator[tuple[str, Role]]:
        yield from self._select(self._project().config).pairs

    def _change(self, work: Work, how: Options) -> Rollout:
        project = self._project()
        run = ChangeRun(project, self._select(project.config), work, How(**how))
        engine = Engine(self._executor(project), self.clock, dry_run=bool(how.get("dry_run")))
        return Rollout(engine, run.stream, run.target)
