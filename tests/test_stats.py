"""What containers use: Docker's words for people as numbers, and the table that is made of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kamalnb.commands import stats as command
from kamalnb.errors import Unclear
from kamalnb.fleet import Fleet
from kamalnb.frames import frame
from kamalnb.reads import stats
from kamalnb.testing import App, PretendFleet, PretendHost, pretend

# As Docker 20.10 and 28 print it.
LINE = {
    "id": "f" * 64, "cpu": "12.34%", "memory": "23.8MiB / 7.637GiB", "net": "1.2kB / 3.45MB", "block": "0B / 4.1GB",
    "pids": "11",
}  # fmt: skip


def read(*lines: object) -> tuple[command.Usage, ...]:
    return command.usage("app").read("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))


def hosts_of(fleet: Fleet) -> dict[str, PretendHost]:
    assert fleet.connect is not None
    executor = fleet.connect(None)  # type: ignore[arg-type]
    assert isinstance(executor, PretendFleet)
    return executor.hosts


def test_what_docker_writes_for_people_is_read_as_numbers() -> None:
    (used,) = read(LINE)
    assert used == command.Usage(
        id="f" * 64, cpu=12.34, memory=24_956_109, limit=8_200_166_310, received=1200, sent=3_450_000, read=0,
        written=4_100_000_000, pids=11,
    )  # fmt: skip


def test_what_the_kernel_does_not_tell_is_not_known_and_not_nought() -> None:
    (used,) = read({**LINE, "cpu": "--", "memory": "-- / --", "net": "--", "pids": "--"})
    assert (used.cpu, used.memory, used.limit, used.received, used.pids) == (None, None, None, None, None)
    assert used.written == 4_100_000_000


def test_nothing_that_runs_is_no_usage() -> None:
    assert read() == ()


WRONG = ({**LINE, "memory": "lots"}, {**LINE, "net": "1 XB / 2 XB"}, {**LINE, "cpu": "all"}, {"id": "x"}, "no JSON")


@pytest.mark.parametrize("wrong", WRONG)
def test_what_no_docker_prints_is_unclear(wrong: object) -> None:
    with pytest.raises(Unclear):
        read(LINE, wrong)


def test_every_running_container_is_a_row_and_stopped_ones_are_none() -> None:
    fleet = pretend(2)
    fleet.boot("v2").wait()
    found = fleet.stats()
    assert list(zip(found.host, found.version, found.routed, strict=True)) == [
        ("web-1", "v2", True),
        ("web-2", "v2", True),
    ]
    assert set(found.memory) == {48 * 2**20}
    assert (found.limit > found.memory).all()
    assert (found.cpu_percent > 0).all()


def test_a_fleet_where_nothing_runs_is_an_empty_frame_with_the_same_types() -> None:
    empty, full = pretend(2, serving=None).stats(), pretend(2).stats()
    assert len(empty) == 0
    assert dict(empty.dtypes) == dict(full.dtypes)


def test_a_container_that_was_started_between_the_two_questions_has_no_numbers_yet() -> None:
    fleet = pretend(1)
    (host,) = hosts_of(fleet).values()
    host.failing["look at usage"] = [(0, "")]  # Docker's list of containers was empty at that moment
    (row,) = fleet.table(stats.READ).rows
    assert (row["host"], row["version"], row.get("memory")) == ("web-1", "v1", None)
    assert frame(fleet.table(stats.READ)).memory.notna().all()


def test_docker_that_does_not_answer_makes_the_host_a_row_that_says_so() -> None:
    fleet = pretend(2, fail={"web-2": "no docker"})
    table = fleet.table(stats.READ)
    assert [(row["host"], row["status"]) for row in table.rows] == [("web-1", "running"), ("web-2", "unreachable")]
    assert "Docker" in table.failed["web-2"]


def test_a_container_near_its_limit_is_named() -> None:
    fleet = pretend(2)
    hosts = hosts_of(fleet)
    for container in hosts["web-2"].containers.values():
        container.app = replace(container.app, memory=int(0.95 * hosts["web-2"].memory))
    (note,) = fleet.table(stats.READ).notes
    assert note == "Nearly full: web on web-2 has 4.08 GB of the 4.29 GB that it may have."


def test_open_requests_cost_processor_time_on_a_pretend_host() -> None:
    host = pretend(1)
    (there,) = hosts_of(host).values()
    there.traffic(every=0.1, lasting=(30.0,))
    there.time.pass_by(1.0)
    assert host.stats().cpu_percent[0] > 10
    assert App().memory < there.memory
