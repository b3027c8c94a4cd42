"""Builders: the exact words, and nothing that a shell could read otherwise."""

from __future__ import annotations

import ast
import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalnb.commands import app, cord, host, proxy, server
from kamalnb.commands import traefik as traefik_commands
from kamalnb.config.model import Config, Env, Role, TraefikSettings
from kamalnb.config.reading import read_config
from kamalnb.cutover import CutOver, Direction, Old
from kamalnb.docker import Container
from kamalnb.errors import BootError, Unclear
from kamalnb.plan import BootPlan
from kamalnb.shell import Secret
from kamalnb.traefik import Proxy, Router

FILE = "service: app\nimage: app\nregistry: {server: registry.example}\nservers: {web: [web-1], job: [web-1]}\n"


def config(more: str = "") -> Config:
    return read_config(FILE + more, environ={})


def boot_of(role: Role, **changes: object) -> BootPlan:
    given = {"host": "web-1", "role": role, "version": "v2", "reference": "registry.example/app:v2", "nonce": "ab" * 16}
    return BootPlan(**{**given, **changes})


def words(role: Role, cord_path: str | None = "/c", **changes: object) -> list[str]:
    boot = boot_of(role, **changes)
    return [str(word) for word in app.run(boot, "/home/deploy", app.labels(role), cord_path).words]


def after(found: list[str], option: str) -> list[str]:
    return [second for first, second in itertools.pairwise(found) if first == option]


def test_run_is_as_kamal_writes_it() -> None:
    found = words(config().role("web"))
    assert found[:7] == ["docker", "run", "--detach", "--restart", "unless-stopped", "--name", "app-web-v2"]
    assert after(found, "--hostname") == ["web-1-" + "ab" * 6]
    assert after(found, "-e") == ["KAMAL_CONTAINER_NAME=app-web-v2", "KAMAL_VERSION=v2"]
    assert after(found, "--env-file") == ["/home/deploy/.kamal/env/roles/app-web.env"]
    assert after(found, "--mount") == ["type=bind,source=/c,target=/tmp/kamal-cord"]
    assert after(found, "--log-opt") == ["max-size=10m"]
    assert found[-1] == "registry.example/app:v2"


def test_every_health_option_is_set_since_an_image_may_have_its_own() -> None:
    found = words(config().role("web"))
    assert {word for word in found if word.startswith("--health-")} == {
        "--health-cmd", "--health-interval", "--health-timeout", "--health-retries", "--health-start-period",
    }  # fmt: skip
    assert after(found, "--health-interval") == ["1000ms"]
    assert after(found, "--health-retries") == ["1"]


def test_kamals_own_labels_are_there_and_the_files_win() -> None:
    found = app.labels(
        replace(config().role("web"), labels={"traefik.http.routers.app-web.rule": "Host(`x`)", "more": "1"})
    )
    assert (found["service"], found["role"], found["destination"]) == ("app", "web", "")
    assert found["traefik.http.routers.app-web.rule"] == "Host(`x`)"
    assert found["traefik.http.routers.app-web.priority"] == "2"
    assert found["more"] == "1"


def test_worker_has_no_cord_and_is_not_routed() -> None:
    found = words(config().role("job"), None)
    assert "--mount" not in found
    assert "--health-cmd" not in found
    assert "traefik.enable=false" in after(found, "--label")
    assert not any("traefik.http" in word for word in found)


def test_options_volumes_and_command_come_in_kamals_order() -> None:
    role = replace(
        config().role("web"), volumes=("/data:/data",), cmd="bin/serve 'two words'", stop_signal="SIGQUIT",
        options={"memory": "1g", "add-host": ("a:1", "b:2"), "init": True, "tty": False},
        env=Env(clear={"A": "x y", "B": ""}),
    )  # fmt: skip
    found = words(role)
    assert after(found, "--volume") == ["/data:/data"]
    assert after(found, "--add-host") == ["a:1", "b:2"]
    assert "--init" in found
    assert "--tty" not in found
    assert after(found, "--env") == ["A=x y", "B="]
    assert after(found, "--stop-signal") == ["SIGQUIT"]
    assert found[-2:] == ["bin/serve", "two words"]


def checked(text: str, cord_path: Path | None = None) -> int:
    return subprocess.run(["sh", "-c", text], capture_output=True, check=False, timeout=20).returncode


def health(tmp_path: Path, cmd: str, cord: bool = True) -> str:
    role = config().role("web")
    check = replace(role.healthcheck, cmd=cmd, cord=str(tmp_path) if cord else None)
    return app.health_command(replace(role, healthcheck=check))


def test_health_looks_at_the_cord_first(tmp_path: Path) -> None:
    text = health(tmp_path, f"touch {tmp_path}/asked")
    assert checked(text) != 0
    assert not (tmp_path / "asked").exists()
    (tmp_path / "cord").touch()
    assert checked(text) == 0
    assert (tmp_path / "asked").exists()


def test_health_asks_three_times_and_looks_at_the_cord_between(tmp_path: Path) -> None:
    (tmp_path / "cord").touch()
    text = health(tmp_path, f"echo x >>{tmp_path}/asked; false").replace("sleep 1", "sleep 0.01")
    assert checked(text) != 0
    assert (tmp_path / "asked").read_text() == "x\nx\nx\n"
    (tmp_path / "asked").unlink()
    text = health(tmp_path, f"echo x >>{tmp_path}/asked; rm -f {tmp_path}/cord; false").replace("sleep 1", "sleep 0.01")
    assert checked(text) != 0
    assert (tmp_path / "asked").read_text() == "x\n"


def test_health_that_gets_well_is_well(tmp_path: Path) -> None:
    (tmp_path / "cord").touch()
    text = health(tmp_path, f"[ -e {tmp_path}/again ] || {{ touch {tmp_path}/again; false; }}").replace(
        "sleep 1", "sleep 0.01"
    )
    assert checked(text) == 0


def test_health_without_a_cord_is_the_check_alone(tmp_path: Path) -> None:
    assert checked(health(tmp_path, "true", cord=False)) == 0


@given(st.from_regex(r"/[ -~]{0,30}", fullmatch=True))
@settings(max_examples=20, deadline=None)
def test_any_health_path_is_one_word(path: str) -> None:
    role = config().role("web")
    text = app.check(replace(role, healthcheck=replace(role.healthcheck, path=path)))
    said = subprocess.run(
        ["sh", "-c", f'curl() {{ for w in "$@"; do printf "%s\\n" "$w"; done; }}; {text}'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout.splitlines()[-1] == f"http://localhost:3000{path}"


# -- the proxy -----------------------------------------------------------------------------------------------

TRAEFIK = Container(id="t", name="traefik", networks={"bridge": "172.17.0.2"})
CUTOVER = CutOver(
    slot="blue", level=0, direction=Direction.UP, labels={}, port=3000, service="app-web-blue",
    main=Router(name="app-web-blue"), routers=("app-web-blue",), serving=(), leftovers=(),
)  # fmt: skip


def new(**changes: object) -> Container:
    return Container(
        **{
            "id": "n",
            "name": "n",
            "networks": {"bridge": "172.17.0.5"},
            "gateways": {"bridge": "172.17.0.1"},
            **changes,
        }
    )


def test_way_goes_from_the_host_where_a_tool_is_there() -> None:
    found = proxy.way(Proxy(container=TRAEFIK, api_port=8080), new(), CUTOVER, "curl")
    assert (found.by, found.urls, found.api, found.address) == (
        "host",
        ("http://172.17.0.2:80",),
        "http://172.17.0.2:8080",
        "172.17.0.5:3000",
    )
    assert proxy.way(Proxy(container=TRAEFIK), new(), CUTOVER, None).by == "n"
    assert proxy.way(Proxy(container=TRAEFIK), new(), CUTOVER, None).api is None


def test_way_takes_the_routers_own_entry_points_with_tls_where_they_have_it() -> None:
    points = {"http": 80, "websecure": 443, "admin": 9000}
    secure = replace(CUTOVER, main=Router(name="x", entry_points=("websecure",), tls=True))
    assert proxy.way(Proxy(container=TRAEFIK, entry_points=points), new(), secure, "curl").urls == (
        "https://172.17.0.2:443",
    )
    everywhere = Proxy(container=TRAEFIK, entry_points=points, secure_entry_points=frozenset({"websecure"}))
    assert proxy.way(everywhere, new(), CUTOVER, "curl").urls == (
        "http://172.17.0.2:80",
        "https://172.17.0.2:443",
        "http://172.17.0.2:9000",
    )


def test_traefik_in_the_hosts_network_is_asked_at_the_gateway() -> None:
    proxy_there = Proxy(container=replace(TRAEFIK, network_mode="host", networks={"host": ""}))
    assert proxy.way(proxy_there, new(), CUTOVER, "curl").urls == ("http://172.17.0.1:80",)


BOTH = {"bridge": "172.17.0.5", "extra": "10.0.0.5"}


@pytest.mark.parametrize(
    ("container", "traefiks", "named", "result"),
    [
        (new(), {"bridge": "172.17.0.2"}, None, "bridge"),
        (new(networks=BOTH), {"extra": "10.0.0.2"}, None, "extra"),
        (new(networks=BOTH), BOTH, "extra", "extra"),
        (new(networks=BOTH, labels={"traefik.docker.network": "bridge"}), BOTH, "extra", "bridge"),
        (new(networks=BOTH), BOTH, None, BootError),
        (new(), {"extra": "10.0.0.2"}, None, BootError),
        (new(labels={"traefik.docker.network": "extra"}), BOTH, None, BootError),
    ],
)
def test_network_that_both_share(
    container: Container, traefiks: dict[str, str], named: str | None, result: object
) -> None:
    there = Proxy(container=replace(TRAEFIK, networks=traefiks), network=named)
    if result is BootError:
        with pytest.raises(BootError) as refused:
            proxy.way(there, container, CUTOVER, "curl")
        assert refused.value.hint
    else:
        assert proxy.way(there, container, CUTOVER, "curl").network == result


def test_drain_is_short_where_the_proxy_keeps_idle_connections() -> None:
    role = replace(config().role("web"), drain_timeout=30.0)
    old = Old(container=new(pid=77), cord=None)
    limits = [
        proxy.drain(old, role, 3000, Proxy(container=TRAEFIK, idle_timeout=idle)).words[4] for idle in (1.0, 90.0)
    ]
    assert limits == ["3000", "1000"]
    drain = proxy.drain(old, role, 3000, Proxy(container=TRAEFIK, idle_timeout=1.0))
    assert drain.words[:4] == ("k_drain", "n", "77", "0BB8")
    assert drain.words[5:] == ("020011AC",)


# -- the rest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "relative", "/a\n/b", "/a\0b", "\x1b[0m/home"])
def test_home_that_is_no_path_is_unclear(text: str) -> None:
    with pytest.raises(Unclear):
        server.home().read(text)


def test_home_is_where_we_are() -> None:
    assert server.home().read("/home/deploy\n") == "/home/deploy"


@pytest.mark.parametrize(("text", "tool"), [("curl\n", "curl"), ("", None)])
def test_tool_is_one_of_ours_or_none(text: str, tool: str | None) -> None:
    assert server.tool().read(text) == tool
    with pytest.raises(Unclear):
        server.tool().read("motd: welcome")


@pytest.mark.parametrize("text", ["tied", "burnt /x", "tied\t/x", " cut /x"])
def test_cord_that_is_no_cord_is_unclear(text: str) -> None:
    with pytest.raises(Unclear):
        cord.all_of("/r").read(text)


def test_cords_are_read_by_directory() -> None:
    assert cord.all_of("/r").read("tied /r/cords/a b\ncut /r/cords/c\nempty /r/cords/d\n") == {
        "/r/cords/a b": "tied",
        "/r/cords/c": "cut",
        "/r/cords/d": "empty",
    }


def test_secret_environment_goes_through_stdin_alone() -> None:
    text = server.env_text({"A": Secret("hunter2"), "B": Secret("x y")})
    command = server.write_file("/p", text)
    assert not any("hunter2" in str(word) for word in command.words)
    assert "hunter2" not in str(command)
    assert text.value == "A=hunter2\nB=x y\n"


def test_stop_limit_is_longer_than_its_waits() -> None:
    assert app.stop(("a", "b"), 40.0).limit > 80
    assert app.stop(("a",), None).words[:2] == ("k_stop", "-")


def test_traefik_settings_of_the_file_win_whatever_their_case() -> None:
    settings_ = TraefikSettings(
        image="traefik:v3.7", args={"Providers.ProvidersThrottleDuration": "9s", "log.level": "DEBUG", "off": False}
    )
    found = [str(word) for word in traefik_commands.run(settings_, ".kamal")]
    throttles = [word for word in found if "throttleduration" in word.lower()]
    assert throttles == ["--Providers.ProvidersThrottleDuration=9s"]
    assert "--log.level=DEBUG" in found
    assert "--off" not in found
    assert not any("allowEmptyServices" in word for word in found)
    assert "127.0.0.1:8080:8080" in found


def test_commands_of_waiting_have_limits_beyond_their_deadlines() -> None:
    role = config().role("web")
    assert app.verify("x", role).limit > role.healthcheck.deadline
    assert app.alive("x", 50.0).limit > 50.0
    assert app.healthy("x", 50.0).limit > 50.0


def test_functions_that_commands_use_are_whole() -> None:
    """Each k_ word that a builder names is defined by what it says it uses."""
    role = config().role("web")
    boot = boot_of(role)
    commands = [
        app.verify("x", role),
        app.listening("x", 1).command,
        app.alive("x", 1),
        app.healthy("x", 1),
        app.stop(("x",), 1),
    ]
    commands += [
        app.remove("x"),
        app.keep_log("x", "/p", 3),
        app.containers("s").command,
        app.image("x").command,
        app.images("x").command,
    ]
    commands += [
        cord.tie("/c"),
        cord.cut("/c"),
        cord.dark("/c"),
        cord.all_of("/r").command,
        server.tool().command,
        server.touch_env_file("/p"),
    ]
    commands += [
        server.write_file("/p", "x"),
        server.audit("/p", (), "x"),
        app.census("s").command,
        app.pull("x"),
        app.run(boot, "/h", {}, None),
    ]
    way = proxy.way(Proxy(container=TRAEFIK), new(), CUTOVER, "curl")
    commands += [
        proxy.routed("x", "n", (), "s", way, 3.0),
        proxy.out(Old(container=new(), cord=None), "s", way, 1, Proxy(container=TRAEFIK)),
    ]
    for command in commands:
        word = str(command.words[0])
        if word.startswith("k_"):
            assert any(f"{word}() {{" in text for text in command.uses), word


def test_only_constants_are_shell_text() -> None:
    """No builder pastes a value into shell: f-strings live in ``host`` alone, over constants of its own."""
    folder = Path(host.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "uses":
                pasted = [part for part in ast.walk(node.value) if isinstance(part, ast.JoinedStr)]
                assert pasted == [], f"{file.name}:{node.value.lineno}"
