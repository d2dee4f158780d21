"""A development network for tests: real daemons as separate processes, killed and started one by one, none left over.

A guard process holds a pipe from the test process: when that ends, however it does, the guard kills what still runs.
"""

import asyncio
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

from mpcnode.adapters.clock import SystemClock
from mpcnode.client import Answer, Inquirer
from mpcnode.config.node import load_node
from mpcnode.config.profile import load_profile
from mpcnode.devnet import processes
from mpcnode.devnet.control import DaemonReport, bring_up, open_layout, report, take_down
from mpcnode.devnet.creation import create, demo_files
from mpcnode.devnet.plan import COMPANIES, MEMBERS, Layout, PlannedMember
from mpcnode.rpc.inquiry import Progress
from mpcnode.types import Role
from scripts.demo.expectation import Truth

MODEL = "credit-rating"
PURPOSE = "credit-application"
NAMES = tuple(member.name for member in MEMBERS)
SPARE = PlannedMember(name="spare-mpc", company="spare", role=Role.MPC, validator=False)
"""A fourth node for the pool of committees."""
MPC = tuple(member.name for member in MEMBERS if member.role is Role.MPC)
PARTICIPANTS = tuple(member.name for member in MEMBERS if member.role is Role.PARTICIPANT)

WAIT_S = 60.0


class Devnet:
    """A network in a directory, and everything that tests do to it."""

    def __init__(self, root: Path, *, spare: bool = False) -> None:
        """Make the network's files, with a fourth MPC node if `spare`; nothing runs yet."""
        if spare:
            wider: dict[str, Any] = {"MEMBERS": (*MEMBERS, SPARE), "COMPANIES": (*COMPANIES, SPARE.company)}
            with mock.patch.multiple("mpcnode.devnet.creation", **wider):
                create(root, demo_files(), SystemClock().now_ms())
        else:
            cli("devnet", "new", str(root))
        self.layout: Layout = open_layout(root)
        self.names = self.layout.daemons()
        self.deviating: dict[str, Path] = {}
        """Daemons that do what a file says, by name (tests/support/deviating_daemon.py)."""
        self.children: dict[str, processes.Child] = {}
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "tests.support.devnet", str(root)], stdin=subprocess.PIPE, start_new_session=True
        )

    def close(self) -> None:
        """Kill what still runs, and end the guard."""
        for name in self.names:
            self.kill(name)
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(10)

    def limit(self, **limits: int) -> None:
        """Set limits of every daemon, before it starts."""
        for name in self.names:
            config = self.layout.node(name).config
            text = config.read_text()
            for key, value in limits.items():
                text, count = re.subn(rf"^{key} = \d+$", f"{key} = {value}", text, flags=re.MULTILINE)
                assert count == 1, key
            config.write_text(text)

    def profile(self, *, contribute_by_ms: int, deadline_ms: int) -> Path:
        """Return a profile of the inquirer with other windows."""
        path = self.layout.inquirer / f"{contribute_by_ms}-{deadline_ms}.toml"
        text = self.layout.profile.read_text()
        text = re.sub(r"contribute_by_ms = \d+", f"contribute_by_ms = {contribute_by_ms}", text)
        path.write_text(re.sub(r"deadline_ms = \d+", f"deadline_ms = {deadline_ms}", text))
        return path

    def up(self) -> None:
        """Start every daemon that does not run, and wait until all are ready."""
        missing = [name for name in self.names if processes.running(self.layout.node(name)) is None]
        for name in missing:
            self.start(name)
        asyncio.run(bring_up(self.layout, lambda _: None))

    def down(self) -> dict[str, str]:
        """Stop all with SIGTERM; return what happened to each."""
        return asyncio.run(take_down(self.layout, None, self.children))

    def start(self, name: str) -> None:
        """Start a daemon, and do not wait for it."""
        orders = self.deviating.get(name)
        if orders is None:
            self.children[name] = processes.spawn(self.layout.node(name))
            return
        module = ("-m", "tests.support.deviating_daemon", str(orders))
        with mock.patch.object(processes, "daemon_command", lambda path: [sys.executable, *module, str(path)]):
            self.children[name] = processes.spawn(self.layout.node(name))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int | None:
        """Send a signal to a daemon that this process started, and wait for its end; return its exit code."""
        process = processes.running(self.layout.node(name))
        if process is not None:
            processes.send(process, number)
        child = self.children.get(name)
        if child is None:
            return None
        wait_for(lambda: child.poll() is not None, f"{name} to end")
        return child.poll()

    def freeze(self, name: str) -> None:
        """Stop a daemon without ending it; `thaw` lets it go on."""
        self.signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen daemon go on."""
        self.signal(name, signal.SIGCONT)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a daemon that runs."""
        process = processes.running(self.layout.node(name))
        assert process is not None, name
        assert processes.send(process, number)

    def wait_ready(self, *names: str) -> None:
        """Wait until these daemons (all if none is named) are ready."""
        wanted = set(names or self.names)

        def ready() -> bool:
            return wanted <= {daemon.name for daemon in asyncio.run(report(self.layout)) if daemon.ready}

        wait_for(ready, f"{sorted(wanted)} to be ready")

    def equal_heads(self) -> Sequence[DaemonReport]:
        """Wait until all replicas have one head; return what their daemons say."""
        found: list[Sequence[DaemonReport]] = []

        def equal() -> bool:
            found.append(asyncio.run(report(self.layout)))
            heads = {(item.status.height, item.status.head) if item.status else None for item in found[-1]}
            return len(heads) == 1 and None not in heads

        wait_for(equal, "equal heads")
        return found[-1]

    def ask(
        self,
        subject: str,
        profile: Path | None = None,
        *,
        wait_audit: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Answer:
        """Ask in this process."""

        async def run() -> Answer:
            async with Inquirer.open(profile or self.layout.profile) as inquirer:
                return await inquirer.ask(
                    MODEL, subject, purpose=PURPOSE, wait_audit=wait_audit, on_progress=on_progress
                )

        return asyncio.run(run())

    def show(self, query: str, *, wait_audit: bool = False) -> Answer:
        """Ask for an answer again."""

        async def run() -> Answer:
            async with Inquirer.open(self.layout.profile) as inquirer:
                return await inquirer.show(query, wait_audit=wait_audit)

        return asyncio.run(run())

    def newest_query(self) -> str:
        """Return the id of the newest query of the inquirer."""
        kept = (self.layout.inquirer / "answers").glob("*.json")
        return max(kept, key=lambda path: json.loads(path.read_text())["answer"]["asked_ms"]).stem

    def truth(self) -> Truth:
        """Return the clear evaluation over all companies' files."""
        profile = load_profile(self.layout.profile)
        participants = [load_node(self.layout.node(name).config) for name in PARTICIPANTS]
        data = {node.member.name: node.records.file for node in participants if node.records is not None}
        return Truth(profile.consortium, MODEL, profile.inquirer.company, data)

    def receipt(self, query: str) -> Path:
        """Return where the client kept a query's receipt."""
        return self.layout.inquirer / "answers" / f"{query}.receipt"

    def journal(self, name: str, kind: str) -> list[bytes]:
        """Return the keys of a daemon's journal, oldest first, while it runs or not."""
        path = self.layout.node(name).data / "journal.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
            return [row[0] for row in db.execute("SELECT key FROM entries WHERE kind = ? ORDER BY place", (kind,))]

    def log(self, name: str) -> list[dict[str, Any]]:
        """Return a daemon's log lines that are JSON."""
        lines = self.layout.node(name).log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def last_lines(self) -> Mapping[str, str]:
        """Return the end of every daemon's log."""
        return {name: "\n".join(processes.last_log_lines(self.layout.node(name), 25)) for name in self.names}


def cli(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the program; if `check`, it must end with exit code 0."""
    command = [sys.executable, "-m", "mpcnode", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert ran.returncode == 0 or not check, f"{command}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran


def wait_for(holds: Callable[[], bool], what: str, timeout_s: float = WAIT_S, every_s: float = 0.1) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it does not in time.
    """
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, f"expected {what} within {timeout_s:.0f} s"
        time.sleep(every_s)


def copy_node(layout: Layout, name: str, root: Path) -> Path:
    """Copy what an ended daemon needs into another directory, to damage it there; return its node.toml."""
    shutil.copytree(layout.models, root / "models")
    shutil.copy(layout.consortium, root / "consortium.toml")
    place = layout.node(name)
    copy = root / "nodes" / name
    shutil.copytree(place.root, copy, ignore=shutil.ignore_patterns("run", "log"))
    (copy / "run").mkdir(mode=0o700)
    return copy / "node.toml"


def _guard(root: Path) -> None:
    """Wait for the end of whoever holds the pipe, then kill what runs there."""
    sys.stdin.buffer.read()
    layout = Layout(root.absolute())
    for name in layout.daemons():
        process = processes.running(layout.node(name))
        if process is not None:
            processes.send(process, signal.SIGKILL)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
