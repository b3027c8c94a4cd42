"""Words that want to be more than words: a corpus, endless mixtures of it, and Hypothesis's own."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hypothesis import strategies as st

CANARY = "pwned"
"""A file of this name, anywhere below the working directory, says that a word was obeyed."""

_RUNS = (f"touch {CANARY}", f">{CANARY}", f": >{CANARY}", f"cp /dev/null {CANARY}", f"printf x >>./{CANARY}")

CORPUS = (
    "", " ", "\t", "\n", "\r", "\r\n", "'", '"', "\\", "\\\\", "\\'", "''", "'\\''", "'\"'\"'", "`", "$", "$$", "$?",
    "-", "--", "-n", "-e", "-rf", "--help", "--format={{.Config.Env}}", "--privileged", "-v/:/host", "-c", "+x", "=",
    "*", "?", "[a-z]*", "~", "~root", "{a,b}", "!", "!!", "#", "# x", "%s%s%n", "%", "\\n", "\\0", "\\c", "$HOME",
    "${IFS}", "$k_r", "$1", "${1?}", "$((1+1))", "a=b", "k_r=0", "exit 0", ";", "&", "&&", "||", "|", "<", ">",
    "<<K_ALL", "K_ALL", "\nK_ALL\n", "K_FOUND", "K_NETS", "(", ")", "{", "}",
    "}; exit 7; {", ") </dev/null; exit 7", "\nk_main\n",
    "\x01", "\x02", "\x07", "\x08", "\x0b", "\x0c", "\x1b[2J", "\x1b]0;t\x07", "\x1b]52;c;eA==\x07", "\x7f",
    "\x80", "\x85", "\x9b31m", "\xa0", "é", "ÿ", "\u2028", "\u2029", "\u202eabc", "\ufeff", "\ufffd", "日本", "🚢",
    "a\u0301", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;b&gt;",
    "{{.Config.Env}}", "{{json .}}", "..",
    "../..", "/etc/passwd", "/dev/full", "./-x", "a/b", "a//b", ".", "CON", "x" * 4096,
)  # fmt: skip

_OPENERS = (
    "",
    "x",
    "'",
    '"',
    "';",
    '";',
    "\\",
    "\n",
    "\r\n",
    ")",
    "};",
    "'\n",
    "$(",
    "`",
    "${x:-",
    "<<E\n",
    "|",
    "&",
    "-",
    "#",
)
_CLOSERS = ("", "x", ";'", ';"', "'", '"', "\n", ")", "`", "}", "#", " #", "\\", "\nE\n", "&", ";", ";{")
_INSIDE = (
    *_RUNS,
    *(f"$({run})" for run in _RUNS),
    *(f"`{run}`" for run in _RUNS),
    *(f"; {run};" for run in _RUNS),
    *(f"&& {run} &" for run in _RUNS),
    *(f"\n{run}\n" for run in _RUNS),
    *(f"<({run})" for run in _RUNS[:1]),
    *(f"a[$({run})]" for run in _RUNS[:1]),
    *(f"() {{ :; }}; {run}" for run in _RUNS[:1]),
)
_ALPHABET = "'\"\\$`!*?~#;&|<>(){}[]=%@^-+,.:/ \t\n\r\x01\x07\x1b\x7fabz019é🚢"


def mixtures(seed: int) -> Iterator[str]:
    """Endlessly many different words, the same ones for a seed. Each ends in a number, so that no two are equal."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        match chance.randrange(4):
            case 0:
                word = chance.choice(_OPENERS) + chance.choice(_INSIDE) + chance.choice(_CLOSERS)
            case 1:
                word = "".join(chance.choice(CORPUS[:-1]) for _ in range(chance.randrange(1, 5)))
            case 2:
                word = "".join(chance.choice(_ALPHABET) for _ in range(chance.randrange(1, 24)))
            case _:
                word = chance.choice(_OPENERS) + chance.choice(CORPUS[:-1]) + chance.choice(_INSIDE)
        yield chance.choice((f"{word}{number}", f"{number}{word}", f"{number}{word}{number}"))


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
WORDS = st.one_of(
    TEXTS,
    st.sampled_from(CORPUS),
    st.text(_ALPHABET, max_size=12),
    st.builds("".join, st.tuples(st.sampled_from(_OPENERS), st.sampled_from(_INSIDE), st.sampled_from(_CLOSERS))),
)
"""Hypothesis's words, which shrink."""
