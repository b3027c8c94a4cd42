"""Containers and images taken away on a pretend host: what runs leaves first, what others use stays."""

from __future__ import annotations

from boots import KAMAL_CORD, REPOSITORY, booted, kamal, role, serving
from changes import change, must, on_host

from kamalnb.cutover import Old
from kamalnb.docker import Container, Mount
from kamalnb.flows.leaving import cords_of
from kamalnb.flows.removing import container_removed, containers_removed, images_removed
from kamalnb.testing import PretendHost, drive_on


def test_running_version_is_cut_drained_and_stopped_before_it_is_removed() -> None:
    host = serving("v1")
    done = drive_on(host, container_removed(change(), "v1"))
    order = [name for name in done.names if name in ("cut cord", "drain", "stop container", "remove container")]
    assert order == ["cut cord", "drain", "stop container", "remove container"]
    assert done.value.sentence == "web: removed 1 container (v1); v1 ran and was stopped first."
    assert host.find("app-web-v1") is None
    assert host.cords == {}


def test_stopped_version_is_removed_with_its_cord_and_the_serving_one_stays() -> None:
    host = serving("v1")
    booted(host, "v2")
    assert len(host.cords) == 2
    done = drive_on(host, container_removed(change(), "v1"))
    assert done.value.sentence == "web: removed 1 container (v1)."
    assert "cut cord" not in done.names
    assert host.serving == "v2"
    assert list(host.cords) == [host.of("v2").cord]


def test_version_without_a_container_changes_nothing() -> None:
    host = serving("v1")
    host.did.clear()
    done = must(host, container_removed(change(), "v9"))
    assert done.sentence == "web: no container of v9 was there; nothing was changed."
    assert host.did == []


def test_all_containers_of_the_role_go_and_other_roles_stay() -> None:
    host = serving("v1")
    booted(host, "v2")
    booted(host, "v1", role("job"))
    must(host, containers_removed(change()))
    assert [one.name for one in host.containers.values()] == ["traefik", "app-job-v1"]


def test_kamals_container_goes_with_its_cord() -> None:
    host = PretendHost()
    kamal(host)
    must(host, containers_removed(change()))
    assert KAMAL_CORD not in host.cords


def test_directory_that_is_not_below_our_cords_is_never_removed() -> None:
    mounts = ("/etc", "/home/deploy/.kamal/cords/app-web-1", "/home/deploy/.kamal/cords/a/../../x", "/")
    found = tuple(
        Container(id=str(n), name="x", mounts=(Mount(source=source, destination="/tmp/kamal-cord"),))
        for n, source in enumerate(mounts)
    )
    assert cords_of(found, "/tmp/kamal-cord", "/home/deploy/.kamal") == ("/home/deploy/.kamal/cords/app-web-1",)
    assert Old(container=found[0], cord=None).cord is None


def test_images_that_a_container_is_made_from_stay_and_that_is_said() -> None:
    host = serving("v1")
    done = must(host, images_removed(on_host()))
    assert f"{REPOSITORY}:v1" in host.images
    assert [name for name in host.images if name.startswith(REPOSITORY)] == [f"{REPOSITORY}:v1"]
    assert "those of app-web-v1 stay, since these containers are made from them" in done.sentence


def test_host_without_images_of_the_service_says_so() -> None:
    host = PretendHost(apps={})
    done = must(host, images_removed(on_host()))
    assert done.sentence == f"images: no image of {REPOSITORY} was there."
    assert host.did == []
