"""The two forms of ERB that ``deploy.yml`` may use: ``ENV["X"]`` and ``ENV.fetch("X"[, default])``.

Kamal pastes the value into the text. Here a mark goes in instead, and the value takes its place after YAML has been
read: so a password with a quote, a colon or a line break in it stays one value. Nothing here may do I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_BYTES = 256 * 1024
"""A longer file is not read at all."""

# No tag within a tag: else each of many that are not closed would be looked for to the end of the file.
_TAG = re.compile(r"<%(?P<code>(?:(?!<%|%>).)*)%>", re.DOTALL)
_NAME = r"""(?P<quote>["'])(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)(?P=quote)"""
_INDEX = re.compile(rf"ENV\[\s*{_NAME}\s*\]")
_TEXT = r"""(?P<mark>["'])(?P<text>(?:(?!(?P=mark))[^\\])*)(?P=mark)"""
_FETCH = re.compile(rf"ENV\.fetch\(\s*{_NAME}\s*(?:,\s*(?:{_TEXT}|(?P<number>\d+))\s*)?\)")
_COMMAND = re.compile(r"^(?:`|%x\W|system\W+|\$\()\s*(?P<program>[\w./-]+)")
_FILE = re.compile(r"^(?:File|IO)\.read\(\s*[\"'](?P<path>[\w./~-]+)[\"']\s*\)")
_LITERAL = re.compile(r"""^(?:"[^"]*"|'[^']*'|\d+)$""", re.DOTALL)

_MARK_START, _MARK_END = "\ue000", "\ue001"
MARK = re.compile(f"{_MARK_START}([0-9]+){_MARK_END}")
"""What stands in the text for the tag of that number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """One ``<%= … %>``. ``value`` is None where the variable is not set and there is no default.

    ``defaulted`` says that ``value`` is the default. ``refusal`` says why the tag cannot be used, and what to write.
    """

    line: int
    name: str = ""
    value: str | None = field(default=None, repr=False)
    required: bool = False
    defaulted: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A text whose tags were replaced by marks. ``problems`` are ``(line, sentence)`` for what has no value."""

    text: str
    tags: tuple[Tag, ...] = ()
    problems: tuple[tuple[int, str], ...] = ()


def mark(text: str, environ: Mapping[str, str]) -> Marked:
    """Replaces each tag of ``text`` by a mark and says what it stands for."""
    if len(text) > MAX_BYTES:
        return Marked(text=text)
    if _MARK_START in text or _MARK_END in text:
        sentence = "contains the private character U+E000 or U+E001, which kamalnb uses itself. Remove it."
        return Marked(text="", problems=((_line(text, re.search("[\ue000\ue001]", text)), sentence),))
    tags: list[Tag] = []
    problems: list[tuple[int, str]] = []

    def replace(found: re.Match[str]) -> str:
        code, line = found["code"], _line(text, found)
        if not code.startswith("="):
            problems.append((line, _statement(code)))
            return "\n" * code.count("\n")
        tags.append(_tag(code[1:].strip(), line, environ))
        return f"{_MARK_START}{len(tags) - 1}{_MARK_END}"

    marked = _TAG.sub(replace, text)
    if "<%" in marked:
        sentence = "has a `<%` without its `%>`. Close it, or put the text in an environment variable."
        problems.append((_line(marked, re.search("<%", marked)), sentence))
    return Marked(text=marked, tags=tuple(tags), problems=tuple(problems))


def _tag(code: str, line: int, environ: Mapping[str, str]) -> Tag:
    if found := _INDEX.fullmatch(code):
        return Tag(line=line, name=found["name"], value=environ.get(found["name"]))
    found = _FETCH.fullmatch(code)
    if found is None or "#{" in (found["text"] or ""):
        return Tag(line=line, refusal=_refusal(code))
    default = found["number"] if found["text"] is None else found["text"]
    value = environ.get(found["name"], default)
    defaulted = default is not None and found["name"] not in environ
    return Tag(line=line, name=found["name"], value=value, required=True, defaulted=defaulted)


def _refusal(code: str) -> str:
    """Why, and the replacement. Never the code itself: there may be a password in it."""
    if command := _COMMAND.match(code):
        how = f"write {{command: [{command['program']}, …]}} with each word of the command as an item"
        return f"runs a command. For a secret, {how}; else put its output in an environment variable."
    if path := _FILE.match(code):
        return f"reads a file. For a secret, write {{file: {path['path']}}}; else put it in an environment variable."
    if _LITERAL.match(code):
        return "is a plain text in ERB. Write the text itself, without `<%= %>`."
    if code.startswith("ENV") and "||" in code:
        return 'uses `||`. Write <%= ENV.fetch("NAME", "default") %>.'
    if code.startswith("ENV") and ".split" in code:
        return 'splits a text. Write <%= ENV["NAME"] %> and set the variable to a list: NAME="[1.1.1.1, 1.1.1.2]".'
    if "credentials" in code:
        return "reads Rails credentials. Write {command: [bin/rails, runner, …]}, or put it in an environment variable."
    return 'is Ruby, which kamalnb does not run. Put the value in an environment variable and write <%= ENV["NAME"] %>.'


def _statement(code: str) -> str:
    if code.startswith("#"):
        return "is an ERB comment. Write a YAML comment: `# …`."
    word = (re.findall(r"[a-z]+", code) or [""])[0]
    if word in ("if", "unless", "else", "elsif", "end", "case", "when"):
        return "is an ERB condition. Write what differs in deploy.<destination>.yml and use --destination."
    if ".each" in code or word in ("for", "while"):
        return "is an ERB loop. Write the items out, or repeat them with a YAML anchor (`&name`, `*name`)."
    return 'is Ruby, which kamalnb does not run. Put the value in an environment variable and write <%= ENV["NAME"] %>.'


def _line(text: str, found: re.Match[str] | None) -> int:
    return text.count("\n", 0, found.start()) + 1 if found else 1
