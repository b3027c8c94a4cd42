"""The tasks on the lab's real hosts, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.lab
SERVICE = "face"


@pytest.fixture
def config(lab: Any, tmp_path: Path) -> Iterator[Path]:
    """The lab's deploy.yml with a service name and a path of these tests' own, on one host."""
    text = lab.config_file.read_text().replace("service: app\n", f"service: {SERVICE}\n")
    rule = f"labels: {{traefik.http.routers.{SERVICE}-web.rule: 'Host(`{SERVICE}.test`)'}}\n"
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "deploy.yml"
    path.write_text(text + rule)
    yield path
    lab.exec("web-2", ["find", "/home/deploy/.kamal", "-depth", "-name", f"*{SERVICE}*", "-delete"])


def invoke(*argv: str, config: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "invoke", *argv, "-c", str(config), "--hosts=web-2"]
    environ = {**os.environ, "CI": "true", "COLUMNS": "100"}
    return subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=240)


def left_on(lab: Any) -> str:
    """Everything of the service on the host: containers, files, and which images there are."""
    script = (
        f"docker ps -aq --no-trunc --filter label=service={SERVICE};"
        " docker images -q --no-trunc registry:5000/app | sort;"
        f" find /home/deploy/.kamal -name '*{SERVICE}*' 2>/dev/null | sort"
    )
    return str(lab.exec("web-2", ["sh", "-c", script]).stdout)


def test_a_dry_run_and_a_check_change_nothing(lab: Any, config: Path) -> None:
    started = invoke("traefik.boot", config=config)
    assert started.returncode == 0, started.stderr
    before = left_on(lab)
    dry = invoke("boot", "--version=v2", "--dry-run", config=config)
    checked = invoke("check", "--json", config=config)
    assert left_on(lab) == before
    assert dry.returncode == 0, dry.stdout + dry.stderr
    assert dry.stdout.splitlines()[-1] == "dry run: nothing was changed on web-2."
    assert f"--name {SERVICE}-web-v2" in dry.stdout
    rows = [json.loads(line) for line in checked.stdout.splitlines()]
    assert checked.returncode == 0, rows
    assert {"login", "docker", "disk", "clock", "traefik", "routers", "image"} <= {row["name"] for row in rows}


def test_a_version_that_is_nowhere_is_told_with_what_to_do(lab: Any, config: Path) -> None:
    done = invoke("boot", "--version=no-such-version", "-q", config=config)
    assert done.returncode == 1
    assert done.stdout.startswith("✗ web on web-2 failed in prepare: The image registry:5000/app:no-such-version")
    assert "    next: Look at its name and tag" in done.stdout
    assert "Traceback" not in done.stderr
