"""User keys: from the agent, from files and from deploy.yml's ``key_data``, each parsed once per process.

Imports paramiko, so it is itself imported late. The agent is asked over a connection of its own each time:
paramiko's ``Agent`` shares one without a lock, and knows no ``IdentityAgent``.
"""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from ..config.model import SecretSource, Ssh
from ..shell import Secret
from .target import Target

AGENT_PATIENCE = 30.0
"""Seconds for an agent's answer: it may be asking a person to touch a key."""

_IDENTITIES, _SIGN = 11, 13
_IDENTITIES_ANSWER, _SIGN_RESPONSE = 12, 14
_SHA2_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
_CERTIFICATE = "-cert-v01@openssh.com"


class KeyUnusable(Exception):
    """This key cannot be used; the text says why and goes into the login error."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that may open a host. ``load`` parses it (once) and raises KeyUnusable."""

    label: str
    blob: bytes | None
    """The public half, where it is known without parsing the private one."""
    load: Callable[[], paramiko.PKey]


class Agent:
    """An OpenSSH agent behind a Unix socket. Safe for several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def identities(self) -> tuple[tuple[bytes, str], ...]:
        """Public half and comment of each of its keys. Raises KeyUnusable."""
        answer = io.BytesIO(self._ask(struct.pack(">B", _IDENTITIES), _IDENTITIES_ANSWER))
        (count,) = struct.unpack(">I", answer.read(4))
        return tuple((_string(answer), _string(answer).decode(errors="replace")) for _number in range(count))

    def sign(self, blob: bytes, data: bytes, flags: int) -> bytes:
        """The signature of ``data``. Raises KeyUnusable where the agent (or its owner) refuses."""
        question = struct.pack(">B", _SIGN) + _packed(blob) + _packed(data) + struct.pack(">I", flags)
        return _string(io.BytesIO(self._ask(question, _SIGN_RESPONSE)))

    def _ask(self, question: bytes, expected: int) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
                agent.settimeout(AGENT_PATIENCE)
                agent.connect(str(self.path))
                agent.sendall(_packed(question))
                (size,) = struct.unpack(">I", _exactly(agent, 4))
                answer = _exactly(agent, min(size, 1 << 20))
        except OSError as error:
            raise KeyUnusable(f"the agent at {self.path} does not answer ({error.strerror or error})") from None
        if not answer or answer[0] != expected:
            raise KeyUnusable("the agent refused")
        return answer[1:]


class AgentKey(paramiko.AgentKey):
    """A key whose private half stays in the agent."""

    def __init__(self, keeper: Agent, blob: bytes, comment: str) -> None:
        super().__init__(None, blob, comment)  # type: ignore[arg-type]
        self.keeper = keeper
        self.refusal = ""

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> bytes:  # type: ignore[override]
        """The agent's signature; an empty one, which every server refuses, where the agent does not sign.

        paramiko signs in the thread that reads the connection: an exception there ends the connection, and the
        keys that come next are never tried.
        """
        flags = _SHA2_FLAGS.get((algorithm or "").removesuffix(_CERTIFICATE), 0)
        try:
            return self.keeper.sign(self.blob, data, flags)
        except KeyUnusable as refusal:
            self.refusal = str(refusal)
            return b""


@dataclass(slots=True)
class KeyRing:
    """Every key that may be offered. One per executor, shared by its hosts."""

    ssh: Ssh
    secrets: Callable[[SecretSource], Secret] | None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _loaded: dict[object, paramiko.PKey | KeyUnusable] = field(default_factory=dict)
    _good: dict[str, bytes] = field(default_factory=dict)

    def candidates(self, target: Target) -> tuple[list[Candidate], list[str]]:
        """What to offer ``target``: the key that opened another host for this user, then OpenSSH's order.

        That is: the agent's keys that a file names, the agent's others, files. deploy.yml's own keys come before the
        agent's others, since a server hears six keys at most (MaxAuthTries); a key out of the environment
        (``ssh.first_key``) comes before all. The second part says what was passed over, and why.
        """
        notes: list[str] = []
        ours = [*self._certificates(target), *self._data(), *self._files(target.project_keys)]
        theirs = list(self._files(target.identity_files))
        listed = [key.blob for key in (*ours, *theirs) if key.blob is not None]
        agent = self._agent(target, notes)
        named = sorted((key for key in agent if key.blob in listed), key=lambda key: listed.index(key.blob or b""))
        rest = [] if target.identities_only else [key for key in agent if key.blob not in listed]
        held = [key.blob for key in named]
        found = [*self._first(), *named, *(key for key in ours if key.blob not in held), *rest]
        found += [key for key in theirs if key.blob not in held]
        pinned = self._good.get(target.user)
        return sorted(found, key=lambda key: key.blob != pinned or pinned is None), notes

    def worked(self, user: str, candidate: Candidate) -> None:
        """``candidate`` opened a host for ``user``: it is tried first from now on."""
        if candidate.blob is not None:
            self._good[user] = candidate.blob

    def _agent(self, target: Target, notes: list[str]) -> list[Candidate]:
        if target.agent is None:
            return []
        agent = Agent(target.agent)
        try:
            identities = agent.identities()
        except KeyUnusable as unusable:
            notes.append(str(unusable))
            return []
        return [
            Candidate(f"agent key “{comment}”", blob, lambda blob=blob, comment=comment: AgentKey(agent, blob, comment))  # type: ignore[misc]
            for blob, comment in identities
        ]

    def _files(self, paths: tuple[Path, ...]) -> Iterator[Candidate]:
        for path in paths:
            blob = public_half(path)
            if path.exists() or blob is not None:
                yield Candidate(_short(path), blob, lambda path=path: self._from_file(path))  # type: ignore[misc]

    def _certificates(self, target: Target) -> Iterator[Candidate]:
        beside = [Path(f"{path}-cert.pub") for path in (*target.project_keys, *target.identity_files)]
        for path in dict.fromkeys([*target.certificate_files, *beside]):
            blob = _public_file(path)
            if blob is not None:
                yield Candidate(_short(path), blob, lambda path=path: self._from_certificate(path, target))  # type: ignore[misc]

    def _first(self) -> Iterator[Candidate]:
        if (source := self.ssh.first_key) is not None:
            label = source.env or "the environment's key"
            yield Candidate(label, None, lambda: self._from_data(source))

    def _data(self) -> Iterator[Candidate]:
        for number, source in enumerate(self.ssh.key_data):
            label = f"ssh/key_data/{number}"
            yield Candidate(label, None, lambda source=source: self._from_data(source))  # type: ignore[misc]

    def _from_file(self, path: Path) -> paramiko.PKey:
        try:
            stat = path.stat()
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise KeyUnusable(f"cannot be read ({error.strerror})") from None
        return self._once((path, stat.st_mtime_ns, stat.st_size), lambda: parse_private(text, path))

    def _from_data(self, source: SecretSource) -> paramiko.PKey:
        if self.secrets is None:
            raise KeyUnusable("secrets cannot be read here")
        secret = self.secrets
        return self._once(source, lambda: _parse_text(secret(source).value))

    def _from_certificate(self, path: Path, target: Target) -> paramiko.PKey:
        for file in (*target.project_keys, *target.identity_files):
            if Path(f"{file}-cert.pub") == path or path in target.certificate_files:
                with contextlib.suppress(KeyUnusable, OSError):
                    return self._once((path, path.stat().st_mtime_ns), lambda file=file: _certified(file, path))  # type: ignore[misc]
        raise KeyUnusable("no private key for this certificate")

    def _once(self, what: object, parse: Callable[[], paramiko.PKey]) -> paramiko.PKey:
        with self._lock:
            if what not in self._loaded:
                try:
                    self._loaded[what] = parse()
                except KeyUnusable as unusable:
                    self._loaded[what] = unusable
            found = self._loaded[what]
        if isinstance(found, KeyUnusable):
            raise found
        return found


def parse_private(text: str, path: Path | None) -> paramiko.PKey:
    """A private key of any kind that paramiko knows; ``path`` is its file, if it is in one. Raises KeyUnusable."""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            todo = f"`ssh-add {_short(path)}`" if path else "give one without, made for this alone"
            raise KeyUnusable(f"needs a passphrase: {todo}") from None
        except Exception:  # noqa: S112  paramiko's readers raise whatever their parsers do
            continue
    raise KeyUnusable("is no private key that can be read")


def _parse_text(text: str) -> paramiko.PKey:
    """A private key that is no file. Forms and secret stores take away its last line break, or send \\r\\n."""
    try:
        return parse_private(text.replace("\r", "").strip() + "\n", None)
    except KeyUnusable as unusable:
        if "-----BEGIN" not in text:
            what = "is no private key: it should be the whole file, from -----BEGIN to the end of its last line"
            raise KeyUnusable(what) from None
        raise unusable from None


def public_half(path: Path) -> bytes | None:
    """The public half of a key file without its passphrase: from ``.pub`` beside it, or from the file itself."""
    beside = _public_file(Path(f"{path}.pub"))
    return beside if beside is not None else _public_file(path) or _openssh_public(path)


def _public_file(path: Path) -> bytes | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = path.read_text(encoding="utf-8", errors="replace").split(maxsplit=2)
        if words[0].startswith(("ssh-", "ecdsa-", "sk-")):
            return base64.b64decode(words[1])
    return None


def _openssh_public(path: Path) -> bytes | None:
    """An OpenSSH private key file keeps its public half in clear (PROTOCOL.key in OpenSSH's sources)."""
    with contextlib.suppress(OSError, ValueError, struct.error):
        lines = path.read_text(encoding="ascii").split("-----")
        if lines[1] == "BEGIN OPENSSH PRIVATE KEY":
            body = io.BytesIO(base64.b64decode(lines[2]))
            body.read(len(b"openssh-key-v1\0"))
            _string(body), _string(body), _string(body)  # cipher, kdf, its options
            body.read(4)
            return _string(body)
    return None


def _certified(file: Path, certificate: Path) -> paramiko.PKey:
    key = parse_private(file.read_text(encoding="utf-8", errors="replace"), file)
    blob = _public_file(certificate) or b""
    if not certificate.exists() or key.asbytes() != paramiko.PKey.from_type_string(key.get_name(), blob).asbytes():
        raise KeyUnusable("is for another key")
    key.load_certificate(str(certificate))
    return key


def _short(path: Path) -> str:
    text = str(path)
    home = str(Path.home())
    return "~" + text[len(home) :] if text.startswith(home + "/") else text


def _packed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _string(stream: io.BytesIO) -> bytes:
    (size,) = struct.unpack(">I", stream.read(4))
    return stream.read(size)


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = source.recv(size - len(data))
        if not piece:
            raise OSError("it hung up")
        data += piece
    return data
