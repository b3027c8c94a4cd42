"""What a good deploy.yml means: Kamal's defaults, merges and forms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kamalnb.config.model import Config, Env, Role, SecretSource
from kamalnb.config.reading import read_config
from kamalnb.config.versions import abbreviated, check_version
from kamalnb.errors import UsageError

CONFIGS = Path(__file__).parent / "configs"


def read(name: str, *, destination: str | None = None, **environ: str) -> Config:
    text = (CONFIGS / f"{name}.yml").read_text()
    overlay = (CONFIGS / f"{name}.{destination}.yml").read_text() if destination else None
    return read_config(text, overlay, environ=environ, destination=destination)


def yml(extra: str, **environ: str) -> Config:
    return read_config(f"service: app\nimage: app\n{extra}", environ=environ)


def test_a_list_of_servers_is_the_role_web_behind_traefik_with_kamals_defaults() -> None:
    config = read("simple")
    assert [role.name for role in config.roles] == ["web"]
    role = config.role("web")
    assert role.hosts == ("1.1.1.1", "1.1.1.2")
    assert role.traefik
    assert role.uses_cord
    check = role.healthcheck
    assert (check.path, check.port, check.interval, check.deadline) == ("/up", 3000, 1.0, 30.0)
    assert (check.cord, check.log_lines) == ("/tmp/kamal-cord", 50)
    assert (role.readiness_delay, role.stop_wait_time, role.drain_timeout) == (7.0, None, 30.0)
    assert role.logging.options == {"max-size": "10m"}
    assert (config.run_directory, config.hooks_path, config.retain_containers) == (".kamal", ".kamal/hooks", 5)
    assert (config.traefik.image, config.traefik.host_port, config.traefik.publish) == ("traefik:v2.11", 80, True)
    assert (config.ssh.log_level, config.ssh.max_concurrent_starts, config.ssh.pool_idle_timeout) == (
        "fatal",
        30,
        900.0,
    )
    assert (config.boot.limit, config.boot.wait) == (None, 0.0)
    assert config.registry.password == SecretSource(env="REGISTRY_TOKEN")
    assert config.repository == "dhh/app"
    assert config.warnings == ()


def test_a_roles_own_settings_win_over_the_global_ones() -> None:
    config = read("roles")
    web, workers, api = (config.role(name) for name in ("web", "workers", "api"))
    assert web.labels == {"team": "web", "tier": "front"}
    assert workers.labels == {"team": "jobs", "tier": "front"}
    assert workers.volumes == ("/srv/all:/all", "/srv/jobs:/jobs")
    assert (workers.stop_wait_time, web.stop_wait_time) == (120.0, 20.0)
    assert (workers.order, web.order) == ("stop-first", "start-first")
    assert (api.drain_timeout, web.drain_timeout) == (5.0, 45.0)
    assert (api.min_healthy, web.min_healthy) == (0.5, 0.0)
    assert (api.healthcheck.port, api.healthcheck.path, api.healthcheck.cord) == (4000, "/healthz", "/run/cord")
    assert web.healthcheck.deadline == 90.0


def test_a_worker_has_no_health_check_and_no_cord_of_the_global_ones() -> None:
    workers = read("roles").role("workers")
    assert not workers.traefik
    assert not workers.uses_cord
    assert not workers.healthcheck.configured


def test_a_worker_that_names_a_check_has_one() -> None:
    config = yml("servers: {web: [a], jobs: {hosts: [b], healthcheck: {cmd: pgrep jobs}}}")
    assert config.role("jobs").healthcheck.configured
    assert config.role("jobs").healthcheck.cmd == "pgrep jobs"


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30.0), (7, 30.0), (8, 36.0), (10, 55.0)])
def test_max_attempts_becomes_the_seconds_that_kamal_waits_but_at_least_30(attempts: int, seconds: float) -> None:
    config = yml(f"servers: [a]\nhealthcheck: {{max_attempts: {attempts}}}")
    assert config.role("web").healthcheck.deadline == seconds


def test_an_overlay_is_merged_deeply_and_names_the_destination() -> None:
    config = read("destination", destination="staging")
    role = config.role("web")
    assert role.hosts == ("2.2.2.2",)
    assert role.env.clear == {"REDIS_URL": "redis://staging", "LEVEL": "info"}
    assert (role.healthcheck.path, role.healthcheck.port) == ("/up", 8080)
    assert role.name_prefix == "app-web-staging"
    assert config.latest_tag == "latest-staging"


def test_an_overlay_of_comments_changes_nothing() -> None:
    text = (CONFIGS / "simple.yml").read_text()
    config = read_config(text, "# nothing yet\n", environ={}, destination="staging")
    assert config.hosts == ("1.1.1.1", "1.1.1.2")


def test_cord_false_turns_the_cord_off() -> None:
    role = read("cord_off").role("web")
    assert role.healthcheck.cord is None
    assert not role.uses_cord


def test_boot_limit_may_be_a_percentage() -> None:
    assert read("limit_25_percent").boot.limit == "25%"
    assert yml("servers: [a]\nboot: {limit: 2}").boot.limit == 2


def test_tags_add_their_variables_to_the_hosts_that_carry_them() -> None:
    role = read("env_tags").role("web")
    assert role.env_on("1.1.1.1") == role.env
    assert role.env.clear == {"MODE": "normal", "PORT": "3000", "DEBUG": "true"}
    assert role.env_on("1.1.1.2").clear["MODE"] == "canary"
    assert role.env_on("1.1.1.3") == Env(
        clear={"MODE": "replica", "PORT": "3000", "DEBUG": "true"},
        secret={
            "DB_PASSWORD": SecretSource(env="DB_PASSWORD"),
            "REPLICA_PASSWORD": SecretSource(env="REPLICA_PASSWORD"),
        },
    )


def test_extensions_builder_and_accessories_are_read_and_left_alone() -> None:
    config = read("extensions")
    assert config.left_alone == ("x-web", "builder", "accessories")
    assert [role.traefik for role in config.roles] == [True, True]
    assert config.primary_host == "1.1.1.2"


def test_a_key_beside_a_merge_wins_and_the_first_of_two_merges_does() -> None:
    anchors = "x-a: &a {traefik: true, cmd: one}\nx-b: &b {cmd: two, volumes: [/b]}\n"
    config = yml(anchors + "servers: {web: [a], jobs: {<<: [*a, *b], hosts: [b], traefik: false}}")
    jobs = config.role("jobs")
    assert (jobs.traefik, jobs.cmd, jobs.volumes) == (False, "one", ("/b",))


def test_assets_are_for_roles_behind_traefik_alone() -> None:
    config = yml("servers: {web: [a], jobs: [b]}\nasset_path: /assets")
    assert [role.asset_path for role in config.roles] == ["/assets", None]


def test_a_kamal_1_0_file_is_understood() -> None:
    config = read("kamal_1_0")
    assert config.role("web").healthcheck.port == 4000
    assert config.traefik.host_port == 8080
    assert config.traefik.args == {"accesslog": True, "accesslog.format": "json"}
    assert config.traefik.options == {"publish": ("8443:8443",)}
    assert config.role("job").options == {"memory": "2g", "cpus": "4"}
    assert (config.ssh.user, config.ssh.port, config.ssh.proxy) == ("app", 2222, "jump.example.com")
    assert config.ssh.log_level == "debug"
    assert config.left_alone == ("healthcheck/exposed_port",)


def test_erb_reads_the_environment_and_a_list_may_come_from_one_variable() -> None:
    environ = {"APP": "shop", "SERVERS": "[1.1.1.1, 1.1.1.2]", "URL": "http://x: 'y' # z\n- [", "PORT": "8080"}
    config = read("erb", **environ)
    role = config.role("web")
    assert (config.service, config.image) == ("shop", "dhh/shop")
    assert role.hosts == ("1.1.1.1", "1.1.1.2")
    assert role.env.clear == {"URL": environ["URL"], "WORKERS": "4"}
    assert role.healthcheck.port == 8080


def test_a_variable_can_not_add_keys_to_the_file() -> None:
    config = yml('servers: [a]\nenv:\n  clear:\n    A: <%= ENV["A"] %>', A="x\n    B: y")
    assert config.role("web").env.clear == {"A": "x\n    B: y"}


def test_erb_in_a_secrets_place_becomes_a_source_that_is_read_late() -> None:
    config = read("erb", APP="a", SERVERS="[x]", URL="u", PORT="1")
    assert config.registry.password == SecretSource(env="REGISTRY_TOKEN")
    assert config.registry.username == SecretSource(env="REGISTRY_USER")


def test_each_form_of_a_secret_is_a_source() -> None:
    config = read("secrets")
    env = config.role("web").env
    assert config.registry.password == SecretSource(command=("aws", "ecr", "get-login-password"))
    assert config.registry.username == SecretSource(env="REGISTRY_USER")
    assert env.secret["DB_PASSWORD"] == SecretSource(file="secrets/db")
    assert env.secret["DB_PASSWORD"].where == "env/secret/DB_PASSWORD"
    assert env.secret["API_KEY"] == SecretSource(env="OTHER_NAME")
    assert config.ssh.key_data[1] == SecretSource(env="DEPLOY_KEY")


def test_a_literal_password_works_as_in_kamal_and_is_warned_of() -> None:
    config = yml("servers: [a]\nregistry: {username: u, password: 0123}")
    password = config.registry.password
    assert password is not None
    assert password.value is not None
    assert password.value.value == "0123"
    assert "registry/password" in config.warnings[0]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("10", 10.0),
        ("0.5", 0.5),
        ("1.50", 1.5),
        ("1s", 1.0),
        ("500ms", 0.5),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ('"15"', 15.0),
    ],
)
def test_a_time_is_seconds_or_a_text_with_units(written: str, seconds: float) -> None:
    assert yml(f"servers: [a]\ndrain_timeout: {written}").role("web").drain_timeout == seconds


def test_yes_and_no_are_booleans_where_a_boolean_is_wanted() -> None:
    config = yml("servers: {web: {hosts: [a], traefik: no}}\nconfirm: yes")
    assert not config.role("web").traefik
    assert config.confirm


@pytest.mark.parametrize("host", ["web-1.example.com", "10.0.0.1", "2001:db8::1", "[::1]", "fe80::1%eth0", "bastion_1"])
def test_hosts_are_names_and_addresses(host: str) -> None:
    assert yml(f'servers: ["{host}"]').hosts == (host,)


@pytest.mark.parametrize("wanted", ["1.9.3", "1.3.0", "1.9", "1", "0.16.1", "1.9.3.beta1"])
def test_a_minimum_version_up_to_1_9_3_is_fine(wanted: str) -> None:
    assert yml(f"servers: [a]\nminimum_version: {wanted}").service == "app"


def test_an_empty_role_may_be_allowed() -> None:
    config = yml("servers: {web: [a], jobs: []}\nallow_empty_roles: true")
    assert config.role("jobs").hosts == ()


@pytest.mark.parametrize("version", ["abc", "1.2.3", "_x", "a" * 128, "0f3e_uncommitted_0011223344556677"])
def test_what_docker_takes_as_a_tag_is_a_version(version: str) -> None:
    assert check_version(version) == version


@pytest.mark.parametrize("version", ["", "-x", ".x", "a b", "a/b", "a;rm -rf /", "a" * 129, "ü", "a\n"])
def test_what_docker_does_not_take_as_a_tag_is_no_version(version: str) -> None:
    with pytest.raises(UsageError, match="Name one like"):
        check_version(version)


def test_versions_are_abbreviated_as_kamal_does() -> None:
    assert abbreviated("0123456789abcdef") == "0123456"
    assert abbreviated("0123456789_uncommitted_ab") == "0123456789_uncommitted_ab"


def test_importing_the_model_loads_neither_pydantic_nor_yaml() -> None:
    script = (
        "import sys, kamalnb.config.model, kamalnb.project; print({'pydantic', 'yaml', 'dotenv'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_role_knows_its_names() -> None:
    role: Role = read("destination", destination="staging").role("web")
    assert role.container_name("abc") == "app-web-staging-abc"
