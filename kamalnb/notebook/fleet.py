"""``Fleet`` as people hold it in a notebook: the core's, whose rollouts wait for confirmation and show themselves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Unpack, cast

from ..config.model import Role
from ..errors import KamalnbError
from ..fleet import Fleet as CoreFleet
from ..fleet import Rollout as CoreRollout
from ..runs import Options
from . import remains
from .occasion import Occasion, occasion
from .plan import BY_CLICK, Plan, started
from .rollout import Order, Rollout

_BARE: ContextVar[bool] = ContextVar("kamalnb_bare", default=False)
"""Set while the core's own rollout is wanted."""
AT_ONCE = frozenset({"acquire_lock", "release_lock", "cancel", "pause", "resume"})
"""Verbs that ask nobody: they change no container."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Fleet(CoreFleet):
    """The hosts of a ``deploy.yml``, or the part of them that ``roles`` and ``hosts`` (names, wildcards) choose.

    ``Fleet()`` finds ``config/deploy.yml`` here or above; each verb reads it afresh. A part is a fleet too:
    ``fleet["web"]``, ``fleet.where(hosts="web-1*")``. Showing it reaches no host.
    """

    def plan(self, version: str | None = None, *, verb: str = "boot", **how: Unpack[Options]) -> Plan:
        """What ``boot(version)`` would change, host by host; nothing is changed. Raises where it could not begin.

        ``verb`` is boot, deploy, redeploy, undo or rollback.
        """
        with _bare():
            made = super().plan(version, verb=verb, **how)
        given = {one.name: getattr(made, one.name) for one in fields(made)}
        return Plan(**{**given, "begin": _barely(made.begin)}, home=self)

    def boot(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """Replaces what runs by ``version`` with no lost request: ``plan(version).boot()``."""
        return self._by_plan("boot", version, how)

    def deploy(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """Login, pull everywhere, release command, boot, prune, with hooks at their places."""
        return self._by_plan("deploy", version, how)

    def redeploy(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """A deploy without registry login, Traefik and prune."""
        return self._by_plan("redeploy", version, how)

    def undo(self, **how: Unpack[Options]) -> Rollout:
        """Takes the last version away: what served before serves again. One click confirms it."""
        return self._by_plan("undo", None, how)

    def rollback(self, version: str | None = None, **how: Unpack[Options]) -> Rollout:
        """Brings ``version`` back to serve, the quickest way there is on each host; without one: what served before."""
        return self._by_plan("rollback", version, how)

    def _by_plan(self, verb: str, version: str | None, how: Options) -> Rollout:
        words = () if verb == "undo" else (version,)
        if _BARE.get():
            return cast(Rollout, getattr(super(), verb)(*words, **how))
        confirm = how.pop("confirm", "")
        if occasion() is Occasion.PLAIN or how.get("dry_run"):
            return self._begun(verb, words, how, confirm)  # nobody looks at a plan: the run makes its own
        return self.plan(version, verb=verb, **how).boot(confirm=confirm)

    def _begun(self, verb: str, words: tuple[Any, ...], how: Mapping[str, Any], confirm: str) -> Rollout:
        rollout = Rollout(self.order(verb, words, how), occasion())
        return started(rollout, confirm, free=verb in AT_ONCE or bool(how.get("dry_run")))

    def order(self, verb: str, words: tuple[Any, ...] = (), how: Mapping[str, Any] = MappingProxyType({})) -> Order:
        """A change that can be begun, by the name of its verb."""
        core = getattr(CoreFleet, verb)

        def begin(typed: str) -> CoreRollout:
            given = {**how, "confirm": typed} if typed and verb not in AT_ONCE else how
            with _bare():
                return cast(CoreRollout, core(self, *words, **given))

        made = begin("")  # raises what is wrong with the words now, and says what is to be typed
        project = self._project()
        pairs = self._select(project.config).pairs
        hosts = len({host for host, _role in pairs})
        return Order(
            verb=verb.replace("_", " "), target=made.target or _target(pairs, words, verb), hosts=hosts,
            begin=begin, typed=verb not in BY_CLICK, home=self,
        )  # fmt: skip

    def noted(self, what: str, version: str) -> tuple[str, Callable[[bool], None]]:
        """Who does it; and a note of it on this machine, taken away by what is returned."""
        project = self._project()
        by = project.performer()
        file = remains.begun(project, what, version, by)

        def over(ok: bool) -> None:
            remains.ended(file)
            if ok:
                remains.forget(project)

        return by, over

    def _ipython_key_completions_(self) -> list[str]:
        try:
            config = self._project().config
        except KamalnbError:
            return []
        return [*(role.name for role in config.roles), *config.hosts]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .cards import fleet_html, fleet_text

        return {"text/html": str(fleet_html(self)), "text/plain": fleet_text(self)}

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def __repr__(self) -> str:
        from .cards import fleet_text

        return fleet_text(self)


def pretend(
    hosts: int | Sequence[str] = 3,
    *,
    fail: Mapping[str, str] | None = None,
    serving: str | None = "v1",
    speed: float | None = None,
    file: str = "",
) -> Fleet:
    """A whole fleet that exists nowhere: boot it, break it, look at it. See ``kamalnb.testing.pretend``."""
    from ..testing import pretend as core_pretend

    return dressed(core_pretend(hosts, fail=fail, serving=serving, speed=speed, file=file))


def dressed(fleet: CoreFleet) -> Fleet:
    """The same fleet, showing itself."""
    if isinstance(fleet, Fleet):
        return fleet
    return Fleet(**{one.name: getattr(fleet, one.name) for one in fields(fleet)})


def _target(pairs: Sequence[tuple[str, Role]], words: tuple[Any, ...], verb: str) -> str:
    """What is typed for a change whose plan is not made yet."""
    return f"{','.join(dict.fromkeys(role.name for _host, role in pairs))}@{words[0] if words and words[0] else verb}"


@contextmanager
def _bare() -> Iterator[None]:
    token = _BARE.set(True)
    try:
        yield
    finally:
        _BARE.reset(token)


def _barely(begin: Callable[[Options], CoreRollout]) -> Callable[[Options], CoreRollout]:
    def begun(options: Options) -> CoreRollout:
        with _bare():
            return begin(options)

    return begun


def _shows_itself(name: str) -> Callable[..., Any]:
    """A verb of the core whose rollout waits and shows itself."""
    core = getattr(CoreFleet, name)

    @functools.wraps(core)
    def verb(self: Fleet, *words: Any, **how: Any) -> Any:
        if _BARE.get():
            return core(self, *words, **how)
        return self._begun(name, words, how, str(how.pop("confirm", "")))

    return verb


def _verbs() -> Iterator[str]:
    """Every verb of the core that gives a rollout: also those that are written after this module."""
    for name in dir(CoreFleet):
        gives = getattr(getattr(CoreFleet, name), "__annotations__", {}).get("return")
        if not name.startswith("_") and gives in ("Rollout", CoreRollout) and name not in vars(Fleet):
            yield name


for _name in tuple(_verbs()):
    setattr(Fleet, _name, _shows_itself(_name))
