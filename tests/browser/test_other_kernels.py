"""The same tests in a browser with an older ipykernel: clicks come on other threads there, or later."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab_page import KERNEL, ROOT, Notebook

OLDEST = "6.31.0"
TESTS = ("test_rollout_in_jupyterlab.py", "test_panel_in_jupyterlab.py", "test_other_kernels.py")


def test_kernel_is_the_one_of_this_run(notebook: Notebook) -> None:
    places = {"path": [KERNEL]} if KERNEL else {}
    wanted = next(importlib.metadata.distributions(name="ipykernel", **places)).version
    notebook.open("import ipykernel; ipykernel.__version__")
    notebook.run(0)
    assert f"'{wanted}'" in notebook.output(0).inner_text()


def install(directory: Path, *packages: str) -> None:
    """Packages of their own, besides those of this Python. A venv may be without pip: then its maker's is used."""
    base = str(getattr(sys, "_base_executable", sys.executable))
    for python in (sys.executable, base):
        words = [python, "-m", "pip", "--python", sys.executable, "install", "--quiet", "--no-deps"]
        done = subprocess.run([*words, "--target", str(directory), *packages], capture_output=True, text=True)
        if done.returncode == 0:
            return
        if "No module named pip" not in done.stderr:
            break
    pytest.fail(f"pip cannot install {', '.join(packages)}: {done.stderr}")


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@pytest.mark.skipif(bool(KERNEL), reason="another kernel is used already")
def test_everything_in_a_browser_with_the_oldest_kernel(tmp_path: Path) -> None:
    install(tmp_path / "kernel", f"ipykernel=={OLDEST}", "nest-asyncio")
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "browser",
        *(str(Path(__file__).parent / one) for one in TESTS),
    ]
    env = {**os.environ, "KAMALNB_KERNEL": str(tmp_path / "kernel")}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:]
