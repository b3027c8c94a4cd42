"""The keys that hosts show: lines for a ``known_hosts`` on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import exits
from ..wording import clean
from .choice import Style
from .jsonlines import as_json

if TYPE_CHECKING:
    from ..ssh.scan import HostKey, Scanned


def show_keys(found: Mapping[str, Scanned], style: Style) -> int:
    """Prints them; 69 where no host showed any, 1 where some did not."""
    keys: dict[str, HostKey] = {key.line: key for scanned in found.values() for key in scanned.keys}
    for key in keys.values():
        if style.json:
            row = {"host": key.alias, "line": key.line, "fingerprint": key.fingerprint, "known": str(key.verdict)}
            print(as_json(row))
            continue
        print(key.line, flush=True)
        print(f"  # {clean(key.alias)}: {key.key_type} {key.fingerprint} ({key.verdict})", file=sys.stderr, flush=True)
    errors = [scanned.error for scanned in found.values() if scanned.error is not None]
    for error in errors:
        print(clean(str(error)), file=sys.stderr)
    if not style.json and keys:
        told = "Compare the fingerprints with the hosts' own consoles, then: invoke server.keys > config/known_hosts"
        print(style.called.spelled(told), file=sys.stderr)
    return exits.OK if not errors else exits.UNREACHABLE if len(errors) == len(found) else exits.FAILED
