"""Which slot, which priority, which cord switches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from boots import role

from kamalnb import traefik
from kamalnb.commands import app
from kamalnb.cutover import CutOver, Direction, Situation, belongs, decide, traefik_port, version_of
from kamalnb.docker import Container, Image, Mount
from kamalnb.errors import BootError, Unclear

CORDS = "/home/deploy/.kamal/cords"
IMAGE = Image(id="i", ports=(3000,))
NONCE = "ab" * 16


def labels(**changes: str) -> dict[str, str]:
    return {**app.labels(role()), **{key.replace("__", "."): value for key, value in changes.items()}}


def own_rule(rule: str) -> dict[str, str]:
    """Labels with a rule of their own and no priority."""
    found = labels()
    del found["traefik.http.routers.app-web.priority"]
    return {**found, "traefik.http.routers.app-web.rule": rule}


def kamals(
    version: str = "v1", given: Mapping[str, str] | None = None, cord: bool = True, **changes: object
) -> Container:
    mounts = (Mount(source=f"{CORDS}/{version}", destination="/tmp/kamal-cord"),) if cord else ()
    values = {
        "id": version,
        "name": f"app-web-{version}",
        "labels": given or labels(),
        "health": "healthy",
        "mounts": mounts,
        "created": version,
    }
    return Container(**{**values, **changes})


def ours(cutover: CutOver, version: str, **changes: object) -> Container:
    """The container that a cut-over of ours starts."""
    return kamals(
        version, {**{k: v for k, v in labels().items() if not k.startswith("traefik.")}, **cutover.labels}, **changes
    )


def situation(*containers: Container, neighbours: tuple[Container, ...] = (), image: Image | None = IMAGE) -> Situation:
    cords = {f"{CORDS}/{one.id}": "tied" for one in containers}
    return Situation(home="/home/deploy", containers=containers, neighbours=neighbours, cords=cords, image=image)


def decided(*containers: Container, given: Mapping[str, str] | None = None, **more: object) -> CutOver:
    return decide(role(), situation(*containers, **more), NONCE, given or labels())


def priority(cutover: CutOver) -> int | None:
    return next(router.priority for router in traefik.routers(cutover.labels) if not router.for_acknowledging)


def test_first_boot_takes_blue_at_the_base() -> None:
    found = decided()
    assert (found.slot, found.level, found.direction, priority(found)) == ("blue", 0, Direction.UP, 2)


def test_container_as_kamal_made_it_at_the_base_is_switched_up() -> None:
    found = decided(kamals())
    assert (found.slot, found.level, found.direction, priority(found)) == ("blue", 1, Direction.UP, 3)


def test_ours_take_turns_for_ever() -> None:
    now, seen = decided(), []
    for number in range(6):
        now = decided(ours(now, f"v{number}"))
        seen.append((now.slot, now.level, now.direction.value, priority(now)))
    assert seen == [("green", 1, "up", 3), ("blue", 0, "down", 2)] * 3


def test_router_without_a_priority_takes_the_length_of_its_rule_in_bytes() -> None:
    rule = "Host(`a.example`)"
    found = decided(given=own_rule(rule))
    assert priority(found) == len(rule)
    above = decided(kamals(given=own_rule(rule)), given=own_rule(rule))
    assert (above.direction, priority(above)) == (Direction.UP, len(rule) + 1)


def test_base_is_what_the_running_one_has_where_the_file_says_none() -> None:
    running = {**own_rule("Host(`a.example`)"), "traefik.http.routers.app-web.priority": "40"}
    first = decided(kamals(given=running), given=own_rule("Host(`a.example`)"))
    assert (first.direction, priority(first)) == (Direction.UP, 41)
    second = decided(ours(first, "v2"), given=own_rule("Host(`a.example`)"))
    assert (second.direction, priority(second)) == (Direction.DOWN, 40)
    third = decided(ours(second, "v3"), given=own_rule("Host(`a.example`)"))
    assert (third.direction, priority(third)) == (Direction.UP, 41)


def test_changed_rule_keeps_the_level_of_the_running_one() -> None:
    first = decided(given=own_rule("Host(`a.example`)"))
    longer = decided(ours(first, "v1"), given=own_rule("Host(`a.example`) || Host(`b.example`)"))
    assert priority(longer) == len("Host(`a.example`)") + 1


def test_file_with_a_higher_priority_switches_up_from_where_it_is() -> None:
    found = decided(
        kamals(),
        given=labels(traefik__http__routers__app_web__priority="9") | {"traefik.http.routers.app-web.priority": "9"},
    )
    assert (found.level, found.direction, priority(found)) == (0, Direction.UP, 9)


def test_file_with_a_lower_priority_switches_down() -> None:
    old = kamals(given={**labels(), "traefik.http.routers.app-web.priority": "9"})
    found = decided(old)
    assert (found.level, found.direction, priority(found)) == (0, Direction.DOWN, 2)


def test_every_router_of_the_role_is_switched_by_one_level() -> None:
    given = {
        **labels(),
        "traefik.http.routers.app-secure.rule": "PathPrefix(`/`)",
        "traefik.http.routers.app-secure.entrypoints": "websecure",
    }
    given |= {"traefik.http.routers.app-secure.priority": "7"}
    found = decided(kamals(given=given), given=given)
    got = {router.name: router.priority for router in traefik.routers(found.labels) if not router.for_acknowledging}
    assert got == {"app-web-blue": 3, "app-secure-blue": 8}
    assert set(found.routers) == set(got)


def test_old_one_without_a_cord_is_shadowed_from_above() -> None:
    found = decided(kamals(cord=False, given={**labels(), "traefik.http.routers.app-web.priority": "9"}))
    assert found.direction is Direction.UP
    assert priority(found) == 10


def foreign(rule: str, level: str, **changes: str) -> Container:
    return Container(
        id=level,
        name=f"other-{level}",
        labels={
            f"traefik.http.routers.o{level}.rule": rule,
            f"traefik.http.routers.o{level}.priority": level,
            **changes,
        },
    )


def test_foreign_router_at_the_second_level_is_gone_round_below() -> None:
    old = decided(given={**labels(), "traefik.http.routers.app-web.priority": "20"})
    given = {**labels(), "traefik.http.routers.app-web.priority": "20"}
    found = decided(ours(old, "v1"), given=given, neighbours=(foreign("PathPrefix(`/`)", "21"),))
    assert (found.level, found.direction, priority(found)) == (-1, Direction.DOWN, 19)


def test_foreign_routers_at_both_levels_are_refused_by_name() -> None:
    old = decided()
    with pytest.raises(BootError, match=r"o1 of other-1.*o3 of other-3"):
        decided(ours(old, "v1"), neighbours=(foreign("PathPrefix(`/`)", "1"), foreign("PathPrefix(`/`)", "3")))


@pytest.mark.parametrize(
    "other",
    [foreign("Host(`b.example`)", "18"), replace(foreign("PathPrefix(`/`)", "18"), labels={"traefik.enable": "false"})],
)
def test_foreign_router_that_cannot_meet_ours_is_no_rival(other: Container) -> None:
    given = own_rule("Host(`a.example`)")
    found = decided(ours(decided(given=given), "v1"), given=given, neighbours=(other,))
    assert found.level == 1


def test_dark_one_beside_a_serving_one_is_a_leftover() -> None:
    serving = ours(decided(), "v2")
    dark = ours(replace(decided(serving)), "v3", health="unhealthy")
    found = decided(serving, dark)
    assert [old.container.id for old in found.serving] == ["v2"]
    assert [old.container.id for old in found.leftovers] == ["v3"]


def test_only_broken_ones_count_as_serving_the_newest_first() -> None:
    found = decided(kamals("v1", health="unhealthy"), kamals("v2", health="unhealthy"))
    assert [old.container.id for old in found.serving] == ["v2"]
    assert [old.container.id for old in found.leftovers] == ["v1"]


def test_both_slots_taken_by_serving_ones_is_refused() -> None:
    blue = ours(decided(), "v1", cord=False)
    green = ours(decided(ours(decided(), "v1")), "v2", cord=False)
    with pytest.raises(BootError, match="Both slots are taken"):
        decided(blue, green)


def test_one_whose_cord_was_torn_off_is_left_over_and_takes_no_slot() -> None:
    """Kamal's cut removes the directory; so does a boot that is taken back while its container still starts."""
    first = decided()
    torn = ours(decided(ours(first, "v1")), "v2", health="unhealthy")
    shown = situation(ours(first, "v1"), torn)
    cords = {path: state for path, state in shown.cords.items() if not path.endswith("/v2")}
    found = decide(role(), replace(shown, cords=cords), NONCE, labels())
    assert [old.container.id for old in found.serving] == ["v1"]
    assert [old.container.id for old in found.leftovers] == ["v2"]
    assert found.slot == "green"


def test_stopped_containers_do_not_count() -> None:
    found = decided(kamals(status="exited", health=None))
    assert (found.serving, found.leftovers, found.slot) == ((), (), "blue")


@pytest.mark.parametrize(
    ("ports", "given", "port"),
    [
        ((3000,), {}, 3000),
        ((8080,), {}, 8080),
        ((3000, 9090), {}, 3000),
        ((), {}, 3000),
        ((8080,), {"traefik.http.services.app-web.loadbalancer.server.port": "5000"}, 5000),
        ((8080,), {"traefik.http.services.app-web.LoadBalancer.Server.Port": "5000"}, 5000),
    ],
)
def test_port_that_traefik_will_use(ports: tuple[int, ...], given: dict[str, str], port: int) -> None:
    image = Image(id="i", ports=ports)
    assert traefik_port(role(), image, given) == port
    found = decided(given={**labels(), **given}, image=image)
    assert found.port == port
    labelled = [value for key, value in found.labels.items() if key.lower().endswith(".server.port")]
    assert labelled == ([str(port)] if given or len(ports) != 1 else [])


def test_port_label_that_is_no_number_is_an_error_of_ours() -> None:
    with pytest.raises((BootError, Unclear)):
        decided(given={**labels(), "traefik.http.services.app-web.loadbalancer.server.port": "http"})


def test_udp_routers_are_refused() -> None:
    with pytest.raises(BootError, match="UDP"):
        decided(given={**labels(), "traefik.udp.routers.dns.entrypoints": "dns"})


def test_role_without_an_http_router_is_refused() -> None:
    given = {key: value for key, value in labels().items() if ".routers." not in key}
    with pytest.raises(BootError, match="no HTTP router"):
        decided(given=given)


def test_several_services_need_a_router_that_names_one() -> None:
    given = {**labels(), "traefik.http.services.second.loadbalancer.server.port": "1"}
    with pytest.raises(BootError, match="2 services"):
        decided(given=given)
    assert decided(given={**given, "traefik.http.routers.app-web.service": "app-web"}).service == "app-web-blue"


@pytest.mark.parametrize(("destination", "ours_too"), [("", True), (None, True), ("staging", False)])
def test_missing_and_empty_destination_are_one(destination: str | None, ours_too: bool) -> None:
    found = {"service": "app", "role": "web", **({} if destination is None else {"destination": destination})}
    assert belongs(Container(id="x", name="x", labels=found), role()) is ours_too


@pytest.mark.parametrize(
    ("name", "version"),
    [("app-web-v1", "v1"), ("app-web-v1_replaced_0123456789abcdef", "v1"), ("app-web-v1-2", "v1-2")],
)
def test_version_is_in_the_name(name: str, version: str) -> None:
    assert version_of(Container(id="x", name=name), role()) == version


def test_version_label_wins_over_the_name() -> None:
    assert version_of(Container(id="x", name="app-web-latest", labels={"kamalnb.version": "v7"}), role()) == "v7"
