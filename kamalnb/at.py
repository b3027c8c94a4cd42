"""What every task is given: the fleet that was chosen, how to show things, and how to go about a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from .command_line import chosen, program, words

if TYPE_CHECKING:
    from .console import Style
    from .fleet import Fleet, Plan, Rollout
    from .reads import Read
    from .runs import Options
    from .wording import Called


class At:
    """The common options of a task, as what they mean. ``context`` is Invoke's."""

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self.options = options
        self.context = context

    @cached_property
    def fleet(self) -> Fleet:
        """The chosen part of the fleet."""
        from .fleet import Fleet

        return Fleet(
            config_file=self.options.get("config_file"),
            destination=self.options.get("destination"),
            roles=words(self.options.get("roles") or ()),
            hosts=words(self.options.get("hosts") or ()),
            primary=bool(self.options.get("primary")),
        )

    @cached_property
    def style(self) -> Style:
        """How much is shown, and in which form."""
        from .console import Style

        return Style(
            json=bool(self.options.get("json")),
            verbose=bool(self.options.get("verbose")),
            quiet=bool(self.options.get("quiet")),
            called=self.called,
        )

    @property
    def called(self) -> Called:
        """How the program was called, for hints."""
        from .wording import Called

        return Called(program(), tuple(chosen(self.options.get("config_file"), self.options.get("destination"))))

    def how(self, **more: Any) -> Options:
        """The options of a change, and ``more``."""
        given: Options = {
            "skip_unreachable": bool(self.options.get("skip_unreachable")),
            "skip_hooks": bool(self.options.get("skip_hooks")),
            "lock_wait": float(self.options.get("lock_wait") or 0),
            "confirm": str(self.options.get("confirm") or ""),
        }
        return {**given, **more}  # type: ignore[typeddict-item]

    def roles(self) -> tuple[str, ...]:
        """The chosen roles."""
        from .plan import select

        fleet = self.fleet
        pairs = select(fleet.config, fleet.roles, fleet.hosts, fleet.primary).pairs
        return tuple(dict.fromkeys(role.name for _host, role in pairs))

    def whom(self) -> str:
        """The chosen hosts, for questions."""
        from .wording import some

        return some(self.fleet.names, "hosts")

    def show(self, read: Read) -> int:
        """Asks for a table and prints it; its exit code."""
        from .console.meanwhile import meanwhile
        from .console.tables import show_table

        with meanwhile("asking every host…", self.style):
            table = self.fleet.table(read)
        return show_table(table, self.style)

    def follow(self, rollout: Rollout, *, dry_run: bool = False) -> int:
        """Shows a run to its end; its exit code."""
        import os

        from .command_line import tell
        from .console import follow, presenter
        from .console.summary import write_summary

        code = follow(rollout, presenter(self.style, dry_run=dry_run))
        if not dry_run and (trouble := write_summary(rollout.report, os.environ, self.called)):
            tell(trouble)
        return code

    def change(self, make: Callable[[Options], Rollout], *, sure: str = "", yes: bool = False) -> int:
        """Makes a change and follows it. ``sure`` is asked before what cannot be taken back, unless ``yes``."""
        from .console.confirming import must_agree, typed

        style, how = self.style, self.how()
        if sure and not yes:
            must_agree(sure)
        rollout = make(how)
        if rollout.target and not how["confirm"] and self.fleet.asks and (word := typed(rollout.target, style)):
            rollout = make({**how, "confirm": word})
        return self.follow(rollout)

    def boot(self, make: Callable[[Options], Rollout], plan: Callable[[Options], Plan], **more: Any) -> int:
        """Brings a version to serve and follows it; where the file asks for confirmation, the plan is shown first."""
        from .console.confirming import typed
        from .console.tables import show_table

        style, how = self.style, self.how(**more)
        dry_run = bool(how.get("dry_run"))
        if not dry_run and not how["confirm"] and not style.json and self.fleet.asks:
            made = plan(how)
            show_table(made.table(), style)
            if word := typed(made.target, style):
                how = {**how, "confirm": word, "plan_id": made.id}
        return self.follow(make(how), dry_run=dry_run)
