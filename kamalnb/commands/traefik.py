"""Commands that start the proxy. ``boot`` never touches a Traefik that runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..config.model import TraefikSettings
from ..shell import Command, Word
from . import host
from .app import hundredths

NAME = "traefik"
API_PORT = 8080

DEFAULTS = {
    "providers.docker": True,
    "providers.providersThrottleDuration": "100ms",  # Traefik's own 2 s is what every switch would wait for
    "serversTransport.forwardingTimeouts.idleConnTimeout": "1s",  # else a drained container keeps idle connections 90 s
    "api.insecure": True,  # published on the host's 127.0.0.1 only
    "log.level": "INFO",
}

# Kamal 1.2 (24a2f516): what no app answers is a 502, not a 404.
CATCH_ALL = {
    "traefik.http.routers.catchall.entryPoints": "http",
    "traefik.http.routers.catchall.rule": "PathPrefix(`/`)",
    "traefik.http.routers.catchall.service": "unavailable",
    "traefik.http.routers.catchall.priority": "1",
    "traefik.http.services.unavailable.loadbalancer.server.port": "0",
}

BOOT = """\
k_boot_traefik() {
  case $(docker inspect --format '{{.State.Status}}' traefik 2>/dev/null) in
    running) echo "runs already"; return 0 ;;
    ?*) docker start traefik >/dev/null && echo "started again"; return ;;
  esac
  "$@" >/dev/null || { k_r=$?; docker rm --force traefik >/dev/null 2>&1; return $k_r; }
  echo "started"
}"""


def boot(settings: TraefikSettings, run_directory: str) -> tuple[Command, ...]:
    """Starts Traefik where it does not run, with the file's own settings winning over ours, and sees it stay up."""
    words = ("k_boot_traefik", *run(settings, run_directory))
    start = Command(name="start traefik", words=words, uses=(BOOT,), limit=600.0, example="started")
    stays = Command(
        name="traefik stays up",
        words=("k_alive", NAME, hundredths(1.0), "any"),
        uses=(host.CLOCK, host.ALIVE),
        changes=False,
    )
    return start, stays


def run(settings: TraefikSettings, run_directory: str) -> tuple[Word, ...]:
    """The ``docker run`` of the proxy, in Kamal's order."""
    return (
        *("docker", "run", "--name", NAME, "--detach", "--restart", "unless-stopped"),
        *(("--publish", f"{settings.host_port}:80") if settings.publish else ()),
        *(() if _publishes_api(settings) else ("--publish", f"127.0.0.1:{API_PORT}:{API_PORT}")),
        *("--volume", "/var/run/docker.sock:/var/run/docker.sock"),
        *("--env-file", env_file(run_directory)),
        *_each("env", dict(settings.env.clear)),
        *("--log-opt", "max-size=10m"),
        *_each("label", {**CATCH_ALL, **settings.labels}),
        *_options(settings.options),
        settings.image,
        *_arguments(settings.args),
    )


def env_file(run_directory: str) -> str:
    """Where Traefik's secret environment lies, as in Kamal."""
    return f"{run_directory}/env/traefik/traefik.env"


def _publishes_api(settings: TraefikSettings) -> bool:
    published = settings.options.get("publish", ())
    listed = published if isinstance(published, tuple) else (str(published),)
    return any(str(one).rpartition(":")[2] == str(API_PORT) for one in listed)


def _arguments(given: Mapping[str, str | bool | tuple[str, ...]]) -> Iterator[Word]:
    """Ours, then the file's; a name of the file replaces ours, whatever its case."""
    theirs = {key.lower() for key in given}
    ours = {key: value for key, value in DEFAULTS.items() if key.lower() not in theirs}
    for key, value in {**ours, **given}.items():
        if value is True:
            yield f"--{key}"
        elif value is not False and value is not None:
            joined = ",".join(value) if isinstance(value, tuple) else value
            yield f"--{key}={joined}"


def _options(given: Mapping[str, str | bool | tuple[str, ...]]) -> Iterator[Word]:
    for key, value in given.items():
        for one in value if isinstance(value, tuple) else (value,):
            yield from (f"--{key}",) if one is True else (f"--{key}", str(one)) if one is not False else ()


def _each(option: str, values: Mapping[str, str]) -> Iterator[Word]:
    for key, value in values.items():
        yield from (f"--{option}", f"{key}={value}")
