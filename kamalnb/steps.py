"""What a plan would do, host by host, and the marks by which a later run knows what was done. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from . import traefik
from .config.model import Config, Role
from .cutover import belongs, version_of
from .docker import Container
from .naming import misnamed
from .plan import BootPlan, Plan, Survey
from .shell import Secret

BY_LABEL = "kamalnb.by"
REVISION_LABEL = "kamalnb.revision"
FILE_LABEL = "kamalnb.file"
CONFIG_LABEL = "kamalnb.config"
HOSTS_LABEL = "kamalnb.hosts"
RUN_LABEL = "kamalnb.run"

NOTHING, BOOT, PULL = "nothing", "boot", "pull"
"""Ways to a version: it serves already; its image is there; its image has to be pulled first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One role on one host in a plan: ``way`` is how it gets from ``before`` (None: nothing serves) to ``after``."""

    batch: int
    host: str
    role: str
    before: str | None
    after: str
    way: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a boot comes from: who, from which git revision, by which file (its digest) that knew how many hosts."""

    by: str = ""
    revision: str = ""
    file: str = ""
    hosts: int = 0
    run: str = ""

    def labels(self, config_digest: str) -> dict[str, str]:
        """The labels that tell it to whoever looks later."""
        given = {
            BY_LABEL: self.by, REVISION_LABEL: self.revision, FILE_LABEL: self.file, CONFIG_LABEL: config_digest,
            HOSTS_LABEL: str(self.hosts) if self.hosts else "", RUN_LABEL: self.run,
        }  # fmt: skip
        return {key: value for key, value in given.items() if value}


def config_digest(role: Role, host: str, env_file: Secret | None) -> str:
    """Names everything that goes into a container of ``role`` on ``host`` besides its image: 12 hex digits."""
    seen = replace(role, hosts=(), env_tags={}, env=role.env_on(host))
    text = f"{seen!r}\0{env_file.value if env_file else ''}"
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


def serving(role: Role, containers: Sequence[Container]) -> Container | None:
    """The container of ``role`` that gets its requests (Traefik: the routable one that stands highest), or None."""
    alive = [one for one in containers if belongs(one, role) and one.running]
    if not role.traefik:
        return max(alive, key=lambda one: one.created, default=None)
    routable = [one for one in alive if one.routable]
    return max(routable, key=lambda one: (_height(one), one.created), default=None)


def steps(made: Plan, surveys: Sequence[Survey], *, force: bool = False, with_images: bool = False) -> tuple[Step, ...]:
    """What ``made`` does to each role on each host.

    After an unfinished rollout, what serves the version already with the same settings is passed over; where all of
    them do, a person who asks for it again wants them booted anew (Kamal's ``app boot``), and so with ``force``.
    """
    found = {survey.host: survey for survey in surveys}
    batch = {host: number for number, hosts in enumerate(made.batches, start=1) for host in hosts}
    done = [_serves_already(boot, found[boot.host].containers) for boot in made.boots]
    pass_over = not force and not all(done)
    return tuple(
        Step(
            batch=batch[boot.host],
            host=boot.host,
            role=boot.role.name,
            before=_version(boot.role, found[boot.host].containers),
            after=boot.version,
            way=NOTHING if pass_over and already else _way(boot, found[boot.host], with_images),
        )
        for boot, already in zip(made.boots, done, strict=True)
    )


def without_done(made: Plan, found: Sequence[Step]) -> Plan:
    """``made`` without the boots that have nothing to do, and without the batches that are empty then."""
    done = {(step.host, step.role) for step in found if step.way == NOTHING}
    boots = tuple(boot for boot in made.boots if (boot.host, boot.role.name) not in done)
    passed = tuple(boot for boot in made.boots if (boot.host, boot.role.name) in done)
    hosts = {boot.host for boot in boots}
    kept = (tuple(host for host in batch if host in hosts) for batch in made.batches)
    return replace(made, boots=boots, passed=passed, batches=tuple(batch for batch in kept if batch))


def plan_id(config: Config, file_digest: str, version: str, found: Sequence[Step]) -> str:
    """Eight hex digits that name a plan: the same again as long as neither the file nor the hosts change."""
    told = [f"{step.host}|{step.role}|{step.before}|{step.after}|{step.way}" for step in found]
    text = "\n".join([config.service, config.destination or "", file_digest, version, *told])
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def difference(then: Sequence[Step], now: Sequence[Step]) -> str:
    """What has changed between two plans for one version, in words; told of a plan that is not true any more."""
    before = {(step.host, step.role): step for step in then}
    after = {(step.host, step.role): step for step in now}
    told = [f"{role} on {host} is not in it any more" for host, role in before if (host, role) not in after]
    told += [f"{role} on {host} is new in it" for host, role in after if then and (host, role) not in before]
    for where in before.keys() & after.keys():
        old, new = before[where], after[where]
        if old.before != new.before:
            told.append(f"{new.role} on {new.host} serves {new.before or 'nothing'} now, not {old.before or 'nothing'}")
        elif old.way != new.way:
            told.append(f"{new.role} on {new.host} needs “{new.way}” now, not “{old.way}”")
    rest = f"; and {len(told) - 6} more" if len(told) > 6 else ""
    return "; ".join(sorted(told)[:6]) + rest if told else "the fleet or the file has changed"


def target(version: str, found: Sequence[Step], verb: str = "") -> str:
    """What a person types to confirm: ``web@abc``, ``web,jobs@abc``; for other changes ``web@stop``."""
    roles = ",".join(dict.fromkeys(step.role for step in found))
    return f"{roles}@{version or verb}"


def marked(boot: BootPlan, origin: Origin) -> BootPlan:
    """``boot`` with the labels that tell where it comes from."""
    digest = config_digest(boot.role, boot.host, boot.env_file)
    return replace(boot, marks=tuple(origin.labels(digest).items()))


def origin_of(labels: Mapping[str, str]) -> Origin:
    """Where a container comes from; empty words where it does not say."""
    hosts = labels.get(HOSTS_LABEL, "")
    return Origin(
        by=labels.get(BY_LABEL, ""), revision=labels.get(REVISION_LABEL, ""), file=labels.get(FILE_LABEL, ""),
        hosts=int(hosts) if hosts.isdigit() else 0, run=labels.get(RUN_LABEL, ""),
    )  # fmt: skip


def stale_checkout(known: int, last: int) -> str:
    """What is to be said where a file knows ``known`` hosts and that of the last boot knew ``last``; "" where it is
    the same: an old checkout would leave hosts behind."""
    if not last or last == known:
        return ""
    hosts = "1 host" if known == 1 else f"{known} hosts"
    return f"Your file knows {hosts}, the last boot {last}: this checkout may be stale. Pull before you boot."


def hosts_of_last_boot(roles: Sequence[Role], containers: Sequence[Container]) -> int:
    """How many hosts the file knew by which the newest of what serves was booted; 0 where nothing tells."""
    now = [one for role in roles if (one := serving(role, containers)) is not None]
    last = max(now, key=lambda one: one.created, default=None)
    return origin_of(last.labels).hosts if last is not None else 0


def _serves_already(boot: BootPlan, containers: Sequence[Container]) -> bool:
    alive = [one for one in containers if belongs(one, boot.role) and one.running]
    now = serving(boot.role, containers)
    return (
        now is not None
        and alive == [now]
        and now.restarts == 0
        and not misnamed(now, boot.role)
        and version_of(now, boot.role) == boot.version
        and now.labels.get(CONFIG_LABEL) == dict(boot.marks).get(CONFIG_LABEL)
    )


def _version(role: Role, containers: Sequence[Container]) -> str | None:
    now = serving(role, containers)
    return version_of(now, role) if now is not None else None


def _way(boot: BootPlan, survey: Survey, with_images: bool) -> str:
    there = any(boot.reference in image.tags for image in survey.images)
    return PULL if with_images and not there else BOOT


def _height(container: Container) -> int:
    found = (one for one in traefik.routers(container.labels, container.name) if not one.for_acknowledging)
    return max((router.effective_priority for router in found), default=0)
