"""A deploy: a boot with everything before and after it. Registry, images, env files, Traefik, release, hooks, prune."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from ..commands import server
from ..commands.registry import Login, credentials
from ..config.ignored import ignored
from ..config.model import Release
from ..engine import Engine
from ..errors import KamalnbError
from ..events import Event
from ..flow import Flow
from ..flows import env_files, proxying, pruning, registry, releasing
from ..flows.change import OnHost
from ..hooks import Details, overlooked, problems
from ..plan import BootPlan, Plan, Selection, refuse_impossible
from ..rollout import Done, Job
from ..shell import Secret
from ..steps import NOTHING
from .boot import BootRun, Planned
from .how import How, Stream
from .secrets import EnvFiles, Reading
from .telling import note
from .together import StepFailed, place, together

if TYPE_CHECKING:
    from ..project import Project


class DeployRun(BootRun):
    """The stream of one deploy. ``verb`` is ``deploy``, or ``redeploy``: without registry login, Traefik and prune."""

    traefik_needed = False

    def __init__(
        self, project: Project, selection: Selection, version: str | None, env_files: EnvFiles, verb: str, how: How
    ) -> None:
        chosen = version or project.environ.get("VERSION") or project.version_from_git()
        refuse_impossible(chosen)
        super().__init__(project, selection, chosen, env_files, verb, how)
        self.whole = verb == "deploy"
        self._login: Login | None = None
        self._traefik_env: Secret | None = None

    def read_secrets(self) -> None:
        """The env files', the registry's and the proxy's."""
        config, reading = self.project.config, Reading(self.project)
        self.env_files.read(self.selection, reading)
        if self.whole:
            self._login = reading.tried(lambda: credentials(config, self.project.secret))
            values = reading.values(config.traefik.env.secret)
            self._traefik_env = server.env_text(values) if values else None
        reading.done()

    def before(self, engine: Engine, planned: Planned) -> Stream:
        """Login, pull everywhere, hook, env files, Traefik, release command: what fails there leaves users alone."""
        made = planned.made
        for sentence in (*(one.sentence for one in ignored(self.project.config)), *overlooked(self.project)):
            yield note(engine, sentence, warning=True)
        if why := problems(self.project):
            raise StepFailed(" ".join(why))
        if self._login is not None:
            login = self._login
            yield from self._everywhere(engine, made, lambda there: registry.logged_in(there, login))
        reference = made.boots[0].reference
        yield from self._everywhere(engine, made, lambda there: registry.pulled(there, reference))
        yield from self.hooks.run(engine, "pre-deploy", made.hosts, truth="Nothing was booted.")
        if self.whole and any(boot.role.traefik for boot in made.boots):
            env = self._traefik_env
            yield from self._everywhere(engine, made, lambda there: proxying.boot(proxying.on_host(there, env)))
        yield from self._released(engine, planned)

    def after(self, engine: Engine, planned: Planned, ok: bool) -> Stream:
        """Prunes where all went well: best effort, a failure is told."""
        if ok and self.whole:
            keep = (planned.made.version,)
            yield from self._everywhere(
                engine, planned.made, lambda there: pruning.pruned(there, keep=keep, best_effort=True), must=False
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

    def _released(self, engine: Engine, planned: Planned) -> Stream:
        """The release command, once: not again where an unfinished rollout is gone on with."""
        release, made = self.project.config.release, planned.made
        if release is None:
            return
        done = [step.host for step in planned.steps if step.way == NOTHING and step.role == release.role]
        if done:
            yield note(engine, f"{made.version} serves on {done[0]} already: its release command has run")
            return
        boot = next((one for one in made.boots if one.role.name == release.role), None)
        if boot is None:
            yield note(engine, f"no host of role {release.role} is in this run: no release command", warning=True)
            return
        yield from together(engine, [Job(boot.host, "", self._release(made, boot, release), True)])

    def _release(self, made: Plan, boot: BootPlan, release: Release) -> Flow[Done]:
        """Its env file first: on a new host there is none yet."""
        here = place(made, boot.host)
        yield from env_files.pushed(here, {boot.role.name: self.env_files.values(boot.role, boot.host)})
        return (yield from releasing.released(here, release, made.version, boot.reference))

    def _everywhere(
        self, engine: Engine, made: Plan, flow: Callable[[OnHost], Flow[Done]], *, must: bool = True
    ) -> Stream:
        yield from together(engine, [Job(host, "", flow(place(made, host))) for host in made.hosts], must=must)
