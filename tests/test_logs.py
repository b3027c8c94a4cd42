"""Logs: what may be asked, the table, following a pretend fleet, and how lines look."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kamalnb.commands.log_options import LogOptions
from kamalnb.commands.logs import Printed
from kamalnb.config.reading import read_config
from kamalnb.console import Style
from kamalnb.console.logs import Places, as_record, follow_logs, show_logs
from kamalnb.errors import HostUnreachable, UsageError
from kamalnb.following_logs import WINDOW, Following, LogLine, _Window, follow, in_order
from kamalnb.plan import select
from kamalnb.reads import Answers, Scene, logs
from kamalnb.tables import Table
from kamalnb.testing import PretendFleet, PretendHost, drive_on

CONFIG = read_config(
    "service: app\nimage: app\nregistry: {server: registry.example}\nservers: {web: {hosts: [web-1, web-2]}}\n",
    environ={},
    source="a test",
)
LABELS = {"service": "app", "role": "web", "destination": ""}


# -- what may be asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "meant"),
    [
        (None, "-"), ("42m", "ago2520"), ("1h30m", "ago5400"), ("2d", "ago172800"), ("90s", "ago90"),
        ("2013-01-02T13:23:37Z", "1357133017.000000"), ("2013-01-02", "1357084800.000000"),
        ("1357133017", "1357133017"),
    ],
)  # fmt: skip
def test_since_is_a_time_or_how_long_ago(since: str | None, meant: str) -> None:
    assert LogOptions(since=since).from_when == meant


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"since": "yesterday"}, "42m for 42 minutes"),
        ({"since": "42"}, "42m for 42 minutes"),
        ({"lines": 0}, "Give a number from 1 on"),
        ({"grep": "a", "grep_options": "-f /etc/passwd"}, "“-f” is not taken"),
        ({"grep": "a", "grep_options": "--file=/etc/passwd"}, "is not taken"),
        ({"grep": "a", "grep_options": "-r"}, "“-r” is not taken"),
        ({"grep": "a", "grep_options": "word"}, "“word” is not taken"),
        ({"grep": "a", "grep_options": "'"}, "cannot be read: no closing quotation"),
        ({"grep_options": "-i"}, "Add --grep=PATTERN"),
        ({"grep": ""}, "at least one character"),
        ({"grep": "a\0b"}, "NUL"),
        ({"container_id": "$(reboot)"}, "is no container's id"),
        ({"version": "a b"}, "cannot be a version"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_host_is_asked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as refused:
        LogOptions(**options)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("options", "following", "tail"),
    [
        ({}, False, "100"), ({"since": "1h"}, False, "all"), ({"grep": "x"}, False, "all"), ({"lines": 5}, False, "5"),
        ({"lines": 5, "grep": "x"}, False, "all"), ({}, True, "10"), ({"grep": "x"}, True, "10"),
        ({"since": "1h"}, True, "all"), ({"lines": 5, "since": "1h"}, False, "5"),
    ],
)  # fmt: skip
def test_a_hundred_lines_unless_something_else_chooses(options: dict[str, Any], following: bool, tail: str) -> None:
    assert LogOptions(**options).tail(following) == tail


def test_options_of_grep_may_be_joined_or_apart() -> None:
    options = LogOptions(grep="x", grep_options="-iv -C 3 --max-count=2 -E")
    assert options.grep_words == ("-iv", "-C3", "--max-count=2", "-E")


@pytest.mark.parametrize(("pattern", "dollar"), [("end$", True), ("cost \\$", False), ("\\\\$", True), ("$5", False)])
def test_only_a_final_dollar_that_means_the_end_is_the_messages_end(pattern: str, dollar: bool) -> None:
    assert LogOptions(grep=pattern).pattern.endswith("\037") is dollar
    assert LogOptions(grep=pattern, grep_options="-F").pattern == pattern


# -- the table -----------------------------------------------------------------------------------------------


def rows(host: PretendHost, **options: Any) -> tuple[Any, ...]:
    scene = Scene(config=CONFIG, host=host.name, roles=CONFIG.roles_on("web-1"))
    driven = drive_on(host, logs.read(LogOptions(**options)).look(scene))
    assert driven.error is None, driven.error
    return tuple(driven.value)


def serving(name: str, version: str = "v1") -> PretendHost:
    host = PretendHost(name)
    host.start(f"app-web-{version}", f"{host.repository}:{version}", labels=LABELS)
    return host


def test_a_line_has_its_host_role_version_and_container() -> None:
    (row,) = rows(serving("web-1"))
    assert (row["host"], row["role"], row["version"], row["message"]) == ("web-1", "web", "v1", "the app starts")
    assert len(row["container"]) == 12
    assert row["at"] > 0


def test_a_host_without_such_a_container_has_a_row_that_says_so() -> None:
    (row,) = rows(PretendHost("web-1"))
    assert (row["host"], row["error"]) == ("web-1", "there is no container of role web")


def test_a_log_in_which_nothing_fits_has_no_row() -> None:
    assert rows(serving("web-1"), grep="zzz") == ()


def test_rows_of_all_hosts_come_by_time_and_lines_without_one_stay_where_they_were() -> None:
    made = [
        {"host": "a", "container": "1", "at": 3.0, "message": "a3"},
        {"host": "a", "container": "1", "at": None, "message": "more of a3"},
        {"host": "b", "container": "2", "at": 1.0, "message": "b1"},
        {"host": "b", "container": "2", "at": 4.0, "message": "b4"},
    ]
    assert [row["message"] for row in logs.in_time(made)] == ["b1", "a3", "more of a3", "b4"]


def test_a_pattern_that_a_host_refuses_is_the_persons_mistake() -> None:
    host = serving("web-1").fail("read logs", code=64, said="grep: Unmatched [")
    made = rows(host, grep="[")
    answers = Answers(config=CONFIG, selection=select(CONFIG), rows=made)
    with pytest.raises(UsageError, match=r"grep on web-1 does not take this pattern: Unmatched \[. Write"):
        logs.read(LogOptions(grep="[")).whole(answers)


def test_nothing_found_is_a_note() -> None:
    answers = Answers(config=CONFIG, selection=select(CONFIG), rows=())
    assert logs.read(LogOptions(grep="x")).notes(answers, ()) == ("Nothing found: no line to show.",)


# -- following -----------------------------------------------------------------------------------------------


class Listener:
    """Follows in a thread, and can be waited for."""

    def __init__(self, following: Following) -> None:
        self.lines: list[LogLine] = []
        self.error: Exception | None = None
        self._changed = threading.Condition()
        self._following = following
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for line in self._following:
                with self._changed:
                    self.lines.append(line)
                    self._changed.notify_all()
        except Exception as error:
            self.error = error

    def until(self, holds: Callable[[list[LogLine]], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.lines), 10), self.lines


@contextmanager
def listening(*hosts: PretendHost, **options: Any) -> Iterator[Listener]:
    following = follow(PretendFleet(hosts), CONFIG, select(CONFIG), LogOptions(**options))
    listener = Listener(following)
    try:
        yield listener
    finally:
        following.close()
        listener.thread.join(10)
        assert not listener.thread.is_alive()


def test_all_hosts_are_merged_and_new_containers_are_followed() -> None:
    hosts = serving("web-1"), serving("web-2")
    with listening(*hosts) as listener:
        listener.until(lambda lines: {line.host for line in lines} == {"web-1", "web-2"})
        with hosts[1].lock:
            hosts[1].start("app-web-v2", f"{hosts[1].repository}:v2", labels=LABELS)
        listener.until(lambda lines: any((line.host, line.version) == ("web-2", "v2") for line in lines))
    assert {line.kind for line in listener.lines} == {"line"}


def test_a_lost_connection_is_said_and_nothing_is_told_twice() -> None:
    hosts = serving("web-1"), serving("web-2")
    with listening(*hosts) as listener:
        listener.until(lambda lines: len(lines) == 2)
        hosts[0].lose_connection("follow logs")
        listener.until(lambda lines: any(line.message == "connected again" for line in lines))
        with hosts[0].lock:
            hosts[0].start("app-web-v3", f"{hosts[0].repository}:v3", labels=LABELS)
        listener.until(lambda lines: any(line.version == "v3" for line in lines))
    told = [(line.kind, line.version) for line in listener.lines if line.host == "web-1"]
    assert told == [("line", "v1"), ("note", ""), ("note", ""), ("line", "v3")]


def test_a_host_that_cannot_be_reached_is_said_and_the_others_are_followed() -> None:
    hosts = serving("web-1"), serving("web-2")
    hosts[0].unreachable = True
    with listening(*hosts) as listener:
        listener.until(lambda lines: {line.kind for line in lines} == {"problem", "line"})
        assert [line.host for line in listener.lines if line.kind == "problem"] == ["web-1"]
        hosts[0].unreachable = False
        listener.until(lambda lines: any((line.host, line.kind) == ("web-1", "line") for line in lines))


def test_where_no_host_can_be_reached_it_ends_with_the_reason() -> None:
    hosts = serving("web-1"), serving("web-2")
    hosts[0].unreachable = hosts[1].unreachable = True
    with listening(*hosts) as listener:
        listener.thread.join(10)
    assert isinstance(listener.error, HostUnreachable)


def test_a_host_that_is_reached_just_when_the_last_one_was_given_up_makes_no_success_of_the_end() -> None:
    following = follow(PretendFleet([serving("web-1")]), CONFIG, select(CONFIG, (), ("web-1",)), LogOptions())
    assert following.failed("web-1", HostUnreachable("web-1", "connect", "nothing answers at web-1."))
    following.put(None)
    assert not following.reached("web-1")
    with pytest.raises(HostUnreachable):
        list(following)


def test_closing_ends_it_though_nobody_reads() -> None:
    following = follow(PretendFleet([serving("web-1"), serving("web-2")]), CONFIG, select(CONFIG), LogOptions())
    lines = iter(following)
    next(lines)
    began = time.monotonic()
    lines.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kamalnb-logs")]


def stamp(number: float) -> str:
    return f"2026-01-02T13:{int(number // 60):02d}:{number % 60:012.9f}Z"


def test_what_comes_a_second_time_is_passed_over_and_asked_for_again_from_a_moment_before() -> None:
    window = _Window("v1", "a" * 64, "web")
    lines = [Printed("a" * 12, stamp(number / 2), f"line {number}") for number in range(20)]
    assert [window.is_new(line) for line in (*lines, *lines[15:])] == [True] * 20 + [False] * 5
    assert window.since == stamp(7.5)
    assert window.is_new(Printed("a" * 12, stamp(9.5), "another at the same time"))


def test_the_memory_of_lines_is_bounded() -> None:
    window = _Window("v1", "a" * 64, "web")
    for number in range(WINDOW + 100):
        window.is_new(Printed("a" * 12, stamp(number / 100), str(number)))
    assert len(window._lines) == len(window._known) == WINDOW


def test_lines_of_one_container_keep_their_order() -> None:
    made = [LogLine(host=h, container="1", at=at, message=m) for h, at, m in (
        ("a", 5.0, "a first"), ("a", 4.9, "a second"), ("b", 4.95, "b"), ("a", None, "a third"),
    )]  # fmt: skip
    assert [line.message for line in in_order(made)] == ["b", "a first", "a second", "a third"]


# -- on the terminal -----------------------------------------------------------------------------------------

LINE = LogLine(
    host="web-10", role="web", version="v1", container="abc", at=1357133017.5, message="\033[31mred\033[0m \a"
)


def test_prefixes_are_aligned_and_coloured_by_host() -> None:
    plain = Places(("web-1", "web-10"), ("web", "workers"))
    assert plain.prefix("web-1", "web") == "web-1  web      "
    assert Places(("web-1",), ("web",), coloured=True).prefix("web-1", "web") == "\033[36mweb-1\033[0m  "
    assert Places(("web-1",), bare=True).prefix("web-1") == ""


def table(*made: Any) -> Table:
    return Table(name="logs", columns=logs.COLUMNS, rows=made, hosts=2, notes=("a note",))


def test_what_an_app_wrote_is_shown_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"host": "web-10", "role": "web", "at": 1357133017.5, "message": LINE.message}
    assert show_logs(table(row), ("web-1", "web-10"), ("web",), Style(), timestamps=True) == 0
    out, err = capsys.readouterr()
    assert out == "web-10  2013-01-02T13:23:37.500Z  ?[31mred?[0m ?\n"
    assert err == "a note\n"


def test_what_could_not_be_read_goes_to_standard_error_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_logs(table({"host": "web-1", "role": "web", "error": "no"}), ("web-1",), ("web",), Style()) == 1
    assert capsys.readouterr().err.startswith("web-1 web: no\n")


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_logs(table({"host": "web-1", "message": "\033x"}), ("web-1",), ("web",), Style(json=True))
    out, err = capsys.readouterr()
    assert (json.loads(out)["message"], err) == ("\033x", "")
    assert as_record(LINE)["at"] == "2013-01-02T13:23:37.500000Z"


class Scripted:
    """A following that has these lines, then Ctrl-C."""

    closed = False

    def __iter__(self) -> Iterator[LogLine]:
        yield LINE
        yield LogLine(host="web-1", message="the connection was lost; connecting again", kind="note")
        raise KeyboardInterrupt

    def close(self) -> None:
        self.closed = True


def test_ctrl_c_ends_following_in_peace(capsys: pytest.CaptureFixture[str]) -> None:
    following: Any = Scripted()
    assert follow_logs(following, ("web-1", "web-10"), ("web",), Style()) == 130
    assert following.closed
    out, err = capsys.readouterr()
    assert out == "web-10  ?[31mred?[0m ?\n"
    assert err == "web-1   — the connection was lost; connecting again\n"
