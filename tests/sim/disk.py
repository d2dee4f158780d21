"""What a replica keeps when it crashes, and what can happen to it.

`JournalDisk` is a file of entries, each with its checksum: one for each flush of records, one for each commit, in the
encodings of the real store. Like SQLite with its log, whoever opens it drops a last entry that does not hold, for it
cannot know whether that was ever flushed; damage before the end is a `StorageError`.
"""

import hashlib
import random
import zlib
from collections.abc import Sequence
from typing import Protocol

from ledger.consensus import Record, decode_message, encode_message
from ledger.encoding import (
    BLOCK_BYTES_MAX,
    Reader,
    Writer,
    decode_transaction,
    encode_certificate,
    encode_header,
    transaction_id,
)
from ledger.errors import StorageError
from ledger.ports import Decision
from ledger.store import MemoryStore
from ledger.store.audit import AuditableStore
from ledger.store.rows import (
    encode_body,
    encode_receipts,
    encode_validators,
    read_final,
    read_header,
    read_receipts,
    read_validators,
)
from ledger.types import Certificate, Height, Proposal, Vote

_RECORDS, _BLOCK = 1, 2
_HEADER_BYTES = 12 * 32


class Disk(Protocol):
    """One replica's."""

    def open(self) -> AuditableStore:
        """Open the store, as a process that starts does.

        Raises:
            StorageError: it is damaged.
        """

    def lose_power(self, torn: Sequence[Record] = ()) -> None:
        """End the process that has it open; `torn` is what was being written."""

    def roll_back(self, source: random.Random) -> None:
        """Lose or damage what was flushed last, so that nobody who opens it can know."""

    def corrupt(self, source: random.Random) -> None:
        """Flip a bit of something older: whoever opens it sees that."""

    def wipe(self) -> None:
        """Give the replica a new disk; it is not new to the world."""


class JournalDisk:
    """In memory."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.marked = True
        """Whether the marker of a replica that never voted is there."""

    def open(self) -> AuditableStore:
        if self.entries and not _holds(self.entries[-1]):
            self.entries.pop()
        if not all(map(_holds, self.entries)):
            raise StorageError("journal: expected whole entries, got a damaged one")
        return JournalStore(self)

    def write(self, content: bytes) -> None:
        self.entries.append(zlib.crc32(content).to_bytes(4, "big") + content)

    def lose_power(self, torn: Sequence[Record] = ()) -> None:
        if torn:
            self.write(encode_records(torn))
            self.entries[-1] = self.entries[-1][: len(self.entries[-1]) * 2 // 3]

    def roll_back(self, source: random.Random) -> None:
        if self.entries and source.random() < 0.5:
            self.entries[-1] = _flipped(self.entries[-1], source)
        elif self.entries:
            self.entries[-1] = self.entries[-1][: source.randrange(len(self.entries[-1]))]

    def corrupt(self, source: random.Random) -> None:
        if len(self.entries) > 1:
            place = source.randrange(len(self.entries) - 1)
            self.entries[place] = _flipped(self.entries[place], source)

    def wipe(self) -> None:
        self.entries, self.marked = [], False


class JournalStore(MemoryStore):
    """`ledger.ports.Store` over a journal; what it does not refuse is durable when it returns."""

    def __init__(self, disk: JournalDisk) -> None:
        super().__init__(fresh=disk.marked)
        self._disk = disk
        for entry in disk.entries:
            if entry[4] == _RECORDS:
                super().append(decode_records(entry[4:]))
            else:
                super().commit(_decode_decision(entry[4:], Height(len(self._decisions))))
        self.fresh = disk.marked

    def append(self, records: Sequence[Record]) -> None:
        super().append(records)
        self._disk.write(encode_records(records))
        self._disk.marked = self.fresh

    def commit(self, decision: Decision) -> None:
        super().commit(decision)
        self._disk.write(_encode_decision(decision))


def encode_records(records: Sequence[Record]) -> bytes:
    """Encode what one flush writes."""
    writer = Writer().uint(_RECORDS, 1).uint(len(records), 4)
    for record in records:
        writer.blob(encode_message(record))
    return writer.bytes()


def decode_records(content: bytes) -> tuple[Record, ...]:
    """Decode what one flush wrote."""
    reader = Reader(content[1:], "records")
    messages = reader.items(1_000, lambda: decode_message(reader.blob(2 * BLOCK_BYTES_MAX)))
    reader.end()
    return tuple(message for message in messages if isinstance(message, Vote | Certificate | Proposal))


def _encode_decision(decision: Decision) -> bytes:
    final = decision.final
    writer = Writer().uint(_BLOCK, 1).fixed(encode_header(final.block.header), _HEADER_BYTES)
    writer.blob(encode_body(final.block)).blob(encode_certificate(final.certificate) if final.certificate else b"")
    writer.blob(encode_receipts(decision.receipts)).blob(encode_validators(decision.validators))
    writer.uint(len(decision.nodes), 4)
    for key, node in decision.nodes.items():
        writer.fixed(key, 32).blob(node)
    return writer.bytes()


def _decode_decision(content: bytes, height: Height) -> Decision:
    reader = Reader(content[1:], "block")
    encoded = reader.fixed(_HEADER_BYTES)
    header = read_header(encoded, hashlib.sha256(encoded).digest(), height)
    body, certificate, receipts, validators = (reader.blob(BLOCK_BYTES_MAX) for _ in range(4))
    nodes = dict(reader.items(1_000, lambda: (reader.fixed(32), reader.blob(BLOCK_BYTES_MAX))))
    reader.end()
    final = read_final(header, encoded, body, certificate or None)
    return Decision(
        final=final,
        tx_ids=tuple(transaction_id(decode_transaction(tx)) for tx in final.block.txs),
        receipts=read_receipts(receipts, header),
        nodes=nodes,
        validators=read_validators(validators, height),
    )


def _holds(entry: bytes) -> bool:
    return len(entry) > 4 and zlib.crc32(entry[4:]).to_bytes(4, "big") == entry[:4]


def _flipped(entry: bytes, source: random.Random) -> bytes:
    place = source.randrange(len(entry))
    return entry[:place] + bytes((entry[place] ^ 1 << source.randrange(8),)) + entry[place + 1 :]
