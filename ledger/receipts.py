"""The receipt file: transactions, what they did and the proof that both are final, checked offline from genesis alone.

A file is JSON (docs/ledger.md): version, chain, blocks (header, certificate, keys of the set that decided it) and
transactions (bytes, execution receipt, block, index, size, both paths). Byte strings are lowercase hexadecimal.
`verify_receipt` trusts nothing but the genesis it is given and raises nothing but `InvalidProofError`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from ledger import merkle
from ledger.chain import Verify, check_finality, check_transaction
from ledger.encoding import (
    VALIDATORS_MAX,
    block_hash,
    decode_certificate,
    decode_header,
    decode_receipt,
    encode_certificate,
    encode_header,
    encode_receipt,
    transaction_id,
    validators_hash,
)
from ledger.errors import InvalidError, InvalidProofError
from ledger.types import (
    BlockHash,
    Certificate,
    Digest,
    FinalBlock,
    Genesis,
    Header,
    Height,
    Millis,
    PublicKey,
    Receipt,
    Transaction,
    TxId,
    Validator,
)

FORMAT = "ledger/receipt/1"

FILE_BYTES_MAX = 16 * 1024 * 1024
"""Largest file that is read."""

TRANSACTIONS_MAX = 1024
"""Most transactions that one file proves."""

_FIELD_BYTES_MAX = 2 * 1024 * 1024
_KEYS = frozenset({"format", "chain", "blocks", "transactions"})
_BLOCK_KEYS = frozenset({"header", "certificate", "validators"})
_TX_KEYS = frozenset({"block", "index", "size", "transaction", "transaction_path", "receipt", "receipt_path"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionProof:
    """A transaction's bytes and execution receipt, each with its path to a root in the block's header."""

    header: Header
    certificate: Certificate
    validators: tuple[PublicKey, ...]
    """Keys of the set that decided the block."""
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


def prove(
    final: FinalBlock, receipts: Sequence[Receipt], validators: Sequence[Validator], index: int
) -> TransactionProof:
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
        validators=tuple(validator.key for validator in validators),
        index=index,
        size=len(txs),
        transaction=txs[index],
        transaction_path=merkle.path(txs, index),
        receipt=encoded[index],
        receipt_path=merkle.path(encoded, index),
    )


def encode_receipt_file(proofs: Sequence[TransactionProof]) -> bytes:
    """Write a receipt file; proofs in one block share its header and certificate.

    Raises:
        ValueError: nothing to prove.
    """
    if not proofs:
        raise ValueError("expected at least one proof, got none")
    blocks: dict[BlockHash, tuple[int, dict[str, object]]] = {}
    transactions: list[dict[str, object]] = []
    for proof in proofs:
        place, _ = blocks.setdefault(block_hash(proof.header), (len(blocks), _block_entry(proof)))
        transactions.append(_transaction_entry(proof, place))
    document = {
        "format": FORMAT,
        "chain": proofs[0].header.chain.hex(),
        "blocks": [entry for _, entry in blocks.values()],
        "transactions": transactions,
    }
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def verify_receipt(data: bytes, genesis: Genesis, verify: Verify) -> VerifiedReceipt:
    """Check a receipt file offline and return what it proves.

    The set that decided a block must be the genesis set: this version has no way to change validators. A version that
    has one adds the changes to the file and follows them from genesis here.

    Raises:
        InvalidProofError: whatever is wrong with it; nothing else is raised.
    """
    try:
        document = _parse(data)
        _check_chain(_hex(document, "chain", 32), genesis)
        headers = [_verified_header(entry, genesis, verify) for entry in _entries(document, "blocks", _BLOCK_KEYS)]
        entries = _entries(document, "transactions", _TX_KEYS)
        return VerifiedReceipt(
            transactions=tuple(_verified_transaction(entry, headers, genesis, verify) for entry in entries)
        )
    except InvalidProofError:
        raise
    except InvalidError as error:
        raise InvalidProofError(str(error)) from error


def _block_entry(proof: TransactionProof) -> dict[str, object]:
    return {
        "header": encode_header(proof.header).hex(),
        "certificate": encode_certificate(proof.certificate).hex(),
        "validators": [key.hex() for key in proof.validators],
    }


def _transaction_entry(proof: TransactionProof, block: int) -> dict[str, object]:
    return {
        "block": block,
        "index": proof.index,
        "size": proof.size,
        "transaction": proof.transaction.hex(),
        "transaction_path": [step.hex() for step in proof.transaction_path],
        "receipt": proof.receipt.hex(),
        "receipt_path": [step.hex() for step in proof.receipt_path],
    }


def _parse(data: bytes) -> dict[str, object]:
    if len(data) > FILE_BYTES_MAX:
        raise InvalidProofError(f"receipt: expected at most {FILE_BYTES_MAX} bytes, got {len(data)}")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_object, parse_float=_no_float, parse_constant=_no_float
        )
    except (ValueError, RecursionError) as error:
        raise InvalidProofError(f"receipt: expected JSON, got {error}") from error
    _check_keys(document, _KEYS)
    if document["format"] != FORMAT:
        raise InvalidProofError(f"receipt: expected the format {FORMAT}, got {document['format']!r}")
    return cast("dict[str, object]", document)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidProofError("receipt: expected every key once, got one twice")
    return found


def _no_float(text: str) -> object:
    raise InvalidProofError(f"receipt: expected integers only, got {text}")


def _check_keys(found: object, wanted: frozenset[str]) -> None:
    if not isinstance(found, dict) or found.keys() != wanted:
        got = sorted(found) if isinstance(found, dict) else type(found).__name__
        raise InvalidProofError(f"receipt: expected an object with {sorted(wanted)}, got {got}")


def _entries(document: dict[str, object], name: str, keys: frozenset[str]) -> list[dict[str, object]]:
    found = document[name]
    if not isinstance(found, list) or not 1 <= len(found) <= TRANSACTIONS_MAX:
        raise InvalidProofError(f"receipt: expected 1 to {TRANSACTIONS_MAX} {name}, got {type(found).__name__}")
    for entry in found:
        _check_keys(entry, keys)
    return cast("list[dict[str, object]]", found)


def _hex(entry: dict[str, object], name: str, size: int | None = None, size_max: int = _FIELD_BYTES_MAX) -> bytes:
    return _unhex(entry[name], name, size, size_max)


def _unhex(text: object, name: str, size: int | None, size_max: int = _FIELD_BYTES_MAX) -> bytes:
    if not isinstance(text, str) or len(text) > 2 * size_max or not set(text) <= set("0123456789abcdef"):
        raise InvalidProofError(f"receipt: expected lowercase hexadecimal in {name}, got something else")
    if len(text) % 2 or (size is not None and len(text) != 2 * size):
        raise InvalidProofError(f"receipt: expected {size or 'whole'} bytes in {name}, got {len(text)} digits")
    return bytes.fromhex(text)


def _list_of_hex(entry: dict[str, object], name: str, count_max: int) -> tuple[bytes, ...]:
    found = entry[name]
    if not isinstance(found, list) or len(found) > count_max:
        raise InvalidProofError(f"receipt: expected at most {count_max} items in {name}, got {type(found).__name__}")
    return tuple(_unhex(item, name, 32) for item in found)


def _integer(entry: dict[str, object], name: str) -> int:
    found = entry[name]
    if type(found) is not int or not 0 <= found < 1 << 32:
        raise InvalidProofError(f"receipt: expected an integer of 32 bits in {name}, got {type(found).__name__}")
    return found


def _check_chain(chain: bytes, genesis: Genesis) -> None:
    if chain != genesis.chain:
        raise InvalidProofError(f"receipt: expected the chain {genesis.chain.hex()}, got {chain.hex()}")


def _verified_header(entry: dict[str, object], genesis: Genesis, verify: Verify) -> Header:
    header = decode_header(_hex(entry, "header"))
    _check_chain(header.chain, genesis)
    validators = genesis.validators()
    keys = tuple(PublicKey(key) for key in _list_of_hex(entry, "validators", VALIDATORS_MAX))
    if keys != tuple(validator.key for validator in validators):
        raise InvalidProofError(f"validators: expected the {len(validators)} of the genesis, got another {len(keys)}")
    expected = validators_hash(keys)
    if header.validators_hash != expected:
        raise InvalidProofError(f"validators: expected the hash {expected.hex()}, got {header.validators_hash.hex()}")
    check_finality(decode_certificate(_hex(entry, "certificate")), header, validators, verify)
    return header


def _verified_transaction(
    entry: dict[str, object], headers: Sequence[Header], genesis: Genesis, verify: Verify
) -> VerifiedTransaction:
    place, index, size = (_integer(entry, name) for name in ("block", "index", "size"))
    if place >= len(headers):
        raise InvalidProofError(f"receipt: expected a block below {len(headers)}, got {place}")
    header = headers[place]
    data, executed = _hex(entry, "transaction"), _hex(entry, "receipt")
    transaction_path = _list_of_hex(entry, "transaction_path", merkle.PATH_MAX)
    merkle.verify_path(data, index, size, transaction_path, header.tx_root)
    receipt_path = _list_of_hex(entry, "receipt_path", merkle.PATH_MAX)
    merkle.verify_path(executed, index, size, receipt_path, header.receipts_root)
    tx = check_transaction(data, genesis.chain, verify)
    return VerifiedTransaction(
        tx_id=transaction_id(tx),
        transaction=tx,
        receipt=decode_receipt(executed),
        height=header.height,
        block_hash=block_hash(header),
        timestamp_ms=header.timestamp_ms,
    )
