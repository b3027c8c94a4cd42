"""Host keys as real sshds show them: lines for known_hosts, what is known of them now, and nothing trusted."""

from __future__ import annotations

import socket
import subprocess
import threading

from ssh_server import Place, make_key, public

from kamalnb.ssh.known_hosts import Verdict


def test_key_of_an_unknown_host_is_shown_as_openssh_prints_it(place: Place) -> None:
    web = place.serve("web", known=False)
    before = place.known_hosts.read_text() if place.known_hosts.exists() else ""
    (key,) = place.executor().host_keys("web").keys
    assert key.line == f"[127.0.0.1]:{web.port} {public(web.host_key)}"
    assert key.verdict is Verdict.UNKNOWN
    shown = subprocess.run(["ssh-keygen", "-lf", f"{web.host_key}.pub"], capture_output=True, text=True, check=True)
    assert key.fingerprint == shown.stdout.split()[1]
    after = place.known_hosts.read_text() if place.known_hosts.exists() else ""
    assert after == before, "looking trusts nothing"


def test_nobody_tries_to_log_in(place: Place) -> None:
    web = place.serve("web", known=False)
    place.executor().host_keys("web")
    web.stop()
    assert "Accepted" not in web.log
    assert "publickey" not in web.log


def test_known_and_changed_keys_are_told_apart(place: Place) -> None:
    place.serve("web")
    other = place.serve("other", known=False)
    wrong = make_key(place.directory / "wrong")
    place.append("known_hosts", f"[127.0.0.1]:{other.port} {public(wrong)}\n")
    assert [key.verdict for key in place.executor().host_keys("web").keys] == [Verdict.KNOWN]
    assert [key.verdict for key in place.executor().host_keys("other").keys] == [Verdict.CHANGED]


def test_host_that_is_not_there_is_one_sentence(place: Place) -> None:
    place.serve("web").stop()
    found = place.executor().host_keys("web")
    assert found.keys == ()
    assert found.error is not None
    assert found.error.step == "connect"


def test_keys_behind_a_jump_host_come_after_its_own(place: Place) -> None:
    jump = place.serve("jump")
    inner = place.serve("inner", "ProxyJump jump", known=False)
    found = place.executor().host_keys("inner").keys
    assert [(key.alias, key.verdict) for key in found] == [("jump", Verdict.KNOWN), ("inner", Verdict.UNKNOWN)]
    assert found[1].key == public(inner.host_key).split()[1]
    assert jump.logins == 1


def test_jump_host_whose_key_is_unknown_shows_its_own_key_and_lets_nobody_through(place: Place) -> None:
    jump = place.serve("jump", known=False)
    place.serve("inner", "ProxyJump jump", known=False)
    found = place.executor().host_keys("inner")
    assert [(key.alias, key.verdict) for key in found.keys] == [("jump", Verdict.UNKNOWN)]
    assert found.error is not None
    assert found.error.step == "host key"
    assert "the jump host jump" in str(found.error)
    assert jump.logins == 0


def test_server_with_several_keys_shows_each(place: Place) -> None:
    rsa = make_key(place.directory / "rsa", kind="rsa")
    place.serve("web", settings=f"HostKey {rsa}", known=False)
    found = place.executor().host_keys("web").keys
    assert [key.key_type for key in found] == ["ssh-ed25519", "ssh-rsa"]


def test_port_that_is_no_ssh_server_says_so(place: Place) -> None:
    web = place.serve("web")
    web.stop()
    with socket.create_server(("127.0.0.1", web.port)) as listener:
        thread = threading.Thread(target=lambda: [listener.accept()[0].close() for _ in range(3)], daemon=True)
        thread.start()
        found = place.executor().host_keys("web")
    assert found.error is not None
    assert "showed no host key" in str(found.error)
