"""What people look at, asked of pretend hosts: one script a host, fixed columns, every host a row."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest

import kamalnb as kn
from kamalnb.fleet import Fleet
from kamalnb.frames import frame
from kamalnb.reads import Read, containers, locks, stats, status, versions
from kamalnb.tables import Table, seconds_of
from kamalnb.testing import PretendFleet, PretendHost, pretend

READS = [containers.READ, containers.STALE, versions.READ, status.READ, locks.READ, stats.READ]


def hosts_of(fleet: Fleet) -> dict[str, PretendHost]:
    assert fleet.connect is not None
    executor = fleet.connect(None)  # type: ignore[arg-type]
    assert isinstance(executor, PretendFleet)
    return executor.hosts


def booted(version: str = "v2", hosts: int = 2) -> Fleet:
    fleet = pretend(hosts=hosts)
    fleet.boot(version).wait()
    return fleet


def rows(table: Table, **wanted: object) -> list[dict[str, object]]:
    return [dict(row) for row in table.rows if all(row.get(key) == value for key, value in wanted.items())]


def test_the_serving_container_comes_first_and_the_one_before_it_is_marked() -> None:
    table = booted().table(containers.READ)
    assert [(r["host"], r["version"], r["status"], r["mark"], r["routed"]) for r in table.rows] == [
        ("web-1", "v2", "running", "serves", True),
        ("web-1", "v1", "exited", "previous", False),
        ("web-2", "v2", "running", "serves", True),
        ("web-2", "v1", "exited", "previous", False),
    ]


@pytest.mark.parametrize("read", READS, ids=lambda read: read.name)
def test_a_host_that_does_not_answer_is_a_row(read: Read) -> None:
    fleet = booted()
    hosts_of(fleet)["web-2"].unreachable = True
    table = fleet.table(read)
    (row,) = rows(table, host="web-2")
    assert (row["status"], "nothing answers" in str(row["error"])) == ("unreachable", True)
    assert set(table.failed) == {"web-2"}
    assert rows(table, host="web-1") or read is containers.STALE


@pytest.mark.parametrize("read", READS, ids=lambda read: read.name)
def test_each_host_is_asked_once_in_one_script(read: Read) -> None:
    fleet = booted()
    asked = []
    inner = fleet.connect(None)  # type: ignore[arg-type,misc]

    class Counting:
        def run(self, host: str, *rest: object) -> object:
            asked.append(host)
            return inner.run(host, *rest)  # type: ignore[arg-type]

        def close(self) -> None:
            pass

    dataclasses.replace(fleet, connect=lambda project: Counting()).table(read)  # type: ignore[arg-type,return-value]
    assert sorted(asked) == ["web-1", "web-2"]


@pytest.mark.parametrize("read", READS, ids=lambda read: read.name)
def test_looking_changes_nothing_on_a_host(read: Read) -> None:
    fleet = booted()
    for host in hosts_of(fleet).values():
        host.did.clear()
    fleet.table(read)
    assert [host.did for host in hosts_of(fleet).values()] == [[], []]


@pytest.mark.parametrize("read", READS, ids=lambda read: read.name)
def test_a_frame_has_the_same_types_when_it_is_empty(read: Read) -> None:
    full = booted().table(read)
    empty = dataclasses.replace(full, rows=())
    assert dict(frame(empty).dtypes) == dict(frame(full).dtypes)


@pytest.mark.parametrize("read", READS, ids=lambda read: read.name)
def test_every_record_is_json_with_every_column(read: Read) -> None:
    table = booted().table(read)
    for record in table.records():
        assert json.loads(json.dumps(record)) == record
        assert list(record) == [column.name for column in table.columns]


def test_status_is_an_ordered_category_and_times_are_utc() -> None:
    found = booted().containers()
    assert list(found[found.status > "running"].version) == ["v1", "v1"]
    assert str(found.since.dtype).endswith("UTC]")
    assert isinstance(found, pd.DataFrame)
    assert found.attrs["hosts"] == 2


def test_skew_is_said_in_words() -> None:
    fleet = booted("v1")
    fleet["web-2"].boot("v2").wait()
    assert "Skew: web serves v1 on web-1; v2 on web-2." in fleet.table(containers.READ).notes
    assert "Skew: web serves v1 on web-1; v2 on web-2." in fleet.table(status.READ).notes


def test_one_version_from_two_images_is_skew_too() -> None:
    table = booted().table(containers.READ)
    moved = [
        {**row, "digest": "other"} if row["host"] == "web-2" and row["mark"] == "serves" else row for row in table.rows
    ]
    assert list(containers.skew(moved)) == [
        f"Skew: web serves v2 from 2 different images ({', '.join(sorted(['other', str(table.rows[0]['digest'])]))})."
    ]


def test_a_container_that_runs_besides_is_stale() -> None:
    fleet = booted()
    host = hosts_of(fleet)["web-1"]
    labels = {**host.of("v1").labels, "kamalnb.version": "v3"}
    host.start("app-web-v3", f"{host.repository}:v3", labels=labels, check=host.of("v2").check)
    host.time.pass_by(5.0)
    table = fleet.table(containers.STALE)
    assert [(row["host"], row["version"], row["mark"]) for row in table.rows] == [("web-1", "v3", "stale")]
    assert fleet.table(containers.READ).notes[-1].startswith("1 stale container runs besides what serves")


def test_status_says_who_booted_what_and_the_way_back() -> None:
    table = booted().table(status.READ)
    assert [(r["version"], r["status"], r["by"], r["previous"]) for r in table.rows] == [
        ("v2", "serves", "pretend", "v1"),
        ("v2", "serves", "pretend", "v1"),
    ]
    assert any(note.startswith("Last boot: v2 by pretend") for note in table.notes)
    assert "The way back: invoke undo (to v1)" in table.notes


def test_status_says_when_nothing_serves() -> None:
    fleet = pretend(hosts=1, serving=None)
    table = fleet.table(status.READ)
    assert [row["status"] for row in table.rows] == ["nothing"]
    assert table.notes[0].startswith("Nothing serves web on web-1")


def test_a_checkout_that_knows_fewer_hosts_than_the_last_boot_is_said() -> None:
    fleet = booted(hosts=2)
    for host in hosts_of(fleet).values():
        serving = host.of("v2")
        serving.labels = {**serving.labels, "kamalnb.hosts": "3"}
    notes = fleet.table(status.READ).notes
    assert "Your file knows 2 hosts, the last boot 3: this checkout may be stale. Pull before you boot." in notes


def test_a_lock_that_a_person_holds_is_shown_and_stops_a_boot() -> None:
    fleet = booted("v1")
    assert fleet.acquire_lock("database is moved").wait().ok
    (row, _) = fleet.table(locks.READ).rows
    assert (row["status"], row["holder"]) == ("held", "a person")
    assert "database is moved" in str(row["details"])
    report = fleet.boot("v2").wait(check=False)
    assert report.finished is not None
    assert (report.finished.exit_code, "database is moved" in report.finished.sentence) == (75, True)
    assert [host.serving for host in hosts_of(fleet).values()] == ["v1", "v1"]


def test_a_lock_that_was_released_stops_nobody() -> None:
    fleet = booted("v1")
    fleet.acquire_lock("for a moment").wait()
    assert fleet.release_lock().wait().ok
    assert fleet.boot("v2").wait().ok


def test_a_lock_is_not_taken_twice() -> None:
    fleet = booted("v1")
    fleet.acquire_lock("first").wait()
    report = fleet.acquire_lock("second").wait(check=False)
    assert report.finished is not None
    assert report.finished.exit_code == 75
    assert "first" in report.failures[0].error


def test_a_part_of_a_fleet_is_a_fleet() -> None:
    fleet = booted(hosts=3)
    assert list(fleet["web-1"].versions().host) == ["web-1"]
    assert list(fleet["web-[23]"].versions().host) == ["web-2", "web-3"]
    assert list(fleet["web"].versions().host) == ["web-1", "web-2", "web-3"]
    with pytest.raises(kn.KamalnbError, match="No role or host is called “wbe”"):
        fleet["wbe"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-25T22:55:16.123456789Z", 1795647316.123456),
        ("2026-11-25T22:55:16Z", 1795647316.0),
        ("2026-11-25T23:55:16+01:00", 1795647316.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_times_as_docker_writes_them(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == (None if seconds is None else pytest.approx(seconds))
