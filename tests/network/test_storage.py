"""A daemon and its own disk: one flipped byte is found and stops it, a second process is refused, SIGTERM is an end."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.store import SqliteStore
from mpcnode.config.node import load_node
from mpcnode.devnet import processes
from mpcnode.devnet.control import report
from mpcnode.errors import Exit
from tests.support.devnet import NAMES, Devnet, cli, copy_node, wait_for
from tests.support.small_disk import fill, small_disk

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

VICTIM = "bank-data"
"""No validator: what its replica holds comes from the others."""

FLIPS = {
    "header": ("blocks", "header", 200),
    "body": ("blocks", "body", 150),
    "certificate": ("blocks", "certificate", 90),
    "receipt": ("receipts", "data", 30),
}


@dataclass(frozen=True)
class Stopped:
    """A network that answered some queries and has stopped."""

    net: Devnet
    codes: dict[str, int | None]
    refused: subprocess.CompletedProcess[str]
    """A second process that was started on a running daemon's data directory."""
    compacted: subprocess.CompletedProcess[str]
    """`ledger compact` of a running daemon."""


@pytest.fixture(scope="module")
def stopped(devnet: Devnet) -> Stopped:
    devnet.up()
    for subject in devnet.truth().subjects()[:2]:
        devnet.ask(subject, wait_audit=True)
    devnet.equal_heads()
    config = devnet.layout.node(VICTIM).config
    refused = run_daemon(config)
    compacted = cli("ledger", "compact", "--config", str(config), "--json")
    assert set(devnet.down().values()) == {"stopped"}
    return Stopped(devnet, {name: devnet.kill(name) for name in NAMES}, refused, compacted)


def run_daemon(config: Path) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is expected to end by itself."""
    command = [sys.executable, "-m", "mpcnode", "run", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def last_line(ran: subprocess.CompletedProcess[str]) -> str:
    return ran.stderr.strip().splitlines()[-1]


@contextmanager
def damaged(config: Path, query: str, *values: object) -> Iterator[None]:
    """Change something in a replica's file as a faulty disk would, and mend it afterwards."""
    path = load_node(config).ledger_dir / "ledger.sqlite"
    kept = path.with_suffix(".kept")
    shutil.copy(path, kept)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        triggers = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")]
        schema = [row[0] for row in db.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")]
        for name in triggers:
            db.execute(f"DROP TRIGGER {name}")
        assert db.execute(query, values).rowcount == 1
        for statement in schema:
            db.execute(statement)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    try:
        yield
    finally:
        kept.replace(path)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]


def test_sigterm_is_a_regular_end(stopped: Stopped) -> None:
    assert stopped.codes == dict.fromkeys(NAMES, 0)


def test_a_second_process_on_the_same_directory_is_refused(stopped: Stopped) -> None:
    assert stopped.refused.returncode == Exit.LOCKED
    assert last_line(stopped.refused).startswith("mpcnode: LOCKED: ")


@pytest.fixture(scope="module")
def victim(stopped: Stopped, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a replica that may be damaged; its node.toml."""
    return copy_node(stopped.net.layout, VICTIM, tmp_path_factory.mktemp("v") / "n")


@pytest.mark.parametrize("what", FLIPS)
def test_a_flipped_byte_is_found_with_its_height_and_stops_the_daemon(victim: Path, what: str) -> None:
    table, column, place = FLIPS[what]
    with closing(sqlite3.connect(load_node(victim).ledger_dir / "ledger.sqlite")) as db:
        height = db.execute("SELECT max(height) FROM blocks").fetchone()[0] // 2
        select = f"SELECT {column} FROM {table} WHERE height = ?"  # noqa: S608 - the test's own names
        found = db.execute(select, (height,)).fetchone()[0]
    changed = flipped(found, min(place, len(found) - 1))
    update = f"UPDATE {table} SET {column} = ? WHERE height = ?"  # noqa: S608
    with damaged(victim, update, changed, height):
        refuses(victim, height)


def test_a_flipped_byte_of_the_state_is_found_and_stops_the_daemon(victim: Path) -> None:
    store = SqliteStore(load_node(victim).ledger_dir)
    height = store.height()
    assert height is not None
    header = store.header(height)
    assert header is not None
    node = store.read_node(header.state_root)
    store.close()
    assert node is not None
    query = "UPDATE nodes SET value = ? WHERE key = ?"
    with damaged(victim, query, flipped(node, len(node) // 2), header.state_root):
        refuses(victim, height, said="state: expected a node with keccak256")


def test_damage_that_nothing_reads_is_found_by_a_daemon_that_runs(victim: Path) -> None:
    with closing(sqlite3.connect(load_node(victim).ledger_dir / "ledger.sqlite")) as db:
        height = db.execute("SELECT max(height) FROM txs").fetchone()[0] // 2
    with damaged(victim, "UPDATE txs SET idx = idx + 7 WHERE height = ? AND idx = 0", height):
        refuses(victim, height, said=f"height {height}: expected transaction 0 in the index")


def test_a_daemon_that_runs_compacts_when_it_is_told_to(stopped: Stopped) -> None:
    told = json.loads(stopped.compacted.stdout)
    assert told["kept"] > 0
    assert (told["name"], told["states_from"]) == (VICTIM, 0)


def refuses(config: Path, height: int, said: str = "") -> None:
    """Both the verification and the daemon end with their codes; the former names the height, the latter if it can."""
    checked = cli("ledger", "verify", "--config", str(config), "--json", check=False)
    assert checked.returncode == Exit.LEDGER_INVALID, checked.stderr
    found = json.loads(checked.stdout)
    assert (found["ok"], found["failure"]["height"]) == (False, height), found
    ran = run_daemon(config)
    assert ran.returncode == Exit.STORAGE, ran.stderr
    assert last_line(ran).startswith("mpcnode: STORAGE: ")
    assert (said or f"height {height}") in last_line(ran)


def test_a_mended_replica_verifies(victim: Path) -> None:
    assert json.loads(cli("ledger", "verify", "--config", str(victim), "--json").stdout)["ok"] is True


def height_of_victim(net: Devnet) -> int:
    """What it says of itself; -1 if it says nothing any more."""
    daemons = asyncio.run(report(net.layout))
    return max((each.status.height for each in daemons if each.name == VICTIM and each.status), default=-1)


def test_a_full_disk_ends_the_daemon_with_a_code_of_its_own_and_loses_nothing(stopped: Stopped) -> None:
    net, place = stopped.net, stopped.net.layout.node(VICTIM)
    node, subjects = load_node(place.config), net.truth().subjects()
    with small_disk(node.data_dir, 64_000_000):
        net.up()
        net.ask(subjects[0])
        told = height_of_victim(net)
        ballast = fill(node.data_dir, 150_000)
        for subject in subjects[:40]:
            if net.children[VICTIM].poll() is not None:
                break
            net.ask(subject)
            told = max(told, height_of_victim(net))
        wait_for(lambda: net.children[VICTIM].poll() is not None, "the daemon to end")
        assert net.children[VICTIM].poll() == Exit.DISK_FULL
        last = processes.last_log_lines(place, 1)[0]
        assert last.startswith("mpcnode: DISK_FULL: ")
        assert "full" in last
        ballast.unlink()
        head = json.loads(cli("ledger", "head", "--config", str(place.config), "--json").stdout)["head"]
        assert head["height"] >= told > 0
        assert json.loads(cli("ledger", "verify", "--config", str(place.config), "--json").stdout)["ok"] is True
        net.start(VICTIM)
        net.wait_ready()
        net.ask(subjects[0], wait_audit=True)
        net.equal_heads()
        net.down()
