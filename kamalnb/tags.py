"""The tags that a registry lists, asked from this machine over its HTTP API (v2), with the login of the file.

It is a help for choosing a version and no more: it takes a few seconds at most, raises nothing, and where a registry
does not let its tags be listed one sentence says so. A password goes over TLS alone, but to this machine itself.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from .commands.registry import Login, credentials
from .errors import ConfigError
from .plan import VERSION

if TYPE_CHECKING:
    from .config.model import Config
    from .project import Project

SECONDS = 4.0
"""How long it may take, all requests together."""
MOST = 2000
"""Tags that are read at most; what comes after them is left out."""
_BYTES = 1 << 20
_HUB, _HUB_NAMES = "registry-1.docker.io", ("", "docker.io", "index.docker.io", "registry-1.docker.io")
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.I)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Tags of the image, those that look newest first; ``note`` says why there are none, or not all."""

    tags: tuple[str, ...] = ()
    note: str = ""


def listed(project: Project, seconds: float = SECONDS) -> Listed:
    """What the registry of the file lists. Raises nothing: what is in the way is its ``note``."""
    place = project.config.registry.server or "Docker Hub"
    try:
        login = credentials(project.config, project.secret)
        tags, whole = _Registry(project.config, login, time.monotonic() + seconds).tags()
    except ConfigError:
        return Listed(note=f"The registry {place} was not asked: its login cannot be read here.")
    except _Refused as why:
        return Listed(note=f"The registry {place} {why}")
    except (TimeoutError, URLError, OSError, HTTPException, ValueError) as error:
        return Listed(note=f"The registry {place} {_trouble(error, seconds)}.")
    return Listed(tags=newest_first(tags), note="" if whole else f"The registry {place} has more tags than are listed.")


def newest_first(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Tags that can be versions, by the numbers in them: a registry keeps no times. ``latest`` and signatures go."""
    fit = (tag for tag in tags if VERSION.fullmatch(tag) and not tag.startswith(("latest", "sha256-")))
    return tuple(sorted(dict.fromkeys(fit), key=_by_number, reverse=True))


class _Refused(Exception):
    """The registry answered, and not with tags; the text goes on after its name."""


class _Registry:
    """One conversation with a registry, to be over at ``until`` (monotonic)."""

    def __init__(self, config: Config, login: Login | None, until: float) -> None:
        server, _, path = (config.registry.server or "").partition("/")
        on_hub = server in _HUB_NAMES
        image = f"{path}/{config.image}" if path else config.image
        self._name = f"library/{image}" if on_hub and "/" not in image else image
        self._url = f"{_scheme(server)}://{_HUB if on_hub else server}"
        self._login = login
        self._until = until
        self._authorization = ""

    def tags(self) -> tuple[tuple[str, ...], bool]:
        """Its tags, and whether that is all of them."""
        url, found = f"{self._url}/v2/{self._name}/tags/list?n=1000", list[str]()
        while url and len(found) < MOST:
            try:
                document, url = self._page(url)
            except HTTPError as error:
                raise _Refused(_refusal(error.code, self._login)) from None
            found += [str(tag) for tag in document.get("tags") or ()]
        return tuple(found[:MOST]), not url

    def _page(self, url: str) -> tuple[dict[str, Any], str]:
        """One page of the list, and where the next one is. Asked again once, as the registry says who may."""
        try:
            return self._got(url, self._authorization)
        except HTTPError as error:
            if error.code != 401 or self._authorization:
                raise
            self._authorization = self._answer_to(error.headers.get_all("WWW-Authenticate") or [])
            if not self._authorization:
                raise
        return self._got(url, self._authorization)

    def _answer_to(self, challenges: list[str]) -> str:
        """What to send for being let in; nothing where the registry asks for something else."""
        for challenge in challenges:
            scheme, _, rest = challenge.strip().partition(" ")
            asked = dict(_PARAMETER.findall(rest))
            if scheme.lower() == "bearer" and asked.get("realm"):
                return f"Bearer {self._token(asked)}"
            if scheme.lower() == "basic" and self._login is not None:
                return _basic(self._login)
        return ""

    def _token(self, asked: dict[str, str]) -> str:
        realm = asked.pop("realm")
        if urlsplit(realm).scheme != "https" and not _is_here(realm):
            raise _Refused("sends its login to a place without TLS: it was not asked.")
        words = {"scope": f"repository:{self._name}:pull", **asked}
        mark = "&" if urlsplit(realm).query else "?"
        basic = _basic(self._login) if self._login is not None else ""
        document, _next = self._got(f"{realm}{mark}{urlencode(words)}", basic)
        return str(document.get("token") or document["access_token"])

    def _got(self, url: str, authorization: str) -> tuple[dict[str, Any], str]:
        request = Request(url, headers={"Accept": "application/json", "User-Agent": "kamalnb"})  # noqa: S310
        if authorization:
            # Never sent on to where a redirect leads.
            request.add_unredirected_header("Authorization", authorization)
        with _opener(url).open(request, timeout=self._left()) as answer:
            document = json.loads(b"".join(self._pieces(answer)))
            after = _next_page(url, answer.headers.get("Link", ""))
        if not isinstance(document, dict):
            raise ValueError("no JSON object")
        return document, after

    def _pieces(self, answer: HTTPResponse) -> Iterator[bytes]:
        size = 0
        while piece := answer.read1(65536):
            size += len(piece)
            if size > _BYTES:
                raise ValueError("too long")
            yield piece
            self._left()

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _scheme(server: str) -> str:
    """As Docker has it: TLS, but on this machine itself."""
    return "http" if _LOOPBACK.fullmatch(server) else "https"


def _is_here(url: str) -> bool:
    return bool(_LOOPBACK.fullmatch(urlsplit(url).netloc))


def _opener(url: str) -> OpenerDirector:
    """A proxy of the environment is for the world outside alone."""
    return build_opener(ProxyHandler({})) if _is_here(url) else build_opener()


def _basic(login: Login) -> str:
    user = login.username if isinstance(login.username, str) else login.username.value
    return f"Basic {base64.b64encode(f'{user}:{login.password.value}'.encode()).decode()}"


def _next_page(url: str, link: str) -> str:
    """The next page by the ``Link`` header; only of the same registry, since the login goes with it."""
    found = re.search(r'<([^>]+)>\s*;\s*rel="?next"?', link)
    after = urljoin(url, found[1]) if found else ""
    return after if urlsplit(after)[:2] == urlsplit(url)[:2] else ""


def _refusal(code: int, login: Login | None) -> str:
    if code in (401, 403):
        return f"does not let its tags be listed {'with this login' if login else 'without a login'}."
    return "knows no such image." if code == 404 else f"does not list tags (HTTP {code})."


def _trouble(error: Exception, seconds: float) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"did not list its tags within {seconds:g} s"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "has a certificate that is not trusted here"
    if isinstance(reason, OSError):
        return f"cannot be reached from here ({reason.strerror or 'no answer'})"
    return "answers with something else than a list of tags"


def _by_number(tag: str) -> list[tuple[int, int, str]]:
    """``v10`` after ``v9``."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", tag) if part]
