"""The parameters of a runbook: read without running anything, checked before a kernel starts."""

from __future__ import annotations

from typing import Any

import pytest

from kamalnb.errors import UsageError
from kamalnb.runbook.parameters import Parameter, declared, injected, values

CELL = """
# A line of its own says nothing about a parameter.
version: str                    # image tag to boot
role: str = "web"               # role to roll
canary: int = 1
wait: float = 0.5
force: bool = False
mode: Literal["safe", "fast"] = "safe"   # how
hosts: list[str] = []
since: Optional[str] = None
until: str | None = None
import os
"""


def read(*given: str, cell: str = CELL, hidden: tuple[str, ...] = ()) -> dict[str, Any]:
    return values(declared(cell), given, hidden)


def refusal(*given: str, cell: str = CELL, hidden: tuple[str, ...] = ()) -> str:
    with pytest.raises(UsageError) as caught:
        read(*given, cell=cell, hidden=hidden)
    assert caught.value.exit_code == 2
    return str(caught.value)


def by_name(cell: str = CELL) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in declared(cell)}


def test_names_types_defaults_and_comments_are_read() -> None:
    found = by_name()
    assert list(found) == ["version", "role", "canary", "wait", "force", "mode", "hosts", "since", "until"]
    assert (found["version"].required, found["version"].help) == (True, "image tag to boot")
    assert (found["role"].required, found["role"].default, found["role"].help) == (False, "web", "role to roll")
    assert found["canary"].help == ""
    assert found["mode"].type.choices == ("safe", "fast")
    assert found["since"].type == found["until"].type


def test_a_parameter_spells_itself_for_people() -> None:
    found = by_name()
    assert str(found["version"]) == "version: str, required"
    assert str(found["role"]) == "role: str = web"
    assert str(found["mode"]) == "mode: safe or fast = safe"
    assert str(by_name('x: str = ""')["x"]) == 'x: str = ""'


def test_each_type_is_read_from_a_word() -> None:
    given = ["version=1=2", "canary=3", "wait=2", "force=yes", "mode=fast", "since=1h"]
    assert read(*given) == {
        "version": "1=2", "canary": 3, "wait": 2.0, "force": True, "mode": "fast", "since": "1h",
    }  # fmt: skip


def test_a_list_is_given_with_commas_or_again_and_again() -> None:
    assert read("version=a", "hosts=web-1, web-2", "hosts=web-3")["hosts"] == ["web-1", "web-2", "web-3"]


@pytest.mark.parametrize("word", ["since=", "since=none", "until=None"])
def test_an_optional_one_may_be_none(word: str) -> None:
    assert read("version=a", word)[word.partition("=")[0]] is None


@pytest.mark.parametrize(("word", "value"), [("true", True), ("ON", True), ("1", True), ("no", False), ("off", False)])
def test_a_flag_has_plain_words(word: str, value: bool) -> None:
    assert read("version=a", f"force={word}")["force"] is value


def test_papermills_cells_without_annotations_are_typed_by_their_defaults() -> None:
    cell = "version = 'v1'\ncanary = 2\nforce = True\nsince = None\nhosts = ['a']"
    given = ["version=7", "canary=7", "force=false", "since=x", "hosts=b"]
    assert read(*given, cell=cell) == {"version": "7", "canary": 7, "force": False, "since": "x", "hosts": ["b"]}


def test_a_misspelt_name_is_refused_with_the_right_one() -> None:
    assert refusal("verison=abc") == "unknown parameter verison; did you mean version?"


def test_an_unknown_name_lists_the_known_ones() -> None:
    assert "There are: version, role" in refusal("zzz=1", "version=a")
    assert "has no parameters" in refusal("zzz=1", cell="")


def test_a_missing_one_is_named_with_its_comment() -> None:
    assert refusal() == "a value is missing for version (image tag to boot). Say --set version=VALUE."


@pytest.mark.parametrize("word", ["canary=two", "canary=1.5", "wait=soon", "force=perhaps", "mode=slow"])
def test_a_word_of_the_wrong_type_is_refused(word: str) -> None:
    name, _, text = word.partition("=")
    told = refusal("version=a", word)
    assert told.startswith(f"{name} is ")
    assert f"“{text}” is not" in told


def test_a_word_without_an_equals_sign_is_refused() -> None:
    assert refusal("version") == "“version” has no “=”. Write --set version=VALUE."


def test_one_given_twice_is_refused() -> None:
    assert refusal("version=a", "version=b") == "version is given 2 times. Give it once."


@pytest.mark.parametrize("name", ["db_password", "TOKEN", "api_key", "AWS_SECRET", "private_key", "credentials"])
def test_a_parameter_that_sounds_like_a_secret_is_refused(name: str) -> None:
    assert f"the parameter {name} looks like a secret" in refusal(cell=f'{name}: str = ""')


def test_a_value_that_is_a_secret_is_refused_and_not_repeated() -> None:
    told = refusal("version=hunter22", hidden=("hunter22",))
    assert told.startswith("the value for version is a secret of this project.")
    assert "hunter22" not in told


@pytest.mark.parametrize("cell", ["x: dict = {}", "x: int = 'a'", "x: list[int] = [1]", "x: bool = 1", "x: ("])
def test_a_cell_that_cannot_be_understood_is_a_mistake_of_the_runbook(cell: str) -> None:
    told = refusal(cell=cell)
    assert "Correct it." in told or "Use str, int" in told


def test_a_default_that_has_to_be_computed_is_left_to_the_notebook() -> None:
    assert read(cell="import os\nhome: str = os.getcwd()") == {}
    assert str(by_name("home: str = f()")["home"]) == "home: str = …"


def test_what_is_injected_gives_the_same_values() -> None:
    given = read('version=it\'s "x"\n$(y)', "hosts=a,b", "since=none", "force=on")
    names: dict[str, Any] = {}
    exec(injected(given), names)  # noqa: S102
    assert {name: names[name] for name in given} == given
