"""Where a host is: OpenSSH's own configuration, with deploy.yml winning."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from kamalnb.config.model import Ssh
from kamalnb.errors import HostUnreachable
from kamalnb.ssh.openssh import resolve, split_address
from kamalnb.ssh.target import Target

ME = pwd.getpwuid(os.getuid())


def resolved(tmp_path: Path, text: str, host: str = "web", **settings: object) -> Target:
    (tmp_path / "config").write_text(text)
    return resolve(host, Ssh(**{"config": ("config",), **settings}), tmp_path)  # type: ignore[arg-type]


def test_include_match_and_tokens_mean_what_they_mean_in_ssh(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("Match host 10.0.0.1 user app\n  Port 2222\n")
    text = f"""
Host web
  HostName 10.0.0.1
  User app
  IdentityFile %d/keys/%r@%n
  IdentityFile ~/x
  CertificateFile ${{TEST_DIR}}/c
  UserKnownHostsFile ~/k1 /tmp/k2
  GlobalKnownHostsFile none
  IdentitiesOnly yes
  IdentityAgent $TEST_AGENT
Include {tmp_path}/more
"""
    os.environ.update(TEST_DIR="/certs", TEST_AGENT="/run/agent.sock")
    target = resolved(tmp_path, text)
    assert (target.hostname, target.port, target.user) == ("10.0.0.1", 2222, "app")
    assert target.identity_files == (Path(ME.pw_dir, "keys/app@web"), Path(ME.pw_dir, "x"))
    assert target.certificate_files == (Path("/certs/c"),)
    assert target.known_hosts == (Path(ME.pw_dir, "k1"), Path("/tmp/k2"))
    assert target.identities_only
    assert target.agent == Path("/run/agent.sock")
    assert target.names == ("[10.0.0.1]:2222", "10.0.0.1")


def test_deploy_yml_wins_over_the_files(tmp_path: Path) -> None:
    text = "Host web\n  User theirs\n  Port 1\n  ProxyJump theirs\n  IdentityFile /theirs\n"
    target = resolved(tmp_path, text, user="ours", port=2, proxy="me@ours:3", keys=("ours.pem", "/abs"))
    assert (target.user, target.port) == ("ours", 2)
    assert target.via is not None
    assert (target.via.hostname, target.via.user, target.via.port) == ("ours", "me", 3)
    assert target.project_keys == (tmp_path / "ours.pem", Path("/abs"))
    assert target.identity_files == (Path("/theirs"),)
    assert target.command == f"ssh -F {tmp_path}/config -l ours -p 2 -J me@ours:3 web"


def test_a_proxy_without_a_user_is_roots_as_in_kamal(tmp_path: Path) -> None:
    via = resolved(tmp_path, "", proxy="jump").via
    assert via is not None
    assert via.user == "root"


def test_a_proxy_command_gets_its_tokens(tmp_path: Path) -> None:
    target = resolved(tmp_path, "", port=7, user="u", proxy_command="nc '%h' %p # %r %% ~ $HOME")
    assert target.proxy_command == "nc 'web' 7 # u % ~ $HOME"
    assert target.way == target.proxy_command


def test_a_chain_of_jump_hosts_is_read_from_its_end(tmp_path: Path) -> None:
    text = "Host web\n  ProxyJump a@outer:5,inner\nHost inner\n  HostName 10.1.1.1\n  ProxyJump ignored\n"
    target = resolved(tmp_path, text)
    assert target.via is not None
    assert target.via.hostname == "10.1.1.1"
    assert target.via.via is not None
    assert (target.via.via.hostname, target.via.via.user, target.via.via.port) == ("outer", "a", 5)
    assert target.via.via.via is None
    assert target.way == "outer,inner"


def test_a_jump_host_that_has_a_jump_host_of_its_own(tmp_path: Path) -> None:
    assert resolved(tmp_path, "Host web\n  ProxyJump inner\nHost inner\n  ProxyJump outer\n").way == "outer,inner"


def test_a_jump_host_for_every_host_is_refused_as_ssh_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match=r"^web: the jump host jump: .*jumphost loop via jump"):
        resolved(tmp_path, "Host *\n  ProxyJump jump\n")


def test_jump_hosts_in_a_circle_are_refused(tmp_path: Path) -> None:
    text = "Host web\n  ProxyJump a\nHost a\n  ProxyJump b\nHost b\n  ProxyJump a\n"
    with pytest.raises(HostUnreachable, match="its jump hosts go round in a circle"):
        resolved(tmp_path, text)


def test_settings_for_the_hosts_of_deploy_yml_are_not_used_for_jump_hosts(tmp_path: Path) -> None:
    target = resolved(tmp_path, "Host jump\n  IdentityFile /jump\n", user="app", port=7, proxy="x@jump", keys_only=True)
    assert target.identity_files == ()
    assert target.via is not None
    assert (target.via.user, target.via.port, target.via.identity_files) == ("x", 22, (Path("/jump"),))


@pytest.mark.parametrize(("setting", "expected"), [("accept-new", True), ("no", False), ("off", False), ("yes", False)])
def test_only_accept_new_takes_new_keys(tmp_path: Path, setting: str, expected: bool) -> None:
    target = resolved(tmp_path, f"StrictHostKeyChecking {setting}\nUserKnownHostsFile /tmp/kh /tmp/kh2\n")
    assert target.new_keys_go_to == (Path("/tmp/kh") if expected else None)


def test_several_files_and_none(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("Host web\n  Port 11\n")
    (tmp_path / "two").write_text("Host web\n  Port 22\n  User two\n")
    target = resolve("web", Ssh(config=("one", "two")), tmp_path)
    assert (target.port, target.user) == (11, "two")
    assert resolve("web", Ssh(config=False), tmp_path).command == "ssh -F none web"


def test_the_agent_is_the_environments_unless_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/mine")
    assert resolved(tmp_path, "").agent == Path("/run/mine")
    assert resolved(tmp_path, "IdentityAgent none\n").agent is None
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert resolved(tmp_path, "").agent is None


def test_a_file_that_ssh_cannot_read_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="Bad configuration option: nonsense") as caught:
        resolved(tmp_path, "Nonsense yes\n")
    assert caught.value.step == "resolve"
    caught.match(r"Try `ssh -G -F \S+/config -- web`\.$")


def test_a_host_that_looks_like_an_option_is_no_option(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable):
        resolved(tmp_path, "", host="-oProxyCommand=touch canary")
    assert not (tmp_path / "canary").exists()


def test_without_ssh_there_is_one_sentence_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostUnreachable, match="the ssh program is not installed here") as caught:
        resolved(tmp_path, "")
    caught.match(r"`apt-get install openssh-client`\.$")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web", ("", "web", "")),
        ("a@web", ("a", "web", "")),
        ("a@web:22", ("a", "web", "22")),
        ("a@b@web", ("a@b", "web", "")),
        ("ssh://a@web:22/", ("a", "web", "22")),
        ("[::1]:22", ("", "::1", "22")),
        ("a@[::1]", ("a", "::1", "")),
        ("::1", ("", "::1", "")),
    ],
)
def test_addresses(text: str, parts: tuple[str, str, str]) -> None:
    assert split_address(text) == parts


def test_the_projects_own_known_hosts_comes_first_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    ours = tmp_path / "config" / "known_hosts"
    assert ours not in resolve("web", Ssh(config=False), tmp_path).known_hosts
    ours.touch()
    assert resolve("web", Ssh(config=False), tmp_path).known_hosts[0] == ours
    named = resolve("web", Ssh(config=False, known_hosts="other"), tmp_path)
    assert named.known_hosts[0] == tmp_path / "other"
    assert ours not in named.known_hosts
