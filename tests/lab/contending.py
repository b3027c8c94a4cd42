"""``contending.py FILE VERSION HOSTS LEASE WAIT``: boots beside others, under a lease of LEASE seconds.

Each of its scripts that holds its run's place writes “begin RUN PID” and “end RUN PID” into the host's journal, after
the host has let it in and before it lets go. It prints its run's id, then one line of JSON on how it ended.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from typing import Any

from kamalnb.commands import lock
from kamalnb.events import FactLearned, RunStarted
from kamalnb.executor import Abort, Executor, Hold, OnLine, OnResult, never
from kamalnb.fleet import Fleet
from kamalnb.project import Project
from kamalnb.script import Script
from kamalnb.shell import Command, Result, quote
from kamalnb.ssh import SshExecutor

LATE = "does not hold the host's lock any more"


def journal_of(service: str) -> str:
    return f"/home/deploy/{service}.journal"


def journalled(script: Script, journal: str) -> Script:
    """The functions that a step uses are defined right after the fence: so this runs there, once."""
    if script.held is None or script.fence is None:
        return script
    text = (
        f"k_journal() {{ printf '%s {script.fence[1]} %s\\n' \"$1\" $$ >>{quote(journal)}; }}; k_journal begin\n"
        "trap 'k_journal end' EXIT; trap 'exit 141' HUP INT TERM PIPE"
    )
    first, *others = script.sections
    step = replace(first.steps[0], uses=(text, *first.steps[0].uses))
    return replace(script, sections=(replace(first, steps=(step, *first.steps[1:])), *others))


@dataclass
class Contending:
    """An executor with a short lease, whose scripts keep a journal."""

    inner: Executor
    journal: str
    lease: float

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        return self.inner.run(host, journalled(script, self.journal), on_result, on_line, abort)

    def hold(self, host: str, command: Command, heartbeat: float) -> Hold:
        usual = f"{lock.LEASE:g}"
        assert command.words.count(usual) == 1
        words = tuple(f"{self.lease:g}" if word == usual else word for word in command.words)
        return self.inner.hold(host, replace(command, words=words), self.lease / 3)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def main() -> int:
    file, version, hosts, lease, wait = sys.argv[1:]

    def connect(project: Project) -> Executor:
        inner = SshExecutor(project.config.ssh, secrets=project.secret, directory=project.root)
        return Contending(inner, journal_of(project.config.service), float(lease))  # type: ignore[return-value]

    fleet = Fleet(config_file=file, hosts=tuple(hosts.split(",")), connect=connect)
    rollout = fleet.boot(version, lock_wait=float(wait))
    waited: list[str] = []
    for event in rollout:
        if isinstance(event, RunStarted):
            print(event.run_id, flush=True)
        if isinstance(event, FactLearned) and event.fact.text.startswith("waiting for the lock"):
            waited.append(event.fact.text)
    report = rollout.report
    assert report.finished is not None
    why = [f"{one.host}: {one.error}" for one in report.failures]
    told = {
        "ok": report.ok, "code": report.finished.exit_code, "sentence": report.finished.sentence, "waited": waited,
        "failures": why, "late": [one.host for one in report.failures if LATE in one.error],
    }  # fmt: skip
    print(json.dumps(told), flush=True)
    return int(not report.ok)


if __name__ == "__main__":
    sys.exit(main())
