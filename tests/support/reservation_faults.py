"""Reserves batches in the daemon's journal on a disk that loses power, and looks at what is left.

`python -m tests.support.reservation_faults DIRECTORY [careless]` under `faulty_disk.c`: the power is cut before every
write and every flush of a process that reserves batch after batch. A careless journal does not flush.
"""

import ctypes
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from mpcnode.adapters.journal import JournalFile
from mpcnode.mpc.pools import PoolId
from mpcnode.roles.reserving import kind_of
from tests.support.disk_faults import CUTS, Tell, fresh, in_child

POOL = PoolId(bytes(32))
BATCHES = 90


def reserve(path: Path, tell: Tell, *, careless: bool) -> None:
    """Reserve batches one after the other; tell each that is reserved, from when on its items may be used."""
    journal = JournalFile(path)
    if careless:
        journal._db.execute("PRAGMA synchronous = OFF")
    for batch in range(BATCHES):
        assert journal.put_once(kind_of(POOL), batch.to_bytes(8, "big"), b"")
        tell("batch", batch)


def check(path: Path, told: dict[str, int]) -> None:
    """Open what is left: every batch whose items may have been used is there, and is not reserved again."""
    journal = JournalFile(path)
    kept = [int.from_bytes(key, "big") for key, _ in journal.items(kind_of(POOL))]
    assert kept == list(range(len(kept))), kept
    assert len(kept) - 1 in {told.get("batch", -1), told.get("batch", -1) + 1}, (told, kept)
    assert not any(journal.put_once(kind_of(POOL), batch.to_bytes(8, "big"), b"") for batch in kept)
    assert journal.put_once(kind_of(POOL), len(kept).to_bytes(8, "big"), b"")
    journal.close()


def power(root: Path, *, careless: bool) -> Iterator[tuple[str, int]]:
    """Cut the power before every write and every flush in every way; yield how often each was tried."""
    disk = ctypes.CDLL(None)
    for name, how in CUTS.items():
        at = 0
        while True:
            at += 1
            path = fresh(root) / "journal"

            def work(tell: Tell, at: int = at, path: Path = path, how: int = how) -> None:
                disk.faulty_arm(ord("a"), ctypes.c_long(at), how, 0)
                reserve(path, tell, careless=careless)

            told, code = in_child(work)
            assert code in {0, 137}, (name, at, code, told)
            check(path, told)
            if code == 0:
                break
        yield name, at - 1


if __name__ == "__main__":
    print(json.dumps(dict(power(Path(sys.argv[1]), careless=sys.argv[2:] == ["careless"]))))
