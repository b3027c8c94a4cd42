"""Commands that start, stop and remove the proxy. ``boot`` never touches a Traefik that runs."""

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

# A reboot that a dying host cut off was not confirmed: then the one before it is Traefik, and the new one goes.
SETTLE = """\
k_settle_traefik() {
  k_state_now=$(docker inspect --format '{{.State.Status}}' traefik 2>/dev/null)
  docker ps --all --no-trunc --format '{{.ID}} {{.Names}}' | while read -r k_id k_name; do
    k_hex=${k_name##*_}
    case $k_hex in *[!0-9a-f]* | "") continue ;; esac
    [ ${#k_hex} -eq 16 ] || continue
    case $k_name in
      "traefik_new_$k_hex") docker rm --force "$k_id" >/dev/null ;;
      "traefik_replaced_$k_hex")
        if [ "$k_state_now" = running ]; then docker rm --force "$k_id" >/dev/null; continue; fi
        docker rm --force traefik >/dev/null 2>&1
        docker rename "$k_id" traefik ;;
    esac
  done
}"""

BOOT = """\
k_boot_traefik() {
  k_settle_traefik
  case $(docker inspect --format '{{.State.Status}}' traefik 2>/dev/null) in
    running) echo "runs already"; return 0 ;;
    ?*) docker start traefik >/dev/null && echo "started again"; return ;;
  esac
  case "$(docker info --format '{{json .SecurityOptions}}') $* " in
    *name=userns*" --userns host "* | *name=userns*docker.endpoint=tcp*) ;;
    *name=userns*)
      echo "Docker maps users here (userns-remap), so Traefik could not read its socket: say userns: host under its options" >&2
      return 78 ;;
  esac
  "$@" >/dev/null || { k_r=$?; docker rm --force traefik >/dev/null 2>&1; return $k_r; }
  echo "started"
}"""


def boot(settings: TraefikSettings, run_directory: str) -> tuple[Command, ...]:
    """Starts Traefik where it does not run, with the file's own settings winning over ours, and sees it stay up."""
    words = ("k_boot_traefik", *run(settings, run_directory))
    begin = Command(name="start traefik", words=words, uses=(SETTLE, BOOT), limit=600.0, example="started")
    return begin, stays_up()


def run(settings: TraefikSettings, run_directory: str) -> tuple[Word, ...]:
    """The ``docker run`` of the proxy, in Kamal's order."""
    return (
        *("docker", "run", "--name", NAME, "--detach", "--restart", "unless-stopped"),
        *(word for one in _ours_published(settings) for word in ("--publish", one)),
        *("--volume", "/var/run/docker.sock:/var/run/docker.sock"),
        *("--env-file", env_file(run_directory)),
        *_each("env", dict(settings.env.clear)),
        *("--log-opt", "max-size=10m"),
        *_each("label", labels(settings)),
        *_options(settings.options),
        settings.image,
        *_arguments(settings.args),
    )


def create(settings: TraefikSettings, run_directory: str, name: str) -> Command:
    """Makes the new one without starting it: what Docker refuses is refused while the old one still runs."""
    _docker, _run, _name, _traefik, _detach, *rest = run(settings, run_directory)
    words = ("k_create_traefik", "docker", "create", "--name", name, *rest)
    script = 'k_create_traefik() { k_settle_traefik; "$@" >/dev/null; }'
    return Command(name="create Traefik", words=words, uses=(SETTLE, script), limit=60.0)


def start() -> Command:
    """Starts the one that is there."""
    return Command(name="start traefik", words=("docker", "start", NAME), limit=60.0)


def stays_up() -> Command:
    """Holds for a second if it stays up: a wrong argument ends it at once."""
    words = ("k_alive", NAME, hundredths(1.0), "any")
    return Command(name="traefik stays up", words=words, uses=(host.CLOCK, host.ALIVE), changes=False)


def stop(seconds: int) -> Command:
    """SIGTERM, and ``seconds`` for what is open."""
    return Command(name="stop traefik", words=("docker", "stop", "-t", str(seconds), NAME), limit=seconds + 30.0)


def remove(name: str = NAME) -> Command:
    """Removes the container, stopped or not. Named volumes stay."""
    return Command(name="remove traefik", words=("docker", "rm", "--force", name), limit=60.0)


def remove_image(references: tuple[str, ...]) -> Command:
    """Takes the image away unless another container uses it."""
    return Command(name="remove traefik image", words=("docker", "image", "rm", *references), may_fail=True, limit=60.0)


def labels(settings: TraefikSettings) -> dict[str, str]:
    """Its labels: Kamal's answer for what no app answers, then the file's."""
    return {**CATCH_ALL, **settings.labels}


def arguments(settings: TraefikSettings) -> tuple[str, ...]:
    """Its arguments: ours, then the file's."""
    return tuple(str(word) for word in _arguments(settings.args))


def env_file(run_directory: str) -> str:
    """Where Traefik's secret environment lies, as in Kamal."""
    return f"{run_directory}/env/traefik/traefik.env"


def published(settings: TraefikSettings) -> tuple[str, ...]:
    """Every ``--publish`` word: Kamal's, ours, the file's."""
    return (*_ours_published(settings), *_listed(settings.options.get("publish", ())))


def _ours_published(settings: TraefikSettings) -> Iterator[str]:
    if settings.publish:
        yield f"{settings.host_port}:80"
    theirs = _listed(settings.options.get("publish", ()))
    if not any(one.rpartition(":")[2] == str(API_PORT) for one in theirs):
        yield f"127.0.0.1:{API_PORT}:{API_PORT}"


def _listed(value: str | bool | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


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
