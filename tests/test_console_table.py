"""The live table at fixed widths, and what is left of it at the end."""

from __future__ import annotations

import io

import pytest
from console_events import WEB_1, WEB_2, cutover, folded, good_run, half_failed_run, phase, printed, started

from kamalnb.console.choice import Style
from kamalnb.console.live import LiveTable
from kamalnb.console.table import Frame
from kamalnb.events import Event, Phase
from kamalnb.report import Report

from rich.console import Console  # isort: skip


def drawn(happened: list[Event], width: int, now: float = 3.0, room: int | None = None) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=50).print(Frame(folded(happened), now, room))
    return [line.rstrip() for line in out.getvalue().splitlines()]


RUNNING = [
    started(WEB_1, WEB_2, ("web-3", "web")),
    phase(0.5, WEB_1, Phase.OBSERVE),
    cutover(0.6, WEB_1, "v1", "v2"),
    phase(1.0, WEB_1, Phase.SWITCH),
    printed(1.5, WEB_1, "waiting for proxy"),
    phase(0.7, WEB_2, Phase.OBSERVE),
]


def test_a_running_table_at_80_columns() -> None:
    assert drawn(RUNNING, 80) == [
        "boot app v2 on 3 hosts                                                     3.0 s",
        "   host   role  phase        time  version  now",
        "▸  web-1  web   switch      2.5 s  v1 → v2  waiting for Traefik to route to it",
        "▸  web-2  web   observe     2.3 s  → v2     looking at what runs there",
        "·  web-3  web   waiting            → v2",
    ]


def test_wide_terminals_show_how_far_each_boot_has_come() -> None:
    assert drawn(RUNNING, 120)[2:4] == [
        "▸  web-1  web   ━━━━━╸┄┄┄┄ switch      2.5 s  v1 → v2  waiting for Traefik to route to it",
        "▸  web-2  web   ╸┄┄┄┄┄┄┄┄┄ observe     2.3 s  → v2     looking at what runs there",
    ]


def test_narrow_terminals_show_what_happens_in_a_line_of_its_own() -> None:
    lines = drawn(RUNNING, 60)
    assert lines[1:3] == ["▸ web-1 web  switch  2.5 s  v1 → v2", "    waiting for Traefik to route to it"]


@pytest.mark.parametrize("width", [40, 60, 72, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = [
        started(("a-host-with-a-very-long-name.example.com", "workers"), version="f" * 40),
        phase(0.5, ("a-host-with-a-very-long-name.example.com", "workers"), Phase.DRAIN),
    ]
    for happened in (RUNNING, half_failed_run(), long):
        assert all(len(line) <= width for line in drawn(happened, width))


def test_a_fleet_larger_than_the_terminal_shows_the_busy_hosts_and_counts_the_rest() -> None:
    hosts = [(f"web-{number:02}", "web") for number in range(40)]
    lines = drawn([started(*hosts), phase(1.0, hosts[37], Phase.VERIFY)], 80, room=10)
    assert len(lines) <= 10
    assert any(line.startswith("▸  web-37") for line in lines)
    assert "and 34 waiting" in lines[-1]


def test_the_final_table_shows_every_host_and_how_it_ended() -> None:
    assert drawn(half_failed_run(), 100, now=33.2)[2:] == [
        "✓  web-1  web   ━━━━━━━━━━ done        4.4 s  v1 → v2  v2 serves",
        "✗  web-2  web   ┄┄┄┄┄┄┄┄┄┄ failed     32.4 s  v1 → v2  The app did not become healthy within 30 s.",
    ]


def test_what_a_live_table_leaves_behind_is_the_last_table_and_the_closing_line() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None, legacy_windows=False)
    table = LiveTable(out, Style(), console, now=lambda: 0.0)
    report = Report()
    for event in good_run():
        report = report.after(event)
        table.show(event, report)
    table.close(report)
    table.restore()
    before, _cursor_shown_again, after = out.getvalue().rpartition("\x1b[?25h")
    assert after == "v2 serves on web-2 instead of v1, in 5.6 s.\n"
    last_frame = before[before.rindex("boot app v2") :].splitlines()
    assert last_frame[-1].split() == ["✓", "web-2", "web", "done", "4.5", "s", "v1", "→", "v2", "v2", "serves"]
