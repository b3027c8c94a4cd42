"""Voilà shows the panel: the same notebook as an app, without its code."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab_page import ROOT
from nbformat.v4 import new_code_cell, new_notebook

CELL = "import kamalnb as kn\nkn.panel(kn.pretend(2, speed=20.0))"


def test_voila_shows_the_panel_and_it_works(tmp_path: Path, browser: Any) -> None:
    pytest.importorskip("voila")
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    file = tmp_path / "app.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(CELL)], metadata={"kernelspec": python}), file)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path / "ipython")}
    argv = [sys.executable, "-m", "voila", str(file), f"--port={port}", "--no-browser", "--Voila.ip=127.0.0.1"]
    process = subprocess.Popen(argv, env=env, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        page = browser.new_context().new_page()
        page.set_default_timeout(90_000)
        for _try in range(120):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.5)
        page.goto(f"http://127.0.0.1:{port}/", timeout=90_000)
        page.get_by_text("2 of 2 hosts answered.").wait_for()
        page.get_by_role("textbox", name="or type one").fill("v2")
        page.get_by_role("button", name="Plan", exact=True).click()
        box = page.get_by_role("textbox", name="Type web@v2 to boot 2 hosts:")
        box.fill("web@v2")
        box.press("Enter")
        page.get_by_text("v2 serves on web-1, web-2 instead of v1").first.wait_for()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
