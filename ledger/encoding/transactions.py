"""Bytes of transactions and receipts."""

from ledger.encoding.limits import (
    ARGS_BYTES_MAX,
    COSIGNERS_MAX,
    LOGS_MAX,
    STATEMENT_BYTES_MAX,
    TX_BYTES_MAX,
)
from ledger.encoding.wire import Reader, Writer
from ledger.encoding.words import WORD_BYTES, digest, statement
from ledger.errors import DecodeError
from ledger.types import (
    Address,
    ChainId,
    Cosignature,
    Log,
    Millis,
    PublicKey,
    Receipt,
    Signature,
    Transaction,
    TxId,
)

_TX = "ledger/tx/1"
_RECEIPT_DATA_BYTES_MAX = TX_BYTES_MAX
_TOPICS_MAX = 4


def transaction_id(tx: Transaction) -> TxId:
    """Digest of everything but the signatures: an Ed25519 signer can sign twice, the id stays."""
    cosigned = (cosigner.key + cosigner.statement for cosigner in tx.cosigners)
    return TxId(
        digest(
            _TX,
            tx.chain,
            tx.sender,
            tx.expiry_ms.to_bytes(8, "big"),
            tx.unique,
            tx.method.encode("ascii"),
            tx.args,
            *cosigned,
        )
    )


def transaction_statement(tx: Transaction) -> bytes:
    """What the sender signs."""
    return statement(_TX, tx.chain, transaction_id(tx))


def encode_transaction(tx: Transaction) -> bytes:
    """Encode a transaction."""
    writer = (
        Writer()
        .fixed(tx.chain, 32)
        .fixed(tx.sender, 32)
        .uint(tx.expiry_ms, 8)
        .fixed(tx.unique, 16)
        .text(tx.method)
        .blob(tx.args)
    )
    writer.uint(len(tx.cosigners), 4)
    for cosigner in tx.cosigners:
        writer.fixed(cosigner.key, 32).blob(cosigner.statement).fixed(cosigner.signature, 64)
    return writer.fixed(tx.signature, 64).bytes()


def decode_transaction(data: bytes) -> Transaction:
    """Decode a transaction.

    Raises:
        DecodeError: not the encoding of a transaction, or over a limit.
    """
    if len(data) > TX_BYTES_MAX:
        raise DecodeError(f"transaction: expected at most {TX_BYTES_MAX} bytes, got {len(data)}")
    reader = Reader(data, "transaction")
    tx = Transaction(
        chain=ChainId(reader.fixed(32)),
        sender=PublicKey(reader.fixed(32)),
        expiry_ms=Millis(reader.uint(8)),
        unique=reader.fixed(16),
        method=reader.text(),
        args=reader.blob(ARGS_BYTES_MAX),
        cosigners=reader.items(COSIGNERS_MAX, lambda: _take_cosigner(reader)),
        signature=Signature(reader.fixed(64)),
    )
    reader.end()
    return tx


def _take_cosigner(reader: Reader) -> Cosignature:
    key = PublicKey(reader.fixed(32))
    stated = reader.blob(STATEMENT_BYTES_MAX)
    if len(stated) % WORD_BYTES or not stated:
        raise DecodeError(f"cosigner: expected a statement of whole words, got {len(stated)} bytes")
    return Cosignature(key=key, statement=stated, signature=Signature(reader.fixed(64)))


def encode_receipt(receipt: Receipt) -> bytes:
    """Encode a receipt; a reason over the limit must have been cut before."""
    writer = Writer().uint(int(receipt.ok), 1).uint(receipt.gas, 8).text(receipt.reason).uint(len(receipt.logs), 4)
    for log in receipt.logs:
        writer.fixed(log.address, 20).uint(len(log.topics), 4)
        for topic in log.topics:
            writer.fixed(topic, 32)
        writer.blob(log.data)
    return writer.bytes()


def decode_receipt(data: bytes) -> Receipt:
    """Decode a receipt.

    Raises:
        DecodeError: not the encoding of a receipt.
    """
    reader = Reader(data, "receipt")
    status = reader.uint(1)
    if status > 1:
        raise DecodeError(f"receipt: expected status 0 or 1, got {status}")
    receipt = Receipt(
        ok=bool(status),
        gas=reader.uint(8),
        reason=reader.text(),
        logs=reader.items(LOGS_MAX, lambda: _take_log(reader)),
    )
    reader.end()
    return receipt


def _take_log(reader: Reader) -> Log:
    return Log(
        address=Address(reader.fixed(20)),
        topics=reader.items(_TOPICS_MAX, lambda: reader.fixed(32)),
        data=reader.blob(_RECEIPT_DATA_BYTES_MAX),
    )
