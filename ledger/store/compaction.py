"""Removing state that no kept root reaches, in small slices between which the replica goes on.

First every node that a kept root reaches is marked, then every node without a mark is removed. Blocks that are
committed meanwhile have all their nodes marked at once: what a new state refers to is either new itself, or was
reached from its parent's root, which is kept. So no order of slices and commits removes what a kept state needs. The
marks are lost with the process, and nothing else: a compaction that ends early has only removed less.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ledger.errors import StorageError
from ledger.ports import Children, Compaction
from ledger.store.database import Database
from ledger.store.rows import blob, check_node
from ledger.store.scratch import Scratch
from ledger.types import Digest, Height

MARKED_AT_ONCE = 256
SWEPT_AT_ONCE = 1_024
"""Nodes that one slice looks at: some 10 ms of work."""


def reach(
    roots: Iterable[bytes], read: Callable[[bytes], bytes | None], children: Children, is_new: Callable[[bytes], bool]
) -> Iterator[bytes]:
    """Walk through every node that some roots reach, each once; `is_new` tells, and notes, what was not met before.

    Raises:
        StorageError: a node is missing.
    """
    open_keys = list(roots)
    while open_keys:
        key = open_keys.pop()
        if not is_new(key):
            continue
        node = read(key)
        if node is None:
            raise StorageError(f"state: expected the node {key.hex()} of a state that is kept, got none")
        open_keys += children(node)
        yield key


@dataclass(slots=True)
class Sweep:
    """One compaction of a database, from its first mark to its last removal."""

    db: Database
    marks: Scratch
    newest: Height
    states_from: Height
    roots: Sequence[Digest]
    """Of the states from `states_from` to `newest`."""
    children: Children
    _marking: Iterator[bytes] | None = field(init=False)
    _kept: int = 0
    _removed: int = 0
    _swept_to: bytes = b""
    _is_done: bool = False

    def __post_init__(self) -> None:
        self._marking = reach(self.roots, self._read, self.children, self.marks.add)

    def keep(self, keys: Iterable[bytes]) -> None:
        """Keep the nodes of a block that is being committed."""
        self.marks.add_all((key, b"") for key in keys)

    def slice(self) -> Compaction:
        """Go on for a moment."""
        if self._marking is not None:
            self._mark(self._marking)
        elif not self._is_done:
            self._sweep()
        return Compaction(kept=self._kept, removed=self._removed, states_from=self.states_from, done=self._is_done)

    def _mark(self, marking: Iterator[bytes]) -> None:
        marked = sum(1 for _, _ in zip(range(MARKED_AT_ONCE), marking, strict=False))
        self._kept += marked
        if marked < MARKED_AT_ONCE:
            self._marking = None
            with (
                self.db.transaction()
            ):  # before anything is removed: who reads an old state is told that it is not here
                self.db.run("INSERT INTO compactions VALUES (NULL, ?, ?, ?)", self.newest, self.states_from, self._kept)

    def _sweep(self) -> None:
        query = "SELECT key FROM nodes WHERE key > ? ORDER BY key LIMIT ?"
        keys = [blob(row[0]) for row in self.db.rows(query, self._swept_to, SWEPT_AT_ONCE)]
        unreached = [(key,) for key in keys if key not in self.marks]
        if unreached:
            with self.db.transaction():
                self.db.run_many("DELETE FROM nodes WHERE key = ?", unreached)
        self._removed += len(unreached)
        self._is_done = len(keys) < SWEPT_AT_ONCE
        self._swept_to = keys[-1] if keys else b""

    def _read(self, key: bytes) -> bytes | None:
        row = self.db.row("SELECT value FROM nodes WHERE key = ?", key)
        if row is None:
            return None
        value = blob(row[0])
        check_node(key, value)
        return value
