"""A deploy: a boot with everything before and after it. Registry, images, env files, Traefik, release, hooks, prune."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from ..commands import server
from ..commands.registry import Login, credentials
from ..config.ignored import ignored
from ..engine import Engine
from ..errors import KamalnbError
from ..events import Event
from ..flow import Flow
from ..flows import proxying, pruning, registry, releasing
from ..flows.change import OnHost
from ..hooks import Details, overlooked, problems
from ..plan import Plan, Selection
from ..rollout import Done, Job, Outcome
from .boot import BootRun, EnvFiles, Planned
from .how import How, Stream
from .survey import side_by_side
from .telling import note

if TYPE_CHECKING:
    from ..project import Project


class StepFailed(KamalnbError):
    """Something before the boots failed on a host; nothing was booted."""


class DeployRun(BootRun):
    """The stream of one deploy. ``verb`` is ``deploy``, or ``redeploy``: without registry login, Traefik and prune."""

    traefik_needed = False

    def __init__(
        self, project: Project, selection: Selection, version: str | None, env_files: EnvFiles, verb: str, how: How
    ) -> None:
        chosen = version or project.environ.get("VERSION") or project.version_from_git()
        super().__init__(project, selection, chosen, env_files, verb, how)
        self.whole = verb == "deploy"
        self._login: Login | None = credentials(project.config, project.secret) if self.whole else None
        sources = project.config.traefik.env.secret.items()
        secrets_of_traefik = {key: project.line_of_env(source) for key, source in sources} if self.whole else {}
        self._traefik_env = server.env_text(secrets_of_traefik) if secrets_of_traefik else None

    def before(self, engine: Engine, planned: Planned) -> Stream:
        """Login, pull everywhere, hook, env files, Traefik, release command: what fails there leaves users alone."""
        made = planned.made
        for sentence in (*(one.sentence for one in ignored(self.project.config)), *overlooked(self.project)):
            yield note(engine, sentence, warning=True)
        if why := problems(self.project):
            raise StepFailed(" ".join(why))
        if self._login is not None:
            login = self._login
            yield from self._everywhere(engine, made, lambda place: registry.logged_in(place, login))
        reference = made.boots[0].reference
        yield from self._everywhere(engine, made, lambda place: registry.pulled(place, reference))
        yield from self.hooks.run(engine, "pre-deploy", made.hosts, truth="Nothing was booted.")
        if self.whole and any(boot.role.traefik for boot in made.boots):
            env = self._traefik_env
            yield from self._everywhere(engine, made, lambda place: proxying.boot(proxying.on_host(place, env)))
        yield from self._released(engine, made)

    def after(self, engine: Engine, planned: Planned, ok: bool) -> Stream:
        """Prunes where all went well: best effort, a failure is told."""
        if ok and self.whole:
            keep = (planned.made.version,)
            yield from self._everywhere(
                engine, planned.made, lambda place: pruning.pruned(place, keep=keep, best_effort=True), must=False
            )

    def closing(
        self, engine: Engine, planned: Planned, ok: bool, sentence: str
    ) -> Generator[Event, None, tuple[bool, str]]:
        """``post-deploy``, or ``deploy-failed``. A post-deploy hook that fails lets the deploy stand, as in Kamal."""
        try:
            if ok:
                runtime = Details(runtime=engine.now())
                yield from self.hooks.run(engine, "post-deploy", planned.made.hosts, runtime)
            else:
                yield from self.hooks.run(engine, "deploy-failed", planned.made.hosts, Details(error=sentence))
        except KamalnbError as error:
            return False, f"{sentence} {error}"
        return ok, sentence

    def _released(self, engine: Engine, made: Plan) -> Stream:
        release = self.project.config.release
        if release is None:
            return
        boot = next((one for one in made.boots if one.role.name == release.role), None)
        if boot is None:
            yield note(engine, f"no host of role {release.role} is in this run: no release command", warning=True)
            return
        flow = releasing.released(self._place(made, boot.host), release, made.version, boot.reference)
        yield from self._all(engine, (Job(boot.host, "", flow, True),))

    def _everywhere(
        self, engine: Engine, made: Plan, flow: Callable[[OnHost], Flow[Done]], *, must: bool = True
    ) -> Stream:
        yield from self._all(engine, tuple(Job(host, "", flow(self._place(made, host))) for host in made.hosts), must)

    def _all(self, engine: Engine, jobs: tuple[Job, ...], must: bool = True) -> Stream:
        """Runs jobs side by side. Raises ``StepFailed`` with what each host said where one fails."""
        outcomes: tuple[Outcome, ...] = yield from engine.drive(side_by_side(jobs))
        failed = [outcome for outcome in outcomes if not outcome.ok]
        for outcome in outcomes:
            if isinstance(outcome.value, Done):
                yield note(engine, f"{outcome.job.host}: {outcome.value.sentence}", kind="step")
        told = [f"{outcome.job.host}: {str(outcome.error).removeprefix(f'{outcome.job.host}: ')}" for outcome in failed]
        if failed and must:
            raise StepFailed("\n".join(told))
        for sentence in told:
            yield note(engine, sentence, warning=True)

    def _place(self, made: Plan, host: str) -> OnHost:
        return OnHost(
            config=self.project.config, host=host, nonce=secrets.token_hex(16), performer=made.performer,
            fence=made.boots[0].fence,
        )  # fmt: skip
