"""kill -9 at any moment: nothing that was acknowledged is lost, nothing is there by half."""

import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ledger.store import SqliteStore, create_directory, verify_store
from ledger.types import Height
from tests.ports.store_suite import GENESIS, Grower
from tests.support.chains import verify
from tests.support.executors import CountingExecutor

KILLS = 10

WRITER = """
import sys
from pathlib import Path
from ledger.store import SqliteStore
from ledger.types import VoteKind
from tests.ports.store_suite import Grower, vote
from tests.support.chains import transaction

store = SqliteStore(Path(sys.argv[1]))
grower = Grower(store)
height = store.height()
while True:
    height += 1
    store.append([vote(VoteKind.NOTARIZE, height, 1), vote(VoteKind.FINALIZE, height, 1)])
    sys.stdout.write(f"v{height}\\n")
    sys.stdout.flush()
    grower.grow(*(transaction(height * 10 + n) for n in range(3)))
    sys.stdout.write(f"b{height}\\n")
    sys.stdout.flush()
    store.maintain()
"""


@pytest.fixture
def path(tmp_path):
    create_directory(tmp_path / "data")
    return tmp_path / "data"


def killed(path, moment_s):
    """Run the writer, kill it, return what it had acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(moment_s)
    process.kill()
    lines = [first, *process.stdout.readlines()]
    process.wait()
    process.stdout.close()
    whole = [line.strip() for line in lines if line.endswith("\n")]
    voted = max((int(line[1:]) for line in whole if line.startswith("v")), default=0)
    decided = max((int(line[1:]) for line in whole if line.startswith("b")), default=0)
    return voted, decided


def test_nothing_acknowledged_is_lost(path):
    moments = random.Random(7)
    heights = []
    for _ in range(KILLS):
        voted, decided = killed(path, moments.uniform(0.0, 0.15))
        store = SqliteStore(path)
        height = store.height()
        assert height is not None
        newest = store.newest_vote()
        assert height >= decided
        assert newest is not None
        assert newest.height >= max(voted, height)
        assert not store.has_never_voted()
        assert len(store.records(Height(voted))) == 2
        heights.append(height)
        store.close()
    assert heights == sorted(heights)
    assert heights[-1] > KILLS
    store = SqliteStore(path)
    report = verify_store(store, partial(CountingExecutor, GENESIS.validators()), GENESIS, verify)
    assert (report.verified, report.failure) == (heights[-1], None)
    Grower(store)
    store.close()
