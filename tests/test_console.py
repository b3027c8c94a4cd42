"""Plain lines, JSON lines and the dry run's list: exact text for fabricated runs."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
from datetime import datetime

import pytest
from console_events import (
    WEB_1,
    WEB_2,
    at,
    booted,
    failed,
    finished,
    folded,
    good_run,
    half_failed_run,
    note,
    phase,
    printed,
    started,
)

from kamalnb import events, exits, wording
from kamalnb.console.choice import Presenter, Style, is_terminal, presenter
from kamalnb.console.dry import DryRun
from kamalnb.console.dry import folded as folded_command
from kamalnb.console.jsonlines import JsonLines
from kamalnb.console.plain import PlainLines
from kamalnb.errors import UsageError
from kamalnb.events import Event, Fact, Phase
from kamalnb.report import Report
from kamalnb.wording import Called

BEGAN = datetime(2026, 1, 2, 15, 4, 58)


def shown(presenter: Presenter, happened: list[Event]) -> None:
    report = Report()
    for event in happened:
        report = report.after(event)
        presenter.show(event, report)
    presenter.close(report)


def plain(happened: list[Event], **style: bool) -> list[str]:
    out = io.StringIO()
    shown(PlainLines(out, Style(**style), BEGAN), happened)
    return out.getvalue().splitlines()


def test_a_good_run_in_plain_lines() -> None:
    assert plain(good_run()) == [
        "15:04:58.0  boot app v2 on 1 host: web-2",
        "15:04:58.0  looking at 1 host",
        "15:04:58.6  web-2 web  observe   looking at what runs there",
        "15:04:59.0  web-2 web  observe   v1 → v2: up-switch into green, level +1",
        "15:04:59.1  web-2 web  prepare   env file, cord, leftovers",
        "15:04:59.2  web-2 web  start     starting the new container, still dark",
        "15:05:00.0  web-2 web  verify    asking the new container",
        "15:05:00.5  web-2 web  ready     verified, ready to switch",
        "15:05:00.5  web-2 web  switch    switching over",
        "15:05:00.6  web-2 web  switch    waiting for Docker to call it healthy",
        "15:05:01.4  web-2 web  switch    Traefik routes to it",
        "15:05:01.5  web-2 web  commit    taking the old container out",
        "15:05:02.0  web-2 web  commit    Traefik has let it go",
        "15:05:02.0  web-2 web  drain     letting open requests finish",
        "15:05:02.1  web-2 web  drain     2 connections are open on the old container",
        "15:05:02.4  web-2 web  drain     no request is open on the old container",
        "15:05:02.6  web-2 web  stop      stopping the old container",
        "15:05:03.0  web-2 web  stop      it ended with exit code 0",
        "15:05:03.1  web-2 web  done      v2 serves instead of v1",
        "v2 serves on web-2 instead of v1, in 5.6 s.",
    ]


def test_a_failure_is_told_at_the_end_with_everything_that_is_known_about_it() -> None:
    lines = plain(half_failed_run())
    assert lines[lines.index("✗ web on web-2 failed in verify: The app did not become healthy within 30 s.") :] == [
        "✗ web on web-2 failed in verify: The app did not become healthy within 30 s.",
        "    serving now: v1 serves, as before.",
        "    next: Look at its log; give it more time with deploy_timeout.",
        "    the new container's last words:",
        "      listening on 3000",
        "      cannot reach the database",
        "    its health log:",
        "      curl: (22) The requested URL returned error: 503",
        "    the whole log, on web-2:",
        "      /home/deploy/.kamal/logs/app-web-v2-56b247a9.log",
        "v2 serves on web-1 instead of v1; web on web-2 failed, in 33.2 s.",
    ]


def test_every_failure_is_listed_and_what_roles_share_is_told_once() -> None:
    happened = [
        started(WEB_1, ("web-1", "job"), WEB_2),
        *(
            failed(1.0, who, phase=None, error="The disk is full.", log=(), health=(), kept="")
            for who in (WEB_1, ("web-1", "job"))
        ),
        failed(1.0, WEB_1, phase=None, error="Docker 18 is too old.", log=(), health=(), kept=""),
        failed(1.0, WEB_2, phase=None, error="Traefik is not there.", log=(), health=(), kept=""),
        finished(1.1, False, "Nothing was changed: web-1, web-2 cannot be used."),
    ]
    heads = [line for line in plain(happened, quiet=True) if line.startswith("✗")]
    assert heads == [
        "✗ web, job on web-1 cannot be used: The disk is full.",
        "✗ web on web-1 cannot be used: Docker 18 is too old.",
        "✗ web on web-2 cannot be used: Traefik is not there.",
    ]


def test_the_advice_in_an_unreachable_hosts_message_becomes_what_to_do_next() -> None:
    error = "web-2: no connection to port 22 (refused). Is it up, and sshd running? Try `ssh -p 22 web-2`."
    happened = [started(WEB_2), failed(1.0, WEB_2, phase=None, kind="HostUnreachable", error=error, hint="", log=())]
    lines = plain(happened, quiet=True)
    assert lines[0] == (
        "✗ web on web-2 cannot be used: no connection to port 22 (refused). Is it up, and sshd running?"
    )
    assert "    next: Try `ssh -p 22 web-2`." in lines


def test_a_failure_without_a_hint_still_says_what_to_do() -> None:
    told = [one.text for one in wording.ending(folded([started(WEB_2), failed(1.0, WEB_2, hint="")]))]
    assert "    next: Run it again with --verbose to see every command." in told


def test_quiet_leaves_problems_and_the_closing_line() -> None:
    assert plain(good_run(), quiet=True) == ["v2 serves on web-2 instead of v1, in 5.6 s."]
    warned = [started(WEB_2), note(0.2, "web-3 is left out: named in hosts_down", warning=True)]
    assert plain(warned, quiet=True) == ["15:04:58.2  warning: web-3 is left out: named in hosts_down"]


def test_verbose_adds_every_command_with_exit_code_and_seconds() -> None:
    more = [line for line in plain(good_run(), verbose=True) if line not in plain(good_run())]
    assert more == [
        "15:04:59.2  web-2 web  prepare   env file (exit 0, 0.01 s): printf %s '[REDACTED]' | k_write x",
    ]


def test_quiet_and_verbose_together_are_refused() -> None:
    with pytest.raises(UsageError, match="Choose one"):
        Style(quiet=True, verbose=True)


def test_what_hosts_print_cannot_steer_the_terminal() -> None:
    happened = [started(WEB_2), phase(1, WEB_2, Phase.VERIFY), printed(1, WEB_2, "\x1b[2Jgone\r\x07")]
    happened.append(failed(2, WEB_2, log=("\x1b]0;title\x07",), error="bad \x1b[31m"))
    assert "\x1b" not in "".join(plain(happened, verbose=True))


def test_a_stopped_run_says_how_and_ends_with_130() -> None:
    happened = [started(WEB_2), phase(0.5, WEB_2, Phase.VERIFY), events.CancelRequested(at=1.0)]
    assert plain(happened)[-1] == (
        "15:04:59.0  warning: stopping: hosts before their switch undo, hosts past it finish (Ctrl-C again: leave now)"
    )
    assert exits.of(folded([*happened, booted(2.0, WEB_2), finished(2.1, True, "v2 serves.")])) == exits.STOPPED


def test_leaving_says_where_each_host_stands() -> None:
    hosts = [(f"web-{number}", "web") for number in range(5)]
    report = folded(
        [
            started(*hosts),
            *(event for who in hosts[1:4] for event in (phase(1, who, Phase.OBSERVE), _from_v1(who))),
            phase(2, hosts[1], Phase.VERIFY),
            phase(2, hosts[2], Phase.DRAIN),
            booted(3, hosts[3]),
            failed(3, hosts[4]),
        ]
    )
    out = io.StringIO()
    PlainLines(out, Style(), BEGAN).leave(report)
    assert out.getvalue().splitlines() == [
        "left before the end:",
        "  web on web-0: not begun",
        "  web on web-1: left in verify. v1 serves; the next boot clears what was begun.",
        "  web on web-2: left in drain. The host finishes by itself.",
        "  web on web-3: v2 serves",
        "  web on web-4: failed. v1 serves, as before.",
    ]


def _from_v1(who: tuple[str, str]) -> Event:
    return at(1.0, who, events.FactLearned, fact=Fact(kind="cutover", text="v1 → v2", data={"from": "v1"}))


def test_the_version_that_a_word_stood_for_is_the_runs_version() -> None:
    happened = [started(WEB_2, version=""), note(0.5, "The image tagged latest is version v7.", version="v7")]
    report = folded(happened)
    assert (report.version, report.lines[0].version) == ("v7", "v7")
    assert plain(happened)[-1] == "15:04:58.5  The image tagged latest is version v7."


def test_hints_are_spelled_as_the_program_was_called() -> None:
    called = Called("inv", ("-c", "other.yml"))
    assert called.spelled("No Traefik. Start it: invoke traefik.boot.") == (
        "No Traefik. Start it: inv traefik.boot -c other.yml."
    )
    happened = [started(WEB_2), failed(1.0, WEB_2, hint="invoke traefik.boot")]
    assert "    next: inv traefik.boot -c other.yml" in [t.text for t in wording.ending(folded(happened), called)]


def test_json_is_one_event_a_line_and_nothing_else() -> None:
    out = io.StringIO()
    happened = half_failed_run()
    shown(JsonLines(out), happened)
    documents = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [document["event"] for document in documents] == [type(event).__name__ for event in happened]
    assert documents[-2]["log"] == ["listening on 3000", "cannot reach the database"]


@pytest.mark.parametrize(
    ("happened", "code"),
    [
        (good_run(), exits.OK),
        (half_failed_run(), exits.FAILED),
        ([started(WEB_2), failed(1, WEB_2, phase=None, kind="HostUnreachable"), finished(1, False, "", 1)], 69),
        ([started(WEB_2), booted(1, WEB_2), failed(1, WEB_1, phase=None, kind="HostUnreachable")], exits.FAILED),
        ([started(WEB_2), finished(1, False, "Another deploy is under way.", 75)], exits.LOCKED),
        ([started(WEB_2)], exits.FAILED),
    ],
)
def test_exit_codes_follow_the_report(happened: list[Event], code: int) -> None:
    assert exits.of(folded(happened)) == code
    assert code in exits.MEANING


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_ci_and_dumb_terminals_get_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_terminal(Terminal(), {"TERM": "xterm"})
    assert not is_terminal(io.StringIO(), {"TERM": "xterm"})
    assert not is_terminal(Terminal(), {"TERM": "xterm", "CI": "true"})
    assert not is_terminal(Terminal(), {"TERM": "dumb"})
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(presenter(Style(), out=Terminal()), PlainLines)
    monkeypatch.delenv("CI")
    assert not isinstance(presenter(Style(), out=Terminal()), PlainLines)


def dry_run() -> list[Event]:
    def would(seconds: float, name: str, line: str, *, changes: bool = True, uses: tuple[str, ...] = ()) -> Event:
        return at(seconds, WEB_2, events.StepSkipped, name=name, line=line, changes=changes, uses=uses)

    return [
        started(WEB_2, verb="dry-run"),
        phase(0.5, WEB_2, Phase.PREPARE),
        would(0.5, "env file", "printf %s '[REDACTED]' | k_write env", uses=("k_write() { :; }",)),
        phase(0.6, WEB_2, Phase.START),
        would(0.6, "start container", "docker run --detach --name app-web-v2 app:v2"),
        would(0.6, "look at container", "docker inspect app-web-v2", changes=False),
        booted(0.7, WEB_2),
        finished(0.8, True, "dry run: nothing was changed on web-2."),
    ]


def test_a_dry_run_lists_what_would_run_by_host_and_phase() -> None:
    out = io.StringIO()
    shown(DryRun(out, Style()), dry_run())
    assert out.getvalue().splitlines() == [
        "dry run: boot app v2 on 1 host; what would run there:",
        "",
        "web-2",
        "  web",
        "    prepare",
        "      # env file",
        "      printf %s '[REDACTED]' | k_write env",
        "    start",
        "      # start container",
        "      docker run --detach --name app-web-v2 app:v2",
        "",
        "k_… are shell functions that travel along; --verbose prints them, and what only looks.",
        "",
        "dry run: nothing was changed on web-2.",
    ]


def test_a_verbose_dry_run_adds_looks_and_shell_functions() -> None:
    out = io.StringIO()
    shown(DryRun(out, Style(verbose=True)), dry_run())
    lines = out.getvalue().splitlines()
    assert lines[lines.index("      # look at container, only looks") + 1] == "      docker inspect app-web-v2"
    assert "  k_write() { :; }" in lines


def test_a_folded_command_is_still_the_same_command() -> None:
    words = ["--detach", "--label", "a=b c", "--health-cmd", "x\ny 'z' \"w\"", "-e", "K=V", "app:v2"]
    line = shlex.join(["printf", "%s|", *words])
    for width in (10, 30, 60, 200):
        text = "\n".join(folded_command(line, width))
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True)
        assert done.stdout == "".join(f"{word}|" for word in words)
    assert "--label \\" not in "\n".join(folded_command(line, 30)), "an option stays with its value"
