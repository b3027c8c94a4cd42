"""Hosts of the lab made unlike others for a while: another login shell, busybox, a hardened sshd, a remapped Docker.

Each is put back as it was, however the test ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shop import Shop, until

from kamalnb.lab import Lab, state, up

BUSYBOX = """\
set -e
for a in $(busybox --list); do [ "$a" = busybox ] || ln -sf /bin/busybox "/usr/local/bin/$a"; done
ln -sf busybox /bin/sh
"""
NO_BUSYBOX = """\
/bin/ln -sf dash /bin/sh
/usr/bin/find /usr/local/bin -lname '*busybox' -delete
"""
RESTART_SSHD = """\
p=$(cat /run/lab/ssh.pid); kill "$p"
i=0; while [ "$(cat /run/lab/ssh.pid)" = "$p" ] || ! ps -p "$(cat /run/lab/ssh.pid)" >/dev/null; do
  i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.1
done
"""
MARK = "/var/lib/docker/kamalnb-lab-images"


@contextmanager
def login_shell(shop: Shop, host: str, shell: str) -> Iterator[None]:
    """The deploy user's, for a while."""
    shop.shell(host, 'usermod --shell "$1" deploy', shell)
    try:
        yield
    finally:
        shop.shell(host, "usermod --shell /bin/bash deploy")


@contextmanager
def busybox(shop: Shop, host: str) -> Iterator[None]:
    """Every program that busybox has is busybox's, sh too; Docker's is there besides."""
    shop.shell(host, BUSYBOX)
    try:
        yield
    finally:
        shop.lab.exec(host, ["/bin/bash", "-c", NO_BUSYBOX])


@contextmanager
def sshd_says(shop: Shop, host: str, *lines: str) -> Iterator[None]:
    """More lines in sshd_config; connections that are open live on."""
    file = "/etc/ssh/sshd_config"
    script = f"cp {file} {file}.usual; printf '%s\\n' \"$@\" >>{file}; {RESTART_SSHD}"
    shop.shell(host, script, *lines)
    try:
        yield
    finally:
        shop.shell(host, f"mv {file}.usual {file}; {RESTART_SSHD}")


@contextmanager
def instead_of(shop: Shop, host: str, program: str, script: str) -> Iterator[None]:
    """A program of that name before the real one on the PATH."""
    path = f"/usr/local/bin/{program}"
    shop.shell(host, 'cat >"$1" <<E\n#!/bin/sh\n$2\nE\nchmod 755 "$1"', path, script)
    try:
        yield
    finally:
        shop.shell(host, 'rm -f "$1"', path)


@contextmanager
def without(shop: Shop, host: str, *programs: str) -> Iterator[None]:
    """A host that does not have these programs, wherever on root's PATH they are."""
    hide = (
        "mkdir -p /root/hidden && for p; do while f=$(command -v $p) && [ -f $f ]; do "
        "mkdir -p /root/hidden${f%/*} && mv $f /root/hidden$f || exit 1; done; done"
    )
    shop.shell(host, hide, *programs)
    try:
        yield
    finally:
        shop.shell(host, "cd /root/hidden && find . -type f -exec cp -p {} /{} \\; && rm -r /root/hidden")


@contextmanager
def data_root(lab: Lab, host: str, before: str, after: str) -> Iterator[None]:
    """Docker on a host with another place for its data, and the lab's images there; ``before`` makes it, as root."""

    def run(script: str) -> None:
        done = lab.exec(host, ["sh", "-c", script])
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"

    known = state.read(lab.directory)
    assert known is not None
    plan = known.plan
    lab.stop_docker(host)
    run(before)
    lab.start_docker(host)
    try:
        # Loads the images. Of another plan, such as another Docker, up would make new hosts.
        up(lab.directory, count=plan.count, ports=plan.ports, docker=plan.docker)
        yield
    finally:
        lab.stop_docker(host)
        try:
            run(after)
        finally:
            lab.start_docker(host)


def serves_again(shop: Shop, host: str, name: str) -> None:
    """Waits until a container that restarts by itself does so."""
    until(lambda: name in shop.shell(host, "docker ps --format '{{.Names}}'").split(), f"{name} runs on {host}")
