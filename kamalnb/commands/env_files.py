"""Commands about the secret env files on a host. Their values go there and never come back. Nothing here may do I/O."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Unclear
from ..shell import Command, Secret

WORDS = ("added", "removed", "changed", "same")

# k_env PATH: what is on stdin becomes the file, in one instant; each key is told with what became of it, no value.
PUSH = """\
k_line_of() {
  k_found=
  [ -e "$1" ] || return 0
  while IFS= read -r k_o || [ -n "$k_o" ]; do
    case $k_o in "$2="*) k_found=$k_o ;; esac
  done <"$1"
}
k_env() {
  k_new="$1.tmp.$$"
  umask 077; mkdir -p "${1%/*}" && cat >"$k_new" || { rm -f -- "$k_new"; return 1; }
  while IFS= read -r k_l || [ -n "$k_l" ]; do
    case $k_l in '#'* | '') continue ;; esac
    k_line_of "$1" "${k_l%%=*}"
    case $k_found in '') k_w=added ;; "$k_l") k_w=same ;; *) k_w=changed ;; esac
    printf '%s %s\\n' "$k_w" "${k_l%%=*}"
  done <"$k_new"
  if [ -e "$1" ]; then
    while IFS= read -r k_l || [ -n "$k_l" ]; do
      case $k_l in '#'* | '') continue ;; esac
      k_keep=$k_l; k_line_of "$k_new" "${k_l%%=*}"
      [ -n "$k_found" ] || printf 'removed %s\\n' "${k_keep%%=*}"
    done <"$1"
  fi
  mv -f -- "$k_new" "$1" || { rm -f -- "$k_new"; return 1; }
}
k_env_gone() {
  if [ -e "$1" ]; then rm -f -- "$1" && echo deleted; else echo missing; fi
}"""


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of the keys of one file. Values are never known here."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    same: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The difference in a few words."""
        told = [f"{word} {', '.join(keys)}" for word in WORDS[:3] if (keys := getattr(self, word))]
        if self.same:
            told.append(f"{len(self.same)} the same")
        return "; ".join(told) or "no keys"


def push(path: str, text: Secret) -> Command:
    """Makes ``text`` the file, 0600 and in one instant, and tells its keys against what was there."""
    return Command(name="push env file", words=("k_env", path), stdin=text, uses=(PUSH,))


def delete(path: str) -> Command:
    """Removes the file."""
    return Command(name="delete env file", words=("k_env_gone", path), uses=(PUSH,), example="deleted")


def difference(text: str) -> Difference:
    """What ``push`` printed."""
    found: dict[str, list[str]] = {word: [] for word in WORDS}
    for line in filter(None, text.splitlines()):
        word, _, key = line.partition(" ")
        if word not in found:
            raise Unclear("push env file", "", "a line that is no key")  # it may hold a value: not shown
        found[word].append("".join(c if c.isprintable() else "?" for c in key))
    return Difference(**{word: tuple(keys) for word, keys in found.items()})
