"""The notebook on real hosts: a cell in JupyterLab boots, cancels and undoes; the hosts show that it happened."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))

from lab_page import Notebook, chromium, running
from shop import Shop

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def shop(make_shop: Any) -> Shop:
    shop: Shop = make_shop("notebook")
    shop.must_boot("v1")
    return shop


@pytest.fixture
def notebook(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    with running(tmp_path / "jupyter", "lab") as lab, chromium() as browser:
        made = Notebook(lab, browser, request.node.name)
        yield made
        made.close()


def ended(notebook: Notebook, number: int) -> bool:
    return notebook.output(number).locator(".kn-card").count() > 0


def test_a_cell_boots_and_undoes_real_hosts(shop: Shop, notebook: Notebook) -> None:
    file = shop.config()
    notebook.open(
        f"import kamalnb as kn\nfleet = kn.Fleet(config_file={str(file)!r})\nfleet",
        "kn.show(fleet.containers)",
        "run = fleet.plan('v2').boot()",
        "back = fleet.undo()",
    )
    for number in (0, 1, 2):
        notebook.run(number)
    assert "2 hosts" in notebook.output(0).inner_text()
    assert "2 of 2 hosts" in notebook.output(1).inner_text()
    box = notebook.page.get_by_role("textbox", name="Type web@v2 to boot 2 hosts:")
    box.fill("web@v2")
    box.press("Enter")
    notebook.until(lambda: ended(notebook, 2), "the record", 120)
    assert "v2 serves on web-1, web-2 instead of v1" in notebook.output(2).inner_text()
    assert {shop.version_at(host) for host in shop.hosts} == {"v2"}
    notebook.run(3)
    notebook.output(3).get_by_role("button", name="Undo", exact=True).click()
    notebook.until(lambda: ended(notebook, 3), "the record", 120)
    assert {shop.version_at(host) for host in shop.hosts} == {"v1"}


def test_cancel_by_button_leaves_real_hosts_as_they_were(shop: Shop, notebook: Notebook) -> None:
    file = shop.config()
    notebook.open(
        f"import kamalnb as kn\nfleet = kn.Fleet(config_file={str(file)!r})",
        "run = fleet.plan('slow').boot(confirm='web@slow')",
    )
    notebook.run(0)
    notebook.run(1)
    notebook.output(1).get_by_role("button", name="Cancel", exact=True).click()
    notebook.until(lambda: ended(notebook, 1), "the record", 120)
    assert "stopped" in notebook.output(1).inner_text()
    assert {shop.version_at(host) for host in shop.hosts} == {"v1"}
