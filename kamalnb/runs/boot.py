"""One boot over a fleet as a stream of events: survey, version, plan, lock, rollout, and how it ended."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import events, wording
from ..commands.lock import Claim
from ..engine import Engine
from ..errors import KamalnbError, LockHeld, UsageError
from ..events import Event
from ..plan import Plan, Selection, Version, is_told_by_images, plan, resolve_version
from ..preflight import Survey
from ..rollout import FleetFlow, Outcome, finishing, rollout
from ..steps import (
    NOTHING,
    Origin,
    Step,
    difference,
    hosts_of_last_boot,
    marked,
    plan_id,
    stale_checkout,
    steps,
    target,
    without_done,
)
from . import holding
from .hooks import Hooks
from .how import How, Stream
from .secrets import EnvFiles
from .survey import surveyed
from .telling import finished, note

if TYPE_CHECKING:
    from ..project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with its steps and what was seen when it was made. ``made`` has only what is left to be done."""

    id: str
    made: Plan
    steps: tuple[Step, ...]
    surveys: tuple[Survey, ...]
    sentence: str = ""

    @property
    def target(self) -> str:
        """What a person types to confirm it."""
        return target(self.made.version, self.steps)


class BootRun:
    """The stream of one boot. A deploy is one with more before and after it."""

    with_images = False
    """Whether a plan tells which images have to be pulled; costs a look, which a boot saves."""

    def __init__(
        self, project: Project, selection: Selection, version: str | None, env_files: EnvFiles, verb: str, how: How
    ) -> None:
        self.project = project
        self.selection = selection
        self.version = version
        self.env_files = env_files
        self.verb = "dry-run" if how.dry_run else verb
        self.how = how
        self.run_id = holding.inherited(project.environ) or secrets.token_hex(8)
        roles = tuple(dict.fromkeys(role.name for _host, role in selection.pairs))
        self.hooks = Hooks(project, verb, self.run_id, how.skip_hooks or how.dry_run, version or "", roles)

    def read_secrets(self) -> None:
        """Reads every secret that the run needs. Raises ``ConfigError`` with all that cannot be had."""
        self.env_files.read(self.selection)

    def stream(self, engine: Engine) -> Stream:
        """Yields every event; the last one is ``RunFinished``."""
        try:
            planned = yield from self.planned(engine)
            if planned is None:
                return
            if why := self._refusal(planned):
                yield finished(engine, False, f"Nothing was changed: {why}", 2)
            elif not planned.made.boots:
                yield from self._nothing_to_do(engine, planned)
            elif self.how.dry_run:
                yield from self._dry(engine, planned)
            else:
                yield from self._changed(engine, planned)
        except KamalnbError as error:
            yield finished(engine, False, f"Nothing was changed: {error}", error.exit_code)

    litter = False
    """Whether a host has something that an ended run left there."""

    def _nothing_to_do(self, engine: Engine, planned: Planned) -> Stream:
        """What a run that died left there is taken away all the same; where somebody else deploys, they do it."""
        if self.litter and not self.how.dry_run:
            claim, hosts = self._claim(planned), self._hosts(planned)
            with contextlib.suppress(LockHeld), holding.Holding(engine, self.project, claim, hosts, self.how) as held:
                yield from held.taken()
                yield from engine.drive(finishing(_fenced(planned.made, held.fence)))
        yield finished(engine, True, f"{planned.made.version} serves everywhere already; nothing to do.")

    def planned(self, engine: Engine) -> Generator[Event, None, Planned | None]:
        """Looks at every host and says what would be done; None, and the run finished, where it must not begin."""
        yield self._started(engine)
        for host, why in self.selection.left_out:
            yield note(engine, f"{host} is left out: {why}", warning=True)
        for warning in self.project.warnings:
            yield note(engine, warning, warning=True)
        yield from self.hooks.before_connecting(engine, self.selection.hosts)
        return (yield from self._seen(engine))

    def _seen(self, engine: Engine) -> Generator[Event, None, Planned | None]:
        config, selection = self.project.config, self.selection
        with_images = self.with_images or is_told_by_images(self.version, config)
        surveys = yield from surveyed(
            engine, config, selection, skip_unreachable=self.how.skip_unreachable, with_images=with_images,
            traefik_needed=self.traefik_needed,
        )  # fmt: skip
        if surveys is None or not (yield from self.looked(engine, surveys)):
            return None
        seen = tuple(one for survey in surveys for one in survey.containers)
        if stale := stale_checkout(len(config.hosts), hosts_of_last_boot(config.roles, seen)):
            yield note(engine, stale, warning=True)
        decided = self.decided(surveys)
        said = decided.sentence or f"version {decided.name}"
        self.hooks.version = decided.name
        yield note(engine, said, kind="version", data={"version": decided.name})
        made = self.fitted(self._plan(self._left(surveys), decided))
        found = self.steps(made, surveys)
        for step in found:
            if step.way == NOTHING:
                text = f"{step.role} on {step.host} serves {step.after} already; it is passed over (--force boots it)."
                yield note(engine, text, kind="done")
        name = plan_id(config, self.project.digest, decided.name, found)
        return Planned(id=name, made=without_done(made, found), steps=found, surveys=surveys, sentence=decided.sentence)

    def _seen_again(
        self, engine: Engine, then: Planned, fence: tuple[str, str]
    ) -> Generator[Event, None, Planned | None]:
        """The plan as it is after a wait for the lock: whoever had it has changed the hosts. None: it is finished.

        Raises ``UsageError`` where the change would not be the one any more that a person asked for.
        """
        yield note(engine, "looking again: the hosts may have changed meanwhile")
        # Only what is locked: a host that has come back meanwhile is not.
        self.selection = self._left(then.surveys)
        now = yield from self._seen(engine)
        if now is None:
            return None
        if why := self._refusal(now):
            raise UsageError(why)
        if now.id != then.id and not self.follows_hosts:
            raise UsageError(f"{difference(then.steps, now.steps)}. Look again, then say what to go back to.")
        if not now.made.boots:  # whom it waited for may have died, and left its journals
            yield from engine.drive(finishing(_fenced(now.made, fence)))
            yield finished(engine, True, f"{now.made.version} serves everywhere by now; nothing to do.")
            return None
        return now

    @property
    def follows_hosts(self) -> bool:
        """Whether it is the same change still when the hosts have changed: a boot of a version is, an undo is not."""
        return True

    traefik_needed = True

    def looked(self, engine: Engine, surveys: Sequence[Survey]) -> Generator[Event, None, bool]:
        """A second look, where one is needed to decide; False, and the run finished, where it must not go on."""
        yield from ()
        return True

    def fitted(self, made: Plan) -> Plan:
        """The plan as this run wants it."""
        return made

    def decided(self, surveys: Sequence[Survey]) -> Version:
        """The version to boot. Raises ``UsageError`` where hosts do not tell."""
        return resolve_version(self.version, self.project.config, surveys)

    def steps(self, made: Plan, surveys: Sequence[Survey]) -> tuple[Step, ...]:
        """What the plan does where."""
        return steps(made, surveys, force=self.how.force, with_images=self.with_images)

    def before(self, engine: Engine, planned: Planned) -> Stream:
        """What comes before the first boot, under the lock. Raises what must stop the run."""
        yield from ()

    def after(self, engine: Engine, planned: Planned, ok: bool) -> Stream:
        """What comes after the last boot, under the lock."""
        yield from ()

    def closing(
        self, engine: Engine, planned: Planned, ok: bool, sentence: str
    ) -> Generator[Event, None, tuple[bool, str]]:
        """What comes when the lock was let go; whether all went well, and the last sentence."""
        yield from ()
        return ok, sentence

    def _refusal(self, planned: Planned) -> str:
        """Why the run must not go on, though everything is well on the hosts."""
        if self.how.plan_id and self.how.plan_id != planned.id:
            return (
                f"the plan {self.how.plan_id} is not what would be done any more (that is {planned.id} now): "
                f"{difference(self.how.seen, planned.steps)}. Look at a new plan."
            )
        if self.project.config.confirm and not self.how.dry_run and self.how.confirm != planned.target:
            said = f"“{self.how.confirm}” is not it" if self.how.confirm else "this fleet asks for confirmation"
            return f"{said}. Type --confirm={planned.target}"
        return ""

    def _changed(self, engine: Engine, planned: Planned) -> Stream:
        ok, sentence, code, begun = False, "Nothing was begun.", 1, False
        try:
            with holding.Holding(engine, self.project, self._claim(planned), self._hosts(planned), self.how) as held:
                if (yield from held.taken()):
                    again = yield from self._seen_again(engine, planned, held.fence)
                    if again is None:
                        return
                    planned = again
                begun = True
                fenced = replace(planned, made=_fenced(planned.made, held.fence))
                yield from self.before(engine, fenced)
                ok, sentence = yield from self._rolled_out(engine, fenced.made)
                yield from self.after(engine, fenced, ok)
        except KamalnbError as error:
            before_boots = "Nothing was booted: " if begun else "Nothing was changed: "
            changed = "" if ok or sentence != "Nothing was begun." else before_boots
            ok, sentence, code = False, f"{changed}{error}", error.exit_code
        if begun:  # a run that was not let begin has not failed: somebody else deploys
            ok, sentence = yield from self.closing(engine, planned, ok, sentence)
        yield finished(engine, ok, sentence, code or 1)

    def _dry(self, engine: Engine, planned: Planned) -> Stream:
        ok, sentence = yield from self._rolled_out(engine, planned.made)
        said = f"dry run: nothing was changed on {', '.join(planned.made.hosts)}." if ok else sentence
        yield finished(engine, ok, said)

    def _rolled_out(self, engine: Engine, made: Plan) -> Generator[Event, None, tuple[bool, str]]:
        engine.local = self.hooks.local
        outcomes: tuple[Outcome, ...] = yield from engine.drive(self.rollout(made))
        booted = [outcome for outcome in outcomes if outcome.ok]
        failed = [outcome for outcome in outcomes if not outcome.ok]
        not_begun = len(made.boots) - len(outcomes)
        before = {outcome.job.host: outcome.value.replaced for outcome in booted}
        names = tuple(f"{outcome.job.role} on {outcome.job.host}" for outcome in failed)
        versions = {outcome.job.host: outcome.value.version for outcome in booted}
        sentence = wording.closing(
            self.name_of(made), before, names, not_begun, engine.now(), engine.cancelled, versions
        )  # fmt: skip
        if self.hooks.failure:
            sentence = f"{self.hooks.failure} {sentence}"
        return not failed and not not_begun and not self.hooks.failure, sentence

    def name_of(self, made: Plan) -> str:
        """The version as a sentence says it."""
        return made.version

    def rollout(self, made: Plan) -> FleetFlow:
        """The flow over the fleet."""
        return rollout(made, hooks=self.hooks.any("pre-app-boot", "post-app-boot"))

    def _plan(self, selection: Selection, version: Version) -> Plan:
        project = self.project
        made = plan(
            project.config, selection, version=version.name, tag=version.tag, run_id=self.run_id,
            new_id=lambda: secrets.token_hex(16), performer=project.performer(), env_file=self.env_files,
        )  # fmt: skip
        origin = Origin(
            by=made.performer, revision=project.revision(), file=project.digest[:12],
            hosts=len(project.config.hosts), run=self.run_id,
        )  # fmt: skip
        return replace(made, boots=tuple(marked(boot, origin) for boot in made.boots))

    def _left(self, surveys: Sequence[Survey]) -> Selection:
        hosts = {survey.host for survey in surveys}
        return replace(self.selection, pairs=tuple(pair for pair in self.selection.pairs if pair[0] in hosts))

    def _hosts(self, planned: Planned) -> holding.Hosts:
        there = tuple(survey.host for survey in planned.surveys)
        return holding.Hosts(there, tuple(host for host in self.selection.hosts if host not in there))

    def _claim(self, planned: Planned) -> Claim:
        why = f"{self.verb} {self.how.message}".strip()
        return holding.claim(self.project, self.run_id, planned.made.version, why)

    def _started(self, engine: Engine) -> Event:
        targets = tuple((host, role.name) for host, role in self.selection.pairs)
        service, version = self.project.config.service, self.version or ""
        return events.RunStarted(
            at=engine.now(), run_id=self.run_id, verb=self.verb, service=service, version=version, targets=targets
        )


def _fenced(made: Plan, fence: tuple[str, str]) -> Plan:
    fenced = tuple(replace(boot, fence=fence) for boot in made.boots)
    return replace(made, boots=fenced, passed=tuple(replace(boot, fence=fence) for boot in made.passed))


__all__ = ["BootRun", "EnvFiles", "Planned", "UsageError"]
