"""Runs the durable store on a disk that fails, in processes that are killed, and looks at what is left.

`python -m tests.support.disk_faults faults|kills|power DIRECTORY [COUNT]`; for faults and power `faulty_disk.c` is
preloaded. Every run is a forked process that writes and tells its parent what was acknowledged; the parent opens the
store again and raises `AssertionError` if any of that is lost, or anything is there by half.
"""

import ctypes
import errno
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ledger.errors import StorageError
from ledger.store import SqliteStore, create_directory, sqlite, verify_store
from ledger.types import Height, VoteKind
from tests.ports.store_suite import GENESIS, Grower, equivocation, vote
from tests.support.chains import transaction, verify
from tests.support.executors import CountingExecutor

_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory with a name of its own is made there
BLOCKS = 4
STATES = 2
FAILURES = {
    "full": ("w", errno.ENOSPC, True),
    "failed write": ("w", errno.EIO, False),
    "short write": ("w", ord("s"), False),
    "short write, then full": ("w", ord("s"), True),
    "failed flush": ("f", errno.EIO, False),
    "failed flushes": ("f", errno.EIO, True),
    "failed flush of the directory": ("d", errno.EIO, False),
}
MAY_SURVIVE = {"short write", "failed flush of the directory"}
"""What is left of a short write is written next; SQLite does not heed the directory, the store flushes it itself."""
CUTS = {"all": ord("p"), "every second": ord("q")}

Tell = Callable[[str, int], None]


def write(store: SqliteStore, tell: Tell, blocks: int | None) -> None:
    """Write votes, blocks and evidence, move the log, compact; tell each that was acknowledged."""
    try:
        grower = Grower(store)
        first = grower.head.header.height + 1
        for height in range(first, sys.maxsize if blocks is None else first + blocks):
            store.append([vote(VoteKind.NOTARIZE, height, 1), vote(VoteKind.FINALIZE, height, 1)])
            tell("vote", height)
            grower.grow(*(transaction(height * 10 + n, args=bytes(700)) for n in range(2)))
            tell("block", height)
            if store.accuse(equivocation(height, 1, signer=height % 4)):
                tell("evidence", height)
            if height % 3 == 0:
                while not store.compact(grower.executor.children, STATES).done:
                    pass
            if height % 2 == 0:
                store.maintain()
    except StorageError:
        answers_nothing_any_more(store)
        raise


def answers_nothing_any_more(store: SqliteStore) -> None:
    """After a failure nothing is tried again."""
    attempts: list[Callable[[], object]] = [
        store.height,
        lambda: store.append([vote(VoteKind.NOTARIZE, 99, 1)]),
        lambda: store.final(Height(0)),
        store.maintain,
    ]
    for attempt in attempts:
        try:
            attempt()
        except StorageError:
            continue
        raise AssertionError("expected a store that failed to answer nothing, got an answer")


def check(path: Path, told: dict[str, int], *, in_full: bool = True) -> int:
    """Open what is left: everything that was told is there and whole, and it can go on. Return its height."""
    store = SqliteStore(path)
    found, newest = store.height(), store.newest_vote()
    height = -1 if found is None else int(found)
    assert height >= told.get("block", -1), (told, height)
    assert newest is None or newest.height <= max(told.get("vote", 0), height) + 1, (told, newest)
    if told.get("vote"):
        assert newest is not None, told
        assert newest.height >= told["vote"], (told, newest)
        assert len(store.records(Height(told["vote"]))) == 2, told
        assert not store.has_never_voted(), told
    accused = {proof.first.height for proof in store.evidence()}
    assert told.get("evidence", 0) in {0, *accused}, (told, accused)
    if in_full:
        report = verify_store(store, partial(CountingExecutor, GENESIS.validators()), GENESIS, verify)
        assert report.failure is None, (told, report)
        assert report.verified == (None if height < 0 else height), report
    Grower(store).grow(transaction(10**9 + height))
    store.close()
    return height


def in_child(work: Callable[[Tell], None], *, kill_after_s: float | None = None) -> tuple[dict[str, int], int]:
    """Run something in a forked process; return the last height told of each kind, and its exit code."""
    read, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)

        def tell(what: str, height: int) -> None:
            os.write(write_end, f"{what} {height}\n".encode())

        code = 70
        try:
            work(tell)
            code = 0
        except StorageError:
            code = 34
        finally:
            if code == 70:
                sys.excepthook(*sys.exc_info())
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read) as pipe:
        lines = [pipe.readline()]
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(child, signal.SIGKILL)
        lines += pipe.readlines()
    _, status = os.waitpid(child, 0)
    told: dict[str, int] = {}
    for line in lines:
        if line.endswith("\n"):
            what, height = line.split()
            told[what] = int(height)
    return told, os.waitstatus_to_exitcode(status)


@contextmanager
def quick_directory(otherwise: Path) -> Iterator[Path]:
    """A directory in memory, if this machine has such: hundreds of stores are made, and no flush takes long there."""
    if not os.access(_MEMORY, os.W_OK):
        yield otherwise
        return
    made = Path(tempfile.mkdtemp(dir=_MEMORY))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def fresh(root: Path) -> Path:
    path = root / "data"
    shutil.rmtree(path, ignore_errors=True)
    create_directory(path)
    return path


def armed(path: Path, what: str, at: int, how: int, *, stays: bool, closes: bool) -> tuple[dict[str, int], int, int]:
    """Run the script with one operation that fails; return what was told, the exit code and how many there were."""
    disk = ctypes.CDLL(None)

    def work(tell: Tell) -> None:
        disk.faulty_arm(ord(what), ctypes.c_long(at), how, int(stays))
        store = SqliteStore(path)
        write(store, tell, BLOCKS)
        tell("seen", disk.faulty_seen(ord(what)))
        if closes:
            store.close()

    told, code = in_child(work)
    return told, code, told.pop("seen", 0)


def faults(root: Path) -> Iterator[tuple[str, int]]:
    """Fail every write and every flush of the script in every way; yield how often each was tried."""
    for name, (what, how, stays) in FAILURES.items():
        at = survived = 0
        while True:
            at += 1
            path = fresh(root)
            told, code, seen = armed(path, what, at, how, stays=stays, closes=at % 2 == 0)
            is_over = code == 0 and seen < at
            expected = {0, 34} if is_over or name in MAY_SURVIVE else {34}
            assert code in expected, (name, at, code, told)
            survived += code == 0
            height = check(path, told)
            assert height <= told.get("block", 0) + 1, (name, at, told, height)
            if is_over:
                break
        assert survived == 1 or name in MAY_SURVIVE, (name, survived)
        assert survived < at or name == "short write", (name, survived)
        yield name, at - 1


def power(root: Path) -> Iterator[tuple[str, int]]:
    """Cut the power before every write and every flush; what was not flushed is lost, all of it or every second."""
    for name, how in CUTS.items():
        at = 0
        while True:
            at += 1
            path = fresh(root)
            told, code, _ = armed(path, "a", at, how, stays=False, closes=False)
            assert code in {0, 137}, (name, at, code, told)
            height = check(path, told)
            assert height <= told.get("block", 0) + 1, (name, at, told, height)
            if code == 0:
                break
        yield name, at - 1


def kills(root: Path, count: int) -> Iterator[tuple[str, int]]:
    """Kill a writer at random instants; its successor goes on from what is left."""
    path, moments, height = fresh(root), random.Random(7), -1
    for number in range(count):
        told, code = in_child(lambda tell: write(SqliteStore(path), tell, None), kill_after_s=moments.uniform(0, 0.08))
        assert code == -signal.SIGKILL, code
        before, height = height, check(path, told, in_full=number % 10 == 9 or number == count - 1)
        assert height > before, (before, height)
    yield "height", height


def main() -> None:
    """Run one of the three and print how much was tried as JSON."""
    sqlite._WAL_BYTES_IDLE = 0  # so that moving the log fails as well
    root = Path(sys.argv[2])
    runs = {"faults": faults, "power": power, "kills": lambda root: kills(root, int(sys.argv[3]))}
    print(json.dumps(dict(runs[sys.argv[1]](root))))


if __name__ == "__main__":
    main()
