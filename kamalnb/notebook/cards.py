"""A fleet and a plan at a glance, as HTML and as text. Nothing here reaches a host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import KamalnbError
from ..steps import NOTHING
from ..wording import counted, short
from .grid import grid
from .markup import Html, joined, tag
from .style import styled
from .tables import lines, notes_html, say, table_html

if TYPE_CHECKING:
    from ..config.model import Config
    from ..project import Project
    from .fleet import Fleet
    from .plan import Plan


def fleet_html(fleet: Fleet) -> Html:
    """The card of a fleet."""
    try:
        project = fleet._project()
        selection = fleet._select(project.config)
    except KamalnbError as error:
        return styled(tag("div", say(error, "bad"), class_="kn-card"))
    config = project.config
    roles = [(role.name, [host for host, one in selection.pairs if one.name == role.name]) for role in config.roles]
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", len(hosts), class_="kn-n"), tag("td", _some(hosts)))
        for name, hosts in roles
        if hosts
    ]
    heads = tag("tr", *(tag("th", word, scope="col") for word in ("role", "hosts", "")))
    table = tag("table", tag("thead", heads), tag("tbody", *rows), class_="kn-t")
    top = tag("div", tag("span", _name(config), class_="kn-title"), tag("span", _size(fleet)),
              tag("span", "not contacted", class_="kn-soft"), class_="kn-top")  # fmt: skip
    found = [say(note, "mind") for note in (*project.warnings, *_left(project))]
    source = tag("p", _source(project), class_="kn-soft")
    return styled(tag("div", top, *found, tag("div", table, class_="kn-wide"), source, class_="kn-card"))


def fleet_text(fleet: Fleet) -> str:
    """``Fleet('shop', 8 hosts: web=6 worker=2)``."""
    try:
        project = fleet._project()
        pairs = fleet._select(project.config).pairs
    except KamalnbError as error:
        return f"Fleet({error})"
    names = dict.fromkeys(role.name for _host, role in pairs)
    told = " ".join(f"{name}={sum(role.name == name for _host, role in pairs)}" for name in names)
    return "\n".join([f"Fleet('{_name(project.config)}', {_size(fleet)}: {told})", *_left(project)])


def plan_html(plan: Plan) -> Html:
    """A plan as a card, with the way to do it."""
    how = tag("p", "To do it: ", tag("code", "plan.boot()"), class_="kn-soft")
    return styled(tag("div", plan_body(plan), how if plan.hosts else "", class_="kn-card"))


def plan_body(plan: Plan, *, folded: bool = False) -> Html:
    """A plan's sentence, its warnings and its steps; ``folded`` hides the steps until somebody wants them."""
    top = tag("div", tag("span", f"{plan.verb} {plan.target}", class_="kn-title"), tag("span", _sentence(plan)),
              tag("span", f"plan {plan.id}", class_="kn-soft"), class_="kn-top")  # fmt: skip
    steps = grid(plan.table())
    if not folded:
        return joined(top, table_html(steps))
    inside = table_html(replace(steps, notes=()))
    return joined(top, notes_html(steps.notes), tag("details", tag("summary", "every step"), inside))


def plan_text(plan: Plan) -> str:
    """A plan as text."""
    return "\n".join([f"plan {plan.id}: {plan.verb} {plan.target}. {_sentence(plan)}", *lines(grid(plan.table()))])


def _sentence(plan: Plan) -> str:
    busy = [step for step in plan.moves if step.way != NOTHING]
    if not busy:
        return f"{short(plan.version)} serves everywhere already; there is nothing to do."
    batches = len({step.batch for step in busy})
    before = sorted({short(step.before or "nothing") for step in busy})
    many = f" in {batches} batches" if batches > 1 else ""
    where = counted(len(plan.hosts), "host")
    return f"{', '.join(before)} → {short(plan.version)} on {where}{many}. Nothing was changed."


def _name(config: Config) -> str:
    return f"{config.service} ({config.destination})" if config.destination else str(config.service)


def _size(fleet: Fleet) -> str:
    pairs = fleet._select(fleet._project().config).pairs
    hosts, roles = len({host for host, _role in pairs}), len({role.name for _host, role in pairs})
    return f"{counted(hosts, 'host')}, {counted(roles, 'role')}"


def _some(hosts: list[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= 12 else f"{', '.join(hosts[:10])} and {len(hosts) - 10} more"


def _source(project: Project) -> str:
    revision = project.revision()
    return f"{project.sources[0]}{f' at {revision}' if revision else ''}"


def _left(project: Project) -> Iterator[str]:
    """Runs that this machine began and whose kernel is gone."""
    from .remains import unfinished

    for one in unfinished(project):
        yield (
            f"Unfinished: {one.what} by {one.by or 'somebody'}, begun {one.ago} ago; its kernel is gone. "
            f"fleet.status() says where the hosts stand; fleet.plan({one.version!r}).boot() finishes it, "
            "passing over what is done."
        )
