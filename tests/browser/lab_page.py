"""A notebook in JupyterLab as a person uses it: cells, keys, what stands below them, the file on the disk."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

CHROMIUM = os.environ.get("KAMALNB_CHROMIUM", "/usr/bin/chromium")
KERNEL = os.environ.get("KAMALNB_KERNEL", "")
"""A directory with another ipykernel (``pip install --target``), put before the installed one."""
PATIENCE = 60_000
ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
TOKEN = "t0ken"
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension:plugin": {"autosaveInterval": 100000},
}


@dataclass(frozen=True)
class Lab:
    url: str
    token: str
    root: Path

    def api(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"{self.url}/api/{path}", method=method)  # noqa: S310
        request.add_header("Authorization", f"token {self.token}")
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def kernel_of(self, name: str) -> str:
        return next(one["kernel"]["id"] for one in self.api("sessions") if one["path"] == name)

    def interrupt(self, name: str) -> None:
        self.api(f"kernels/{self.kernel_of(name)}/interrupt", "POST")


class Notebook:
    def __init__(self, lab: Lab, browser: Any, name: str, *, width: int = 1200, height: int = 900) -> None:
        self.lab = lab
        self.name = re.sub(r"[^A-Za-z0-9]", "", name)[-40:]
        self.file = lab.root / f"{self.name}.ipynb"
        self.context = browser.new_context(viewport={"width": width, "height": height})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        # A busy machine makes JupyterLab ask things that nobody asked for.
        dialog = self.page.locator("dialog.jp-Dialog .jp-mod-accept")
        self.page.add_locator_handler(dialog.first, lambda button: button.click())

    def open(self, *cells: str) -> Notebook:
        """Writes the notebook and opens it."""
        python = {"name": "python3", "display_name": "Python 3", "language": "python"}
        cells_of = [new_code_cell(cell) for cell in cells]
        nbformat.write(new_notebook(cells=cells_of, metadata={"kernelspec": python}), self.file)
        self._visit()
        return self

    def _visit(self) -> None:
        url = f"{self.lab.url}/lab/workspaces/{self.name}/tree/{self.file.name}?reset&token={self.lab.token}"
        self.page.goto(url)
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        self.page.locator(".jp-NotebookPanel-toolbar").wait_for()
        self.until(self._has_kernel, "a kernel that is ready")

    def _has_kernel(self) -> bool:
        return bool(
            self.page.evaluate("() => !!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')")
        )

    def cell(self, number: int) -> Any:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def output(self, number: int) -> Any:
        return self.cell(number).locator(".jp-OutputArea").first

    def start(self, number: int) -> None:
        """Runs a cell; does not wait for its end. Once more where the notebook was not ready for keys yet."""
        before = self._prompt(number)
        for _try in range(5):
            self.cell(number).locator(".cm-content").first.click()
            self.page.keyboard.press("Control+Enter")
            for _look in range(15):
                if self._prompt(number) != before:
                    return
                self.page.wait_for_timeout(200)
        raise AssertionError(f"five times Control+Enter, and cell {number} does not run: {before}")

    def run(self, number: int) -> None:
        """Runs a cell and waits for its end."""
        before = self._prompt(number)
        self.start(number)
        self.until(lambda: self._prompt(number) != before and self.is_done(number), f"the end of cell {number}")

    def append(self, source: str) -> None:
        """One more cell at the end."""
        last = self.page.locator(".jp-Notebook .jp-Cell").count() - 1
        self.cell(last).locator(".cm-content").first.click()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("b")
        self.page.locator(".jp-Notebook .jp-Cell").nth(last + 1).wait_for()
        self.cell(last + 1).locator(".cm-content").first.click()
        self.page.keyboard.insert_text(source)

    def is_done(self, number: int) -> bool:
        return bool(re.fullmatch(r"\[\d+\]:?", self._prompt(number)))

    def _prompt(self, number: int) -> str:
        """What stands before a cell: ``[ ]:``, ``[*]:`` while it runs, then its number."""
        return str(self.cell(number).locator(".jp-InputPrompt").first.inner_text()).strip()

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
            self.page.wait_for_timeout(100)

    def save(self) -> None:
        before = self.file.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        self.until(lambda: self.file.stat().st_mtime_ns != before and self._is_whole(), "the saved file")

    def _is_whole(self) -> bool:
        try:
            return bool(json.loads(self.file.read_text()))
        except ValueError:
            return False

    def reload(self) -> None:
        self.page.reload()
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()

    def dark(self) -> None:
        self.page.evaluate(
            "() => window.jupyterapp?.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
        )
        self.page.wait_for_timeout(500)

    def saved(self, number: int) -> list[dict[str, Any]]:
        """The outputs of a cell as they are in the file."""
        return [dict(output) for output in nbformat.read(self.file, as_version=4).cells[number].outputs]

    def shown(self) -> str:
        """What stands on the page, in words, and where the focus is."""
        with contextlib.suppress(Exception):  # the page may be gone
            self.page.set_default_timeout(5000)
            focus = self.page.evaluate("() => document.activeElement?.outerHTML.slice(0, 300)")
            return f"{self.page.locator('.jp-Notebook').first.aria_snapshot()}\n\nfocus: {focus}"
        return "(the page does not answer)"

    def close(self) -> None:
        self.context.close()
        for session in self.lab.api("sessions"):
            if session["path"] == self.file.name:
                self.lab.api(f"sessions/{session['id']}", "DELETE")


def looks_like(name: str, snapshot: str) -> None:
    """The accessibility tree is that of the golden file; what differs from run to run is blotted out."""
    snapshot = re.sub(r"(plan|Plan) [0-9a-f]{8}", r"\1 ID", snapshot)
    snapshot = re.sub(r"\[\d+\]: ?", "", re.sub(r"\d\d:\d\d:\d\d", "TIME", snapshot))
    file = GOLDEN / f"{name}.txt"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(snapshot + "\n")
        pytest.fail(f"{file} was written: look at it, and run again")
    assert snapshot.strip() == file.read_text().strip()


@contextlib.contextmanager
def running(home: Path, program: str, *more: str) -> Iterator[Lab]:
    """A Jupyter server until the block ends."""
    (home / "lab" / "settings").mkdir(parents=True)
    (home / "lab" / "settings" / "overrides.json").write_text(json.dumps(SETTINGS))
    root = home / "root"
    root.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join(filter(None, (str(ROOT), KERNEL)))
    env = {
        **os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "config"), "PYTHONPATH": paths,
        "JUPYTER_DATA_DIR": str(home / "data"), "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "XDG_STATE_HOME": str(home / "state"), "KAMALNB_PERFORMER": "ana", "IPYTHONDIR": str(home / "ipython"),
    }  # fmt: skip
    argv = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={root}",
        f"--LabApp.app_settings_dir={home / 'lab' / 'settings'}", "--LabApp.expose_app_in_browser=True", *more,
    ]  # fmt: skip
    log = (home / "log").open("w")
    process = subprocess.Popen(
        argv, env=env, cwd=root, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=_ends_with_us if sys.platform == "linux" else None,
    )  # fmt: skip
    try:
        wait_for(port, process, home / "log")
        yield Lab(f"http://127.0.0.1:{port}", TOKEN, root)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def _ends_with_us() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: also where this run is killed


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.3)
    raise AssertionError(f"nothing listens after {seconds} s: {log.read_text()}")


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=CHROMIUM, args=[*flags, "--disable-dev-shm-usage"])
        yield started
        started.close()
