"""Every option of every task: its short flag and its help, once. Words only."""

from __future__ import annotations

from typing import Any

OPTIONS: dict[str, tuple[str, str]] = {
    # parameter: (short flag or "", help)
    "version": ("", "Image tag; current, previous. Default: the image tagged latest."),
    "candidates": ("", "Only list the versions that could be gone back to."),
    "roles": ("r", "Only these ROLES: names or wildcards, a,b or the flag repeated."),
    "hosts": ("H", "Only these HOSTS: names or wildcards, a,b or the flag repeated."),
    "primary": ("p", "Only the primary host."),
    "destination": ("d", "Overlay deploy.DESTINATION.yml, as staging."),
    "config_file": ("c", "The deploy.yml to use. Default: config/deploy.yml here or above."),
    "skip_unreachable": ("", "Leave out hosts that cannot be reached, and say so."),
    "skip_hooks": ("", "Run none of the project's hooks."),
    "lock_wait": ("", "Seconds to wait for a lock that somebody else holds. Default: 0, be refused."),
    "confirm": ("", "What a fleet with confirm: true wants typed, like web@abc1234."),
    "dry_run": ("", "Print every command that would run on each host; change nothing."),
    "force": ("", "Boot also what serves this version with these settings already."),
    "yes": ("", "Do it without asking."),
    "message": ("m", "Why, for the lock and whoever meets it."),
    "json": ("", "One JSON document a line, and nothing else."),
    "verbose": ("v", "Everything: each command with its exit code and seconds, every column."),
    "quiet": ("q", "Only problems and the closing line."),
    "stop": ("", "Cut, drain and stop them."),
    "grep": ("g", "Only lines that match; searched on the host, in the message alone."),
    "grep_options": ("", "How grep matches: -i -v -w -E -F -P -A3 -B3 -C3 -m3."),
    "timestamps": ("t", "Show Docker's time of each line."),
    "container_id": ("", "One container, by id or name, also a stopped one."),
    "follow": ("f", "Go on as lines come, until Ctrl-C."),
    "reuse": ("", "In the container that runs, instead of a new one."),
    "interactive": ("i", "With this terminal, on the first chosen host."),
    "env": ("e", "A variable for the command, KEY=VALUE; may be repeated."),
    "detach": ("", "Do not wait for its end."),
    "raw": ("", "Its output as it is; with one host its own exit code."),
    "rolling": ("", "Host after host."),
    "major": ("", "Also to another major version of Traefik."),
    "lines": ("n", "Lines of each container (logs: 100; with --grep, lines that match) or host (audit: 50)."),
    "since": ("s", "Only what is newer: 42m, 3h, 2d, or a moment like 2026-01-31T13:00:00Z."),
    "command": ("", "The command; as the first word, without the flag."),
    "ci": ("", "Also a workflow for a CI: github."),
    "service": ("", "The app's name. Default: the directory's."),
    "name": ("", "Its name, or a file; as the first word, without the flag."),
    "set": ("", "A parameter, NAME=VALUE; may be repeated."),
    "out": ("", "Where the notebook is left: a directory or a file. Default: runs/."),
    "count": ("", "How many hosts."),
    "ports": ("", "Use ports of 127.0.0.1 instead of loopback addresses."),
    "docker": ("", "The hosts' Docker: stable (Debian 12's 20.10) or newest (Debian unstable's)."),
    "directory": ("", "Where the lab keeps its files."),
    "host": ("", "A host's name; as the first word, without the flag."),
    "lab": ("", "The tests on the lab's real hosts too."),
    "minutes": ("", "How long rounds begin. Default: 5, where --rounds is not given."),
    "rounds": ("", "How many rounds."),
    "seed": ("", "The seed of an earlier run, to play its rounds again."),
    "thorough": (
        "",
        "Also the long tests: faults and restarts at many steps, engines unlike ours, clocks, an older kernel.",
    ),
    "quick": ("", "Stop at the first failure."),
}
LISTS = ("roles", "hosts", "env", "set")
"""Options that may be repeated."""

DEFAULTS: dict[str, Any] = {
    "roles": None, "hosts": None, "primary": False, "destination": None, "config_file": None, "json": False,
    "verbose": False, "quiet": False, "skip_unreachable": False, "skip_hooks": False, "lock_wait": 0, "confirm": "",
}  # fmt: skip
READS = ("roles", "hosts", "primary", "destination", "config_file", "json", "verbose", "quiet")
"""What every task that looks at hosts takes."""
CHANGES = (*READS, "skip_unreachable", "skip_hooks", "lock_wait", "confirm")
"""What every task that changes hosts takes."""
OUTPUT = ("json", "verbose", "quiet")
"""What a task takes that only prints."""
FILE = ("destination", "config_file", "json", "verbose", "quiet")
"""What a task takes that reads the file alone."""
NEVER_EMPTY = ("version", "roles", "hosts", "destination", "config_file")
"""Options whose empty value must not be taken for "not given"."""
