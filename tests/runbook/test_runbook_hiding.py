"""Secrets do not get into a saved notebook, however they are spelled."""

from __future__ import annotations

import base64
import html
import json
import shlex
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from kamalnb.runbook.hiding import hidden, hider, known

SECRET = "p&ss w\"o'rd/€\\+12"


def spelled() -> dict[str, str]:
    return {
        "plain": SECRET,
        "base64": base64.b64encode(SECRET.encode()).decode(),
        "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
        "URL": quote(SECRET, safe=""),
        "URL with slashes": quote(SECRET),
        "form": quote_plus(SECRET),
        "shell": shlex.quote(SECRET),
        "JSON": json.dumps(SECRET),
        "JSON in UTF-8": json.dumps(SECRET, ensure_ascii=False),
        "HTML": html.escape(SECRET),
        "HTML text": html.escape(SECRET, quote=False),
        "JSON in HTML": html.escape(json.dumps(SECRET)),
        "Python": repr(SECRET),
    }


@pytest.mark.parametrize("how", spelled())
def test_every_spelling_is_taken_out(how: str) -> None:
    clean = hider([SECRET])(f"before {spelled()[how]} after")
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    assert "[REDACTED]" in clean
    for part in ("ss w", "rd/", "12", "c3Mgd"):
        assert part not in clean


@pytest.mark.parametrize("user", ["a", "ab", "abc", "abcd"])
def test_base64_of_a_longer_text_does_not_show_it(user: str) -> None:
    whole = base64.b64encode(f"{user}:correct-horse-battery:tail".encode()).decode()
    clean = hider(["correct-horse-battery"])(whole)
    assert "[REDACTED]" in clean
    left = clean.split("[REDACTED]")
    assert all("horse" not in base64.b64decode(part + "=" * (-len(part) % 4)).decode(errors="replace") for part in left)


def test_lines_of_a_key_are_taken_out_one_by_one() -> None:
    lines = ["-----BEGIN KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "-----END KEY-----"]
    assert hider(["\n".join(lines)])(f"| 1 | {lines[1]} |") == "| 1 | [REDACTED] |"


def test_the_longest_goes_first() -> None:
    assert hider(["abcd", "abcdefgh"])("abcdefgh") == "[REDACTED]"


def test_ordinary_text_stays_where_a_secret_is_very_short() -> None:
    assert hider(["on", ""])("on and on") == "on and on"


def test_keys_and_nested_values_are_looked_through() -> None:
    value = {"data": {"a": ["x", {"tops3cret": "tops3cret!", "n": 1, "none": None}]}}
    assert hidden(value, hider(["tops3cret"])) == {
        "data": {"a": ["x", {"[REDACTED]": "[REDACTED]!", "n": 1, "none": None}]}
    }


def test_secrets_of_the_project_and_of_the_environment_are_known(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "key.txt").write_text("from-a-file\n")
    (tmp_path / ".env").write_text("DB_URL=postgres://u:p@h/db\n")
    (tmp_path / "config" / "deploy.yml").write_text(
        "service: app\nimage: app\nservers: [web-1]\nregistry: {server: r, username: me, password: [REGISTRY_WORD]}\n"
        "env: {secret: {DB: {env: DB_URL}, KEY: {file: key.txt}, ASKED: {command: ['false']}, UNSET: {env: UNSET}}}\n"
    )
    environ = {"REGISTRY_WORD": "registry-word", "GITHUB_TOKEN": "ghp_1234567", "HOME": "/home/somebody"}
    found = known(None, None, tmp_path, environ)
    assert found == {"postgres://u:p@h/db", "from-a-file", "registry-word", "ghp_1234567"}


def test_a_project_that_cannot_be_read_hides_what_the_environment_has(tmp_path: Path) -> None:
    assert known(None, None, tmp_path, {"DB_PASSWORD": "hunter2222"}) == {"hunter2222"}
