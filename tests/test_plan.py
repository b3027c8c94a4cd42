"""What will be booted where: selection, batches, and which version a word means."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamalnb.config.model import Config
from kamalnb.config.reading import read_config
from kamalnb.docker import Container, Image, Mount
from kamalnb.errors import UsageError
from kamalnb.plan import batches, plan, resolve_version, select
from kamalnb.preflight import Survey

FILE = """
service: app
image: app
registry: {server: registry.example}
servers:
  web: [web-1, web-2, web-3]
  job: {hosts: [web-1, job-1], cmd: bin/job}
"""


def config(more: str = "") -> Config:
    return read_config(FILE + more, environ={})


def pairs(**chosen: object) -> list[str]:
    return [f"{role.name}@{host}" for host, role in select(config(), **chosen).pairs]


def test_without_words_everything_is_chosen_primary_host_first() -> None:
    assert pairs() == ["web@web-1", "job@web-1", "web@web-2", "web@web-3", "job@job-1"]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"roles": ["job"]}, ["job@web-1", "job@job-1"]),
        ({"hosts": ["web-[23]"]}, ["web@web-2", "web@web-3"]),
        ({"hosts": ["*-1"], "roles": ["j*"]}, ["job@web-1", "job@job-1"]),
        ({"primary": True}, ["web@web-1", "job@web-1"]),
        ({"hosts": ["web-2", "web-*"]}, ["web@web-1", "job@web-1", "web@web-2", "web@web-3"]),
    ],
)
def test_names_and_wildcards_choose(chosen: dict[str, object], found: list[str]) -> None:
    assert pairs(**chosen) == found


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"roles": ["wbe"]}, "No role is called “wbe”. There are: web, job"),
        ({"hosts": ["db-*"]}, "There are: web-1, web-2"),
    ],
)
def test_word_that_matches_nothing_names_the_choices(chosen: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pairs(**chosen)


def test_role_that_is_not_on_the_chosen_hosts_is_said() -> None:
    with pytest.raises(UsageError, match="No role runs on the chosen hosts"):
        pairs(roles=["web"], hosts=["job-1"])


def test_hosts_that_are_down_are_left_out_and_said() -> None:
    chosen = select(config("hosts_down: [web-2]\n"))
    assert chosen.left_out == (("web-2", "named in hosts_down"),)
    assert "web-2" not in chosen.hosts


@pytest.mark.parametrize(
    ("count", "limit", "sizes"),
    [
        (4, None, [4]),
        (4, 1, [1, 1, 1, 1]),
        (5, 2, [2, 2, 1]),
        (10, "25%", [2] * 5),
        (3, "10%", [1, 1, 1]),
        (3, "100%", [3]),
        (2, 9, [2]),
    ],
)
def test_batches(count: int, limit: int | str | None, sizes: list[int]) -> None:
    hosts = [f"h{number}" for number in range(count)]
    made = batches(hosts, limit)
    assert [len(batch) for batch in made] == sizes
    assert [host for batch in made for host in batch] == hosts


@given(
    st.integers(1, 60), st.one_of(st.none(), st.integers(1, 80), st.integers(1, 100).map(lambda number: f"{number}%"))
)
def test_any_batches_hold_every_host_once_and_are_never_empty(count: int, limit: int | str | None) -> None:
    hosts = [f"h{number}" for number in range(count)]
    made = batches(hosts, limit)
    assert [host for batch in made for host in batch] == hosts
    assert all(made)


def test_plan_has_one_boot_for_each_role_on_each_host_with_an_id_of_its_own() -> None:
    ids = (f"{number:032x}" for number in itertools.count())
    made = plan(config(), select(config()), version="v2", tag="v2", run_id="r", new_id=lambda: next(ids))
    assert len({boot.nonce for boot in made.boots}) == len(made.boots) == 5
    assert {boot.reference for boot in made.boots} == {"registry.example/app:v2"}
    assert [boot.role.name for boot in made.on("web-1")] == ["web", "job"]
    assert made.boots[0].container_name == "app-web-v2"


def test_host_names_of_containers_are_at_most_64_characters() -> None:
    ids = (f"{number:032x}" for number in itertools.count())
    long = read_config(FILE.replace("web-2", "w" * 60 + ".example.com"), environ={})
    made = plan(long, select(long), version="v2", tag="v2", run_id="r", new_id=lambda: next(ids))
    assert all(len(boot.hostname) <= 64 for boot in made.boots)
    assert all(boot.suffix == boot.nonce[:16] for boot in made.boots)


def image(*tags: str) -> Image:
    return Image(id=f"sha256:{'-'.join(tags)}", tags=tuple(f"registry.example/app:{tag}" for tag in tags))


def container(version: str, started: str, status: str = "running", role: str = "web") -> Container:
    labels = {"service": "app", "role": role, "destination": ""}
    return Container(
        id=version,
        name=f"app-{role}-{version}",
        labels=labels,
        status=status,
        started=moment(started),
        created=moment(started),
    )


def moment(day: str) -> str:
    return f"2026-01-0{day}T00:00:00.5Z"


def meant(word: str | None, *surveys: Survey) -> str:
    return resolve_version(word, config(), surveys).name


def test_a_tag_is_a_version() -> None:
    assert meant("abc123") == "abc123"


@pytest.mark.parametrize("word", ["a b", "-x", "ä", "a" * 129, "a/b", "$(x)", ""])
def test_what_no_tag_can_be_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="cannot be a version"):
        meant(word)


@pytest.mark.parametrize("word", [None, "latest"])
def test_without_a_word_it_is_the_other_tag_of_latest(word: str | None) -> None:
    both = (
        Survey(host="web-1", images=(image("latest", "v7"),)),
        Survey(host="web-2", images=(image("v7", "latest"), image("v6"))),
    )
    assert meant(word, *both) == "v7"


def test_hosts_with_different_latest_images_are_refused() -> None:
    both = (
        Survey(host="web-1", images=(image("latest", "v7"),)),
        Survey(host="web-2", images=(image("latest", "v6"),)),
    )
    with pytest.raises(UsageError, match=r"v6, v7.*--version"):
        meant(None, *both)


def test_latest_with_no_other_tag_is_called_latest() -> None:
    decided = resolve_version(None, config(), (Survey(host="web-1", images=(image("latest"),)),))
    assert (decided.name, decided.tag) == ("latest", "latest")
    assert "No other tag" in decided.sentence


def one_host(*found: Container) -> Survey:
    return Survey(host="web-2", containers=found)


def test_current_is_what_runs_and_previous_what_ran_before_it() -> None:
    host = one_host(container("v1", "1", "exited"), container("v3", "3"), container("v2", "2", "exited"))
    assert meant("current", host) == "v3"
    assert meant("previous", host) == "v2"


def test_previous_is_never_the_version_that_runs() -> None:
    host = one_host(
        container("v3", "4"), container("v3_replaced_0123456789abcdef", "3", "exited"), container("v2", "2", "exited")
    )
    assert meant("previous", host) == "v2"


def test_previous_is_never_what_a_dead_boot_left_in_the_dark() -> None:
    dark = replace(container("v4", "3", "exited"), mounts=(Mount(source="/cords/4", destination="/tmp/kamal-cord"),))
    found = (container("v3", "2"), dark, container("v2", "1", "exited"))
    assert meant("previous", Survey(host="web-2", containers=found, cords={"/cords/4": "dark"})) == "v2"
    assert meant("previous", Survey(host="web-2", containers=found, cords={"/cords/4": "cut"})) == "v4"


@pytest.mark.parametrize("word", ["current", "previous"])
def test_hosts_that_do_not_agree_are_refused_naming_each(word: str) -> None:
    other = Survey(host="web-3", containers=(container("v9", "3"), container("v8", "1", "exited")))
    with pytest.raises(UsageError, match="web on web-2") as refused:
        meant(word, one_host(container("v3", "3"), container("v2", "1", "exited")), other)
    assert "web on web-3" in str(refused.value)


def test_current_where_nothing_runs_is_refused() -> None:
    with pytest.raises(UsageError, match="none"):
        meant("current", one_host())
