"""Daemons as processes of their own: started, found again, and ended, never anybody else's.

A process is known by its pid and its start time; a pid alone may by now be somebody else's. Signals go through a pidfd,
which cannot change its process between the check and the signal.
"""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from mpcnode.adapters.durable import PRIVATE_FILE, replace_file
from mpcnode.devnet.plan import NodeLayout

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Process:
    """A process, whoever has its pid later."""

    pid: int
    start_ticks: int
    """Clock ticks from boot to its start (proc(5), stat, field 22)."""
    boot: str


class Child:
    """A process that this one started, and must take note of when it ends."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code once it has ended (minus the signal that ended it); None before."""
        if self._exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code


def daemon_command(config: Path) -> list[str]:
    """Return the command that runs a daemon, the program's absolute path first."""
    return [sys.executable, "-m", "mpcnode", "run", "--config", str(config)]


def spawn(place: NodeLayout) -> Child:
    """Start a daemon in a session of its own, its output going to its log, and note which process it is."""
    command = daemon_command(place.config)
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(place.log), appending, PRIVATE_FILE),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    found = find(pid)
    if found is not None:
        note = {"pid": found.pid, "start_ticks": found.start_ticks, "boot": found.boot}
        replace_file(place.process, json.dumps(note).encode())
    return Child(pid)


def running(place: NodeLayout) -> Process | None:
    """Return the daemon's process if the one that was noted is still there."""
    try:
        note = json.loads(place.process.read_text())
        noted = Process(int(note["pid"]), int(note["start_ticks"]), str(note["boot"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return noted if find(noted.pid) == noted else None


def find(pid: int) -> Process | None:
    """Return the process that has this pid now; None if there is none or it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # the command's name, in brackets, may hold blanks and brackets
    fields = text[text.rindex(")") + 2 :].split()
    state, start_ticks = fields[0], int(fields[19])
    return None if state in {"Z", "X"} else Process(pid, start_ticks, _BOOT_ID.read_text().strip())


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to exactly this process; False if it has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if find(process.pid) != process:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def forget(place: NodeLayout) -> None:
    """Remove the note of an ended process."""
    place.process.unlink(missing_ok=True)


def last_log_lines(place: NodeLayout, count: int) -> list[str]:
    """Return the last lines of a daemon's log."""
    try:
        with place.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - 16_384))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-count:]
