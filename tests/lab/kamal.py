"""What Kamal v1 sends to a host, line by line: at the seed's commit (8a41d15b) and in 1.9.3, the last with a cord."""

from __future__ import annotations

import secrets
import shlex
import time
from dataclasses import dataclass

from shop import REPOSITORY, Shop

HEALTHY = "--format '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}'"
SETTLE = 5.0
"""Seconds that Kamal waits for Traefik after a verdict (2 at the seed)."""


@dataclass(frozen=True)
class Kamal:
    """One Kamal and one service of it on one host; the role is web."""

    shop: Shop
    host: str
    release: str
    priority: str = ""
    """As a custom label; empty: Kamal's own default (none at the seed, 2 in 1.9.3)."""
    volumes: bool = True
    """The orders' volume. With any volume beside it, Kamal finds a cord only if Docker happens to list that first."""

    @property
    def name(self) -> str:
        return f"{self.shop.name}-web"

    def run(self, line: str) -> str:
        done = self.shop.as_deploy(self.host, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def docker_run(self, version: str, cord: str) -> str:
        """The line that starts a container, in Kamal's order of arguments."""
        late = self.release != "seed"
        router, service = f"traefik.http.routers.{self.name}", f"traefik.http.services.{self.name}"
        retry = f"traefik.http.middlewares.{self.name}-retry.retry"
        labels = {
            "service": self.shop.name,
            "role": "web",
            **({"destination": ""} if late else {}),
            f"{service}.loadbalancer.server.scheme": "http",
            f"{router}.rule": f"Host(`{self.shop.host_header}`)",
            **({f"{router}.priority": "2"} if late else {}),
            f"{retry}.attempts": "5",
            f"{retry}.initialinterval": "500ms",
            f"{router}.middlewares": f"{self.name}-retry@docker",
            **({f"{router}.priority": self.priority} if self.priority else {}),
        }
        check = "(curl -f http://localhost:3000/up || exit 1) && (stat /tmp/kamal-cord/cord > /dev/null || exit 1)"
        words = [
            *("docker", "run", "--detach", "--restart", "unless-stopped", "--name", f"{self.name}-{version}"),
            *("--hostname", f"{self.host}-{secrets.token_hex(6)}", "-e", f"KAMAL_CONTAINER_NAME={self.name}-{version}"),
            *(("-e", f"KAMAL_VERSION={version}") if late else ()),
            *("--env-file", f"{self.shop.run_directory}/env/roles/{self.name}.env"),
            *(("--env", "ORDERS_LOG=/orders/log") if self.volumes else ()),
            *("--health-cmd", check, "--health-interval", "1s", "--volume", f"{cord}:/tmp/kamal-cord"),
            *("--log-opt", "max-size=10m"),
            *(("--volume", f"{self.shop.run_directory}/orders:/orders") if self.volumes else ()),
            *(word for key, value in labels.items() for word in ("--label", f"{key}={value}" if value else key)),
            f"{REPOSITORY}:{version}",
        ]
        return shlex.join(words)

    def boot(self, version: str) -> None:
        """``kamal app boot --version``, without its lock and its audit lines."""
        directory, name = self.shop.run_directory, f"{self.name}-{version}"
        env = f"{directory}/env/roles/{self.name}.env"
        self.run(
            f"mkdir -p {directory}/env/roles && touch {env} && docker tag {REPOSITORY}:{version} {REPOSITORY}:latest"
        )
        if self.run(f"docker container ls --all --filter name=^{name}$ --quiet"):
            self.run(f"docker rename {name} {name}_replaced_{secrets.token_hex(8)}")
        old = self.current()
        cord = f"{directory}/cords/{self.name}-{secrets.token_hex(16)}"
        self.run(f"mkdir -p {cord} ; touch {cord}/cord")
        self.run(self.docker_run(version, cord))
        self.until(name, "healthy")
        if old:
            self.cut(f"{self.name}-{old}")
            self.run(f"docker container ls --all --filter name=^{self.name}-{old}$ --quiet | xargs docker stop")

    def current(self) -> str:
        """The version that Kamal takes for the running one."""
        filters = f"--filter label=service={self.shop.name} --filter label=role=web"
        filters += " --filter status=running --filter status=restarting"
        each = f"while read line; do echo ${{line#{self.name}-}}; done"
        if self.release == "seed":
            return self.run(f'docker ps {filters} --latest --format "{{{{.Names}}}}" | {each}')
        image = f"$(docker image ls --filter reference={REPOSITORY}:latest --format '{{{{.ID}}}}')"
        latest = f"docker ps --latest --format '{{{{.Names}}}}' {filters}"
        both = f"{latest} --filter ancestor={image} ; {latest}"
        return self.run(f"sh -c {shlex.quote(both)} | head -1 | {each}")

    def cut(self, name: str) -> None:
        mounts = "docker inspect -f '{{ range .Mounts }}{{ .Source }} {{ .Destination }} {{ end }}'"
        source = self.run(f"{mounts} {name} | awk '$2 == \"/tmp/kamal-cord\" {{print $1}}'")
        assert source, f"Kamal finds no cord of {name}"
        self.run(f"rm -r {source}")
        self.until(name, "unhealthy")

    def until(self, name: str, wanted: str) -> None:
        line = f"docker container ls --all --filter name=^{name}$ --quiet | xargs docker inspect {HEALTHY}"
        for attempt in range(1, 9):
            if self.run(line) == wanted:
                time.sleep(SETTLE if self.release != "seed" else 2.0)
                return
            time.sleep(min(attempt, 7))
        raise AssertionError(f"{name} is not {wanted}")
