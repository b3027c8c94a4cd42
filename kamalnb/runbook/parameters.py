"""The parameters of a runbook, read from its cell tagged ``parameters`` without running it, and the values for them.

    version: str                        # image tag to boot        (no value: required)
    role: str = "web"                   # role to roll
    mode: Literal["safe", "fast"] = "safe"
    hosts: list[str] = []
    since: Optional[str] = None

The cell is papermill's; the annotations are ours: papermill ignores them. Everything is checked before a kernel starts.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from ..errors import UsageError

REQUIRED: Any = object()
"""In place of a default."""
Kind = Literal["str", "int", "float", "bool", "choice", "list[str]"]
SECRET_NAME = re.compile(r"passw(or)?d|passphrase|secret|token|api_?key|private_?key|access_?key|credential", re.I)
"""Names that only a secret has."""
WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """What a value may be; ``choices`` belong to ``Literal``, ``optional`` allows None."""

    kind: Kind
    choices: tuple[Any, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        word = " or ".join(map(str, self.choices)) if self.choices else self.kind
        return f"{word} or none" if self.optional else word


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: its name, type, default (``REQUIRED`` where there is none) and the comment behind it."""

    name: str
    type: Type
    default: Any = REQUIRED
    help: str = ""

    @property
    def required(self) -> bool:
        """Whether a value has to be given."""
        return self.default is REQUIRED

    def __str__(self) -> str:
        return f"{self.name}: {self.type}, required" if self.required else f"{self.name}: {self.type} = {self._shown}"

    @property
    def _shown(self) -> str:
        return "…" if self.default is ... else str(self.default) if self.default != "" else '""'


def declared(source: str) -> tuple[Parameter, ...]:
    """The parameters that a cell's source declares. Raises ``UsageError`` for one that cannot be understood."""
    try:
        tree = ast.parse(source)
        comments = _comments(source)
    except (SyntaxError, tokenize.TokenError) as error:
        raise UsageError(f"the parameters cell is not Python: {error}. Correct it.") from None
    found = (_parameter(node, comments.get(node.end_lineno or 0, "")) for node in tree.body)
    return tuple(one for one in found if one is not None)


def values(parameters: Sequence[Parameter], given: Sequence[str], hidden: Sequence[str] = ()) -> dict[str, Any]:
    """What ``--set name=value`` gave, as Python values; a required one that is missing is an error, as is a secret.

    ``hidden`` are values that must not be written into a notebook.
    """
    by_name = {parameter.name: parameter for parameter in parameters}
    texts: dict[str, list[str]] = {}
    for word in given:
        name, equals, text = word.partition("=")
        name = name.strip()
        if not equals:
            raise UsageError(f"“{word}” has no “=”. Write --set {name}=VALUE.")
        if name not in by_name:
            raise UsageError(_unknown(name, tuple(by_name)))
        texts.setdefault(name, []).append(text)
    _refuse_secrets(parameters, texts, hidden)
    missing = [parameter for parameter in parameters if parameter.required and parameter.name not in texts]
    if missing:
        told = "; ".join(f"{one.name} ({one.help or one.type})" for one in missing)
        raise UsageError(f"a value is missing for {told}. Say --set {missing[0].name}=VALUE.")
    return {name: _value(by_name[name], found) for name, found in texts.items()}


def injected(given: Mapping[str, Any]) -> str:
    """The source of the cell that sets them: what papermill calls ``injected-parameters``."""
    return "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in given.items())


def _comments(source: str) -> dict[int, str]:
    """Comments by line; those on lines of their own belong to nothing."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = source.splitlines()
    return {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokens
        if token.type == tokenize.COMMENT and lines[token.start[0] - 1][: token.start[1]].strip()
    }


def _parameter(node: ast.stmt, comment: str) -> Parameter | None:
    """What a statement declares; None for one that is no assignment to a name."""
    match node:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            kind = _type(annotation, name)
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            kind = _guessed(_default(value))
        case _:
            return None
    default = REQUIRED if value is None else _default(value)
    if default is not REQUIRED and default is not ... and not _fits(default, kind):
        raise UsageError(f"the parameter {name} is declared as {kind}, but its default is {default!r}. Correct it.")
    return Parameter(name=name, type=kind, default=default, help=comment)


def _default(node: ast.expr) -> Any:
    """Its value, or ``...`` where it has to be computed."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ...


def _guessed(default: Any) -> Type:
    """The type of a parameter without annotation, as papermill's notebooks have them."""
    if isinstance(default, bool):
        return Type(kind="bool")
    if isinstance(default, int):
        return Type(kind="int")
    if isinstance(default, float):
        return Type(kind="float")
    if isinstance(default, list):
        return Type(kind="list[str]")
    return Type(kind="str", optional=default is None)


def _type(node: ast.expr, name: str) -> Type:
    spelled = ast.unparse(node).replace("typing.", "").replace("'", '"')
    if spelled in ("str", "int", "float", "bool", "list[str]"):
        return Type(kind=spelled)  # type: ignore[arg-type]
    if spelled.startswith("Optional[") and isinstance(node, ast.Subscript):
        return _optional(_type(node.slice, name))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [node.left, node.right]
        left = [side for side in sides if ast.unparse(side) != "None"]
        if len(left) == 1:
            return _optional(_type(left[0], name))
    if spelled.startswith("Literal[") and isinstance(node, ast.Subscript):
        choices = _default(node.slice)
        if choices is not ...:
            return Type(kind="choice", choices=choices if isinstance(choices, tuple) else (choices,))
    known = 'str, int, float, bool, list[str], Literal["a", "b"], Optional[…]'
    raise UsageError(f"the parameter {name} is declared as {spelled}, which no word can be read as. Use {known}.")


def _optional(one: Type) -> Type:
    return Type(kind=one.kind, choices=one.choices, optional=True)


def _fits(value: Any, kind: Type) -> bool:
    if value is None:
        return kind.optional
    match kind.kind:
        case "choice":
            return value in kind.choices
        case "list[str]":
            return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        case "float":
            return isinstance(value, float | int) and not isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case _:
            return isinstance(value, str)


def _value(parameter: Parameter, texts: Sequence[str]) -> Any:
    kind = parameter.type
    if kind.kind == "list[str]":
        return [word.strip() for text in texts for word in text.split(",") if word.strip()]
    if len(texts) > 1:
        raise UsageError(f"{parameter.name} is given {len(texts)} times. Give it once.")
    text = texts[0]
    if kind.optional and text.strip().lower() in ("", "none"):
        return None
    try:
        return _read(kind, text)
    except (ValueError, KeyError):
        raise UsageError(
            f"{parameter.name} is {kind}, and “{text}” is not. Say --set {parameter.name}=VALUE."
        ) from None


def _read(kind: Type, text: str) -> Any:
    match kind.kind:
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool":
            return WORDS[text.strip().lower()]
        case "choice":
            return next(_same(kind.choices, text))
        case _:
            return text


def _same(choices: Sequence[Any], text: str) -> Iterator[Any]:
    yield from (choice for choice in choices if str(choice) == text)
    raise ValueError(text)


def _unknown(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1)
    if near:
        return f"unknown parameter {name}; did you mean {near[0]}?"
    there = f"There are: {', '.join(names)}." if names else "This runbook has no parameters."
    return f"unknown parameter {name}. {there}"


def _refuse_secrets(parameters: Sequence[Parameter], texts: Mapping[str, Sequence[str]], hidden: Sequence[str]) -> None:
    """A parameter stands in the saved notebook, in clear: no secret may be one."""
    where = "A runbook's parameters are saved in clear: name it under env: secret: in deploy.yml."
    for parameter in parameters:
        if SECRET_NAME.search(parameter.name):
            raise UsageError(f"the parameter {parameter.name} looks like a secret. {where}")
    for name, found in texts.items():
        if any(value and value in text for text in found for value in hidden):
            raise UsageError(f"the value for {name} is a secret of this project. {where}")
