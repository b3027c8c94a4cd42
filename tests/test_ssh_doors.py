"""Who is let in and where we go: host keys, jump hosts, user keys, and one clear sentence for each failure."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from ssh_server import Place, Sshd, make_key, nobody, public, sh, until

from kamalnb.config.model import SecretSource, Ssh
from kamalnb.errors import HostUnreachable
from kamalnb.script import Script
from kamalnb.shell import Secret
from kamalnb.ssh import SshExecutor, link


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """The socket of an empty ssh-agent."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    until(path.exists)
    yield path
    process.kill()
    process.wait()


def add(agent: Path, key: Path, passphrase: str = "") -> None:
    ask = key.parent / "ask"
    ask.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    ask.chmod(0o700)
    more = {"SSH_AUTH_SOCK": str(agent), "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", str(key)], env={**os.environ, **more}, check=True, stdin=subprocess.DEVNULL)


def hello(ssh: SshExecutor, host: str = "web") -> str:
    return ssh.run(host, Script.of(sh("echo hello")), nobody, nobody)[0].stdout


def refusal(ssh: SshExecutor, host: str = "web") -> HostUnreachable:
    with pytest.raises(HostUnreachable) as caught:
        ssh.run(host, Script.of(sh("echo hello")), nobody, nobody)
    return caught.value


# Host keys


def test_a_wrong_host_key_is_refused_before_anything_is_said_about_users(place: Place) -> None:
    web = place.serve("web", known=False)
    other = make_key(place.directory / "other")
    place.append("known_hosts", f"[127.0.0.1]:{web.port} {public(other)}\n")
    error = refusal(place.executor())
    assert error.step == "host key"
    assert f"is not the one in {place.known_hosts}:1" in str(error)
    assert str(error).endswith("`ssh -F " + str(place.directory / "config") + " web`.")
    web.stop()
    assert "Accepted" not in web.log
    assert "Failed" not in web.log
    assert "publickey" not in web.log


def test_an_unknown_host_key_is_refused(place: Place) -> None:
    web = place.serve("web", known=False)
    error = refusal(place.executor())
    assert error.step == "host key"
    assert "is not in known_hosts. Compare the fingerprint and accept it with `ssh " in str(error)
    assert web.logins == 0


@pytest.mark.parametrize("setting", ["no", "off", "ask", "yes"])
def test_an_unknown_host_key_is_refused_even_where_ssh_would_take_it(place: Place, setting: str) -> None:
    place.serve("web", f"StrictHostKeyChecking {setting}", known=False)
    assert refusal(place.executor()).step == "host key"


def test_accept_new_adds_an_unknown_host_key_once_and_refuses_a_changed_one(place: Place) -> None:
    web = place.serve("web", "StrictHostKeyChecking accept-new", known=False)
    assert hello(place.executor()) == hello(place.executor()) == "hello\n"
    assert place.known_hosts.read_text() == web.known()

    place.known_hosts.write_text(f"[127.0.0.1]:{web.port} {public(make_key(place.directory / 'other'))}\n")
    assert "is not the one in" in str(refusal(place.executor()))


def test_a_revoked_host_key_is_refused(place: Place) -> None:
    web = place.serve("web")
    place.append("known_hosts", f"@revoked * {public(web.host_key)}\n")
    assert "is revoked in" in str(refusal(place.executor()))


def test_a_host_that_only_an_authority_vouches_for_is_refused_with_the_way_out(place: Place) -> None:
    web = place.serve("web", known=False)
    place.append("known_hosts", f"@cert-authority * {public(make_key(place.directory / 'ca'))}\n")
    error = str(refusal(place.executor()))
    assert "only a certificate authority vouches for it" in error
    assert f"echo '[127.0.0.1]:{web.port}' $(ssh " in error


def test_a_hashed_entry_written_by_openssh_is_found(place: Place) -> None:
    place.serve("web")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(place.known_hosts)], check=True, capture_output=True)
    assert place.known_hosts.read_text().startswith("|1|")
    assert hello(place.executor()) == "hello\n"


def test_the_type_that_is_known_is_asked_for(place: Place) -> None:
    rsa = make_key(place.directory / "rsa", kind="rsa")
    web = place.serve("web", settings=f"HostKey {rsa}", known=False)
    place.append("known_hosts", f"[127.0.0.1]:{web.port} {public(rsa)}\n")
    assert place.executor().probe("web").host_key.startswith("rsa SHA256:")


def test_the_name_of_an_alias_is_what_known_hosts_is_asked_for(place: Place) -> None:
    web = place.serve("web", "HostKeyAlias the-web", known=False)
    place.append("known_hosts", web.known("the-web"))
    assert hello(place.executor()) == "hello\n"


def test_a_known_hosts_file_of_the_project_counts(place: Place) -> None:
    web = place.serve("web", known=False)
    place.append("ours", web.known())
    assert hello(place.executor(known_hosts="ours")) == "hello\n"


def test_a_key_accepted_meanwhile_is_seen_without_a_new_executor(place: Place) -> None:
    web = place.serve("web", known=False)
    ssh = place.executor()
    refusal(ssh)
    place.append("known_hosts", web.known())
    assert hello(ssh) == "hello\n"


# Jump hosts


def test_two_hosts_behind_a_jump_host_share_one_connection_to_it(place: Place) -> None:
    jump = place.serve("jump")
    for name in ("web", "job"):
        place.serve(name, "ProxyJump jump")
    ssh = place.executor()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda host: hello(ssh, host), ("web", "job"))) == ["hello\n", "hello\n"]
    assert jump.logins == 1
    assert ssh.probe("web").jump == "jump"


def test_a_chain_of_jump_hosts(place: Place) -> None:
    outer, inner = place.serve("outer"), place.serve("inner")
    place.serve("web", "ProxyJump outer,inner")
    ssh = place.executor()
    assert ssh.probe("web").jump == "outer,inner"
    assert (outer.logins, inner.logins) == (1, 1)


def test_a_jump_host_with_a_wrong_key_is_refused_before_login(place: Place) -> None:
    jump = place.serve("jump", known=False)
    place.append("known_hosts", f"[127.0.0.1]:{jump.port} {public(make_key(place.directory / 'other'))}\n")
    web = place.serve("web", "ProxyJump jump")
    error = refusal(place.executor())
    assert (error.host, error.step) == ("web", "host key")
    assert str(error).startswith("web: the jump host jump: its ed25519 key SHA256:")
    assert (jump.logins, web.logins) == (0, 0)


def test_a_host_behind_a_jump_host_is_checked_too(place: Place) -> None:
    place.serve("jump")
    web = place.serve("web", "ProxyJump jump", known=False)
    error = refusal(place.executor())
    assert error.step == "host key"
    assert str(error).startswith("web: its ed25519 key SHA256:")
    assert web.logins == 0


def test_a_host_that_the_jump_host_cannot_reach(place: Place) -> None:
    place.serve("jump")
    web = place.serve("web", "ProxyJump jump")
    web.process.kill()
    error = refusal(place.executor())
    assert error.step == "connect"
    assert f"the jump host jump cannot connect to 127.0.0.1 port {web.port}" in str(error)


def test_hosts_that_wait_for_a_dead_jump_host_wait_for_it_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        block = f"  HostName 127.0.0.1\n  Port {silent.getsockname()[1]}\n  IdentityAgent none\n"
        place.append("config", f"Host jump\n{block}Host web*\n  ProxyJump jump\n")
        ssh = place.executor(connect_timeout=0.5)
        with ThreadPoolExecutor(8) as pool:
            errors = list(pool.map(lambda number: refusal(ssh, f"web{number}"), range(8)))
    assert {error.step for error in errors} == {"connect"}
    assert all(f"web{number}: the jump host jump: " in str(error) for number, error in enumerate(errors))


@pytest.mark.skipif(os.getuid() != 0, reason="a proxy without a user is entered as root, and this sshd lets us in only")
def test_the_proxy_of_deploy_yml_is_used_as_root(place: Place) -> None:
    jump = place.serve("jump")
    place.serve("web")
    assert hello(place.executor(proxy="jump")) == "hello\n"
    assert jump.logins == 1


def test_the_proxy_of_deploy_yml_is_used(place: Place) -> None:
    jump = place.serve("jump")
    place.serve("web")
    assert place.executor(proxy=f"{place.executor().probe('web').user}@jump").probe("web").jump == "jump"
    assert jump.logins >= 1


def test_a_proxy_command_carries_the_connection_and_ends_with_it(place: Place) -> None:
    program = "busybox nc" if shutil.which("busybox") else "nc"
    place.serve("web", f"ProxyCommand {program} %h %p")
    ssh = place.executor()
    login = ssh.probe("web")
    assert login.jump is not None
    assert login.jump.startswith(f"{program} 127.0.0.1 ")
    ssh.close()


def test_what_a_proxy_command_complains_of_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "START_ATTEMPTS", 1)
    place.serve("web")
    error = refusal(place.executor(proxy_command="echo no route to the moon >&2; exit 1"))
    assert error.step == "connect"
    assert "no route to the moon" in str(error)


# Users and their keys


def test_probe_says_how_it_got_in(place: Place) -> None:
    web = place.serve("web")
    login = place.executor().probe("web")
    assert (login.host, login.address, login.port) == ("web", "127.0.0.1", web.port)
    assert login.key.startswith(f"{web.key} (ed25519 SHA256:")
    assert login.host_key.startswith("ed25519 SHA256:")
    assert login.server.startswith("OpenSSH_")
    assert login.jump is None


def test_a_passphrase_key_works_from_the_agent_only(place: Place, agent: Path) -> None:
    web = place.serve("web", f"IdentityAgent {agent}")
    locked = make_key(place.directory / "locked", passphrase="correct horse")
    web.allow(locked)
    place.append("config", f"Host *\n  IdentityFile {locked}\n")
    error = refusal(place.executor())
    assert error.step == "login"
    assert f"{web.key}, {locked} (needs a passphrase: `ssh-add {locked}`)" in str(error)
    assert str(error).endswith(f"Unlock the key: `ssh-add {locked}`.")

    add(agent, locked, "correct horse")
    assert "agent key “locked” (ed25519 SHA256:" in place.executor().probe("web").key


def test_a_key_that_is_named_goes_before_an_agent_full_of_others(place: Place, agent: Path) -> None:
    web = place.serve("web", f"IdentityAgent {agent}", settings="MaxAuthTries 2")
    for number in range(4):
        add(agent, make_key(place.directory / f"other{number}"))
    add(agent, web.key)
    assert "agent key “key”" in place.executor().probe("web").key


def test_too_many_keys_are_told_as_that(place: Place, agent: Path) -> None:
    web = place.serve("web", f"IdentityAgent {agent}", settings="MaxAuthTries 2")
    for number in range(4):
        add(agent, make_key(place.directory / f"other{number}"))
    web.key.unlink()
    error = refusal(place.executor())
    assert error.step == "login"
    assert "tried: agent key “other0”, agent key “other1”, then it hung up" in str(error)


def test_only_the_keys_of_deploy_yml_with_keys_only(place: Place, agent: Path) -> None:
    web = place.serve("web", f"IdentityAgent {agent}")
    ours = make_key(place.directory / "ours")
    add(agent, web.key)
    ssh = place.executor(keys=("ours",), keys_only=True)
    error = str(refusal(ssh))
    assert f"tried: {ours}. " in error
    web.allow(ours)
    assert str(ours) in ssh.probe("web").key


def test_key_data_is_read_through_its_secret(place: Place) -> None:
    web = place.serve("web")
    data = web.key.read_text()
    web.key.unlink()
    source = SecretSource(env="DEPLOY_KEY")
    ssh = SshExecutor(
        Ssh(config=("config",), key_data=(source,)), secrets=lambda which: Secret(data), directory=place.directory
    )
    place.executors.append(ssh)
    assert ssh.probe("web").key.startswith("ssh/key_data/0 (ed25519 ")


def with_first_key(place: Place, text: str, **settings: object) -> SshExecutor:
    source = SecretSource(env="KAMALNB_SSH_KEY")
    ssh = SshExecutor(
        Ssh(config=("config",), first_key=source, **settings),  # type: ignore[arg-type]
        secrets=lambda which: Secret(text),
        directory=place.directory,
    )
    place.executors.append(ssh)
    return ssh


@pytest.mark.parametrize("spoiled", [str, str.strip, lambda text: "\n" + text.replace("\n", "\r\n")])
def test_a_key_out_of_the_environment_opens_however_a_secret_store_spelled_it(
    place: Place, spoiled: Callable[[str], str]
) -> None:
    web = place.serve("web")
    text = spoiled(web.key.read_text())
    web.key.unlink()
    assert with_first_key(place, text).probe("web").key.startswith("KAMALNB_SSH_KEY (ed25519 ")


def test_a_key_out_of_the_environment_goes_before_the_agents_that_are_named(place: Place, agent: Path) -> None:
    web = place.serve("web", f"IdentityAgent {agent}")
    add(agent, web.key)
    ours = make_key(place.directory / "ours")
    web.allow(web.key, ours)
    assert place.executor(keys=(str(web.key),)).probe("web").key.startswith("agent key")
    key = with_first_key(place, ours.read_text(), keys=(str(web.key),)).probe("web").key
    assert key.startswith("KAMALNB_SSH_KEY")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("the name of a file", "should be the whole file, from -----BEGIN"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2canary\n-----END", "is no private key that can be read"),
    ],
)
def test_a_text_in_the_environment_that_is_no_key_is_said_without_the_text(place: Place, text: str, why: str) -> None:
    web = place.serve("web")
    web.key.unlink()
    error = str(refusal(with_first_key(place, text)))
    assert f"KAMALNB_SSH_KEY ({why}" in error or f"KAMALNB_SSH_KEY (is no private key: it {why}" in error
    assert "hunter2canary" not in error
    assert "the name of a file" not in error


def test_a_key_out_of_the_environment_with_a_passphrase_is_told_as_that(place: Place) -> None:
    place.serve("web").key.unlink()
    locked = make_key(place.directory / "locked", passphrase="secret")
    error = str(refusal(with_first_key(place, locked.read_text())))
    assert "KAMALNB_SSH_KEY (needs a passphrase: give one without" in error
    assert "ssh-add" not in error


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_of_other_kinds_work(place: Place, kind: str) -> None:
    web = place.serve("web")
    web.allow(make_key(place.directory / kind, kind=kind))
    assert str(place.directory / kind) in place.executor(keys=(kind,)).probe("web").key


def test_a_user_certificate_opens(place: Place) -> None:
    authority = make_key(place.directory / "ca")
    web = place.serve("web", settings=f"TrustedUserCAKeys {authority}.pub")
    web.allow()
    user = place.executor()._link("web").target.user
    argv = ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", user, f"{web.key}.pub"]
    subprocess.run(argv, check=True, capture_output=True)
    assert "key-cert.pub" in place.executor().probe("web").key


def test_no_key_at_all(place: Place) -> None:
    place.serve("web").key.unlink()
    for file in place.directory.glob("web/key*"):
        file.unlink()
    assert "tried: nothing, there is no key here and no agent" in str(refusal(place.executor()))


def test_a_server_that_takes_no_keys(place: Place) -> None:
    place.serve("web", settings="PubkeyAuthentication no\nPasswordAuthentication yes\nKbdInteractiveAuthentication no")
    error = refusal(place.executor())
    assert error.step == "login"
    assert "only password: PubkeyAuthentication is off there" in str(error)


def test_a_server_that_wants_a_second_factor(place: Place) -> None:
    settings = "PasswordAuthentication yes\nAuthenticationMethods publickey,password"
    place.serve("web", settings=settings)
    assert "accepted, but password is wanted as well" in str(refusal(place.executor()))


# Servers that are not there, or not well


def test_nothing_listens(place: Place) -> None:
    web = place.serve("web")
    web.stop()
    place.servers.clear()
    error = refusal(place.executor())
    assert error.step == "connect"
    assert f"no connection to port {web.port} (127.0.0.1: connection refused)" in str(error)


def test_a_name_without_an_address(place: Place) -> None:
    place.append("config", "Host web\n  HostName no-such-host.invalid\n")
    error = refusal(place.executor())
    assert error.step == "resolve"
    assert str(error).endswith("Check its spelling: `getent hosts no-such-host.invalid`.")


def test_something_that_says_nothing(place: Place) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place.append("config", f"Host web\n  HostName 127.0.0.1\n  Port {silent.getsockname()[1]}\n")
        error = refusal(place.executor(connect_timeout=0.3))
    assert error.step == "connect"
    assert "is open, but says nothing for 0.3 s" in str(error)


def test_something_that_speaks_another_protocol(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:
        port = web.getsockname()[1]
        place.append("config", f"Host web\n  HostName 127.0.0.1\n  Port {port}\n")

        def answer() -> None:
            client, _address = web.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 200)

        threading.Thread(target=answer).start()
        error = refusal(place.executor())
    assert error.step == "connect"
    assert "the SSH handshake with 127.0.0.1 port" in str(error)


def test_a_server_that_drops_new_connections_is_asked_again(place: Place) -> None:
    web = place.serve("web", settings="MaxStartups 2:100:2")
    executors = [place.executor(), place.executor()]  # no more at once than it lets in
    with half_open(web) as release, ThreadPoolExecutor(2) as pool:
        answers = pool.map(hello, executors)
        until(lambda: "drop connection" in web.log or "beginning MaxStartups throttling" in web.log)
        release()
        assert list(answers) == ["hello\n"] * 2


@contextmanager
def half_open(web: Sshd) -> Iterator[Callable[[], None]]:
    """Two connections that do not log in, until what it gives is called."""
    with ExitStack() as stack:
        for _number in range(2):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", web.port), timeout=10))
            assert connection.recv(1)  # sshd serves it, and counts it
        yield stack.close


def test_a_user_without_a_shell(place: Place) -> None:
    place.serve("web", settings="ForceCommand echo This account is not available.; exit 1")
    with pytest.raises(HostUnreachable) as caught:
        place.executor().probe("web")
    assert caught.value.step == "session"
    assert "This account is not available." in str(caught.value)


def test_a_jump_host_that_froze_meanwhile_is_entered_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "TRUSTED", 0.0)
    jump = place.serve("jump")
    for name in ("web", "job"):
        place.serve(name, "ProxyJump jump")
    ssh = place.executor()
    assert hello(ssh, "web") == "hello\n"
    monkeypatch.setattr(link, "GATEWAY_PATIENCE", 2.0)
    os.kill(jump.sessions()[0], signal.SIGSTOP)
    assert hello(ssh, "job") == "hello\n"
    assert jump.logins == 2
