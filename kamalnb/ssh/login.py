"""Who is there, and who we are: the host key check and the login. Every refusal ends with the command to try."""

from __future__ import annotations

import paramiko

from ..errors import HostUnreachable
from .keys import AgentKey, Candidate, KeyRing, KeyUnusable
from .known_hosts import Finding, KnownHosts, Verdict, remember
from .target import Target


class HostKeyCheck:
    """Refuses every host key that known_hosts does not vouch for."""

    def __init__(self, host: str, target: Target) -> None:
        self._host = host
        self._target = target
        self._known = KnownHosts(target.known_hosts)

    @property
    def key_types(self) -> tuple[str, ...]:
        """The types to ask the server for first."""
        return self._known.types(self._target.names)

    def __call__(self, key: paramiko.PKey) -> None:
        """Raises HostUnreachable (host key)."""
        name, text = key.get_name(), key.get_base64()
        finding = self._known.check(self._target.names, name, text)
        if finding.verdict is Verdict.KNOWN:
            return
        if finding.verdict is Verdict.UNKNOWN and self._target.new_keys_go_to is not None:
            remember(self._target.new_keys_go_to, self._target.names[0], name, text)
            return
        presented = f"{short_type(name)} key {key.fingerprint}"
        raise HostUnreachable(self._host, "host key", _refusal(self._target, finding, presented))


def _refusal(target: Target, finding: Finding, presented: str) -> str:
    name = target.names[0]
    where = finding.entry.where if finding.entry else ""
    accept = f"Compare the fingerprint and accept it with `{target.command}`."
    match finding.verdict:
        case Verdict.CHANGED:
            known = finding.entry.fingerprint if finding.entry else ""
            return (
                f"its {presented} is not the one in {where} ({known}): it was rebuilt, or somebody is in between. "
                f"If it was rebuilt: `ssh-keygen -R '{name}'`, then `{target.command}`."
            )
        case Verdict.REVOKED:
            return f"its {presented} is revoked in {where}. Give it a new one, then accept that: `{target.command}`."
        case Verdict.BY_AUTHORITY:
            file = target.known_hosts[0] if target.known_hosts else "~/.ssh/known_hosts"
            read = f"{target.command} cat /etc/ssh/ssh_host_ed25519_key.pub"
            return (
                f"only a certificate authority vouches for it ({where}), and host certificates are not read here. "
                f"Add its key by the connection that ssh trusts: `echo '{name}' $({read}) >> {file}`."
            )
        case Verdict.OTHER_TYPE:
            return f"its {presented} is not in known_hosts, only a key of another type is ({where}). {accept}"
        case _:
            return f"its {presented} is not in known_hosts. {accept}"


class Entry:
    """The login: offers one key after the other. paramiko calls ``authenticate`` once the host key is accepted."""

    def __init__(self, host: str, target: Target, keys: KeyRing) -> None:
        self.opened = ""
        """The key that was let in."""
        self.notes: list[str] = []
        """Keys that were passed over, and why."""
        self._host = host
        self._target = target
        self._keys = keys
        self._tried: list[str] = []

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Logs in. Raises HostUnreachable (login) with everything that was tried."""
        candidates, self.notes = self._keys.candidates(self._target)
        for candidate in candidates:
            try:
                key = candidate.load()
            except KeyUnusable as unusable:
                self.notes.append(f"{candidate.label} ({unusable})")
                continue
            if self._opens(transport, key, candidate):
                self._keys.worked(self._target.user, candidate)
                self.opened = f"{candidate.label} ({short_type(key.get_name())} {key.fingerprint})"
                return
            if not transport.is_active():
                self._tried.append("then it hung up")
                break
        raise self._refused()

    def _opens(self, transport: paramiko.Transport, key: paramiko.PKey, candidate: Candidate) -> bool:
        try:
            more = transport.auth_publickey(self._target.user, key)
        except paramiko.BadAuthenticationType as refusal:
            raise self._keyless(refusal) from None
        except (paramiko.SSHException, EOFError, OSError):
            why = key.refusal if isinstance(key, AgentKey) else ""
        else:
            if not more:
                return True
            why = f"accepted, but {' and '.join(more)} is wanted as well"
        self._tried.append(f"{candidate.label} ({why})" if why else candidate.label)
        return False

    def _keyless(self, refusal: paramiko.BadAuthenticationType) -> HostUnreachable:
        ways = ", ".join(refusal.allowed_types)
        sentence = f"takes no keys from {self._target.user}, only {ways}: PubkeyAuthentication is off there."
        return HostUnreachable(self._host, "login", f"{sentence} Try `{self._target.command}`.")

    def _refused(self) -> HostUnreachable:
        target = self._target
        tried = ", ".join([*self._tried, *self.notes]) or "nothing, there is no key here and no agent"
        locked = [note for note in self.notes if "`ssh-add " in note]
        advice = f"See what opens it: `{target.command}`."
        if locked:
            command = locked[0].partition("`")[2].partition("`")[0]
            advice = f"Unlock the key: `{command}`."
        return HostUnreachable(self._host, "login", f"does not let {target.user} in; tried: {tried}. {advice}")


def short_type(name: str) -> str:
    """``ed25519``, ``rsa``, ``nistp256``."""
    return name.removeprefix("ssh-").removeprefix("ecdsa-sha2-")
