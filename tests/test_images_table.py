"""The table of images: one script a host, a row for each image, who uses it."""

from __future__ import annotations

from boots import booted, config, serving
from changes import on_host

from kamalnb.plan import select
from kamalnb.reads import Answers, Scene
from kamalnb.reads.images import COLUMNS, IMAGES, STATUS, look
from kamalnb.tables import Table
from kamalnb.testing import drive_on


def scene() -> Scene:
    return Scene(config=config(), host="web-1", roles=on_host().roles, now=0.0)


def test_each_image_has_a_row_that_says_who_uses_it() -> None:
    host = serving("v1")
    booted(host, "v2")
    done = drive_on(host, look(scene()))
    rows = {row["version"]: row for row in done.value}
    assert rows["v2"]["status"] == "running"
    assert rows["v2"]["used_by"] == "app-web-v2"
    assert rows["v1"]["status"] == "stopped"
    assert rows["v3"]["status"] == "unused"
    assert rows["v2"]["size"] == 200_000_000
    assert isinstance(rows["v2"]["created"], float)


def test_host_is_asked_once() -> None:
    done = drive_on(serving("v1"), look(scene()))
    assert len(done.scripts) == 1
    assert not done.scripts[0].changes


def test_rows_have_the_columns_and_no_others_and_fit_json() -> None:
    done = drive_on(serving("v1"), look(scene()))
    names = {column.name for column in COLUMNS}
    assert all(set(row) <= names for row in done.value)
    record = next(Table(name="images", columns=COLUMNS, rows=done.value).records())
    assert str(record["created"]).endswith("Z")


def test_unreachable_host_is_a_row() -> None:
    (row,) = IMAGES.missing(scene(), "no answer")
    assert row["status"] in STATUS
    assert set(row) <= {column.name for column in COLUMNS}


def test_latest_that_differs_between_hosts_is_a_note() -> None:
    rows = ({"host": "a", "version": "v1", "latest": True}, {"host": "b", "version": "v2", "latest": True})
    answers = Answers(config=config(), selection=select(config()), rows=rows)
    assert IMAGES.notes(answers, rows) == ("Hosts have different images tagged latest: v1, v2.",)
    assert IMAGES.notes(answers, rows[:1]) == ()
