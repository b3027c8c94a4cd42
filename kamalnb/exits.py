"""The one table of exit codes, for tasks and runbooks. Nothing here may do I/O.

The errors of ``errors.py`` carry theirs; what a finished run ends with is decided here.
"""

from __future__ import annotations

from .report import Report, State

OK = 0
FAILED = 1
WRONG = 2
UNREACHABLE = 69
DEFECT = 70
LOCKED = 75
STOPPED = 130
TERMINATED = 143

MEANING = {
    OK: "All went well.",
    FAILED: "A host failed, or a check did. The report names each, and what serves there.",
    WRONG: "The command or deploy.yml is wrong. Nothing was begun.",
    UNREACHABLE: "A host cannot be reached. Nothing was changed.",
    DEFECT: "A defect of kamalnb. KAMALNB_DEBUG=1 shows where.",
    LOCKED: "Somebody else is deploying. Try again later.",
    STOPPED: "A person stopped it. The report says where each host stands.",
    TERMINATED: "A runbook was told to end (SIGTERM). It was stopped as by a person; its notebook is saved.",
}


def of(report: Report) -> int:
    """What a run ends with."""
    if report.cancelling:
        return STOPPED
    if report.ok:
        return OK
    if report.finished is not None and report.finished.exit_code not in (OK, FAILED):
        return report.finished.exit_code
    failures = report.failures
    untouched = not report.count(State.BOOTED, State.DONE, State.FAILED)
    if failures and untouched and all(failure.kind == "HostUnreachable" for failure in failures):
        return UNREACHABLE
    return FAILED
