"""Any text is the same text on the other side, in every shell that may stand behind /bin/sh."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamalnb.script import Frames, Script, render
from kamalnb.shell import Command, Secret, quote

SHELLS = (("dash",), ("bash",), ("bash", "--posix"), ("busybox", "sh"))

WORDS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
        st.text("'\"\\$`!*?~#;&|<>(){}[]\n\r\t =-", max_size=12),
        st.sampled_from(
            ["", "-n", "--", "$(touch canary)", "`touch canary`", "'; touch canary; '", "\n touch canary\n"]
        ),
    ),
    max_size=40,
)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@given(words=WORDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_words_come_back_unchanged(shell: tuple[str, ...], words: list[str], tmp_path: Path) -> None:
    script = "printf '%s\\0' " + " ".join(quote(word) for word in words)
    answer = subprocess.run([*shell], input=script.encode(), capture_output=True, cwd=tmp_path, check=True).stdout
    assert answer == b"".join(word.encode() + b"\0" for word in words or [""])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@given(text=st.text(st.characters(exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=400))
@settings(max_examples=15, deadline=None)
def test_text_on_standard_input_comes_back_through_a_framed_script(shell: tuple[str, ...], text: str) -> None:
    script = Script.of(Command(name="echo", words=("cat",), stdin=Secret(text)), Command(name="end", words=("true",)))
    done = subprocess.run([*shell, "-s"], input=render(script, "kmark").encode(), capture_output=True, check=True)
    frames = Frames(script, "kmark", lambda: 0.0)
    frames.out(done.stdout.decode())
    frames.err(done.stderr.decode())
    first, second = frames.results()
    assert (first.stdout, first.exited, second.exited) == (text, 0, 0)
