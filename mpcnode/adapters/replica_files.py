"""Reading a replica's files while its daemon does not run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from ledger.contract import decode_log
from ledger.contract.artefacts import ADDRESSES
from ledger.encoding import (
    block_hash,
    decode_transaction,
    encode_certificate,
    encode_header,
    encode_receipt,
    transaction_id,
)
from ledger.errors import LockedError
from ledger.ports import BlockStore, Place
from ledger.replica.proving import find_handovers, write_consistency, write_receipt
from ledger.store import SqliteStore
from ledger.types import FinalBlock, Header, Height, Log, Millis, PublicKey, Receipt
from mpcnode.config.consortium import Consortium
from mpcnode.config.node import NodeConfig
from mpcnode.errors import ErrorCode, RequestError

_STRIDE = 256


@contextmanager
def open_replica(config: NodeConfig) -> Iterator[SqliteStore]:
    """Open the store of a daemon that does not run; nothing in it is changed.

    Raises:
        LockedError: the daemon runs.
        StorageError: the store cannot be opened.
    """
    try:
        store = SqliteStore(config.ledger_dir)
    except LockedError as error:
        raise LockedError(
            f"{config.member.name}: expected its daemon to be stopped, got one that holds {config.ledger_dir}; "
            "stop it, or ask it while it runs: mpcnode status"
        ) from error
    try:
        yield store
    finally:
        store.close()


def describe_head(store: BlockStore) -> dict[str, Any] | None:
    """Describe the newest block; None before genesis."""
    height = store.height()
    header = None if height is None else store.header(height)
    return None if header is None else _describe_header(header)


def describe_block(store: BlockStore, consortium: Consortium, height: Height) -> dict[str, Any]:
    """Describe a block: header, proposer and signers by name, and what each transaction did.

    Raises:
        RequestError: there is no such block.
    """
    final = store.final(height)
    if final is None:
        raise RequestError(f"expected a height of at most {store.height()}, got {height}", ErrorCode.REQUEST_FORM)
    validators = store.validators(Height(height - 1)) if height else ()
    names = {validator.key: _member(consortium, validator.replica) for validator in validators}
    signers = () if final.certificate is None else final.certificate.signers
    return {
        **_describe_header(final.block.header),
        "proposer": names.get(final.block.header.proposer),
        "view": None if final.certificate is None else final.certificate.view,
        "signers": [names[validators[signer].key] for signer in signers],
        "transactions": [
            {
                "method": tx.method,
                "sender": _name(consortium, tx.sender),
                "result": "ok" if receipt.ok else receipt.reason,
                "gas": receipt.gas,
                "events": " ".join(decode_log(log).event for log in receipt.logs),
                "tx_id": transaction_id(tx).hex(),
            }
            for tx, receipt in zip(map(decode_transaction, final.block.txs), store.receipts(height), strict=True)
        ],
    }


def prove_query(store: BlockStore, query: bytes) -> tuple[bytes, int]:
    """Return the receipt file of every transaction that an event of a query comes from, and their number.

    Raises:
        RequestError: the ledger does not know the query.
    """
    newest = store.height() or 0
    strides = (
        store.find_logs(Height(first), Height(min(first + _STRIDE - 1, newest)), ADDRESSES["queries"])
        for first in range(0, newest + 1, _STRIDE)
    )
    found = (entry for entry in chain.from_iterable(strides) if _is_of(entry.log, query))
    places = tuple(dict.fromkeys(Place(entry.height, entry.tx_index) for entry in found))
    if not places:
        raise RequestError(f"query {query.hex()}: not on the ledger", ErrorCode.UNKNOWN_QUERY)
    return write_receipt(store, places, find_handovers(store)), len(places)


def prove_history(store: BlockStore, since: int, until: int | None) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Return the consistency file of two blocks, and height and hash of both.

    Raises:
        RequestError: there are no such two blocks.
    """
    newest = store.height() or 0
    last = newest if until is None else until
    if not since < last <= newest:
        raise RequestError(f"expected heights below and up to {newest}, got {since} and {last}", ErrorCode.REQUEST_FORM)
    older, newer = (
        {"height": height, "hash": block_hash(header).hex()}
        for height in (since, last)
        if (header := store.header(Height(height))) is not None
    )
    return write_consistency(store, Height(since), Height(last)), older, newer


def export_blocks(store: BlockStore, first: int, last: int | None) -> Iterator[str]:
    """Write blocks with certificate and receipts, one JSON document in a line."""
    for final, receipts in _blocks(store, first, last):
        document = {
            "height": final.block.header.height,
            "hash": block_hash(final.block.header).hex(),
            "header": encode_header(final.block.header).hex(),
            "certificate": None if final.certificate is None else encode_certificate(final.certificate).hex(),
            "transactions": [data.hex() for data in final.block.txs],
            "receipts": [encode_receipt(receipt).hex() for receipt in receipts],
        }
        yield json.dumps(document, separators=(",", ":"))


def export_transactions(store: BlockStore, consortium: Consortium, first: int, last: int | None) -> Iterator[str]:
    """Write transactions, one in a line: height, time, method, sender, result, id."""
    for final, receipts in _blocks(store, first, last):
        header = final.block.header
        for data, receipt in zip(final.block.txs, receipts, strict=True):
            tx = decode_transaction(data)
            result = "ok" if receipt.ok else receipt.reason
            place, sender = (str(header.height), _time(header.timestamp_ms)), _name(consortium, tx.sender)
            yield "\t".join((*place, tx.method, sender, result, transaction_id(tx).hex()))


def _blocks(store: BlockStore, first: int, last: int | None) -> Iterator[tuple[FinalBlock, tuple[Receipt, ...]]]:
    newest = store.height()
    if newest is None:
        return
    for number in range(first, min(newest if last is None else last, newest) + 1):
        final = store.final(Height(number))
        if final is not None:
            yield final, store.receipts(Height(number))


def _describe_header(header: Header) -> dict[str, Any]:
    return {
        "height": header.height,
        "hash": block_hash(header).hex(),
        "time": _time(header.timestamp_ms),
        "time_ms": header.timestamp_ms,
        "chain": header.chain.hex(),
        "previous": header.previous.hex(),
        "state_root": header.state_root.hex(),
        "history_root": header.history_root.hex(),
    }


def _is_of(log: Log, query: bytes) -> bool:
    return len(log.topics) > 1 and log.topics[1] == query


def _member(consortium: Consortium, index: int) -> str:
    """Name of a member, or its index: the companies may have added one that the document does not list."""
    return consortium.members[index].name if index < len(consortium.members) else f"member {index}"


def _name(consortium: Consortium, key: PublicKey) -> str:
    member = consortium.member_by_identity(key)
    return key.hex() if member is None else member.name


def _time(at: Millis) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
