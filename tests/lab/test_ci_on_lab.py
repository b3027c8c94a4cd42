"""A machine of a CI: no ssh_config, no agent, no home; a key in the environment and host keys in the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kamalnb.init import init
from kamalnb.lab import Lab

ROOT = Path(__file__).parents[2]
HOST = "web-1"


@pytest.fixture
def project(lab: Lab, tmp_path: Path) -> Path:
    """What init writes, filled in for one host of the lab."""
    init(tmp_path, ci="github")
    host = lab.host(HOST)
    path = tmp_path / "config" / "deploy.yml"
    text = path.read_text().replace("192.0.2.1\n", f"{host.address}\n", 1)
    assert host.address in text
    path.write_text(f"{text}\nssh: {{user: deploy, port: {host.ssh_port}, config: false}}\n")
    (tmp_path / "config" / "known_hosts").write_text((lab.directory / "known_hosts").read_text())
    return tmp_path


def check(project: Path, key: str) -> dict[str, dict[str, str]]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "CI": "true", "HOME": str(project / "nowhere")}
    done = subprocess.run(
        [sys.executable, "-m", "kamalnb", "check", "--json"],
        cwd=project, env={**environ, "KAMALNB_SSH_KEY": key}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert key[50:90] not in done.stdout + done.stderr or not key
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: row for row in rows if row["host"]}


def test_a_key_in_the_environment_and_known_hosts_in_the_repository_are_enough(lab: Lab, project: Path) -> None:
    rows = check(project, (lab.directory / "keys" / "id_lab").read_text().strip())
    assert {row["verdict"] for name, row in rows.items() if name in ("host key", "login", "docker")} == {"ok"}, rows
    assert "KAMALNB_SSH_KEY" in json.dumps(rows)


def test_without_host_keys_in_the_repository_the_host_is_refused(lab: Lab, project: Path) -> None:
    (project / "config" / "known_hosts").unlink()
    rows = check(project, (lab.directory / "keys" / "id_lab").read_text())
    assert rows["host key"]["verdict"] == "failed", rows


def test_without_the_key_the_login_is_refused(project: Path) -> None:
    assert check(project, "")["login"]["verdict"] == "failed"
