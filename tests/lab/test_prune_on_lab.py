"""Prune on real hosts: what is old goes, the way back and everybody else's things stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import MakeShop
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost
from surroundings import Surroundings, done

from kamalnb.flows.change import OnHost
from kamalnb.flows.env_files import deleted, pushed
from kamalnb.flows.pruning import containers_pruned, images_pruned, pruned
from kamalnb.shell import Secret


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    return make_shop("pruneshop", ("web-1",))


def retaining(change: OnHost, count: int) -> OnHost:
    return replace(change, config=replace(change.config, retain_containers=count))


def test_old_containers_and_loose_cords_go_and_the_way_back_stays(shop: Shop) -> None:
    for version in ("v1", "v2", "v3", "v4"):
        shop.must_boot(version)
    shop.as_deploy("web-1", f"mkdir -p {shop.run_directory}/cords/pruneshop-web-0123456789abcdef")
    shop.as_deploy("web-1", f"mkdir -p {shop.run_directory}/cords/othershop-web-0123456789abcdef")
    with shop.load(NO_WEBSOCKET) as load:
        outcomes = Surroundings(shop).each(lambda change: containers_pruned(retaining(change, 1)))
    assert_nothing_lost(load.stop())
    assert done(outcomes) == "prune: 2 old containers removed, 3 loose cords removed."
    standing = shop.standing("web-1")
    assert set(standing.containers) == {"pruneshop-web-v3", "pruneshop-web-v4"}
    assert sorted(standing.cords.values()) == ["cut", "empty", "tied"]
    assert "othershop-web-0123456789abcdef" in standing.cords


def test_way_back_still_works(shop: Shop) -> None:
    shop.must_boot("v3")
    shop.must_boot("v4")


def test_unused_images_of_the_repository_go_and_no_others(shop: Shop) -> None:
    tags = "for v in v1 v3 v4 latest; do docker tag registry:5000/app:${v#latest} registry:5000/pruneapp:$v || "
    tags += "docker tag registry:5000/app:v2 registry:5000/pruneapp:$v; done 2>/dev/null"
    shop.shell("web-1", tags)
    try:
        outcomes = Surroundings(shop, image="pruneapp").each(images_pruned)
        left = shop.shell("web-1", "docker image ls registry:5000/pruneapp --format '{{.Tag}}'").split()
        others = shop.shell("web-1", "docker image ls registry:5000/app --format '{{.Tag}}'").split()
    finally:
        gone = "docker rmi registry:5000/pruneapp:v1 registry:5000/pruneapp:v3 registry:5000/pruneapp:v4"
        shop.shell("web-1", f"{gone} registry:5000/pruneapp:latest >/dev/null 2>&1; :")
    assert done(outcomes) == "prune: 1 image removed."
    assert sorted(left) == ["latest", "v3", "v4"], "v3 and v4 have containers, v1 has none"
    assert {"v1", "v2", "v3", "v4"} <= set(others)


def test_pruning_all_again_finds_nothing_and_serves_on(shop: Shop) -> None:
    outcomes = Surroundings(shop, image="pruneapp").each(lambda change: pruned(change, best_effort=True))
    assert done(outcomes) == "prune: no old container to remove. prune: no image to remove."
    assert shop.version_at("web-1") == "v4"


def test_env_files_are_pushed_private_with_a_diff_of_keys(shop: Shop) -> None:
    def push(**values: str) -> str:
        secret = {"web": {key: Secret(value) for key, value in values.items()}}
        around = Surroundings(shop)
        sentence = done(around.each(lambda change: pushed(change, secret)))
        assert not [value for value in values.values() if value in repr(around.events) + sentence]
        return sentence

    assert "added A, B" in push(A="canary-1 with blanks", B="canary-2$(x)`y`'z'")
    assert push(A="canary-1 with blanks", B="canary-3", C="canary-4=x").endswith(
        "(web: added C; changed B; 1 the same)."
    )
    path = f"{shop.run_directory}/env/roles/pruneshop-web.env"
    assert shop.shell("web-1", "stat -c '%a %U' " + path).split() == ["600", "deploy"]
    assert shop.shell("web-1", f"cat {path}") == "A=canary-1 with blanks\nB=canary-3\nC=canary-4=x\n"
    assert push(A="canary-1 with blanks").endswith("(web: removed B, C; 1 the same).")
    assert shop.shell("web-1", f"ls {shop.run_directory}/env/roles").split() == ["pruneshop-web.env"]
    outcomes = Surroundings(shop).each(lambda change: deleted(change, traefik=False))
    assert done(outcomes) == "env files deleted: web."
    assert shop.shell("web-1", f"ls {shop.run_directory}/env/roles").split() == []
