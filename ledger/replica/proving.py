"""Receipt files from a store."""

from collections.abc import Sequence

from ledger.errors import UnavailableError
from ledger.ports import BlockStore, Place
from ledger.receipts import encode_receipt_file, prove
from ledger.types import Height


def write_receipt(store: BlockStore, places: Sequence[Place]) -> bytes:
    """Write the receipt file of some transactions.

    Raises:
        UnavailableError: there is no such transaction.
    """
    proofs = []
    for place in places:
        final = store.final(place.height)
        if final is None or place.index >= len(final.block.txs) or place.height == 0:
            raise UnavailableError(f"receipt: expected a transaction, got none at {place}")
        validators = store.validators(Height(place.height - 1))
        proofs.append(prove(final, store.receipts(place.height), validators, place.index))
    return encode_receipt_file(proofs)
