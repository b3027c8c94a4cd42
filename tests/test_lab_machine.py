"""What the lab asks of this machine, and how it says no."""

from __future__ import annotations

import os
import socket
import stat
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from kamalnb import lab
from kamalnb.errors import LabError, UsageError
from kamalnb.lab import base, keys, machine, network, state
from kamalnb.lab.engine import Engine, private_engine
from kamalnb.lab.hosts import tar_of
from kamalnb.lab.images import APP_VERSIONS, Images, digest
from kamalnb.lab.plan import LabPlan

TARGETS = """\
http://mirror.test/debian/ bookworm main
http://mirror.test/debian/ bookworm contrib
http://mirror.test/debian/ bookworm-updates main
http://mirror.test/security/ bookworm-security main
http://mirror.test/debian/ bookworm-backports main
https://tools.test/apt stable main
"""


def test_own_release_comes_first_and_strangers_stay_out() -> None:
    lines = [source.line for source in base.parse_targets(TARGETS, "bookworm")]
    assert lines == [
        "deb http://mirror.test/debian/ bookworm main contrib",
        "deb http://mirror.test/debian/ bookworm-updates main",
        "deb http://mirror.test/security/ bookworm-security main",
    ]


def test_machine_without_sources_for_its_release_gives_none() -> None:
    assert base.parse_targets("https://tools.test/apt stable main\n", "bookworm") == ()


def test_debootstrap_takes_the_machines_mirror_and_names_none_of_its_own() -> None:
    sources = base.parse_targets(TARGETS, "bookworm")
    assert base.debootstrap_words(Path("/r"), sources)[-3:] == ["bookworm", "/r", "http://mirror.test/debian"]
    assert base.debootstrap_words(Path("/r"), ())[-2:] == ["bookworm", "/r"]


def test_unstable_comes_from_the_machines_mirror_without_its_update_suites() -> None:
    sources = base.another(base.parse_targets(TARGETS, "bookworm"), base.SID)
    assert [source.line for source in sources] == ["deb http://mirror.test/debian/ sid main"]
    assert base.debootstrap_words(Path("/r"), sources, base.SID)[-3:] == ["sid", "/r", "http://mirror.test/debian"]
    assert base.debootstrap_words(Path("/r"), (), base.SID)[-2:] == ["sid", "/r"]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ('Acquire::http::Proxy "http://proxy.test:3128";', True),
        ('Acquire::https::CAInfo "/etc/ssl/own.pem";', True),
        ('Acquire::Check-Valid-Until "false";', True),
        ('Acquire::http::Proxy "";', False),
        ('Acquire::http::Proxy-Auto-Detect "/usr/bin/find-proxy";', False),
        ('Acquire::Languages "none";', False),
    ],
)
def test_apt_settings_that_decide_about_fetching_go_into_images(line: str, kept: bool) -> None:
    assert base.setting_is_kept(line) is kept


def test_apts_proxy_is_debootstraps_proxy() -> None:
    found = base.proxy_environment(
        ['Acquire::http::Proxy "http://proxy.test:3128";', 'Acquire::https::Proxy "DIRECT";']
    )
    assert found == {"http_proxy": "http://proxy.test:3128"}


def test_every_version_of_the_app_has_its_own_tag_and_says_what_it_is() -> None:
    assert len({version.tag for version in APP_VERSIONS}) == len(APP_VERSIONS)
    assert all(version.about for version in APP_VERSIONS)


def test_versions_differ_only_in_thin_layers() -> None:
    for version in APP_VERSIONS:
        assert version.dockerfile.startswith("ARG BASE\nFROM ${BASE}\n")
        assert f"ENV VERSION={version.tag}\n" in version.dockerfile
        assert "apt-get" not in version.dockerfile


def test_images_on_hosts_have_the_names_that_deploy_yml_uses() -> None:
    images = Images(host="h", registry="r", traefik="t:1", app={"v1": "a:1"})
    assert images.names_on_hosts == {"t:1": "traefik:v3.7", "a:1": "registry:5000/app:v1"}


def test_digest_keeps_its_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_key_archive_belongs_to_root_and_keeps_modes() -> None:
    with tarfile.open(fileobj=BytesIO(tar_of({"k/key": (b"secret", 0o600)}))) as archive:
        entry = archive.getmember("k/key")
    assert (entry.uid, entry.gid, entry.mode, entry.size) == (0, 0, 0o600, 6)


def test_only_rules_with_our_comment_are_removed() -> None:
    listed = [
        "-P FORWARD ACCEPT",
        "-A FORWARD -i klab-1 -m comment --comment klab-1 -j ACCEPT",
        "-A FORWARD -i klab-12 -m comment --comment klab-12 -j ACCEPT",
        "-A FORWARD -i klab-1 -j ACCEPT",
    ]
    assert network.rules_of("klab-1", listed) == [
        ["FORWARD", "-i", "klab-1", "-m", "comment", "--comment", "klab-1", "-j", "ACCEPT"]
    ]


def test_private_engine_keeps_away_from_the_machines_own() -> None:
    engine = private_engine("0123abcd")
    assert engine.private
    assert engine.host == "unix:///run/kamalnb-lab-0123abcd/docker.sock"
    assert len(engine.host.removeprefix("unix://")) < 107


def test_engine_is_addressed_whatever_the_shell_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere.test:2375")
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    environment = Engine(host="unix:///here.sock").environment
    assert environment["DOCKER_HOST"] == "unix:///here.sock"
    assert "DOCKER_CONTEXT" not in environment


def test_taken_port_is_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert machine.why_not_free("127.0.0.1", port) == "taken"
    assert machine.why_not_free("127.0.0.1", port) == ""


def test_address_of_another_machine_is_seen() -> None:
    assert machine.why_not_free("192.0.2.77", 80) == "no address"


def test_full_disk_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "LEAST_FREE", 10**18)
    with pytest.raises(LabError, match=r"GB are free at .* and the lab needs .* Make room"):
        machine.require_disk(tmp_path / "not" / "there" / "yet")


def test_failed_program_shows_its_last_lines_and_what_to_do() -> None:
    with pytest.raises(LabError, match=r"exit code 3\.\n    because\nTry this\.") as caught:
        machine.run(["sh", "-c", "echo because >&2; exit 3"], hint="Try this.")
    assert "Traceback" not in str(caught.value)


def test_missing_program_is_named() -> None:
    with pytest.raises(LabError, match="“no-such-program” is not on this machine"):
        machine.run(["no-such-program"])


def test_pid_of_another_program_is_not_ours() -> None:
    assert machine.pid_alive(os.getpid(), "python")
    assert not machine.pid_alive(os.getpid(), "dockerd")
    assert not machine.pid_alive(0)


def test_progress_of_several_threads_is_passed_on() -> None:
    lines: list[str] = []
    machine.one_at_a_time(lines.append)("building…")
    assert lines == ["building…"]


def test_state_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = state.State(
        plan=LabPlan(id="x", count=3, ports=True, block=2),
        engine_host="unix:///run/x.sock",
        engine_id="x",
        before=network.Before(ip_forward="0"),
        access=("--privileged",),
        containers={"klab-x-web-1": "1" * 64},
    )
    written.save(tmp_path)
    assert state.read(tmp_path) == written


def test_state_of_a_later_kamalnb_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text('{"format": 99}')
    with pytest.raises(LabError, match=r"later kamalnb .* Upgrade kamalnb\.$"):
        state.read(tmp_path)


def test_broken_state_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text('{"format": 1')
    with pytest.raises(LabError, match="cannot be read"):
        state.read(tmp_path)


def test_second_command_at_the_same_lab_is_refused(tmp_path: Path) -> None:
    with state.locked(tmp_path), pytest.raises(LabError, match="Another lab command"), state.locked(tmp_path):
        pass


def test_directory_without_a_lab_has_an_empty_status_and_no_shell(tmp_path: Path) -> None:
    assert lab.status(tmp_path) == []
    with pytest.raises(LabError, match=r"no lab in .* Run lab\.up"):
        lab.ssh_command(tmp_path, "web-1")


def test_unknown_host_is_answered_with_the_choices(tmp_path: Path) -> None:
    state.State(plan=LabPlan(id="x", count=2), engine_host="unix:///x").save(tmp_path)
    with pytest.raises(UsageError, match="jump, web-1, web-2"):
        lab.ssh_command(tmp_path, "web-7")
    assert lab.ssh_command(tmp_path, "web-2") == ["ssh", "-F", str(tmp_path / "ssh_config"), "web-2"]


@pytest.fixture
def lab_keys(tmp_path: Path) -> keys.Keys:
    return keys.make(tmp_path / "keys", "0123abcd", ["web-1"])


def test_keys_are_private_and_stay_the_same(lab_keys: keys.Keys) -> None:
    private = [lab_keys.plain, lab_keys.locked, lab_keys.passphrase, lab_keys.host_key("web-1")]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in private)
    before = [path.read_bytes() for path in private]
    keys.make(lab_keys.directory, "0123abcd", ["web-1"])
    assert [path.read_bytes() for path in private] == before


def test_agents_key_cannot_be_used_without_its_passphrase(lab_keys: keys.Keys) -> None:
    asked = machine.run(["ssh-keygen", "-y", "-P", "", "-f", lab_keys.locked], check=False)
    assert asked.returncode != 0
    passphrase = lab_keys.passphrase.read_text().strip()
    assert machine.run(["ssh-keygen", "-y", "-P", passphrase, "-f", lab_keys.locked]).stdout


def test_agent_holds_the_key_is_found_again_and_ends(lab_keys: keys.Keys) -> None:
    pid = keys.start_agent(lab_keys, 0)
    try:
        assert keys.agent_holds(lab_keys)
        assert keys.start_agent(lab_keys, pid) == pid
    finally:
        keys.stop_agent(lab_keys, pid)
    assert not lab_keys.agent_socket.exists()
    assert not keys.agent_holds(lab_keys)


def test_agents_socket_moves_out_of_a_directory_with_a_long_name(tmp_path: Path) -> None:
    long = keys.Keys(directory=tmp_path / ("x" * 120), lab_id="0123abcd")
    assert len(str(long.agent_socket)) <= keys.SOCKET_PATH_LIMIT
