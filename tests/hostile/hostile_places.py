"""Every place of a host's command that a word from outside can come into, each with what the host must then see."""

from __future__ import annotations

import base64
import itertools
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kamalnb.commands import (
    app,
    audit,
    bootstrap,
    cord,
    env_files,
    exec,
    images,
    leftovers,
    lock,
    logs,
    proxy,
    registry,
    running_traefik,
    server,
    traefik,
    traefik_reboot,
)
from kamalnb.commands.exec import ExecOptions, OneOff
from kamalnb.commands.log_options import LogOptions
from kamalnb.config.model import Config, Env, Healthcheck, Logging, Role, TraefikSettings
from kamalnb.plan import BootPlan
from kamalnb.shell import Command, Secret

ROLE = Role(name="web", service="app", destination=None, hosts=("web-1",), traefik=True)
SETTINGS = TraefikSettings(image="traefik:v3.7")
CONFIG = Config(service="app", image="app", traefik=SETTINGS, roles=(ROLE,))


@dataclass(frozen=True)
class Place:
    """``make`` puts a word there. ``seen`` is what Docker is then given; None where it never gets to see it."""

    name: str
    make: Callable[[str], Command]
    seen: Callable[[str], str] | None = lambda word: word


def boot(role: Role = ROLE, **more: object) -> BootPlan:
    values = {"host": "web-1", "version": "v2", "reference": "app:v2", "nonce": "0" * 32, **more}
    return BootPlan(role=role, **values)


def started(
    role: Role = ROLE, labels: dict[str, str] | None = None, cord: str | None = None, **more: object
) -> Command:
    return app.run(boot(role, **more), "/home/deploy", labels or {}, cord)


def config(**more: object) -> Config:
    return replace(CONFIG, **more)


def claim(**more: str) -> lock.Claim:
    return lock.Claim(**{"run_id": "r", "who": "jana", "when": "now", "version": "v2", "why": "boot", **more})


def one_off(**more: object) -> OneOff:
    values = {"host": "web-1", "role": ROLE, "version": "v2", "reference": "app:v2", "name": "n", "env_file": "/e"}
    return OneOff(**{**values, **more})


def flat(word: str) -> str:
    """On one line: ``--env`` refuses others for some names."""
    return word.replace("\n", " ").replace("\r", " ")


def ask(**more: object) -> ExecOptions:
    return ExecOptions(**{"command": "true", **more})


def way(**more: object) -> proxy.Way:
    return proxy.Way(**{"by": "c", "urls": ("http://p",), "api": None, "network": "n", "address": "a:1", **more})


def below(word: str) -> str:
    """A path that has ``word`` in it, below the working directory whatever it says."""
    return ".kamal/" + word.replace("/", "_").replace("..", "__")


_IN_BOOT = (
    Place("service", lambda w: app.containers(w).command, lambda w: f"label=service={w}"),
    Place("service in a census", lambda w: app.census(w).command, None),
    Place("version", lambda w: started(version=w), lambda w: f"KAMAL_VERSION={w}"),
    Place("role", lambda w: started(replace(ROLE, name=w)), lambda w: f"app-{w}-v2"),
    Place("destination", lambda w: started(replace(ROLE, destination=w or "d")), lambda w: f"app-web-{w or 'd'}-v2"),
    Place("host", lambda w: started(host=w), lambda w: f"{w[:51].rstrip('.')}-{'0' * 12}"),
    Place("image", lambda w: started(reference=w)),
    Place("image to pull", lambda w: app.pull(w)),
    Place("image to look at", lambda w: app.image(w).command),
    Place("repository", lambda w: app.images(w).command),
    Place("repository and service", lambda w: images.of_service(w, w).command, lambda w: f"label=service={w}"),
    Place("image to remove", lambda w: images.remove((w,))),
    Place("tag", lambda w: app.tag("app:v2", w)),
    Place("container's name", lambda w: app.rename("c", w)),
    Place("label's key", lambda w: started(labels={w: "x"}), lambda w: f"{w}=x"),
    Place("label's value", lambda w: started(labels={"x": w}), lambda w: f"x={w}"),
    Place("env value", lambda w: started(replace(ROLE, env=Env(clear={"X": w}))), lambda w: f"X={w}"),
    Place("volume", lambda w: started(replace(ROLE, volumes=(w,)))),
    Place("option's value", lambda w: started(replace(ROLE, options={"cpus": w})), lambda w: w),
    Place("option's name", lambda w: started(replace(ROLE, options={w: "1"})), lambda w: f"--{w}"),
    Place("log driver", lambda w: started(replace(ROLE, logging=Logging(driver=w or "d"))), lambda w: w or "d"),
    Place("log option", lambda w: started(replace(ROLE, logging=Logging(options={"x": w}))), lambda w: f"x={w}"),
    Place("stop signal", lambda w: started(replace(ROLE, stop_signal=w or "T")), lambda w: w or "T"),
    Place("run directory", lambda w: started(run_directory=f"/{w}"), lambda w: f"/{w}/env/roles/app-web.env"),
    Place("cord", lambda w: started(cord=w or "c"), lambda w: f"type=bind,source={w or 'c'},target=/tmp/kamal-cord"),
    Place("cmd", lambda w: started(replace(ROLE, cmd=shlex.join(["x", w])))),
    Place("custom check", lambda w: app.verify("c", health(cmd=w or "x")), lambda w: app.check(health(cmd=w or "x"))),
    Place("check's path", lambda w: app.verify("c", health(path=w)), lambda w: app.check(health(path=w))),
    Place("container", lambda w: app.remove(w)),
    Place("container to stop", lambda w: app.stop((w,), 3.0)),
    Place("container to look at", lambda w: app.container(w).command),
    Place("container that lives", lambda w: app.alive(w, 0.0)),
    Place("container that is healthy", lambda w: app.healthy(w, 0.0)),
    Place("container to start", lambda w: app.start_again(w)),
    Place("log to keep", lambda w: app.keep_log("c", f"{below(w)}/log", 1), None),
    Place("container to prune", lambda w: leftovers.prune((w,))),
)


def health(**more: str) -> Role:
    return replace(ROLE, healthcheck=Healthcheck(deadline=0.0, **more))


_AROUND = (
    Place("container that is asked", lambda w: proxy.routed(w, "n", ("r",), "s", way(), 0.0), None),
    Place("asker", lambda w: proxy.routed("c", "n", ("r",), "s", way(by=w or "c"), 0.0), lambda w: w or "c"),
    Place("address", lambda w: proxy.routed("c", "n", (), "s", way(urls=(w,)), 0.0), lambda w: f"{w}/.kamalnb/n"),
    Place("registry", lambda w: registry.logout(w or "r"), lambda w: w or "r"),
    Place("user", lambda w: registry.login(registry.Login(username=w, password=Secret("p")))),
    Place("registry to log in to", lambda w: login(w), lambda w: w or "r"),
    Place("exec's command", lambda w: exec.exec_in("c", ask(command=shlex.join(["x", w])))),
    Place("exec's container", lambda w: exec.exec_in(w, ask())),
    Place("exec's env", lambda w: exec.exec_in("c", ask(env=(f"xy={flat(w)}",))), lambda w: f"xy={flat(w)}"),
    Place("exec's exported env", lambda w: exec.exec_in("c", ask(env=(f"XY={w}",))), lambda w: "XY"),
    Place("one-off's image", lambda w: exec.run(one_off(reference=w), ask())),
    Place("one-off's env file", lambda w: exec.run(one_off(env_file=w), ask())),
    Place("one-off's name", lambda w: exec.remove(w)),
    Place("release command", lambda w: exec.run(one_off(), ask(command=shlex.join(["sh", "-c", w])))),
    Place("log's service", lambda w: logs.read(replace(ROLE, service=w), LogOptions()), lambda w: f"label=service={w}"),
    Place("log's role", lambda w: logs.read(replace(ROLE, name=w), LogOptions()), lambda w: f"label=role={w}"),
    Place("grep's pattern", lambda w: logs.read(ROLE, LogOptions(grep=w or "x")), None),
    Place("proxy log's pattern", lambda w: running_traefik.log(since=None, lines=1, grep=w).command, None),
    Place(
        "proxy log's since",
        lambda w: running_traefik.log(since=w or "1", lines=1, grep=None).command,
        lambda w: w or "1",
    ),
    Place("traefik's image", lambda w: traefik.boot(replace(SETTINGS, image=w), ".kamal")[0], None),
    Place("traefik's image, made", lambda w: traefik.create(replace(SETTINGS, image=w), ".kamal", "n")),
    Place("traefik's image, removed", lambda w: traefik.remove_image((w,))),
    Place("traefik's image, looked at", lambda w: running_traefik.image_version(w).command),
    Place("traefik's argument", lambda w: made(args={"x": w}), lambda w: f"--x={w}"),
    Place("traefik's option", lambda w: made(options={"x": w})),
    Place("traefik's label", lambda w: made(labels={"x": w}), lambda w: f"x={w}"),
    Place("traefik's env", lambda w: made(env=Env(clear={"X": w})), lambda w: f"X={w}"),
    Place("what is routed", lambda w: traefik_reboot.holding((thing(w),)).command, None),
    Place("build line", lambda w: Command(name="typed", words=("eval", registry.build_line(w, w)))),
)


def login(word: str) -> Command:
    return registry.login(registry.Login(username="u", password=Secret(word), server=word or "r"))


def made(**more: object) -> Command:
    return traefik.create(replace(SETTINGS, **more), ".kamal", "n")


def thing(word: str) -> traefik_reboot.Thing:
    return traefik_reboot.Thing(
        container=word, name=word, by=word, network=word, ports="http:80", what=word, address=word
    )


_FILES = (
    Place("cord's directory", lambda w: cord.dark(below(w)), None),
    Place("cord to cut", lambda w: cord.cut(below(w)), None),
    Place("cord to tie", lambda w: cord.tie(below(w)), None),
    Place("cord to remove", lambda w: cord.remove(below(w)), None),
    Place("cords", lambda w: cord.all_of(below(w)).command, None),
    Place("performer", lambda w: server.audit(".kamal/log", (w,), w), None),
    Place("audit's path", lambda w: server.audit(f"{below(w)}/log", (), "x"), None),
    Place("audit's tail", lambda w: audit.tail(f"{below(w)}/log", 3).command, None),
    Place("env file's path", lambda w: env_files.push(f"{below(w)}/env", Secret(f"A={w}\n")), None),
    Place("env file to delete", lambda w: env_files.delete(f"{below(w)}/env"), None),
    Place("file's path", lambda w: server.write_file(f"{below(w)}/file", w), None),
    Place("empty env file", lambda w: server.touch_env_file(f"{below(w)}/empty"), None),
    Place("journals to forget", lambda w: server.forget((below(w),)), None),
    Place("ended journals", lambda w: server.ended(below(w)).command, None),
    Place("cord that was switched to", lambda w: cord.served(below(w)), None),
    Place("old logs", lambda w: leftovers.old_logs(below(w), 3).command, None),
    Place("files to remove", lambda w: leftovers.remove_files((below(w),)), None),
    Place("switches", lambda w: server.switching(below(w)).command, None),
    Place("journals", lambda w: server.tidy_runs(below(w)), None),
    Place("facts", lambda w: bootstrap.facts(below(w)).command, None),
    Place("directory to make", lambda w: bootstrap.make_directory(below(w)), None),
    Place("lock's directory", lambda w: lock.state(config(run_directory=below(w))).command, None),
    Place("lock's message", lambda w: lock.acquire(config(run_directory=below(w)), claim(why=w, who=w)), None),
    Place("lock to release", lambda w: lock.release(config(run_directory=below(w))), None),
    Place("lock's service", lambda w: lock.state(config(service=w, destination=w or None)).command, None),
    Place("lock of a run", lambda w: held(w), None),
)


def held(word: str) -> Command:
    """A lock session with its own stdin closed: it takes the lock and lets go."""
    return lock.hold(config(run_directory=below(word)), claim(run_id=word, who=word, why=word), primary=True)


PLACES = (*_IN_BOOT, *_AROUND, *_FILES)


def crowded(words: Sequence[str]) -> Command:
    """One ``docker run`` with all of these words in it, in turn as label, variable, volume, option and argument."""
    turns: dict[int, list[str]] = {turn: list(words[turn::7]) for turn in range(7)}
    role = replace(
        ROLE,
        env=Env(clear={f"V{number}": word for number, word in enumerate(turns[0])}),
        volumes=tuple(turns[1]),
        options={"x": tuple(turns[2])},
        logging=Logging(options={f"o{number}": word for number, word in enumerate(turns[3])}),
        cmd=shlex.join(["x", *turns[4]]),
    )
    labels = {f"l{number}": word for number, word in enumerate(turns[5])} | {f"{word}.k": "v" for word in turns[6]}
    return started(role, labels)


def crowd_seen(words: Sequence[str]) -> Iterator[str]:
    """What Docker is given by it."""
    turns = {turn: words[turn::7] for turn in range(7)}
    yield from (f"V{number}={word}" for number, word in enumerate(turns[0]))
    yield from itertools.chain(turns[1], turns[2], turns[4])
    yield from (f"o{number}={word}" for number, word in enumerate(turns[3]))
    yield from (f"l{number}={word}" for number, word in enumerate(turns[5]))
    yield from (f"{word}.k=v" for word in turns[6])


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
