"""The lab for tests marked ``lab``: one that runs already (KAMALNB_LAB=directory), else a new one for this run.

Workers side by side take one of the directories in KAMALNB_LAB each: a lab's hosts belong to one test at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_server import Place, Sshd, opened

from kamalnb.errors import LabError
from kamalnb.ssh import SshExecutor


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A ``kamalnb.lab.Lab`` of two hosts."""
    from kamalnb import lab as labs

    if running := os.environ.get("KAMALNB_LAB"):
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        yield labs.find(Path(running.split(os.pathsep)[worker]))
        return
    directory = tmp_path_factory.mktemp("lab")
    lines: list[str] = []
    try:
        yield labs.up(directory, say=lines.append)
    except LabError as error:
        pytest.fail(f"the lab does not come up: {error}\n" + "\n".join(lines))
    finally:
        labs.down(directory)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Where real sshds run on loopback ports, with their keys."""
    yield from opened(tmp_path)


@pytest.fixture
def web(place: Place) -> Sshd:
    """One of them."""
    return place.serve("web")


@pytest.fixture
def ssh(place: Place, web: Sshd) -> SshExecutor:
    """Our way to it."""
    return place.executor()
