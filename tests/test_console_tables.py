"""Tables as people see them: words that say what colours say, cells that keep their width, every host a row."""

from __future__ import annotations

import io
import json
import re

import pytest

from kamalnb import wording
from kamalnb.console.choice import Style
from kamalnb.console.tables import TONES, cell, exit_code, lines, show_table, shown, tone
from kamalnb.reads import containers, locks, status, versions
from kamalnb.tables import Column, Table

NOW = 1_800_000_000.0
COLUMNS = (
    Column(name="host"),
    Column(name="status", words=("serves", "nothing", "unreachable")),
    Column(name="routed", kind="flag"),
    Column(name="since", kind="moment"),
    Column(name="size", kind="bytes"),
    Column(name="by"),
    Column(name="id", wide=True),
)
ROWS = (
    {"host": "web-1", "status": "serves", "routed": True, "since": NOW - 90, "size": 2_140_000_000, "by": "jana@x.org",
     "id": "abc"},
    {"host": "web-22", "status": "unreachable", "error": "no answer"},
)  # fmt: skip
TABLE = Table(
    name="status", columns=COLUMNS, rows=ROWS, as_of=NOW, hosts=2, failed={"web-22": "no answer"}, notes=("Skew: x.",)
)


class Terminal(io.StringIO):
    """A terminal of a given width."""

    def isatty(self) -> bool:
        return True


def on_terminal(table: Table, width: int, monkeypatch: pytest.MonkeyPatch, **style: bool) -> str:
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CI", raising=False)
    out = Terminal()
    show_table(table, Style(**style), out)
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


def test_plain_lines_are_aligned_and_whole() -> None:
    head, first, second, note = lines(TABLE, Style())
    assert head == "host    status       routed  since      size     by"
    assert first == "web-1   serves       yes     2 min ago  2.14 GB  jana"
    assert second == "web-22  unreachable  –       –          –        –"
    assert note == "Skew: x."


def test_wide_columns_are_for_those_who_want_everything() -> None:
    assert [column.name for column in shown(TABLE, Style())][-1] == "by"
    assert [column.name for column in shown(TABLE, Style(verbose=True))][-1] == "id"


def test_a_column_without_any_value_is_not_shown() -> None:
    table = Table(name="x", columns=COLUMNS, rows=({"host": "web-1"},))
    assert [column.name for column in shown(table, Style())] == ["host"]


def test_json_has_every_column_and_moments_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_table(TABLE, Style(json=True)) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(first) == [column.name for column in COLUMNS]
    assert first["since"] == "2027-01-15T07:58:30Z"
    assert second["routed"] is None


@pytest.mark.parametrize(("failed", "hosts", "code"), [({}, 2, 0), ({"a": "x"}, 2, 1), ({"a": "x", "b": "x"}, 2, 69)])
def test_the_exit_code_says_how_many_hosts_answered(failed: dict[str, str], hosts: int, code: int) -> None:
    assert exit_code(Table(name="x", columns=COLUMNS, hosts=hosts, failed=failed)) == code


def test_what_hosts_say_cannot_steer_a_terminal() -> None:
    row = {"host": "\x1b[2Jweb\nx"}
    assert cell(COLUMNS[0], row, NOW) == "?[2Jweb x"


@pytest.mark.parametrize("width", [100, 72])
def test_no_name_of_a_host_is_cut_on_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_terminal(TABLE, width, monkeypatch)
    assert "web-22" in text
    assert "unreachable" in text
    assert max(map(len, text.splitlines())) <= width


def test_a_narrow_terminal_gets_a_block_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_terminal(TABLE, 40, monkeypatch)
    assert text.splitlines()[:3] == ["web-1", "  status: serves", "  routed: yes"]


def test_quiet_leaves_the_notes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Skew" not in on_terminal(TABLE, 100, monkeypatch, quiet=True)


@pytest.mark.parametrize("read", [containers.READ, status.READ, versions.READ, locks.READ], ids=lambda read: read.name)
def test_every_word_of_a_closed_set_has_a_meaning(read: object) -> None:
    words = {word for column in read.columns for word in column.words}  # type: ignore[attr-defined]
    without = words - set(TONES) - {"nobody", "a run", "a script", "a person", "Kamal"}
    assert without == set()


def test_nothing_serving_is_bad_and_nothing_to_do_is_not() -> None:
    assert tone(Column(name="status", words=("nothing",)), {"status": "nothing"}) == "red"
    assert tone(Column(name="way", words=("nothing",)), {"way": "nothing"}) == "dim"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s ago"), (59.0, "59 s ago"), (61, "1 min ago"), (3_599, "1 h 00 min ago")]
)
def test_ago_in_words(seconds: float, text: str) -> None:
    assert wording.ago(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(12, "12 B"), (214_263_472, "214 MB"), (2_140_000_000, "2.14 GB")])
def test_sizes_in_words(size: int, text: str) -> None:
    assert wording.size(size) == text
