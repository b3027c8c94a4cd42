"""``python -m kamalnb.lab.load URL…``: asks for a while, a line each second, then the tally."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from ...errors import LabError
from .client import RunningLoad, running_load
from .values import Profile, Tally


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kamalnb.lab.load",
        description="Sends requests to the lab's hosts and accounts for each one. Ends with 1 if any was lost.",
    )
    parser.add_argument("urls", nargs="+", metavar="URL", help="base URL of a host, such as http://127.0.0.11")
    parser.add_argument("--seconds", type=float, default=10, help="how long (default %(default)s)")
    parser.add_argument("--rate", type=float, default=150, help="requests a second, all hosts (default %(default)s)")
    parser.add_argument("--host-header", metavar="NAME", help="Host to send instead of the URL's")
    parser.add_argument("--order", default="", metavar="V1,V2", help="versions, oldest first (default: as first seen)")
    parser.add_argument("--also", action="append", default=[], metavar="ADDRESS", help="a lab address beside loopback")
    parser.add_argument(
        "--slow", type=float, default=3, metavar="SECONDS", help="slow requests (default %(default)s s)"
    )
    return parser.parse_args(argv)


def watch(load: RunningLoad, seconds: float) -> None:
    """Prints a line each second until the time is over or the load has ended by itself."""
    end = time.monotonic() + seconds
    before = load.snapshot()
    while load.running and (left := end - time.monotonic()) > 0:
        time.sleep(min(1.0, left))
        tally = load.snapshot()
        print(line(tally, before), flush=True)
        before = tally


def line(tally: Tally, before: Tally) -> str:
    rate = (tally.requests - before.requests) / max(tally.seconds - before.seconds, 1e-9)
    versions = " → ".join(tally.versions) or "-"
    latency = f"p50 {tally.latency_p50 * 1000:.1f} ms  p99 {tally.latency_p99 * 1000:.1f} ms"
    return f"{tally.seconds:6.1f} s  {tally.requests:8,}  {rate:6.0f}/s  lost {tally.lost:,}  {latency}  {versions}"


def report(tally: Tally) -> str:
    lines = [f"  {loss}" for loss in tally.losses]
    if tally.lost > len(tally.losses):
        lines.append(f"  … and {tally.lost - len(tally.losses):,} more")
    for row in tally.rows:
        times = f"p50 {row.p50 * 1000:.1f}  p99 {row.p99 * 1000:.1f}  max {row.max * 1000:.1f} ms"
        lines.append(f"  {row.host}  {row.kind:<9}  {row.requests:8,}  lost {row.lost:,}  {times}")
    lines.append(f"{tally.sentence}; {tally.rate:.0f} requests/s with {tally.cpu:.0%} of a core")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    urls = {urlsplit(url).netloc or url: url for url in options.urls}
    try:
        profile = replace(Profile.at(options.rate, seconds=options.seconds + 60), slow_seconds=options.slow)
        order = tuple(filter(None, options.order.split(",")))
        with running_load(urls, profile, options.host_header, order=order, lab_addresses=options.also) as load:
            try:
                watch(load, options.seconds)
            except KeyboardInterrupt:
                print("stopping; requests in flight may end")
            tally = load.stop()
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    print(report(tally))
    return 0 if tally.clean else 1


if __name__ == "__main__":
    sys.exit(main())
