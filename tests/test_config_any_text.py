"""Whatever the text: a Config or a ConfigError with problems, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalnb.config.envfile import read_env
from kamalnb.config.model import Config
from kamalnb.config.reading import read_config
from kamalnb.config.schema import DeployFile, Section, keys_at
from kamalnb.errors import ConfigError

CONFIGS = sorted(path for path in (Path(__file__).parent / "configs").glob("*.yml") if path.stem != "alias_bomb")
TEXTS = [path.read_text() for path in CONFIGS]
ENVIRON = {"A": "x", "B": "[1, 2]", "C": "a: b\n- c", "PORT": "80"}

_keys = st.sampled_from(
    sorted({key for place in ((), ("healthcheck",), ("ssh",), ("servers", "web"), ("env",)) for key in keys_at(place)})
)
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=12),
    st.sampled_from(["1.1.1.1", "no", "1.10", '<%= ENV["A"] %>', "<%= ENV.fetch('B') %>", "<% x %>", "\ud800", "10s"]),
)  # fmt: skip
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_keys | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


def check(text: str, overlay: str | None = None) -> None:
    config, problems, shown = outcome(text, overlay)
    assert (config is None) != (not problems)
    assert all(sentence.endswith((".", "?")) for _, sentence in problems), problems
    shown.encode()  # it can be printed
    assert config is None or config.hosts


def outcome(text: str, overlay: str | None) -> tuple[Config | None, tuple[tuple[str, str], ...], str]:
    destination = None if overlay is None else "staging"
    try:
        config = read_config(text, overlay, environ=ENVIRON, destination=destination)
    except ConfigError as error:
        return None, error.problems, str(error)
    return config, (), repr(config)


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text(text: str) -> None:
    check(text)


@given(st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!|>'\"%@`,?#~<= \n\t1.0_\\x")), max_size=60))
@settings(max_examples=400, deadline=None)
def test_text_of_yamls_own_characters(text: str) -> None:
    check(text)
    check("service: app\nimage: app\nservers: [a]\n" + text)


@pytest.mark.slow
@given(st.dictionaries(_keys, _values, max_size=8), st.none() | st.dictionaries(_keys, _values, max_size=3))
@settings(max_examples=300, deadline=None)
def test_known_keys_with_any_values(values: dict[str, object], overlay: dict[str, object] | None) -> None:
    base = {"service": "app", "image": "app", "servers": ["1.1.1.1"]}
    check(_dump({**base, **values}), None if overlay is None else _dump(overlay))


@given(st.sampled_from(TEXTS), st.integers(0, 2000), st.integers(0, 12), st.text(max_size=6))
@settings(max_examples=300, deadline=None)
def test_good_files_with_a_piece_replaced(text: str, start: int, length: int, piece: str) -> None:
    start %= len(text)
    check(text[:start] + piece + text[start + length :])


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_of_an_env_file_gives_texts(text: str) -> None:
    assert all(isinstance(value, str) for value in read_env(text, {"A": "x"}).values.values())


@pytest.mark.parametrize("model", [DeployFile, *Section.__subclasses__()], ids=lambda model: model.__name__)
def test_every_key_has_a_line_for_editors(model: type[Section]) -> None:
    assert all(info.description for info in model.model_fields.values())


def _dump(value: object) -> str:
    return yaml.safe_dump(value, allow_unicode=True)
