"""The receipt file: transactions, what they did and the proof that both are final, checked offline from genesis alone.

A file is JSON (docs/ledger.md): version, chain, handovers (every change of the validator set before the newest block),
blocks (header, certificate) and transactions (bytes, execution receipt, block, index, size, both paths). Byte strings
are lowercase hexadecimal. `verify_receipt` trusts nothing but the genesis it is given and raises nothing but
`InvalidProofError`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger import merkle
from ledger.chain import Verify, check_transaction
from ledger.encoding import block_hash, decode_receipt, encode_receipt, transaction_id
from ledger.errors import InvalidProofError
from ledger.handovers import (
    DECIDED_KEYS,
    Handover,
    Succession,
    decided_entry,
    handover_entries,
    read_handovers,
)
from ledger.prooffile import Entry, located, read_file, write_file, write_hexes
from ledger.types import (
    BlockHash,
    Certificate,
    Digest,
    FinalBlock,
    Genesis,
    Header,
    Height,
    Millis,
    Receipt,
    Transaction,
    TxId,
)

FORMAT = "ledger/receipt/2"

TRANSACTIONS_MAX = 1024
"""Most transactions that one file proves."""

_KEYS = frozenset({"format", "chain", "handovers", "blocks", "transactions"})
_TX_KEYS = frozenset({"block", "index", "size", "transaction", "transaction_path", "receipt", "receipt_path"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionProof:
    """A transaction's bytes and execution receipt, each with its path to a root in the block's header."""

    header: Header
    certificate: Certificate
    index: int
    size: int
    """Transactions in the block."""
    transaction: bytes = field(repr=False)
    transaction_path: tuple[Digest, ...] = field(repr=False)
    receipt: bytes = field(repr=False)
    receipt_path: tuple[Digest, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedTransaction:
    """A transaction that is final, and what it did.

    Its number in the block is not part of it: the header does not say how many transactions there are, so the paths
    prove that both belong together and are in the block, but not at which place.
    """

    tx_id: TxId
    transaction: Transaction
    receipt: Receipt
    height: Height
    block_hash: BlockHash
    timestamp_ms: Millis
    """Time of its block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReceipt:
    """What a receipt file proves, in the file's order."""

    transactions: tuple[VerifiedTransaction, ...]


def prove(final: FinalBlock, receipts: Sequence[Receipt], index: int) -> TransactionProof:
    """Return the proof of one transaction of a final block.

    Raises:
        ValueError: it is the genesis block, or has no such transaction.
    """
    txs = final.block.txs
    if final.certificate is None or not 0 <= index < len(txs) or len(txs) != len(receipts):
        raise ValueError(f"expected a block with a transaction {index} and its receipts, got {len(receipts)} receipts")
    encoded = [encode_receipt(receipt) for receipt in receipts]
    return TransactionProof(
        header=final.block.header,
        certificate=final.certificate,
        index=index,
        size=len(txs),
        transaction=txs[index],
        transaction_path=merkle.path(txs, index),
        receipt=encoded[index],
        receipt_path=merkle.path(encoded, index),
    )


def encode_receipt_file(proofs: Sequence[TransactionProof], handovers: Sequence[Handover] = ()) -> bytes:
    """Write a receipt file; proofs in one block share its header and certificate.

    Args:
        proofs: in the order in which the file shall have them.
        handovers: every one from genesis to the block before the newest one that is proved; later ones are left out.

    Raises:
        ValueError: nothing to prove, or more than a file may hold.
    """
    if not 1 <= len(proofs) <= TRANSACTIONS_MAX:
        raise ValueError(f"expected 1 to {TRANSACTIONS_MAX} proofs, got {len(proofs)}")
    newest = max(proof.header.height for proof in proofs)
    blocks: dict[BlockHash, tuple[int, dict[str, object]]] = {}
    transactions: list[dict[str, object]] = []
    for proof in proofs:
        entry = decided_entry(proof.header, proof.certificate)
        place, _ = blocks.setdefault(block_hash(proof.header), (len(blocks), entry))
        transactions.append(_transaction_entry(proof, place))
    return write_file(
        {
            "format": FORMAT,
            "chain": proofs[0].header.chain.hex(),
            "handovers": handover_entries([each for each in handovers if each.header.height < newest]),
            "blocks": [entry for _, entry in blocks.values()],
            "transactions": transactions,
        }
    )


def verify_receipt(data: bytes, genesis: Genesis, verify: Verify) -> VerifiedReceipt:
    """Check a receipt file offline and return what it proves.

    The genesis set is followed through the handovers to the set of each block.

    Raises:
        InvalidProofError: whatever is wrong with it; nothing else is raised.
    """
    file = read_file(data, FORMAT, _KEYS)
    if file.hex("chain", 32) != genesis.chain:
        raise InvalidProofError(f"chain: expected {genesis.chain.hex()}, got {file.hex('chain').hex()}")
    keys = [validator.key for validator in genesis.validators()]
    succession = Succession(genesis.chain, keys, Height(0), verify)
    succession.follow(read_handovers(file))
    headers = [succession.decided(entry) for entry in file.entries("blocks", DECIDED_KEYS, 1, TRANSACTIONS_MAX)]
    entries = file.entries("transactions", _TX_KEYS, 1, TRANSACTIONS_MAX)
    return VerifiedReceipt(
        transactions=tuple(_verified_transaction(entry, headers, genesis, verify) for entry in entries)
    )


def _transaction_entry(proof: TransactionProof, block: int) -> dict[str, object]:
    return {
        "block": block,
        "index": proof.index,
        "size": proof.size,
        "transaction": proof.transaction.hex(),
        "transaction_path": write_hexes(proof.transaction_path),
        "receipt": proof.receipt.hex(),
        "receipt_path": write_hexes(proof.receipt_path),
    }


def _verified_transaction(
    entry: Entry, headers: Sequence[Header], genesis: Genesis, verify: Verify
) -> VerifiedTransaction:
    place, index, size = (entry.integer(name) for name in ("block", "index", "size"))
    if place >= len(headers):
        raise InvalidProofError(f"{entry.at}.block: expected one below {len(headers)}, got {place}")
    header = headers[place]
    data = _included(entry, "transaction", index, size, header.tx_root)
    executed = _included(entry, "receipt", index, size, header.receipts_root)
    with located(entry.at):
        tx = check_transaction(data, genesis.chain, verify)
        receipt = decode_receipt(executed)
    return VerifiedTransaction(
        tx_id=transaction_id(tx),
        transaction=tx,
        receipt=receipt,
        height=header.height,
        block_hash=block_hash(header),
        timestamp_ms=header.timestamp_ms,
    )


def _included(entry: Entry, name: str, index: int, size: int, root: Digest) -> bytes:
    """Take bytes and check that the path beside them leads to a root."""
    data, steps = entry.hex(name), entry.hexes(f"{name}_path", merkle.PATH_MAX)
    with located(f"{entry.at}.{name}_path"):
        merkle.verify_path(data, index, size, steps, root)
    return data
