"""How a host asks the proxy: with each tool that may be there, for real, against a server of our own."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from kamalnb.commands.host import FETCH, HOST_TOOLS

BODY = b'[{"name":"web@docker"},\n{"status":"enabled"}]'
BUSYBOX = "busybox and bash"
THERE = [*(tool for tool in HOST_TOOLS if shutil.which(tool)), *([BUSYBOX] if shutil.which("busybox") else [])]


class Answers(BaseHTTPRequestHandler):
    """Answers everything with one body and one header of note."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("X-Kamalnb-Boot", "abc")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_words: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def fetched(tmp_path: Path, tool: str, what: str, url: str) -> subprocess.CompletedProcess[bytes]:
    """On a host that has this tool and no other; busybox's wget shows too little, so bash is asked first."""
    tools = {"wget": "busybox wget", "bash": "bash"} if tool == BUSYBOX else {tool: tool}
    for name, line in {"sh": "sh", "cat": "cat", "timeout": "timeout", **tools}.items():
        program, *words = line.split()
        found = shutil.which(program)
        assert found
        (tmp_path / name).write_text(f'#!{shutil.which("dash")}\nexec {found} {" ".join(words)} "$@"\n')
        (tmp_path / name).chmod(0o755)
    words = [str(shutil.which("dash")), "-c", FETCH, "k", what, url]
    return subprocess.run(words, capture_output=True, timeout=20, check=False, env={"PATH": str(tmp_path)})


@pytest.mark.parametrize("tool", THERE)
def test_body_is_the_answers_body_and_nothing_else(tmp_path: Path, tool: str, url: str) -> None:
    assert fetched(tmp_path, tool, "body", f"{url}/api?per_page=3").stdout == BODY


@pytest.mark.parametrize("tool", THERE)
def test_head_has_the_status_and_the_headers_of_whatever_is_answered(tmp_path: Path, tool: str, url: str) -> None:
    for path, status in (("/here", "200"), ("/gone", "404")):
        head = fetched(tmp_path, tool, "head", f"{url}{path}").stdout.decode()
        assert f" {status}" in next(line for line in head.splitlines() if "HTTP/" in line)
        assert "x-kamalnb-boot: abc" in head.lower()
        assert BODY.decode() not in head
