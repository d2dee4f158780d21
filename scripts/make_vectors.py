"""Write tests/vectors/query.json, or check it: `python -m scripts.make_vectors [--check]`.

One whole query from fixed seeds: every statement, signature, box, commitment, transaction and block of it, as bytes in
hexadecimal. What stands for something random is SHAKE-256 of a name (`scripts/vector_query.py: seed`). An independent
implementation of docs/protocol.md is right when it reproduces the file; tests/vectors does so without this program.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ledger import merkle
from ledger.chain import receipts_root
from ledger.contract.abi import encode_args
from ledger.encoding import (
    block_hash,
    decode_transaction,
    encode_block,
    encode_certificate,
    encode_header,
    encode_receipt,
    encode_transaction,
    encode_vote,
    transaction_id,
    transaction_statement,
    validators_hash,
    vote_statement,
)
from ledger.types import (
    Block,
    BlockHash,
    Certificate,
    Cosignature,
    Digest,
    Header,
    Millis,
    Receipt,
    Signature,
    Transaction,
    View,
    Vote,
    VoteKind,
)
from mpcnode.sealing.keys import SigningKey
from mpcnode.sealing.messages import sign_call, sign_message
from mpcnode.types import MemberIndex, members_of
from scripts.vector_query import (
    ATTEMPT,
    CHAIN,
    COMMITTEE,
    HEIGHT,
    IDENTITIES,
    INQUIRER,
    NOW,
    PANEL,
    QUERY,
    VOTE_KEYS,
    Asked,
    Computed,
    Contributed,
    Vectors,
    ask,
    compute,
    consortium,
    contribute,
    narrow_rows,
    release,
    seed,
)

FILE = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "query.json"
VIEW = View(2)


def transact(asked: Asked, contributions: Mapping[MemberIndex, Contributed], computed: Computed) -> dict[str, bytes]:
    """Return the query's transactions, encoded."""
    register = (asked.supervisor_copy, list(COMMITTEE.pool_order))
    inquirer = Cosignature(key=INQUIRER.public, statement=asked.statement, signature=asked.signature)
    nodes = tuple(
        Cosignature(key=IDENTITIES[node].public, statement=stated, signature=IDENTITIES[node].sign(stated))
        for node, stated in zip(COMMITTEE.members, computed.statements, strict=True)
    )
    sent = {"register": _transaction(0, "queries.register", register, (inquirer,))}
    for member, item in contributions.items():
        values = (QUERY, ATTEMPT, list(item.commitments), item.envelope)
        sent[f"commit_input {member}"] = _transaction(member, "queries.commit_input", values)
    result = (QUERY, ATTEMPT, computed.inquirer_boxes, computed.supervisor_boxes)
    sent["post_result"] = _transaction(COMMITTEE.members[0], "queries.post_result", result, nodes)
    sent["attest"] = _transaction(6, "queries.attest", (QUERY, ATTEMPT, 1, 255, 0, 0, b""))
    return sent


def _transaction(
    sender: int, method: str, values: tuple[object, ...], cosigners: tuple[Cosignature, ...] = ()
) -> bytes:
    key = IDENTITIES[sender]
    unsigned = Transaction(
        chain=CHAIN,
        sender=key.public,
        expiry_ms=Millis(NOW + 60_000),
        unique=seed(f"unique {method} {sender}", 16),
        method=method,
        args=encode_args(method, *values),
        cosigners=cosigners,
        signature=Signature(bytes(64)),
    )
    return encode_transaction(replace(unsigned, signature=key.sign(transaction_statement(unsigned))))


def block(txs: tuple[bytes, ...]) -> Vectors:
    """Return a block of these transactions, made-up receipts, one vote of each kind and the certificate."""
    receipts = [Receipt(ok=True, gas=100_000 + place, reason="") for place in range(len(txs))]
    keys = sorted(key.public for key in VOTE_KEYS)
    header = Header(
        chain=CHAIN,
        height=HEIGHT,
        previous=BlockHash(seed("previous block")),
        timestamp_ms=Millis(NOW + 5_000),
        proposer=keys[0],
        tx_root=merkle.root(txs),
        receipts_root=receipts_root(receipts),
        state_root=Digest(seed("state root")),
        history_root=merkle.root([seed(f"block {height}") for height in range(HEIGHT)]),
        validators_hash=validators_hash(keys),
        next_validators_hash=validators_hash(keys),
    )
    named = block_hash(header)
    signers: dict[bytes, SigningKey] = {key.public: key for key in VOTE_KEYS}
    stated = vote_statement(CHAIN, VoteKind.FINALIZE, HEIGHT, VIEW, named)
    signatures = tuple(signers[key].sign(stated) for key in keys)
    vote = Vote(kind=VoteKind.FINALIZE, height=HEIGHT, view=VIEW, block_hash=named, signer=1, signature=signatures[1])
    certificate = Certificate(
        kind=VoteKind.FINALIZE,
        height=HEIGHT,
        view=VIEW,
        block_hash=named,
        signers=(0, 2, 3),
        signatures=(signatures[0], signatures[2], signatures[3]),
    )
    return {
        "header": encode_header(header).hex(),
        "block_hash": named.hex(),
        "receipts": [encode_receipt(receipt).hex() for receipt in receipts],
        "block_sha256": hashlib.sha256(encode_block(Block(header=header, txs=txs))).hexdigest(),
        "vote_statement": stated.hex(),
        "vote": encode_vote(vote).hex(),
        "certificate": encode_certificate(certificate).hex(),
    }


def messages() -> Vectors:
    """Return a message between daemons and a call of the inquirer."""
    sender, receiver = MemberIndex(4), COMMITTEE.members[0]
    message = sign_message(
        IDENTITIES[sender], CHAIN, kind="shares", sender=sender, receiver=receiver, payload=seed("payload", 50)
    )
    call = sign_call(
        INQUIRER,
        CHAIN,
        method="Follow",
        nonce=seed("call nonce"),
        expiry_ms=Millis(NOW + 60_000),
        payload=QUERY,
    )
    return {
        "message": {
            "sender": sender,
            "receiver": receiver,
            "payload": message.payload.hex(),
            "signature": message.signature.hex(),
        },
        "call": {
            "nonce": call.nonce.hex(),
            "expiry_ms": call.expiry_ms,
            "payload": call.payload.hex(),
            "signature": call.signature.hex(),
        },
    }


def vectors() -> Vectors:
    """Return the whole file."""
    asked = ask()
    contributions = {member: contribute(member, asked) for member in members_of(PANEL)}
    computed = compute(contributions)
    txs = transact(asked, contributions, computed)
    return {
        "query": QUERY.hex(),
        "consortium": consortium(),
        "request": asked.vectors,
        "contributions": [item.vectors for item in contributions.values()],
        "rows_of_32_bits": narrow_rows(),
        "session": computed.vectors,
        "transactions": {
            name: {"bytes": data.hex(), "id": transaction_id(decode_transaction(data)).hex()}
            for name, data in txs.items()
        },
        "block": block(tuple(txs.values())),
        "release": release(),
        **messages(),
    }


def page() -> str:
    """Return the file's text."""
    return json.dumps(vectors(), indent=1) + "\n"


def main() -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    wanted = page()
    if parser.parse_args().check:
        if FILE.read_text(encoding="ascii") != wanted:
            print(f"{FILE.name} is not what the code makes; run python -m scripts.make_vectors", file=sys.stderr)
            return 1
        return 0
    FILE.write_text(wanted, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
