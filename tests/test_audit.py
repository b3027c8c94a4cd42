"""The audit log of all hosts: Kamal's lines and ours, merged; what cannot be read is shown as it is."""

from __future__ import annotations

import pytest
from boots import booted, config
from changes import change, must, on_host
from hypothesis import given
from hypothesis import strategies as st

from kamalnb.commands.audit import entries, entry, role_and_rest
from kamalnb.commands.server import audit
from kamalnb.errors import UsageError
from kamalnb.flows.stopping import stopped
from kamalnb.plan import select
from kamalnb.reads import Answers, Read, Scene
from kamalnb.reads.audit import COLUMNS, audits, since_seconds
from kamalnb.testing import PretendHost, drive_on

PATH = "/home/deploy/.kamal/app-audit.log"


def rows(host: PretendHost, read: Read, name: str = "web-1") -> tuple[dict[str, object], ...]:
    scene = Scene(config=config(), host=name, roles=on_host().roles)
    done = drive_on(host, read.look(scene))
    assert done.error is None
    return done.value


def merged(read: Read, *found: dict[str, object]) -> list[object]:
    answers = Answers(config=config(), selection=select(config()), rows=found)
    return [row["message"] for row in read.whole(answers)]


def test_kamals_line_is_read() -> None:
    found = entry("[2026-11-23T07:00:50Z] [jana@example.org] [staging] [web] Booted app version v1")
    assert found.at == 1795417250.0
    assert (found.performer, found.details) == ("jana@example.org", ("staging", "web"))
    assert found.message == "Booted app version v1"


def test_our_own_line_is_read_again() -> None:
    words = audit(PATH, ("jana", "", "web"), "Executed cmd '[x] [y]'").words
    found = entry(f"[2026-11-23T07:00:50Z]{words[2]}")
    assert (found.performer, found.details, found.message) == ("jana", ("web",), "Executed cmd '[x] [y]'")


@pytest.mark.parametrize("line", ["half a li", "[yesterday] [me] did it", "", "[2026-99-99T99:99:99Z] [me] x"])
def test_line_that_cannot_be_read_is_kept_as_the_message(line: str) -> None:
    found = entries(line)
    assert [(one.at, one.message) for one in found] == ([(None, line)] if line else [])


@given(st.text(max_size=80))
def test_any_line_is_read_and_nothing_in_it_steers_a_terminal(line: str) -> None:
    found = entry(line)
    assert all(text.isprintable() for text in (found.performer, *found.details, found.message))


def test_role_is_told_from_other_details() -> None:
    assert role_and_rest(("staging", "web", "app-web-v1"), "staging", ("web", "job")) == ("web", ("app-web-v1",))


def test_what_was_done_on_a_host_is_in_its_table() -> None:
    host = PretendHost()
    booted(host, "v1", performer="ana")
    must(host, stopped(change()))
    found = [(row["performer"], row["role"], row["message"]) for row in rows(host, audits())]
    assert found == [("ana", "web", "Booted app version v1"), ("jana", "web", "Stopped app version v1")]


def test_host_without_a_log_has_no_rows() -> None:
    assert rows(PretendHost(), audits()) == ()


def test_lines_are_bounded_on_the_host() -> None:
    host = PretendHost()
    host.files[PATH] = "".join(f"[2026-01-01T00:00:{n:02d}Z] [me] line {n}\n" for n in range(60))
    assert len(rows(host, audits())) == 50
    assert [row["message"] for row in rows(host, audits(lines=2))] == ["line 58", "line 59"]
    scene = Scene(config=config(), host="web-1", roles=())
    command = drive_on(host, audits(lines=10**9).look(scene)).ran[0]
    assert command.words[2:] == ("10000", "1000000")


def test_since_leaves_out_what_is_older_and_keeps_a_broken_line_with_its_neighbour() -> None:
    host = PretendHost()
    host.files[PATH] = "[2026-01-01T00:00:00Z] [me] old\n[2026-01-02T00:00:00Z] [me] new\nbroken\n"
    assert [row["message"] for row in rows(host, audits(since="2026-01-01T12:00:00Z"))] == ["new", "broken"]


def test_a_while_ago_is_by_the_hosts_own_clock() -> None:
    """It may be a day off: as its lines are."""
    host = PretendHost()
    host.began += 86_400.0
    host.files[PATH] = "[2026-01-01T23:00:00Z] [me] old\n[2026-01-01T23:58:00Z] [me] new\n"
    assert [row["message"] for row in rows(host, audits(since="10m"))] == ["new"]
    with pytest.raises(UsageError, match="is no moment"):
        audits(since="yesterday")


def test_hosts_are_merged_newest_first() -> None:
    read = audits()
    first, second = PretendHost(), PretendHost("web-2")
    first.files[PATH] = "[2026-01-01T00:00:01Z] [a] one\n[2026-01-01T00:00:03Z] [a] three\nnoise\n"
    second.files[PATH] = "[2026-01-01T00:00:02Z] [b] two\n"
    missing = {"host": "web-3", "status": "unreachable", "message": "gone"}
    found = merged(read, *rows(first, read), missing, *rows(second, read, "web-2"))
    assert found == ["noise", "three", "two", "one", "gone"]


def test_since_takes_a_moment_or_a_while_ago_and_refuses_anything_else() -> None:
    assert since_seconds("90s", 1000.0) == 910.0
    assert since_seconds("2d", 200_000.0) == 200_000.0 - 172_800.0
    assert since_seconds("2026-01-01T00:00:00Z", 0.0) == 1767225600.0
    with pytest.raises(UsageError, match="Write 42m"):
        since_seconds("yesterday", 0.0)


def test_every_column_says_what_it_is() -> None:
    assert all(column.about for column in COLUMNS)
