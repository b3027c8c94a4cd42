"""JupyterLab and Debian's Chromium for tests marked ``browser``. Everything is local, and stopped by its pid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_page import Lab, Notebook, chromium, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory drives a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab of this run's own, with nothing of the person who runs it."""
    pytest.importorskip("jupyterlab")
    home = tmp_path_factory.mktemp("jupyter")
    with running(home, "lab") as lab:
        yield lab


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """One Chromium for all tests."""
    with chromium() as started:
        yield started


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A red test shows what stood on the page, so that a run on another machine can be read."""
    report = yield
    made = getattr(item, "funcargs", {}).get("notebook")
    if report.failed and isinstance(made, Notebook):
        report.sections.append(("the page", made.shown()))
    return report


@pytest.fixture
def notebook(jupyter: Lab, browser: object, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """An empty notebook, opened; ``notebook.open(cells)`` fills it."""
    made = Notebook(jupyter, browser, request.node.name)
    yield made
    made.close()
