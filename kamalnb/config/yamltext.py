"""YAML text → a tree of dicts, lists and values, every surprise of YAML turned into a problem with its line.

Bounded in size, depth and number of values (an alias bomb ends at the bound), duplicate keys refused, no tags, secrets
typed the moment they are met. Messages never repeat the text around a mistake: it may be a password. Nothing here may
do I/O.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..shell import Secret
from .erb import MARK, MAX_BYTES, Marked, Tag
from .places import Path, Problem, is_secret, left_alone, secret_place
from .scalars import EnvText, Odd

_MAX_DEPTH = 50
_MAX_VALUES = 20_000
_YAML = "tag:yaml.org,2002:"
_NO_YAML = "is no YAML. Look at colons, quotes and indentation there."
_BOOLEANS = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False}
_ADVICE = (
    ("cannot start any token", "has a character that YAML does not allow there (a tab, @, ` or %). "
     "Indent with spaces, and put quotes around a text that begins with such a character."),
    ("mapping values are not allowed", "has a colon too many, or an indentation that does not fit. "
     "Put quotes around a text that contains a colon and a space."),
    ("could not find expected ':'", "has a line without its colon. Write `key: value`."),
    ("undefined alias", "names an anchor that does not exist. Put quotes around a text that begins with *."),
    ("scanning an alias", "has a broken alias. Put quotes around a text that begins with *."),
    ("scanning an anchor", "has a broken anchor. Put quotes around a text that begins with &."),
    ("tag", "has a tag that is not understood. Put quotes around a text that begins with !."),
    ("unexpected end of stream", "has a quote that is not closed. Close it."),
    ("single document", "holds more than one document. Remove the second `---`."),
    ("block end", "has an indentation that does not fit. Line it up with its neighbours, with spaces."),
    ("special characters are not allowed", "has a control character. Remove it."),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What one file says.

    ``doubtful`` are places whose value could not be known: no further complaint about them. ``unset`` are places where
    a variable that is not set left a gap: if the rest is no good, that is the sentence to say.
    """

    value: Any = None
    problems: tuple[Problem, ...] = ()
    doubtful: tuple[Path, ...] = ()
    unset: tuple[Problem, ...] = ()


class _TooMuch(Exception):
    """A bound was passed; the text is a sentence."""


class _Loader(yaml.SafeLoader):
    """Stops at a depth and a number of values that no person writes: before Python's stack does, and in good time."""

    depth = 0
    count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        self.count += 1
        if self.count > _MAX_VALUES:
            raise _TooMuch("holds too many values. Is it the right file?")
        if self.depth > _MAX_DEPTH:
            raise _TooMuch(f"is nested more than {_MAX_DEPTH} levels deep. Flatten it.")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read_tree(marked: Marked, *, where: str = "") -> Tree:
    """The tree of one file's text. ``where`` begins each sentence that names a line (``(deploy.staging.yml) ``)."""
    problems: list[Problem] = [((), f"{where}line {line}: {sentence}") for line, sentence in marked.problems]
    if len(marked.text.encode(errors="replace")) > MAX_BYTES:
        return Tree(problems=(((), f"{where}is longer than {MAX_BYTES // 1024} KiB. Is it the right file?"),))
    builder = _Builder(tags=marked.tags, where=where, problems=problems)
    try:
        node = _compose(marked.text)
        value = builder.build(node, ()) if node is not None else None
    except _TooMuch as bound:
        return Tree(problems=(*problems, ((), f"{where}{bound}")))
    except yaml.YAMLError as error:
        return Tree(problems=(*problems, ((), where + _sentence(error))))
    except (ValueError, OverflowError):  # PyYAML lets these through: "\U99999999", %YAML 1.9…9
        return Tree(problems=(*problems, ((), f"{where}has an escape or directive that YAML cannot read. Remove it.")))
    return Tree(
        value=value,
        problems=tuple(builder.problems),
        doubtful=tuple(builder.doubtful),
        unset=tuple(builder.unset),
    )


def flow_list(text: str) -> Any:
    """The list in a text such as ``[1.1.1.1, 1.1.1.2]`` out of a variable; the text itself where it is none."""
    tree = read_tree(Marked(text=text))
    return tree.value if isinstance(tree.value, list) and not tree.problems else text


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _sentence(error: yaml.YAMLError) -> str:
    problem = " ".join(str(part) for part in (getattr(error, "context", ""), getattr(error, "problem", "")) if part)
    problem = problem or getattr(error, "reason", "")
    spot = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    advice = next((words for sign, words in _ADVICE if sign in problem), _NO_YAML)
    return f"line {spot.line + 1}: {advice}" if spot else advice


@dataclass(slots=True, kw_only=True)
class _Builder:
    tags: tuple[Tag, ...]
    where: str
    problems: list[Problem]
    doubtful: list[Path] = field(default_factory=list)
    unset: list[Problem] = field(default_factory=list)
    count: int = 0
    depth: int = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.count += 1
        self.depth += 1  # a merge (`<<`) goes deeper at the same path
        if self.count > _MAX_VALUES or self.depth > 2 * _MAX_DEPTH:
            raise _TooMuch("holds too many values, or refers to itself. Write it with fewer aliases (`*name`).")
        try:
            return self.built(node, path)
        finally:
            self.depth -= 1

    def built(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.CollectionNode) and node.tag not in (f"{_YAML}map", f"{_YAML}seq"):
            self.note(path, f"line {_line(node)}: has a tag (`!…`). Remove it.")
            self.doubtful.append(path)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, number)) for number, child in enumerate(node.value)]
        return self.scalar(node, path) if isinstance(node, yaml.ScalarNode) else None

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_YAML}merge":
                merged = {**self.merged(value_node, path), **merged}
                continue
            key = self.key(key_node, path)
            if key is None:
                continue
            if key in own:
                self.note((*path, key), f"is written twice: lines {lines[key]} and {_line(key_node)}. Keep one.")
            lines[key] = _line(key_node)
            own[key] = self.build(value_node, (*path, key))
        return {**merged, **own}

    def merged(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        """What ``<<: *name`` adds. In a list of mappings the earlier ones win, as YAML says."""
        value = self.build(node, path)
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            self.note(path, f"line {_line(node)}: `<<` needs a mapping. Write `<<: *name` with an anchor on a mapping.")
            return {}
        return {key: item for part in reversed(parts) for key, item in part.items()}

    def key(self, node: yaml.Node, path: Path) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self.note(path, f"line {_line(node)}: a key is a list or a mapping. Keys are texts; put it in quotes.")
            return None
        value = self.scalar(node, (*path, "(key)"))
        if isinstance(value, str):
            return str(value)
        raw = str(node.value)
        if not secret_place((*path, raw)) and not left_alone(path[0] if path else ""):
            self.note((*path, raw), f'line {_line(node)}: YAML reads this key as no text. Put it in quotes: "{raw}".')
        return raw

    def scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        raw = str(node.value)
        if not _printable(raw):
            self.note(path, f"line {_line(node)}: has a character that no program takes (NUL, half a pair). Remove it.")
            self.doubtful.append(path)
            return None
        if MARK.search(raw):
            return self.from_environment(node, path)
        if node.tag == f"{_YAML}null" and node.style is None:
            return None
        if is_secret(path):
            return Secret(raw)
        if not node.tag.startswith(_YAML) or (node.tag != f"{_YAML}str" and node.style is not None):
            self.note(path, f"line {_line(node)}: has a tag (`!…`). Put quotes around a text that begins with !.")
            self.doubtful.append(path)
            return None
        return _typed(raw, node.tag.removeprefix(_YAML))

    def from_environment(self, node: yaml.ScalarNode, path: Path) -> Any:
        if left_alone(path[0] if path else ""):
            return None
        raw = str(node.value)
        used = [self.tags[int(number)] for number in MARK.findall(raw)]
        sensitive = is_secret(path) or path[:2] == ("registry", "username")
        alone = MARK.fullmatch(raw) and used[0].name
        if sensitive and alone and not used[0].defaulted:
            return {"env": used[0].name}  # read late: looking needs no secret
        for tag in used:
            self.check(tag, path, needed=tag.required or bool(alone and node.style is None))
        whole = MARK.sub(lambda found: self.tags[int(found[1])].value or "", raw)
        if not _printable(whole):
            self.note(path, "has a character from the environment that no program can be given. Remove it.")
            whole = ""
        return Secret(whole) if is_secret(path) else EnvText(whole)

    def check(self, tag: Tag, path: Path, *, needed: bool) -> None:
        if tag.refusal:
            self.note(path, f"line {tag.line}: {tag.refusal}")
        elif tag.value is None:
            default = f'<%= ENV.fetch("{tag.name}", "default") %>'
            sentence = f"line {tag.line}: {tag.name} is not set. Set it, or write {default}."
            if not needed:
                self.unset.append((path, self.where + sentence))
                return
            self.note(path, sentence)
        else:
            return
        self.doubtful.append(path)

    def note(self, path: Path, sentence: str) -> None:
        self.problems.append((path, self.where + sentence))


def _typed(raw: str, kind: str) -> Any:
    """Python's value where it reads back as it was written, else an Odd."""
    if kind == "null":
        return None
    if kind == "bool":
        value = _BOOLEANS.get(raw.lower())
        return value if raw in ("true", "false") else Odd(raw=raw, kind=str(value).lower(), value=value)
    if kind == "int":
        return _number(raw, int) if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", raw) else _odd_int(raw)
    if kind == "float":
        return _number(raw, float)
    if kind == "timestamp":
        return Odd(raw=raw, kind="date")
    return raw


def _number(raw: str, kind: type[int] | type[float]) -> Any:
    try:
        value = kind(raw.replace("_", ""))
    except ValueError:
        return Odd(raw=raw, kind="number")
    if not math.isfinite(value):
        return Odd(raw=raw, kind="number")
    return value if str(value) == raw else Odd(raw=raw, kind="number", value=value)


def _odd_int(raw: str) -> Odd:
    """What YAML 1.1 makes of 0644 and 0x1F, to say it; 1:30 and long ones are only called numbers."""
    digits = raw.replace("_", "").lower()
    if len(digits) > 18 or ":" in digits:
        return Odd(raw=raw, kind="number")
    base = 8 if re.fullmatch(r"[-+]?0[0-7]+", digits) else 0
    try:
        return Odd(raw=raw, kind="number", value=int(digits, base))
    except ValueError:
        return Odd(raw=raw, kind="number")


def _printable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
