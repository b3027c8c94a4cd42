"""What a bad deploy.yml is answered with: every problem at once, a path, what to write instead, and no secret."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from kamalnb.config.reading import read_config
from kamalnb.errors import ConfigError

CONFIGS = Path(__file__).parent / "configs"
CANARY = "hunter2canary"


def error(text: str, overlay: str | None = None, *, destination: str | None = None, **environ: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_config(text, overlay, environ=environ, destination=destination, kamalnb_version="0.1.0")
    return caught.value


def only(extra: str, **environ: str) -> tuple[str, str]:
    """The one problem of a file that is fine but for ``extra``."""
    good = {"service": "app", "image": "app", "servers": "[a]"}
    lines = [f"{key}: {value}" for key, value in good.items() if f"{key}:" not in extra.split("\n")[0]]
    (problem,) = error("\n".join([*lines, extra]), **environ).problems
    return problem


def test_eight_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    assert str(error((CONFIGS / "eight_mistakes.yml").read_text())) == (
        "config/deploy.yml has 8 problems:\n"
        "  image: should be a name in small letters, without tag: my-name/my-app. The version comes from --version.\n"
        "  servers/web/hosts/1: carries the tag canray, which env/tags does not define. Did you mean canary?\n"
        "  servers/web/hosts/2: names 192.168.0.1 a second time; the first is servers/web/hosts/0. Remove one.\n"
        "  servers/job: has no hosts. Add one, remove the role, or set `allow_empty_roles: true`.\n"
        '  env/clear/RELEASE: is read by YAML as the number 1.1. Write it in quotes: "1.10".\n'
        "  registry/password: line 18: runs a command. For a secret, write {command: [aws, …]} with each word of the "
        "command as an item; else put its output in an environment variable.\n"
        "  healthchek: is not a known key. Did you mean healthcheck?\n"
        "  drain_timeout: should be a time, and is “soon”. Write seconds (10) or a text like 500ms, 10s, 1m30s."
    )


@pytest.mark.parametrize(
    ("text", "path", "sentence"),
    [
        ("service: my app", "service", "letters, digits, - and _ only"),
        ("service: 123", "service", 'Write it in quotes: "123"'),
        ("service:", "service", "has no value"),
        ("image: 1.10", "image", 'the number 1.1. Write it in quotes: "1.10"'),
        ("image: 0644", "image", 'the number 420. Write it in quotes: "0644"'),
        ("image: no", "image", 'the boolean false. Write it in quotes: "no"'),
        ("image: 2024-01-01", "image", 'a date. Write it in quotes: "2024-01-01"'),
        ("image: 12:30", "image", 'a number. Write it in quotes: "12:30"'),
        ("image: [a]", "image", "should be a text, and is a list"),
        ("servers: [10.1]", "servers/0", 'Write it in quotes: "10.1"'),
        ("servers: text", "servers", "should be a list (`- item` lines) or a mapping"),
        ("servers: []", "servers", "is empty"),
        ("servers: [root@1.1.1.1]", "servers/0", "has a user or port in it"),
        ("servers: ['1.1.1.1:2222']", "servers/0", "has a user or port in it"),
        ("servers: ['-oProxyCommand=x']", "servers/0", "is no host name"),
        ("servers: [a, a]", "servers/1", "the first is servers/0"),
        ("servers: {web: {hosts: [a, a]}}", "servers/web/hosts/1", "the first is servers/web/hosts/0"),
        ("servers: {web: [a], 'job runner': [b]}", "servers/job runner", "is no role name"),
        ("servers: {web: [a], jobs: }", "servers/jobs", "has no hosts"),
        ("servers: {wbe: [a]}", "servers", "has no role called web. If wbe should be it, rename it"),
        ("servers: {web: {hosts: [a], order: stop-first}}", "servers/web/order", "would lose requests"),
        ("servers: {web: {hosts: [a], boot: {}}}", "servers/web/boot", "belongs at the top level"),
        ("servers: {web: {hosts: [a], env: {clear: {}, tags: {}}}}", "servers/web/env/tags", "only the top-level"),
        ("primary_role: wbe", "primary_role", "Did you mean web?"),
        ("cmd: bin/x", "cmd", "Write it under servers, as servers/web/cmd"),
        ("drain_timout: 3", "drain_timout", "Did you mean drain_timeout?"),
        ("zzz: {}", "zzz", "Begin its name with x-"),
        ("proxy: {host: x}", "proxy", "belongs to Kamal 2"),
        ("minimum_version: 2.0.0", "minimum_version", "kamalnb reads the form of Kamal 1 only"),
        ("minimum_version: 1.10.0", "minimum_version", "Lower it to 1.9.3"),
        ("minimum_version: 1.10", "minimum_version", 'Write it in quotes: "1.10"'),
        ("minimum_version: new", "minimum_version", "is no version"),
        ("minimum_kamalnb_version: 9.0.0", "minimum_kamalnb_version", "this is 0.1.0. Upgrade kamalnb"),
        ("require_destination: true", "require_destination", "Add --destination=NAME"),
        ("env: {A: 1, clear: {B: 2}}", "env/A", "stands beside clear and secret"),
        ("env: {clear: {A: }}", "env/clear/A", "has no value"),
        ("env: {clear: {'A B': 1}}", "env/clear/A B", "should be a variable's name"),
        ("env: {clear: {A: 1}, secret: [A]}", "env/clear/A", "is under clear and under secret"),
        ("env: {secret: [A=b]}", "env/secret/0", "Write the name alone"),
        ("env: [A]", "env", "should be a mapping of variables"),
        ("labels: {a: no}", "labels/a", 'Write it in quotes: "no"'),
        ("labels:", "labels", "has no value"),
        ("volumes: /a:/b", "volumes", "should be a list (`- item` lines), and is a text"),
        ("healthcheck: {port: 70000}", "healthcheck/port", "from 1 to 65535"),
        ("healthcheck: {port: 0777}", "healthcheck/port", "is written as 0777"),
        ("healthcheck: {interval: 0}", "healthcheck/interval", "from a millisecond to 24 h"),
        ("healthcheck: {cord: tmp/x}", "healthcheck/cord", "from its root"),
        ("healthcheck: {path: a b}", "healthcheck/path", "without spaces"),
        ("boot: {limit: 0}", "boot/limit", '"25%"'),
        ("boot: {limit: 0%}", "boot/limit", "from 1 to 100"),
        ("drain_timeout: -1", "drain_timeout", "from 0 s to 24 h"),
        ("drain_timeout: .nan", "drain_timeout", "should be a time"),
        ('confirm: "true"', "confirm", "Write true or false without quotes"),
        ("stop_signal: 'SIG TERM'", "stop_signal", "is no signal"),
        ("retain_containers: 0", "retain_containers", "from 1 to 1000"),
        ("hosts_down: [b]", "hosts_down/0", "names b, which no role has"),
        ("registry: {username: u}", "registry/password", "is missing beside username"),
        ("registry: {server: 'https://x.io'}", "registry/server", "without https://"),
        ("release: {timeout: 5}", "release/cmd", "is missing. Write `cmd: bin/rails db:migrate`"),
        ("release: [a]", "release", "should be a text, and is a list"),
        ("release: 5", "release", 'Write it in quotes: "5"'),
        ("release:", "release", "has no value"),
        ("release: {cmd: x, timeout: soon}", "release/timeout", "should be a time, and is “soon”"),
        ("release: {cmd: x, timeout: 0}", "release/timeout", "from a millisecond to 24 h"),
        ("release: {cmd: x, role: wbe}", "release/role", "Did you mean web?"),
        ("release: {command: x, cmd: y}", "release/command", "is not a known key"),
        ("servers: {web: [a], j: []}\nallow_empty_roles: true\nrelease: {cmd: x, role: j}", "release/role", "no host"),
        ("aliases: {Console: exec}", "aliases/Console", "is no name for an alias"),
        ("aliases: {-c: exec}", "aliases/-c", "is no name for an alias"),
        ("aliases: {c: [exec]}", "aliases/c", "should be a text, and is a list"),
        ("aliases: {c: 'exec \"a'}", "aliases/c", "has a quote that is not closed"),
        ("aliases: {c: kamal app exec}", "aliases/c", "begins with kamal. Write what follows it"),
        ("aliases: {c: app exec}", "aliases/c", "begins with app"),
        ("aliases: {c: --reuse}", "aliases/c", "should begin with a command"),
        ("aliases: [a]", "aliases", "should be a mapping"),
        ("ssh: {log_level: loud}", "ssh/log_level", "debug, info, warn"),
        ("ssh: {usr: x}", "ssh/usr", "Did you mean user?"),
        ("traefik: {options: {--memory: 1g}}", "traefik/options/--memory", "without dashes in front"),
        ("<% if true %>", "", "line 4: is an ERB condition. Write what differs in deploy.<destination>.yml"),
        ("hooks_path: <%= File.read('x') %>", "hooks_path", "line 4: reads a file"),
        ("hooks_path: <%= ENV['A'] || 'x' %>", "hooks_path", 'Write <%= ENV.fetch("NAME", "default") %>'),
        ("hooks_path: <%= ENV['A'] %>", "hooks_path", "A is not set"),
        ("hooks_path: <%= ENV.fetch('A') %>/x", "hooks_path", "A is not set"),
        ("hooks_path: <%= ENV.fetch('A', \"#{x}\") %>", "hooks_path", "is Ruby"),
        ("hooks_path: x\nrun_directory: y\nhooks_path: z", "hooks_path", "is written twice: lines 4 and 6"),
        ("hooks_path: !!python/object/apply:os.system [x]", "hooks_path", "has a tag"),
        ("hooks_path: !x y", "hooks_path", "has a tag"),
        ("no: 1", "no", 'Put it in quotes: "no"'),
        ("hooks_path: *nowhere", "", "line 4: names an anchor that does not exist"),
        ("\thooks_path: x", "", "Indent with spaces"),
        ("hooks_path: a: b", "", "a colon too many"),
        ('hooks_path: "a', "", "has a quote that is not closed"),
        ("---\nx: y", "", "more than one document"),
        ('hooks_path: "\\U99999999"', "", "has an escape"),
        ('hooks_path: "a\\0b"', "hooks_path", "NUL"),
        ("x-a: &a [*a]", "", "refers to itself"),
        ("x-a: " + "[" * 60 + "]" * 60, "", "nested more than 50 levels"),
        ("x-a: " + "y" * 300_000, "", "is longer than 256 KiB"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem_with_its_path_and_what_to_write(text: str, path: str, sentence: str) -> None:
    found = error(_with_the_rest(text)).problems
    matching = [problem for problem in found if problem[0] == path and sentence in problem[1]]
    assert matching, found
    assert len(found) == 1 or path == "no", found  # that key is unknown besides


def _with_the_rest(text: str) -> str:
    keys = {line.partition(":")[0] for line in text.split("\n")}
    rest = {"service": "app", "image": "app", "servers": "[a]"}
    return "\n".join([*(f"{key}: {value}" for key, value in rest.items() if key not in keys), text])


def test_an_alias_bomb_ends_at_the_bound() -> None:
    (problem,) = error((CONFIGS / "alias_bomb.yml").read_text()).problems
    assert "too many values" in problem[1]


@pytest.mark.parametrize("text", ["", "# nothing", "- a", "text", "1", "---", "null"])
def test_a_file_without_keys_says_so(text: str) -> None:
    (problem,) = error(text).problems
    assert problem[0] == ""
    assert "is empty" in problem[1] or "is no mapping" in problem[1]


def test_a_mistake_in_the_overlay_names_the_overlay() -> None:
    good = "service: app\nimage: app\nservers: [a]"
    assert str(error(good, "boot: {}\nboot: {limit: 0%}\n", destination="staging")) == (
        "config/deploy.yml with deploy.staging.yml has 2 problems:\n"
        "  boot: (deploy.staging.yml) is written twice: lines 1 and 2. Keep one.\n"
        "  boot/limit: should be a whole number from 1 to 100."
    )


def test_a_kamal_2_file_has_a_sentence_of_its_own_and_no_complaint_about_each_key() -> None:
    found = error((CONFIGS / "kamal_2.yml").read_text()).problems
    assert [path for path, _ in found] == ["servers/web/proxy", "proxy", "minimum_version"]


def test_a_variable_that_is_not_set_is_named_where_the_rest_is_no_good() -> None:
    path, sentence = only('image: dhh/<%= ENV["APP"] %>')
    assert (path, "APP is not set" in sentence) == ("image", True)


@pytest.mark.parametrize(
    "secret",
    [
        "registry: {username: u, password: CANARY, pasword: x}",
        "registry: {username: u, password: 'CANARY', port: 1}",
        "registry:\n  username: u\n  password: CANARY: x",
        "registry:\n  username: u\n  password: *CANARY",
        "registry:\n  username: u\n  password: &CANARY",
        "registry:\n  username: u\n  password: !CANARY",
        "registry:\n  username: u\n  password: !CANARY x",
        "registry:\n  username: u\n  password: @CANARY",
        "registry:\n  username: u\n  password: {CANARY}",
        "registry:\n  username: u\n  password: {CANARY: x, CANARY: y}",
        "registry:\n  username: u\n  password: [CANARY!]",
        "registry:\n  username: u\n  password: [CANARY, x]",
        'registry:\n  username: u\n  password: "CANARY',
        'registry:\n  username: u\n  password: "CANARY\\0"',
        'registry:\n  username: u\n  password: <%= "CANARY" %>',
        "registry:\n  username: u\n  password: <%= `echo CANARY` %>",
        "registry:\n  username: u\n  password: <%= %x(echo CANARY) %>",
        'registry:\n  username: u\n  password: <%= ENV["X"] || "CANARY" %>',
        "env: {secret: [DB=CANARY]}",
        "env: {secret: [{DB: CANARY}]}",
        "env: {secret: {DB: CANARY}}",
        "env: {secret: {DB=CANARY: [X]}}",
        "env: {secret: [DB: CANARY]}",
        "env: {secret: {DB: {env: 'CANARY x'}}}",
        "env: {secret: {DB: {command: 'CANARY'}}}",
        "env: {tags: {a: {secret: {DB: CANARY}}}}",
        "servers: {web: {hosts: [a], env: {secret: {DB: CANARY}}}}",
        "traefik: {env: {secret: {DB: CANARY}}}",
        "ssh: {key_data: [CANARY], nonsense: 1}",
        "ssh: {key_data: [{x: CANARY}]}",
        "ssh: {key_data: CANARY}",
        "env: {clear: {DB: {PASSWORD: CANARY}}}",
    ],
)
def test_no_literal_secret_gets_into_a_message_a_repr_or_a_traceback(secret: str) -> None:
    caught = error(_with_the_rest(secret.replace("CANARY", CANARY)) + "\nnonsense: 1")
    everything = "".join(traceback.format_exception(caught)) + repr(caught) + repr(caught.problems)
    assert CANARY not in everything


def test_a_config_with_a_literal_secret_shows_it_nowhere() -> None:
    text = _with_the_rest(f"registry: {{username: u, password: {CANARY}}}\nssh: {{key_data: [{CANARY}]}}")
    config = read_config(text, environ={})
    assert CANARY not in repr(config) + str(config) + "".join(config.warnings)


def test_a_secret_from_the_environment_is_in_no_message_either() -> None:
    text = _with_the_rest(
        'healthcheck: {interval: <%= ENV["X"] %>}\nhooks_path: <%= ENV["X"] %>\nboot: {limit: <%= ENV["X"] %>}'
    )
    assert CANARY not in str(error(text, X=CANARY))
