"""The way back over a fleet: undo takes the last version away, rollback brings a named one. Neither needs a secret."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import shown as what_hosts_show
from ..engine import Engine
from ..errors import KamalnbError, UsageError
from ..events import Event
from ..flows import registry
from ..flows.returning import way_flow
from ..hooks import Details
from ..plan import VERSION, Plan, Version
from ..preflight import Survey
from ..rollout import FleetFlow, Job, Outcome, rollout
from ..shown import Shown
from ..steps import NOTHING, Step
from ..ways import Way, WayBack, undone, ways_back
from .boot import BootRun, Planned
from .how import Stream
from .survey import side_by_side
from .telling import finished, note, refused
from .together import place, together

if TYPE_CHECKING:
    from ..config.model import Role


class BackRun(BootRun):
    """The stream of an ``undo`` (``version`` None: what served before, host by host) or of a ``rollback``."""

    traefik_needed = False

    @property
    def follows_hosts(self) -> bool:
        """An undo takes away what its person saw serving; a named version stays the one that was meant."""
        return self.version not in (None, "previous")

    backs: tuple[WayBack, ...] = ()
    _shown: tuple[Shown, ...] = ()

    def read_secrets(self) -> None:
        """None: hosts have their env files already, and who goes back may have no secret."""

    def looked(self, engine: Engine, surveys: Sequence[Survey]) -> Generator[Event, None, bool]:
        """Asks every host what it could go back to, and says how it will. False, and finished, where it cannot be."""
        config = self.project.config
        hosts = tuple(survey.host for survey in surveys)
        jobs = tuple(Job(host, "", what_hosts_show.look(config, host)) for host in hosts)
        outcomes: tuple[Outcome, ...] = yield from engine.drive(side_by_side(jobs))
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        for outcome in failed:
            yield from refused(
                engine, outcome.job.host, self._roles_on(outcome.job.host), str(outcome.error), "Unclear"
            )
        self._shown = tuple(outcome.value for outcome in outcomes if outcome.ok)
        self.litter = any(one.journals or one.loose_cords(config.roles) for one in self._shown)
        pairs = self._pairs(hosts)
        self.backs = () if failed else ways_back(self._shown, pairs, self._versions(pairs), config.repository)
        cannot = [back for back in self.backs if back.way is Way.REFUSED]
        for back in cannot:
            yield from refused(engine, back.host, (back.role,), back.sentence, "Refused", back.hint)
        if failed or cannot:
            where = sorted({*(one.job.host for one in failed), *(back.host for back in cannot)})
            yield finished(engine, False, f"Nothing was changed: {', '.join(where)} cannot go back.")
            return False
        for back in self.backs:
            yield note(engine, f"{back.role} on {back.host}: {back.sentence}", kind="way")
        return True

    def decided(self, surveys: Sequence[Survey]) -> Version:
        """One version, or ``previous`` where hosts go back to different ones."""
        found = {back.version for back in self.backs}
        name = found.pop() if len(found) == 1 else "previous"
        return Version(name=name, tag=name)

    def name_of(self, made: Plan) -> str:
        """``previous`` is a word for people's commands and no version."""
        return "what served before" if made.version == "previous" else made.version

    def fitted(self, made: Plan) -> Plan:
        """Each boot with the version that it goes back to; those that stay as they are left out."""
        versions = {(back.host, back.role): back.version for back in self.backs}
        boots = tuple(
            replace(boot, version=version, reference=f"{made.config.repository}:{version}")
            for boot in made.boots
            if (version := versions.get((boot.host, boot.role.name)))
        )
        hosts = {boot.host for boot in boots}
        batches = tuple(kept for batch in made.batches if (kept := tuple(host for host in batch if host in hosts)))
        return replace(made, boots=boots, batches=batches)

    def steps(self, made: Plan, surveys: Sequence[Survey]) -> tuple[Step, ...]:
        """The ways back as steps."""
        batch = {host: number for number, hosts in enumerate(made.batches, start=1) for host in hosts}
        return tuple(
            Step(
                batch=batch.get(back.host, 1), host=back.host, role=back.role, before=back.replaces, after=back.version,
                way=NOTHING if back.way is Way.NOTHING else str(back.way), note=back.reason,
            )
            for back in self.backs
        )  # fmt: skip

    def rollout(self, made: Plan) -> FleetFlow:
        """The flow over the fleet: each host goes its own way."""
        ways = {(back.host, back.role): back for back in self.backs}
        return rollout(
            made,
            flow_of=lambda boot: way_flow(ways[boot.host, boot.role.name], boot),
            hooks=self.hooks.any("pre-app-boot", "post-app-boot"),
        )

    def before(self, engine: Engine, planned: Planned) -> Stream:
        """A rollback is a deploy to Kamal's hooks; an undo waits for nobody."""
        made = planned.made
        pulls = {back.host: back.version for back in self.backs if back.way is Way.PULL and back.host in made.hosts}
        jobs = [
            Job(host, "", registry.pulled(place(made, host), f"{made.config.repository}:{version}"))
            for host, version in pulls.items()
        ]
        if jobs:  # what one host cannot have is known before another one has changed
            yield from together(engine, jobs)
        if self.verb == "rollback":
            yield from self.hooks.run(engine, "pre-deploy", planned.made.hosts, truth="Nothing was booted.")

    def closing(
        self, engine: Engine, planned: Planned, ok: bool, sentence: str
    ) -> Generator[Event, None, tuple[bool, str]]:
        """``post-deploy`` after a rollback."""
        try:
            if ok and self.verb == "rollback":
                yield from self.hooks.run(engine, "post-deploy", planned.made.hosts, Details(runtime=engine.now()))
        except KamalnbError as error:
            return False, f"{sentence} {error}"
        return ok, sentence

    def _versions(self, pairs: Sequence[tuple[str, Role]]) -> dict[tuple[str, str], str]:
        if self.version is None or self.version == "previous":
            return undone(self._shown, pairs)
        if not VERSION.fullmatch(self.version):
            raise UsageError(f"“{self.version}” cannot be a version. invoke images lists those that are there.")
        return {(host, role.name): self.version for host, role in pairs}

    def _pairs(self, hosts: Sequence[str]) -> tuple[tuple[str, Role], ...]:
        return tuple(pair for pair in self.selection.pairs if pair[0] in hosts)

    def _roles_on(self, host: str) -> tuple[str, ...]:
        return tuple(role.name for one, role in self.selection.pairs if one == host)
