"""The tables of the proxies on pretend hosts: details, differences, logs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from boots import config, serving

from kamalnb.config.model import Config
from kamalnb.plan import select
from kamalnb.reads import Answers, Read, Scene, proxies
from kamalnb.tables import Table
from kamalnb.testing import PretendHost, drive_on


def asked(host: PretendHost, read: Read, file: Config | None = None) -> list[dict[str, Any]]:
    """The rows of one host; it is asked once."""
    driven = drive_on(host, read.look(Scene(config=file or config(), host="web-1", roles=())))
    assert driven.error is None, driven.error
    assert len(driven.scripts) == 1
    assert not host.did
    return [dict(row) for row in driven.value]


def whole(read: Read, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    file = config()
    answers = Answers(config=file, selection=select(file), rows=tuple(rows))
    return [dict(row) for row in read.whole(answers)], read.notes(answers, rows)


@pytest.fixture
def host() -> PretendHost:
    host = serving("v1")
    host.did.clear()
    return host


def test_details_of_a_traefik_that_runs(host: PretendHost) -> None:
    (row,) = asked(host, proxies.details())
    assert (row["host"], row["status"], row["image"], row["version"]) == ("web-1", "running", "traefik:v3.7", "3.7.15")
    assert (row["ports"], row["throttle"], row["idle"], row["as_in_file"]) == ("80:80", 0.1, 1.0, False)
    assert row["api"] == "http://172.17.0.2:8080"
    assert row["since"] > 1_700_000_000


def test_a_stopped_one_has_no_since(host: PretendHost) -> None:
    host.find("traefik").status = "exited"
    (row,) = asked(host, proxies.details())
    assert (row["status"], row["since"], row["version"]) == ("exited", None, "3.7")


@pytest.mark.parametrize("read", [proxies.details(), proxies.differences(), proxies.logs()], ids=lambda one: one.name)
def test_a_host_without_traefik_has_a_row(host: PretendHost, read: Read) -> None:
    del host.containers[host.find("traefik").id]
    (row,) = asked(host, read)
    assert row["status"] == "missing"


@pytest.mark.parametrize("read", [proxies.details(), proxies.differences(), proxies.logs()], ids=lambda one: one.name)
def test_rows_fit_their_columns(host: PretendHost, read: Read) -> None:
    rows, _ = whole(read, asked(host, read))
    missing = read.missing(Scene(config=config(), host="web-9", roles=()), "no route")
    table = Table(name=read.name, columns=read.columns, rows=(*rows, *missing))
    assert [record["host"] for record in table.records()][-1] == "web-9"
    for column in (one for one in table.columns if one.words):
        assert {row.get(column.name) for row in table.rows} <= {*column.words, None}


def test_differences_are_rows_and_the_gap_is_a_note(host: PretendHost) -> None:
    read = proxies.differences()
    rows = asked(host, read)
    assert ("--log.level", "", "INFO") in [(row["setting"], row["running"], row["file"]) for row in rows]
    _, notes = whole(read, rows)
    assert len(notes) == 1
    assert "web-1 serves nothing for about" in notes[0]


def test_what_a_reboot_would_be_refused_for_is_a_note(host: PretendHost) -> None:
    host.images["traefik:v2.11.31"] = host.images["traefik:v3.7"]
    file = config()
    read = proxies.differences()
    _, notes = whole(read, asked(host, read, replace(file, traefik=replace(file.traefik, image="traefik:v2.11.31"))))
    assert any("is v3, the file asks for v2" in note and "--major" in note for note in notes)


def test_log_lines_have_their_time_and_no_paint(host: PretendHost) -> None:
    traefik = host.find("traefik")
    traefik.app = replace(traefik.app, says=("\x1b[90mstarts\x1b[0m", "listens"))
    rows = asked(host, proxies.logs())
    assert [row["message"] for row in rows] == ["starts", "listens"]
    assert rows[1]["at"] - rows[0]["at"] == 1.0


def test_logs_of_all_hosts_are_merged_by_time_and_a_line_without_one_stays_in_place() -> None:
    rows = [
        {"host": "web-1", "at": 1.0, "message": "a"}, {"host": "web-1", "at": None, "message": "a continued"},
        {"host": "web-1", "at": 3.0, "message": "c"}, {"host": "web-2", "at": 2.0, "message": "b"},
    ]  # fmt: skip
    merged, _ = whole(proxies.logs(), rows)
    assert [row["message"] for row in merged] == ["a", "a continued", "b", "c"]


def test_only_a_bare_question_is_limited_to_the_usual_lines(host: PretendHost) -> None:
    def words(**given: Any) -> tuple[str, ...]:
        driven = drive_on(host, proxies.logs(**given).look(Scene(config=config(), host="web-1", roles=())))
        return tuple(map(str, driven.ran[0].words))

    assert words()[6:8] == ("--tail", "100")
    assert "--tail" not in words(since="1h")
    assert "--tail" not in words(grep="x")
    assert words(since="1h", lines=5)[6:10] == ("--since", "1h", "--tail", "5")
