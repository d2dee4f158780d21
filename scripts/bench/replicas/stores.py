"""Stores made without a network: long chains of whole queries, one transaction in a block."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from ledger.chain import quorum
from ledger.contract import ContractHost
from ledger.encoding import block_hash, vote_statement
from ledger.ports import STATES_KEPT
from ledger.replica.engine import Engine
from ledger.store import SqliteStore, create_directory
from ledger.types import Certificate, Header, Height, Millis, View, VoteKind
from mpcnode.sealing.keys import verify
from scripts.bench.replicas.consortium import Call, Consortium

START_MS = Millis(1_800_000_000_000)
_BLOCK_MS = 50
_QUERIES_AT_ONCE = 500
"""Made at the time of the first of them: their transactions hold for less than an hour."""


def open_engine(store: SqliteStore, consortium: Consortium) -> Engine:
    """Open a store as a replica does."""
    host = ContractHost(consortium.genesis.chain, store.read_node)
    return Engine(store=store, executor=host, genesis=consortium.genesis, verify=verify)


def make_store(directory: Path, consortium: Consortium, blocks: int) -> None:
    """Make a data directory with so many blocks, signed by the consortium's validators."""
    create_directory(directory)
    store = SqliteStore(directory)
    try:
        engine = open_engine(store, consortium)
        for call, now in itertools.islice(_calls(consortium), blocks):
            block, _ = engine.build([engine.check(call.data)], consortium.vote_key(0).public, now)
            if block is None:
                raise RuntimeError("store: expected a block, got none")
            done = engine.commit(block, _finalize(consortium, block.header))
            if not done.receipts[0].ok:
                raise RuntimeError(f"height {done.height}: expected success, got {done.receipts[0].reason}")
    finally:
        store.close()


def compact_store(directory: Path, consortium: Consortium) -> None:
    """Remove the state that the newest blocks do not reach, as `mpcnode ledger compact` does."""
    store = SqliteStore(directory)
    try:
        host = ContractHost(consortium.genesis.chain, store.read_node)
        while not store.compact(host.children, STATES_KEPT).done:
            pass
        store.shrink()
    finally:
        store.close()


def _calls(consortium: Consortium) -> Iterator[tuple[Call, Millis]]:
    """Transactions of one query after the other, with the times of their blocks."""
    now = START_MS
    made = START_MS
    for number in itertools.count():
        if number % _QUERIES_AT_ONCE == 0:
            made = now
        for call in consortium.query(number, made):
            yield call, now
            now = Millis(now + _BLOCK_MS)


def _finalize(consortium: Consortium, header: Header) -> Certificate:
    """Sign a block with a quorum."""
    validators = consortium.genesis.validators()
    signers = tuple(range(quorum(len(validators))))
    stated = vote_statement(header.chain, VoteKind.FINALIZE, Height(header.height), View(1), block_hash(header))
    keys = (consortium.vote_key(validators[signer].replica) for signer in signers)
    return Certificate(
        kind=VoteKind.FINALIZE,
        height=header.height,
        view=View(1),
        block_hash=block_hash(header),
        signers=signers,
        signatures=tuple(key.sign(stated) for key in keys),
    )
