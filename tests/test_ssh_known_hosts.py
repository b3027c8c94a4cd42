"""known_hosts as OpenSSH reads it. Where a rule could be misread, ``ssh-keygen -F`` is asked too."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalnb.ssh.known_hosts import Finding, KnownHosts, Verdict, fingerprint, host_names, matches, remember

KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519 this one").decode()
OTHER = base64.b64encode(b"\0\0\0\x0bssh-ed25519 another").decode()


def finding(tmp_path: Path, text: str, *names: str, key: str = KEY, kind: str = "ssh-ed25519") -> Finding:
    file = tmp_path / "known_hosts"
    file.write_text(text)
    return KnownHosts((tmp_path / "missing", file)).check(names or ("web",), kind, key)


@pytest.mark.parametrize(
    ("line", "names", "verdict"),
    [
        (f"web ssh-ed25519 {KEY}", ("web",), Verdict.KNOWN),
        (f"web,10.0.0.1 ssh-ed25519 {KEY} a comment", ("10.0.0.1",), Verdict.KNOWN),
        (f"WEB ssh-ed25519 {KEY}", ("Web",), Verdict.KNOWN),
        (f"web ssh-ed25519 {OTHER}", ("web",), Verdict.CHANGED),
        (f"web ssh-rsa {OTHER}", ("web",), Verdict.OTHER_TYPE),
        (f"web.example ssh-ed25519 {KEY}", ("web",), Verdict.UNKNOWN),
        ("", ("web",), Verdict.UNKNOWN),
        (f"*.example ssh-ed25519 {KEY}", ("web.example",), Verdict.KNOWN),
        (f"*.example,!db.example ssh-ed25519 {KEY}", ("web.example",), Verdict.KNOWN),
        (f"*.example,!db.example ssh-ed25519 {KEY}", ("db.example",), Verdict.UNKNOWN),
        (f"!web,* ssh-ed25519 {KEY}", ("web",), Verdict.UNKNOWN),
        (f"w?b ssh-ed25519 {KEY}", ("web",), Verdict.KNOWN),
        (f"w.b ssh-ed25519 {KEY}", ("web",), Verdict.UNKNOWN),
        (f"[web]:2222 ssh-ed25519 {KEY}", ("[web]:2222", "web"), Verdict.KNOWN),
        (f"[web]:2222 ssh-ed25519 {KEY}", ("web",), Verdict.UNKNOWN),
        (f"[*]:2222 ssh-ed25519 {KEY}", ("[web]:2222", "web"), Verdict.KNOWN),
        (f"web ssh-ed25519 {KEY}", ("[web]:2222", "web"), Verdict.KNOWN),
        (f"web ssh-ed25519 {OTHER}", ("[web]:2222", "web"), Verdict.UNKNOWN),
        (f"@revoked * ssh-ed25519 {KEY}\nweb ssh-ed25519 {KEY}", ("web",), Verdict.REVOKED),
        (f"@revoked * ssh-ed25519 {OTHER}\nweb ssh-ed25519 {KEY}", ("web",), Verdict.KNOWN),
        (f"@revoked web ssh-ed25519 {KEY}", ("[web]:2222", "web"), Verdict.REVOKED),
        (f"@cert-authority *.example ssh-ed25519 {KEY}", ("web.example",), Verdict.BY_AUTHORITY),
        (f"@cert-authority * ssh-ed25519 {OTHER}\nweb ssh-ed25519 {KEY}", ("web",), Verdict.KNOWN),
        (f"@what * ssh-ed25519 {KEY}", ("web",), Verdict.UNKNOWN),
        (f"# web ssh-ed25519 {KEY}", ("web",), Verdict.UNKNOWN),
        ("web ssh-ed25519 not~base64", ("web",), Verdict.UNKNOWN),
        ("web ssh-ed25519", ("web",), Verdict.UNKNOWN),
        (f"|1|broken ssh-ed25519 {KEY}\n|1|a|b|c ssh-rsa {KEY}\nweb ssh-ed25519 {KEY}", ("web",), Verdict.KNOWN),
        (f"\n  \t web   ssh-ed25519\t{KEY}\r\n", ("web",), Verdict.KNOWN),
    ],
)
def test_a_line_and_what_it_says(tmp_path: Path, line: str, names: tuple[str, ...], verdict: Verdict) -> None:
    assert finding(tmp_path, line, *names).verdict is verdict


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*.example", "web.example"),
        ("*.example,!web.example", "web.example"),
        ("!web.example,*", "web.example"),
        ("w?b.example", "web.example"),
        ("[*]:2222", "[web.example]:2222"),
        ("[web.example]:2222", "[web.example]:2222"),
        ("web.example", "WEB.example"),
        ("web.*.x", "web.example"),
    ],
)
def test_patterns_mean_what_ssh_keygen_says_they_mean(tmp_path: Path, pattern: str, name: str) -> None:
    real = "AAAAC3NzaC1lZDI1NTE5AAAAIGYxYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNk"
    file = tmp_path / "known_hosts"
    file.write_text(f"{pattern} ssh-ed25519 {real}\n")
    argv = ["ssh-keygen", "-F", name, "-f", str(file)]
    theirs = real in subprocess.run(argv, capture_output=True, text=True).stdout
    assert bool(KnownHosts((file,)).entries(name)) is theirs


def test_hashed_names_are_found_among_many(tmp_path: Path) -> None:
    real = "AAAAC3NzaC1lZDI1NTE5AAAAIGYxYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNk"
    file = tmp_path / "known_hosts"
    file.write_text(
        "".join(f"host{number} ssh-ed25519 {real}\n[web]:{number} ssh-ed25519 {real}\n" for number in range(40))
    )
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    known = KnownHosts((file,))
    assert known.check(("[web]:17",), "ssh-ed25519", real).verdict is Verdict.KNOWN
    assert known.check(("[web]:41",), "ssh-ed25519", real).verdict is Verdict.UNKNOWN


def test_the_finding_names_the_line(tmp_path: Path) -> None:
    entry = finding(tmp_path, f"\n# nothing\nweb ssh-ed25519 {OTHER}\n").entry
    assert entry is not None
    assert entry.where == f"{tmp_path / 'known_hosts'}:3"
    assert entry.fingerprint == fingerprint(OTHER)


def test_types_come_in_the_order_of_the_lines_without_markers(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"web ssh-rsa {KEY}\n@revoked web ecdsa {KEY}\nweb ssh-ed25519 {KEY}\nweb ssh-rsa {OTHER}\n")
    assert KnownHosts((file,)).types(("web",)) == ("ssh-rsa", "ssh-ed25519")


def test_a_key_is_remembered_once_on_a_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "new" / "known_hosts"
    remember(file, "web", "ssh-ed25519", KEY)
    remember(file, "web", "ssh-ed25519", KEY)
    assert file.read_text() == f"web ssh-ed25519 {KEY}\n"
    file.write_text("# no newline at the end")
    remember(file, "web", "ssh-ed25519", KEY)
    assert file.read_text().splitlines() == ["# no newline at the end", f"web ssh-ed25519 {KEY}"]


def test_names_to_look_for() -> None:
    assert host_names("web", 22, None) == ("web",)
    assert host_names("web", 2222, None) == ("[web]:2222", "web")
    assert host_names("web", 2222, "alias") == ("alias",)


@given(st.text())
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_without_an_error_and_hides_no_good_line(text: str) -> None:
    from kamalnb.ssh.known_hosts import _add, _File

    file = _File()
    for line in [*text.split("\n"), f"web ssh-ed25519 {KEY}"]:
        _add(file, line, "here")
    assert any(entry.key == KEY for entry in file.matching("web"))


@given(st.lists(st.text(alphabet="ab.*?![]:", max_size=6), max_size=4), st.text(alphabet="ab.[]:", max_size=6))
@settings(max_examples=150, deadline=None)
def test_a_negated_pattern_that_matches_always_wins(patterns: list[str], name: str) -> None:
    assert not matches((*patterns, f"!{name}"), name)
