"""Proof files from a store."""

from collections.abc import Sequence

from ledger.chain import hands_over
from ledger.consistency import encode_consistency_file
from ledger.encoding import block_hash
from ledger.errors import UnavailableError
from ledger.handovers import HANDOVERS_MAX, Handover
from ledger.ports import BlockStore, Place
from ledger.receipts import TRANSACTIONS_MAX, encode_receipt_file, prove
from ledger.types import Header, Height, PublicKey


def write_receipt(store: BlockStore, places: Sequence[Place], handovers: Sequence[Height]) -> bytes:
    """Write the receipt file of some transactions.

    Args:
        store: holds them.
        places: where they are.
        handovers: heights of all blocks that changed the validators (`Head.handovers`, `find_handovers`).

    Raises:
        UnavailableError: there is no such transaction, or one file cannot hold so much.
    """
    if not 1 <= len(places) <= TRANSACTIONS_MAX:
        raise UnavailableError(f"receipt: expected 1 to {TRANSACTIONS_MAX} transactions, got {len(places)}")
    proofs = []
    for place in places:
        final = store.final(place.height)
        if final is None or not 0 <= place.index < len(final.block.txs):
            raise UnavailableError(f"receipt: expected a transaction, got none at {place}")
        proofs.append(prove(final, store.receipts(place.height), place.index))
    newest = max(place.height for place in places)
    return encode_receipt_file(proofs, _read_handovers(store, [height for height in handovers if height < newest]))


def write_consistency(store: BlockStore, older: Height, newer: Height) -> bytes:
    """Write the proof that one block of a store is in the history of another; reads every header up to `newer`.

    Raises:
        UnavailableError: there are no such two blocks, or the validators changed too often between them.
    """
    final = store.final(newer)
    if final is None or not 0 <= older < newer:
        raise UnavailableError(
            f"consistency: expected an older and a newer height of at most {store.height()}, got {older} and {newer}"
        )
    headers = [_header(store, Height(height)) for height in range(newer)]
    changes = [header.height for header in headers[older + 1 :] if hands_over(header)]
    return encode_consistency_file(
        headers[older],
        _keys(store, older),
        final,
        _read_handovers(store, changes),
        [block_hash(header) for header in headers],
    )


def find_handovers(store: BlockStore) -> tuple[Height, ...]:
    """Heights of the blocks that changed the validators; reads every header."""
    newest = store.height()
    headers = (_header(store, Height(height)) for height in range(0 if newest is None else newest + 1))
    return tuple(header.height for header in headers if hands_over(header))


def _read_handovers(store: BlockStore, heights: Sequence[Height]) -> list[Handover]:
    if len(heights) > HANDOVERS_MAX:
        raise UnavailableError(f"proof: expected at most {HANDOVERS_MAX} changes of validators, got {len(heights)}")
    return [_handover(store, height) for height in heights]


def _handover(store: BlockStore, height: Height) -> Handover:
    final = store.final(height)
    if final is None or final.certificate is None:
        raise UnavailableError(f"proof: expected a final block at height {height}, got none")
    return Handover(header=final.block.header, certificate=final.certificate, validators=_keys(store, height))


def _header(store: BlockStore, height: Height) -> Header:
    header = store.header(height)
    if header is None:
        raise UnavailableError(f"proof: expected a block at height {height}, got none")
    return header


def _keys(store: BlockStore, height: Height) -> tuple[PublicKey, ...]:
    """Keys of the set that decides the height after a block, ascending."""
    return tuple(validator.key for validator in store.validators(height))
