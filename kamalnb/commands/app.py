"""Commands about an app's containers and images. Nothing here may do I/O."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace

from .. import docker, sockets
from ..config.model import Role
from ..docker import Container, Image
from ..plan import BootPlan
from ..shell import Command, Question, Word, look
from . import host

HEALTH_CHECK_LIMIT = 3
"""Seconds that one HTTP check may take; three of them and two pauses stay within ``--health-timeout``."""
CUSTOM_CHECK_LIMIT = 10


def containers(service: str) -> Question[tuple[Container, ...]]:
    """Every container of ``service``, whatever its role, destination and state: Docker's own filters are patterns."""
    words = ("k_inspect", docker.CONTAINER_FORMAT, "--all", "--filter", f"label=service={service}")
    return Question(look("list containers", *words, uses=(host.INSPECT,)), docker.containers)


def census(service: str) -> Question[tuple[Container, ...]]:
    """Every running container of the host, every one of ``service`` in any state, and Traefik: in one look."""
    words = ("k_census", docker.CONTAINER_FORMAT, service)
    return Question(look("list containers", *words, uses=(host.CENSUS,)), docker.containers)


def container(identifier: str, example: str = "") -> Question[Container]:
    """One container by id or name."""
    command = look(
        "look at container", "docker", "inspect", "--format", docker.CONTAINER_FORMAT, identifier, example=example
    )
    return Question(command, lambda text: docker.containers(text)[0])


def those(identifiers: tuple[str, ...]) -> Question[tuple[Container, ...]]:
    """These containers by id or name; what is gone is left out, and no failure."""
    command = look("look again", "docker", "inspect", "--format", docker.CONTAINER_FORMAT, *identifiers)
    return Question(replace(command, may_fail=True, quiet=True), docker.containers)


def image(reference: str) -> Question[Image | None]:
    """The image called ``reference`` on the host, None where it is not there."""
    script = (
        'k_image() { docker image inspect --format "$1" "$2" 2>/dev/null && return 0;'
        ' k_ids=$(docker image ls --quiet "$2") || return 1; [ -z "$k_ids" ]; }'
    )
    command = look("look at image", "k_image", docker.IMAGE_FORMAT, reference, uses=(script,))
    return Question(command, lambda text: next(iter(docker.images(text)), None))


def images(repository: str) -> Question[tuple[Image, ...]]:
    """Every image of ``repository`` on the host."""
    script = (
        'k_images() { k_ids=$(docker image ls --quiet --no-trunc "$2" | sort -u) || return 1;'
        ' [ -z "$k_ids" ] || docker image inspect --format "$1" $k_ids; }'
    )
    return Question(look("list images", "k_images", docker.IMAGE_FORMAT, repository, uses=(script,)), docker.images)


def pull(reference: str) -> Command:
    """Fetches an image; slow links are given ten minutes."""
    words = ("docker", "pull", "--quiet", reference)
    return Command(name="pull image", words=words, beside=True, limit=600.0, example=reference)


def tag(reference: str, new: str) -> Command:
    """Gives an image one more name."""
    return Command(name="tag image", words=("docker", "tag", reference, new))


def rename(identifier: str, name: str) -> Command:
    """Renames a container."""
    return Command(name="rename container", words=("docker", "rename", identifier, name))


def named(identifier: str, name: str, aside: str) -> Command:
    """Gives a container its name; another one that has it is called ``aside`` from then on. The next run tries again."""
    return Command(name="name container", words=("k_named", identifier, name, aside), uses=(host.NAMED,), may_fail=True)


def run(boot: BootPlan, home: str, labels: Mapping[str, str], cord: str | None, example_id: str = "e" * 64) -> Command:
    """Starts the new container, in Kamal's argument order, with every health option set.

    An image's own HEALTHCHECK would fill in whatever is left out.
    """
    role = boot.role
    words = (
        *("docker", "run", "--detach", "--restart", "unless-stopped"),
        *("--name", boot.container_name, "--hostname", boot.hostname),
        *("-e", f"KAMAL_CONTAINER_NAME={boot.container_name}", "-e", f"KAMAL_VERSION={boot.version}"),
        *("--env-file", env_file(boot, home)),
        *each("--env", (f"{key}={value}" for key, value in role.env_on(boot.host).clear.items())),
        *_health(role),
        *(("--mount", f"type=bind,source={cord},target={role.healthcheck.cord}") if cord else ()),
        *logging(role),
        *each("--volume", role.volumes),
        *each("--label", (f"{key}={value}" for key, value in labels.items())),
        *(("--stop-signal", role.stop_signal) if role.stop_signal else ()),
        *options(role),
        boot.reference,
        *(shlex.split(role.cmd) if role.cmd else ()),
    )
    return Command(
        name="start container",
        words=words,
        limit=120.0,
        example=example_id,
        details=(("labels", labels), ("cord", cord)),
    )


def labels(role: Role) -> dict[str, str]:
    """Kamal's own labels (1.9.3), the file's merged over them; no Traefik ones where Traefik does not route to it."""
    name = role.name_prefix
    own = {"service": role.service, "role": role.name, "destination": role.destination or ""}
    if not role.traefik:
        return {**own, **role.labels, "traefik.enable": "false"}
    return {
        **own,
        f"traefik.http.services.{name}.loadbalancer.server.scheme": "http",
        f"traefik.http.routers.{name}.rule": "PathPrefix(`/`)",
        f"traefik.http.routers.{name}.priority": "2",
        f"traefik.http.middlewares.{name}-retry.retry.attempts": "5",
        f"traefik.http.middlewares.{name}-retry.retry.initialinterval": "500ms",
        f"traefik.http.routers.{name}.middlewares": f"{name}-retry@docker",
        **role.labels,
    }


def env_file(boot: BootPlan, home: str) -> str:
    """Where the role's secret environment lies on the host, as in Kamal."""
    return f"{run_directory(boot, home)}/env/roles/{boot.role.name_prefix}.env"


def run_directory(boot: BootPlan, home: str) -> str:
    """Kamal's directory on the host, absolute."""
    return absolute(boot.run_directory, home)


def absolute(directory: str, home: str) -> str:
    """A directory on the host, which may be relative to the login directory."""
    return directory if directory.startswith("/") else f"{home}/{directory}"


def check(role: Role) -> str:
    """The app's own check as a line for the container's ``sh``, bounded; exit code 68 says that no tool is there."""
    custom = role.healthcheck.cmd
    if custom:
        bounded = f"timeout {CUSTOM_CHECK_LIMIT} sh -c {shlex.quote(custom)}"
        return f"if command -v timeout >/dev/null 2>&1; then {bounded}; else {custom}\nfi"
    url = f"http://localhost:{role.healthcheck.port}{role.healthcheck.path}"
    script = (
        f"if command -v curl >/dev/null 2>&1; then curl -fsS -m {HEALTH_CHECK_LIMIT} -o /dev/null {{url}}; "
        f"elif command -v wget >/dev/null 2>&1; then wget -q -T {HEALTH_CHECK_LIMIT} -O /dev/null {{url}}; "
        "elif command -v python3 >/dev/null 2>&1; then python3 -c 'import sys,urllib.request as u;u.urlopen(sys.argv[1],timeout=3)' {url}; "
        "elif command -v ruby >/dev/null 2>&1; then ruby -rnet/http -e 'exit Net::HTTP.get_response(URI(ARGV[0])).code.to_i<400' {url}; "
        'elif command -v node >/dev/null 2>&1; then node -e \'require("http").get(process.argv[1],{timeout:3000},r=>process.exit(r.statusCode<400?0:1))'
        '.on("error",()=>process.exit(1)).on("timeout",()=>process.exit(1))\' {url}; '
        "elif command -v php >/dev/null 2>&1; then php -r 'exit(@file_get_contents($argv[1])===false?1:0);' {url}; "
        "else exit 68; fi"
    )
    return script.replace("{url}", shlex.quote(url))


def health_command(role: Role) -> str:
    """The container's health check: the cord first, then up to three app checks a second apart, the cord in between."""
    app = f"k_app() {{ {check(role)}\n}}"
    if not role.uses_cord:
        return f"{app}\nk_app || {{ sleep 1; k_app; }} || {{ sleep 1; k_app; }}"
    cord = shlex.quote(f"{role.healthcheck.cord}/cord")
    return f"{app}\nk_tied() {{ [ -e {cord} ]; }}\nk_tied && {{ k_app || {{ sleep 1; k_tied && k_app; }} || {{ sleep 1; k_tied && k_app; }}; }}"


def start_again(identifier: str) -> Command:
    """Starts a container that is there and was stopped; its restarts count from none again."""
    return Command(name="start it again", words=("docker", "start", identifier), limit=120.0, example=identifier)


def verify(identifier: str, role: Role, cord: str | None = None) -> Command:
    """Waits on the host until the app's check passes inside the container, which has to see its ``cord``, still cut."""
    deadline = role.healthcheck.deadline
    return look(
        "verify app",
        "k_verify",
        identifier,
        hundredths(deadline),
        check(role),
        role.healthcheck.cord if cord and role.healthcheck.cord else "-",
        uses=(host.CLOCK, host.VERIFY),
        limit=deadline + 45.0,
    )


def listening(identifier: str, port: int) -> Question[tuple[sockets.Socket, ...]]:
    """What listens inside the container, read with its own shell."""
    example = f"0: 00000000:{port:04X} 00000000:0000 0A"
    return Question(
        look("look at sockets", "k_sockets", identifier, uses=(host.VERIFY,), example=example), sockets.listening
    )


def alive(identifier: str, seconds: float, health: str = "healthy", name: str = "soak") -> Command:
    """Holds for ``seconds`` if the container stays up without a restart (and healthy, unless ``health`` is ``any``)."""
    words = ("k_alive", identifier, hundredths(seconds), health)
    return look(name, *words, uses=(host.CLOCK, host.ALIVE), limit=seconds + 30.0)


def healthy(identifier: str, deadline: float) -> Command:
    """Waits until Docker calls it healthy (or running, where it has no check)."""
    words = ("k_healthy", identifier, hundredths(deadline))
    return look("wait for healthy", *words, uses=(host.CLOCK, host.ALIVE), limit=deadline + 30.0)


def stop(identifiers: tuple[str, ...], wait: float | None, name: str = "stop container") -> Command:
    """Stops containers: SIGTERM, ``wait`` seconds (Docker's 10 where None), SIGKILL. Gone ones are stopped."""
    words = ("k_stop", "-" if wait is None else str(int(wait)), *identifiers)
    limit = 30.0 + (wait or 10.0) * len(identifiers)
    return Command(name=name, words=words, uses=(host.STOP,), limit=limit)


def remove(identifier: str) -> Command:
    """Removes a container; one that is gone already is no failure."""
    script = 'k_remove() { docker rm --force "$1" >/dev/null 2>&1; ! docker inspect --format . "$1" >/dev/null 2>&1; }'
    return Command(name="remove container", words=("k_remove", identifier), uses=(script,))


def keep_log(identifier: str, path: str, lines: int) -> Command:
    """Keeps the whole log (4 MB at most) in a file on the host and prints its last ``lines``."""
    return Command(name="keep log", words=("k_keep", identifier, path, str(lines)), uses=(host.KEEP,))


def example_container(identifier: str, name: str, networks: Mapping[str, str]) -> str:
    """What ``container`` would print of a new one that is well: for dry runs."""
    return json.dumps(
        {
            "id": identifier,
            "name": f"/{name}",
            "image": "",
            "image_id": "",
            "labels": {},
            "status": "running",
            "exit_code": 0,
            "pid": 1,
            "started": "",
            "created": "",
            "restarts": 0,
            "health": {"Status": "unhealthy"},
            "check": None,
            "mounts": [],
            "networks": {network: {"IPAddress": "192.0.2.1", "Gateway": "192.0.2.254"} for network in networks},
            "network_mode": "default",
            "ports": None,
            "args": [],
            "published": None,
        }
    )


def hundredths(seconds: float) -> str:
    """Seconds as the host's scripts take them."""
    return str(round(seconds * 100))


def _health(role: Role) -> Iterator[Word]:
    if not role.healthcheck.configured:
        return
    slowest = CUSTOM_CHECK_LIMIT if role.healthcheck.cmd else HEALTH_CHECK_LIMIT
    yield from (
        "--health-cmd",
        health_command(role),
        "--health-interval",
        f"{round(role.healthcheck.interval * 1000)}ms",
    )
    yield from ("--health-timeout", f"{3 * slowest + 3}s", "--health-retries", "1", "--health-start-period", "1ms")


def logging(role: Role) -> Iterator[Word]:
    """``--log-driver`` and ``--log-opt``."""
    if role.logging.driver:
        yield from ("--log-driver", role.logging.driver)
    yield from each("--log-opt", (f"{key}={value}" for key, value in role.logging.options.items()))


def options(role: Role, without: frozenset[str] = frozenset()) -> Iterator[Word]:
    """The role's further options of ``docker run``."""
    for key, value in role.options.items():
        if key in without:
            continue
        for one in value if isinstance(value, tuple) else (value,):
            if one is True:
                yield f"--{key}"
            elif one is not False:
                yield from (f"--{key}", str(one))


def each(option: str, values: Iterator[str] | tuple[str, ...]) -> Iterator[Word]:
    """``values``, each behind ``option``."""
    for value in values:
        yield from (option, value)
