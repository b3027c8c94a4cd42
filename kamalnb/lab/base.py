"""The images all others start from: ``debian:bookworm-slim`` where images can be pulled, else made by debootstrap.

Hosts with the newest Docker start from Debian's unstable in the same way.

Packages must come the way this machine gets its own: mirror, suite, keyring, proxies and certificates are read from
its apt and go into the image, so that builds work wherever ``apt-get install`` does.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from .engine import Engine
from .machine import Say, failure, has, install, is_root, run

PULL_SECONDS = 180.0
LABEL = "kamalnb.lab=1"
KEPT_SETTINGS = ("::proxy", "::cainfo", "::verify-peer", "::verify-host", "acquire::check-", "::pipeline-depth")
"""Parts of the names of apt settings that decide whether this machine can fetch packages."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Debian: its code name, and its image where images can be pulled."""

    codename: str
    upstream: str


BOOKWORM = Release("bookworm", "debian:bookworm-slim")
SID = Release("sid", "debian:sid-slim")
"""Unstable: the newest Docker that Debian has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One ``deb`` line of this machine's apt."""

    uri: str
    suite: str
    components: tuple[str, ...]

    @property
    def line(self) -> str:
        """As in sources.list, without options: the keyring is the image's own."""
        return f"deb {self.uri} {self.suite} {' '.join(self.components)}"


def base_image(engine: Engine, release: Release, scratch: Path, have: Set[str], say: Say) -> str:
    """The name of ``release``'s base image; pulled or made where it is missing."""
    settings = apt_settings()
    mark = hashlib.sha256("\n".join([*settings, "1"]).encode()).hexdigest()[:12]
    name = "base" if release is BOOKWORM else f"base-{release.codename}"
    image = f"kamalnb-lab/{name}:{mark}"
    if image in have:
        return image
    if pulled(engine, release.upstream, say):
        dress_pulled(engine, release.upstream, image, settings, scratch)
    else:
        say(f"making a base image of {release.codename} with debootstrap (about 30 s)…")
        make_base(engine, release, image, settings, scratch, say)
    return image


def pulled(engine: Engine, upstream: str, say: Say) -> bool:
    """Whether the engine has Debian's image, or could pull it."""
    if engine.docker("image", "inspect", upstream, check=False).returncode == 0:
        return True
    say(f"pulling {upstream}…")
    try:
        return engine.docker("pull", "--quiet", upstream, check=False, seconds=PULL_SECONDS).returncode == 0
    except LabError:
        return False


def dress_pulled(engine: Engine, upstream: str, image: str, settings: Sequence[str], scratch: Path) -> None:
    """The pulled image with this machine's apt settings (its proxy, for instance) on top."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        directory = Path(name)
        (directory / "99kamalnb-lab").write_text("".join(f"{line}\n" for line in settings))
        (directory / "99kamalnb-lab").chmod(0o644)
        dockerfile = f"FROM {upstream}\nCOPY 99kamalnb-lab /etc/apt/apt.conf.d/99kamalnb-lab\n"
        (directory / "Dockerfile").write_text(dockerfile)
        engine.docker("build", "--tag", image, "--label", LABEL, directory, env={"DOCKER_BUILDKIT": "0"})


def make_base(engine: Engine, release: Release, image: str, settings: Sequence[str], scratch: Path, say: Say) -> None:
    """Debian's minimal system by debootstrap, as an image."""
    if not is_root():
        raise LabError(
            f"{release.upstream} cannot be pulled here, and only root can make that image itself. "
            "Pull it from another machine, or run this as root."
        )
    install({"debootstrap": "debootstrap"}, say)
    refuse_bad_disk(scratch)
    sources = sources_of(release)
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        root = Path(name) / "root"
        hint = "debootstrap must be able to fetch Debian's packages: check this machine's package sources."
        run(
            debootstrap_words(root, sources, release),
            seconds=1800,
            hint=hint,
            env={**os.environ, **proxy_environment(settings)},
        )
        trim(root)
        write_apt(root, sources, settings)
        import_tree(engine, image, root)


def refuse_bad_disk(scratch: Path) -> None:
    """LabError where debootstrap could not make devices or run programs."""
    flags = os.statvfs(scratch).f_flag
    if flags & (getattr(os, "ST_NODEV", 0) | getattr(os, "ST_NOEXEC", 0)):
        raise LabError(f"{scratch} is on a disk that is mounted nodev or noexec. Put the lab into another directory.")


def debootstrap_words(root: Path, sources: Sequence[AptSource], release: Release = BOOKWORM) -> list[str]:
    """The command: suite, mirror and keyring are the machine's, where it has them."""
    words = ["debootstrap", "--variant=minbase", "--include=ca-certificates"]
    if not sources:
        return [*words, release.codename, str(root)]
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if keyring.is_file():
        words.append(f"--keyring={keyring}")
    return [*words, sources[0].suite, str(root), sources[0].uri.rstrip("/")]


def sources_of(release: Release) -> tuple[AptSource, ...]:
    """Where ``release`` is to be had: this machine's own sources, or its mirror for another release."""
    own = debian_sources()
    return own if release is BOOKWORM else another(own, release)


def another(own: Sequence[AptSource], release: Release) -> tuple[AptSource, ...]:
    """The source of another release at the same mirror; none where the machine names no mirror."""
    return tuple(AptSource(uri=source.uri, suite=release.codename, components=("main",)) for source in own[:1])


def debian_sources() -> tuple[AptSource, ...]:
    """This machine's own Debian sources, the release itself first; none where it does not run Debian."""
    release = read_os_release(Path("/etc/os-release"))
    if release.get("ID") != "debian" or not has("apt-get"):
        return ()
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    return parse_targets(run(words, check=False).stdout, release.get("VERSION_CODENAME", ""))


def parse_targets(listed: str, codename: str) -> tuple[AptSource, ...]:
    """From ``apt-get indextargets``: this Debian release's sources that have ``main``; () where there is none."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in listed.splitlines():
        uri, _, rest = line.partition(" ")
        suite, _, component = rest.partition(" ")
        if suite == codename or suite.startswith((f"{codename}-", f"{codename}/")):
            found.setdefault((uri, suite), []).append(component)
    usable = [
        AptSource(uri=uri, suite=suite, components=tuple(dict.fromkeys(parts)))
        for (uri, suite), parts in found.items()
        if "main" in parts and "backports" not in suite
    ]
    usable.sort(key=lambda source: source.suite != codename)
    return tuple(usable) if usable and usable[0].suite == codename else ()


def read_os_release(path: Path) -> dict[str, str]:
    """``/etc/os-release`` as a mapping, empty where there is none."""
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, _, value in pairs}


def apt_settings() -> list[str]:
    """The lines of this machine's apt configuration that decide whether it can fetch: proxies, certificates, dates."""
    if not has("apt-config"):
        return []
    lines = run(["apt-config", "dump", "Acquire"], check=False).stdout.splitlines()
    return [line for line in lines if setting_is_kept(line)]


def setting_is_kept(line: str) -> bool:
    """Whether that line of ``apt-config dump`` goes into the image. Programs that look for a proxy stay here."""
    name, _, value = line.partition(" ")
    low = name.lower()
    if value.strip() in ('"";', "") or "proxy-auto-detect" in low or "proxyautodetect" in low:
        return False
    return any(part in low for part in KEPT_SETTINGS)


def proxy_environment(settings: Sequence[str]) -> dict[str, str]:
    """apt's proxies as debootstrap's downloader takes them."""
    found = {}
    for line in settings:
        name, _, value = line.partition(" ")
        parts = name.lower().split("::")
        if len(parts) == 3 and parts[2] == "proxy" and parts[1] in ("http", "https"):
            found[f"{parts[1]}_proxy"] = value.strip(' ";')
    return {key: value for key, value in found.items() if value.upper() != "DIRECT"}


def trim(root: Path) -> None:
    """Takes out what an image does not need: half of its size."""
    for name in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "var/cache/apt/archives/partial").mkdir(exist_ok=True)
    for cache in (root / "var/cache/apt").glob("*.bin"):
        cache.unlink()


def write_apt(root: Path, sources: Sequence[AptSource], settings: Sequence[str]) -> None:
    """This machine's sources, settings and certificates, in the image."""
    if sources:
        (root / "etc/apt/sources.list").write_text("".join(f"{source.line}\n" for source in sources))
    (root / "etc/apt/apt.conf.d/99kamalnb-lab").write_text("".join(f"{line}\n" for line in settings))
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.is_file():  # may have the certificate of a proxy that opens TLS
        shutil.copyfile(certificates, root / "etc/ssl/certs/ca-certificates.crt")
    for setting in settings:
        value = Path(setting.partition(" ")[2].strip(' ";'))
        if "::cainfo" in setting.lower() and value.is_file():
            (root / value.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(value, root / value.relative_to("/"))


def import_tree(engine: Engine, image: str, root: Path) -> None:
    """The directory as an image: ``tar | docker import``."""
    tar = subprocess.Popen(["tar", "--numeric-owner", "-C", root, "-c", "."], stdout=subprocess.PIPE)
    words = ["docker", "import", "--change", f"LABEL {LABEL}", "--change", 'CMD ["bash"]', "-", image]
    done = subprocess.run(words, stdin=tar.stdout, capture_output=True, text=True, env=engine.environment, check=False)
    if tar.wait() != 0 or done.returncode != 0:
        raise failure(words, done.returncode or tar.returncode, done.stderr, "Run lab.up again.")
