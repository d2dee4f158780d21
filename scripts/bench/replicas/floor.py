"""The floor: what a block costs n processes that trust each other blindly.

They send the frames of a height that goes well, in their true sizes, over the same transport; each flushes what a
replica flushes, as often, and executes the transaction. Nothing is signed, validated, retried or agreed on, and there
is no thread beside the loop. One transaction in a block. (Certificates travel with proposals and commits only: here as
in the real thing they are written and not sent.)
"""

import asyncio
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ledger.chain import quorum
from ledger.consensus import encode_message
from ledger.contract import ContractHost, Execution
from ledger.encoding import decode_transaction, encode_certificate, encode_receipt
from ledger.rpc import PeerNetwork
from ledger.types import (
    BlockHash,
    Certificate,
    Digest,
    Height,
    Millis,
    ReplicaId,
    Signature,
    View,
    Vote,
    VoteKind,
)
from scripts.bench.replicas.consortium import Consortium

_TRANSACTION, _PROPOSAL, _NOTARIZE, _FINALIZE = range(4)
_PROPOSAL_BYTES = 512
"""Header, justification and signature of a proposal, about."""


class Floor:
    """One of the processes; it is its transport's inbox."""

    def __init__(self, consortium: Consortium, me: int, path: Path, network: PeerNetwork) -> None:
        """Begin with the state of genesis, in an empty file."""
        self._me = me
        self._validators = consortium.validators
        self._quorum = quorum(self._validators)
        self._network = network
        self._sql = sqlite3.connect(path, isolation_level=None)
        for setting in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"):
            self._sql.execute(f"PRAGMA {setting}")
        self._sql.execute("CREATE TABLE written (id INTEGER PRIMARY KEY, data BLOB)")
        self._sql.execute("CREATE TABLE nodes (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        self._nodes: dict[bytes, bytes] = {}
        self._host = ContractHost(consortium.genesis.chain, self._nodes.get)
        genesis = self._host.genesis(consortium.genesis)
        self._nodes.update(genesis.nodes)
        self._root: Digest = genesis.state_root
        self._height = 0
        self._waiting: dict[bytes, None] = {}
        self._final: set[bytes] = set()
        """Transactions that are written; one may arrive after the block that holds it."""
        self._proposed: dict[int, tuple[Millis, bytes]] = {}
        self._executed: Execution | None = None
        self._finalized = False
        self._votes: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        self._done: dict[bytes, asyncio.Future[None]] = {}
        vote = Vote(
            kind=VoteKind.NOTARIZE,
            height=Height(1),
            view=View(1),
            block_hash=BlockHash(bytes(32)),
            signer=0,
            signature=Signature(bytes(64)),
        )
        self._vote = encode_message(vote)
        self._certificate = encode_certificate(
            Certificate(
                kind=VoteKind.FINALIZE,
                height=Height(1),
                view=View(1),
                block_hash=BlockHash(bytes(32)),
                signers=tuple(range(self._quorum)),
                signatures=(Signature(bytes(64)),) * self._quorum,
            )
        )

    async def run(self) -> None:
        """Wait: everything happens when something comes."""
        await asyncio.Event().wait()

    def is_ready(self) -> bool:
        """Whether everybody is connected."""
        return len(self._network.peers()) == self._validators - 1

    async def height(self) -> int:
        """Blocks so far."""
        return self._height

    async def submit(self, data: bytes) -> None:
        """Send a transaction to all and wait until it is written here."""
        done = self._done[data] = asyncio.get_running_loop().create_future()
        self._network.broadcast([bytes([_TRANSACTION]) + data])
        self._take(data)
        self._advance()
        await done

    async def receive(self, sender: ReplicaId, items: Sequence[bytes]) -> None:
        """Take frames."""
        for item in items:
            kind, body = item[0], item[1:]
            height = int.from_bytes(body[:8], "big")
            if kind == _TRANSACTION:
                self._take(body)
            elif kind == _PROPOSAL:
                self._proposed[height] = Millis(int.from_bytes(body[8:16], "big")), body[_PROPOSAL_BYTES:]
            else:
                self._votes[kind, height].add(sender)
        self._advance()

    def connected(self, peer: ReplicaId) -> None:
        """Nothing is said upon a connection."""

    def disconnected(self, peer: ReplicaId) -> None:
        """Nothing follows from the end of one."""

    def _take(self, data: bytes) -> None:
        if data not in self._final:
            self._waiting[data] = None

    def _advance(self) -> None:
        """Do what the frames so far allow."""
        height = self._height + 1
        if self._waiting and height % self._validators == self._me and height not in self._proposed:
            self._proposed[height] = Millis(time.time_ns() // 1_000_000), next(iter(self._waiting))  # noqa: TID251
            self._notarize(height)
        if height in self._proposed and self._executed is None:
            self._notarize(height)
        if self._executed and len(self._votes[_NOTARIZE, height]) >= self._quorum and not self._finalized:
            self._finalized = True
            self._write(self._certificate, self._vote)
            self._cast(_FINALIZE, height)
        if self._finalized and len(self._votes[_FINALIZE, height]) >= self._quorum:
            self._commit(height)
            self._advance()

    def _notarize(self, height: int) -> None:
        timestamp, data = self._proposed[height]
        tx = decode_transaction(data)
        self._executed = self._host.execute(self._root, Height(height), timestamp, [tx])
        body = height.to_bytes(8, "big") + timestamp.to_bytes(8, "big")
        proposal = bytes([_PROPOSAL]) + body.ljust(_PROPOSAL_BYTES, b"\0") + data
        self._write(proposal, self._vote)
        if height % self._validators == self._me:
            self._network.broadcast([proposal])
        self._cast(_NOTARIZE, height)

    def _cast(self, kind: int, height: int) -> None:
        self._votes[kind, height].add(self._me)
        frame = bytes([kind]) + height.to_bytes(8, "big")
        self._network.broadcast([frame.ljust(len(self._vote), b"\0")])

    def _commit(self, height: int) -> None:
        executed, (_, data) = self._executed, self._proposed.pop(height)
        if executed is None:
            raise ValueError(f"expected to have executed block {height}")
        self._write(data, self._certificate, *map(encode_receipt, executed.receipts), nodes=executed.nodes.items())
        self._nodes.update(executed.nodes)
        self._root, self._height = executed.state_root, height
        self._executed, self._finalized = None, False
        self._waiting.pop(data, None)
        self._final.add(data)
        for kind in (_NOTARIZE, _FINALIZE):
            del self._votes[kind, height]
        done = self._done.pop(data, None)
        if done is not None and not done.done():
            done.set_result(None)

    def _write(self, *written: bytes, nodes: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Write in one transaction, which is one flush."""
        self._sql.execute("BEGIN IMMEDIATE")
        self._sql.executemany("INSERT INTO written (data) VALUES (?)", ((data,) for data in written))
        self._sql.executemany("INSERT OR IGNORE INTO nodes VALUES (?, ?)", nodes)
        self._sql.execute("COMMIT")
