"""The host keys that servers show, for a ``known_hosts`` in the repository. Nothing is trusted by looking at it.

No login is tried at the host itself. A jump host in front of it has to let us through, so its own key must be known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paramiko

from ..errors import HostUnreachable
from .door import Door
from .known_hosts import KnownHosts, Verdict, fingerprint
from .target import Target
from .transport import LOG

if TYPE_CHECKING:
    from .link import Link

KINDS = (("ssh-ed25519",), ("ecdsa-sha2-nistp256",), ("rsa-sha2-512", "rsa-sha2-256"))
"""One connection for each: a server shows one key at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """One key that a server showed. ``alias`` is the host as people name it, ``name`` as ``known_hosts`` does."""

    alias: str
    name: str
    key_type: str
    key: str
    verdict: Verdict
    """What the known_hosts files of that host say about it now."""
    where: str = ""
    """The line that says so."""

    @property
    def line(self) -> str:
        """The line for a ``known_hosts`` file."""
        return f"{self.name} {self.key_type} {self.key}"

    @property
    def fingerprint(self) -> str:
        """``SHA256:…`` as ``ssh-keygen -l`` prints it: to be compared with what the host's console says."""
        return fingerprint(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What one host showed. ``keys`` begin with those of its jump hosts, the outermost first.

    With an ``error`` the way ended there: a jump host's own key is known only after its line was put into known_hosts.
    """

    keys: tuple[HostKey, ...] = ()
    error: HostUnreachable | None = None


def scan(host: str, link: Link, timeout: float) -> Scanned:
    """The keys of ``link``'s target and of the jump hosts in front of it, as far as the way goes."""
    before = scan(host, link.via, timeout) if link.via is not None else Scanned()
    if before.error is not None:
        return before
    try:
        return Scanned(keys=(*before.keys, *_shown(host, link, timeout)))
    except HostUnreachable as error:
        return Scanned(keys=before.keys, error=error)


def _shown(host: str, link: Link, timeout: float) -> Iterator[HostKey]:
    target = link.target
    known = KnownHosts(target.known_hosts)
    found = False
    why = "no key of a type that kamalnb takes"
    for kinds in KINDS:
        try:
            key = _key(host, link, kinds, timeout)
        except _Silent as silent:
            why = str(silent)
            continue
        if key is not None:
            found = True
            text = key.get_base64()
            finding = known.check(target.names, key.get_name(), text)
            where = finding.entry.where if finding.entry else ""
            yield HostKey(
                alias=target.alias, name=target.names[0], key_type=key.get_name(), key=text,
                verdict=finding.verdict, where=where,
            )  # fmt: skip
    if not found:
        raise HostUnreachable(
            host, "host key", f"{target.place} showed no host key ({why}). Try `ssh-keyscan {_place(target)}`."
        )


class _Silent(Exception):
    """The server did not come as far as its key."""


def _key(host: str, link: Link, kinds: tuple[str, ...], timeout: float) -> paramiko.PKey | None:
    """The key of one of ``kinds`` that the server has; None where it has none."""
    gateway = link.via.open(host) if link.via is not None else None
    door = Door(host, link.target, timeout, gateway)
    sock = door.open()
    try:
        transport = paramiko.Transport(sock)
        transport.set_log_channel(LOG)
        transport.banner_timeout = timeout
        transport.get_security_options().key_types = kinds
        with contextlib.closing(transport):
            transport.start_client(timeout=timeout)
            return transport.get_remote_server_key()
    except paramiko.ssh_exception.IncompatiblePeer:
        return None
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise _Silent(door.complaint() or str(error) or "it hung up") from error
    finally:
        sock.close()
        door.close()


def _place(target: Target) -> str:
    return target.hostname if target.port == 22 else f"-p {target.port} {target.hostname}"
