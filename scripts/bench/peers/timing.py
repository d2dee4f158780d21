"""What a party reports: times of runs, and bytes on the loopback, if nobody else uses it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A work done by one system for so many subjects; printed by rank 0 as one line of JSON."""

    work: str
    subjects: int
    seconds: float
    """Of one run, sharing the inputs included: the fastest, since whatever else the machine does only slows it."""
    runs: int
    bytes_each: float | None
    """Bytes for a subject that all parties send, with TCP's and IP's headers; None where others use the loopback."""


def report(work: str, subjects: int, seconds: list[float], sent: int | None) -> None:
    """Print the report of some runs; `sent` bytes belong to one of them."""
    each = None if sent is None else sent / subjects
    found = Report(work=work, subjects=subjects, seconds=min(seconds), runs=len(seconds), bytes_each=each)
    print("REPORT " + json.dumps(asdict(found)), flush=True)


def loopback_bytes() -> int | None:
    """Bytes that went over the loopback so far; None unless this process's network is its own."""
    if os.environ.get("OWN_NETWORK") != "1":
        return None
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] == "lo:")


def sent_since(before: int | None) -> int | None:
    """Bytes since a count."""
    now = loopback_bytes()
    return None if now is None or before is None else now - before
