"""A signature means one thing: what is signed in one domain is refused in every other, and every domain is listed."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from ledger.encoding import (
    WORD_BYTES,
    encode_header,
    proposal_statement,
    statement,
    transaction_statement,
    vote_statement,
)
from ledger.replica.rejoining import Rejoin
from ledger.types import (
    BlockHash,
    ChainId,
    Digest,
    Header,
    Height,
    Millis,
    ReplicaId,
    Signature,
    Transaction,
    View,
    VoteKind,
)
from mpcnode.query.blobs import BlobKind, BlobLabel, HeldStatement, encode_held_statement
from mpcnode.query.request import encode_request
from mpcnode.query.statements import (
    encode_accept_statement,
    encode_corrections_statement,
    encode_deal_statement,
    encode_end_statement,
    encode_flush_statement,
    encode_release_statement,
    encode_shares_statement,
)
from mpcnode.sealing.keys import SigningKey, certificate_statement, verify
from mpcnode.sealing.messages import call_statement, message_statement
from mpcnode.types import BlobId, MemberIndex, QueryId
from tests.support.queries import ACCEPT, CORRECTIONS, DEAL, END, FLUSH, RELEASE, REQUEST, SHARES

KEY = SigningKey(b"\x01" * 32)
ZERO = bytes(32)
CHAIN = ChainId(ZERO)
DOCS = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
HEADER = Header(
    chain=CHAIN,
    height=Height(0),
    previous=BlockHash(ZERO),
    timestamp_ms=Millis(0),
    proposer=KEY.public,
    tx_root=Digest(ZERO),
    receipts_root=Digest(ZERO),
    state_root=Digest(ZERO),
    history_root=Digest(ZERO),
    validators_hash=Digest(ZERO),
    next_validators_hash=Digest(ZERO),
)
TRANSACTION = Transaction(
    chain=CHAIN,
    sender=KEY.public,
    expiry_ms=Millis(0),
    unique=bytes(16),
    method="queries.expire",
    args=b"",
    signature=Signature(bytes(64)),
)
STATEMENTS: dict[str, bytes] = {
    "ledger/block/1": encode_header(HEADER),
    "ledger/vote/1": vote_statement(CHAIN, VoteKind.NULLIFY, Height(1), View(1), BlockHash(ZERO)),
    "ledger/proposal/1": proposal_statement(CHAIN, Height(1), View(1), BlockHash(ZERO), View(0)),
    "ledger/tx/1": transaction_statement(TRANSACTION),
    "ledger/rejoin/1": Rejoin(
        chain=CHAIN, replica=ReplicaId(0), vote_key=KEY.public, sign_from=Height(1), expires_ms=Millis(0)
    ).statement(),
    "mpcnode/tls/1": certificate_statement(ZERO),
    "mpcnode/request/1": encode_request(REQUEST),
    "mpcnode/shares/1": encode_shares_statement(SHARES),
    "mpcnode/deal/1": encode_deal_statement(DEAL),
    "mpcnode/corrections/1": encode_corrections_statement(CORRECTIONS),
    "mpcnode/accept/1": encode_accept_statement(ACCEPT),
    "mpcnode/flush/1": encode_flush_statement(FLUSH),
    "mpcnode/end/1": encode_end_statement(END),
    "mpcnode/release/1": encode_release_statement(RELEASE),
    "mpcnode/dispute/1": statement("mpcnode/dispute/1", CHAIN, bytes(32), 0, 17, bytes(32), bytes(32)),
    "mpcnode/message/1": message_statement(CHAIN, "abort", MemberIndex(0), MemberIndex(0), b""),
    "mpcnode/held/1": encode_held_statement(
        HeldStatement(
            chain=CHAIN,
            label=BlobLabel(query=QueryId(ZERO), attempt=1, kind=BlobKind.ROWS, author=0),
            blob=BlobId(ZERO),
            until=Millis(0),
        )
    ),
    "mpcnode/call/1": call_statement(CHAIN, "Follow", ZERO, Millis(0), b""),
}


def documented() -> dict[str, int]:
    """Domains of the specification's table with their number of words, domain and chain included."""
    table = DOCS.read_text(encoding="utf-8").split("| domain |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `([a-z]+/[a-z]+/1)` \| (.*?) \| .*\|$", table, re.MULTILINE)
    return {domain: 2 + len(re.sub(r"\([^()]*\)", "", fields).split(",")) for domain, fields in rows}


def test_every_documented_domain_is_here_with_its_number_of_words():
    assert {domain: len(stated) // WORD_BYTES for domain, stated in STATEMENTS.items()} == documented()


def test_a_statement_begins_with_its_domain():
    for domain, stated in STATEMENTS.items():
        assert stated[:WORD_BYTES] == domain.encode().ljust(WORD_BYTES, b"\0")


@pytest.mark.parametrize(("signed", "claimed"), list(itertools.permutations(STATEMENTS, 2)))
def test_a_signature_of_one_domain_is_refused_in_another(signed, claimed):
    """Also after the forger puts the other domain in front of the same words, cut or padded to its length."""
    signature = KEY.sign(STATEMENTS[signed])
    assert verify(KEY.public, STATEMENTS[signed], signature)
    assert not verify(KEY.public, STATEMENTS[claimed], signature)
    width: Any = len(STATEMENTS[claimed])
    forged = (STATEMENTS[claimed][:WORD_BYTES] + STATEMENTS[signed][WORD_BYTES:]).ljust(width, b"\0")[:width]
    assert not verify(KEY.public, forged, signature)


def test_no_domain_begins_another_and_none_has_two_meanings():
    assert len(set(STATEMENTS.values())) == len(STATEMENTS)
    for one, other in itertools.permutations(STATEMENTS, 2):
        assert not one.startswith(other)
