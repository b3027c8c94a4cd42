from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shop import Shop

from kamalnb.lab import Lab

MakeShop = Callable[..., Shop]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory needs the lab's hosts."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="module")
def proxied(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab with Traefik on every host, as we start it: another module may have taken it away."""
    starter = Shop(lab, tmp_path_factory.mktemp("traefik"), "starter")
    report = starter.fleet().boot_traefik().wait(check=False)
    assert report.ok, report.failures
    yield lab
    starter.clean()


@pytest.fixture(scope="module")
def make_shop(proxied: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeShop]:
    """Makes services that are taken away again at the end of the module."""
    made: list[Shop] = []

    def make(name: str, hosts: tuple[str, ...] = (), **settings: Any) -> Shop:
        shop = Shop(proxied, tmp_path_factory.mktemp(name), name, hosts, **settings)
        shop.clean()
        made.append(shop)
        return shop

    yield make
    for shop in made:
        shop.clean()
