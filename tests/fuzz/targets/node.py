"""What daemons and inquirers send each other, from gRPC's bytes to the statements inside.

Signatures are taken as good, for a peer may sign anything.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import google.protobuf.message

from ledger.errors import DecodeError
from ledger.types import ChainId, Digest, Millis, PublicKey, Signature
from mpcnode.errors import CallerError, NodeError
from mpcnode.mpc import RowShape
from mpcnode.query import blobs, statements
from mpcnode.query import request as requests
from mpcnode.query.contribution import (
    decode_audit_record,
    decode_columns,
    decode_contribution,
    encode_audit_record,
    encode_columns,
    encode_contribution,
)
from mpcnode.query.frames import ArrivedFrame, Flush, Shown, SignedCorrections, decode_shown, encode_shown
from mpcnode.query.messages import (
    Abort,
    Accept,
    Deal,
    Differ,
    End,
    Kind,
    Order,
    Recall,
    Shares,
    decode_abort,
    decode_accept,
    decode_deal,
    decode_differ,
    decode_end,
    decode_order,
    decode_recall,
    decode_shares,
    encode_abort,
    encode_accept,
    encode_deal,
    encode_differ,
    encode_end,
    encode_order,
    encode_recall,
    encode_shares,
)
from mpcnode.scorecard import Contribution
from mpcnode.sealing import messages as signed
from mpcnode.sealing.blobs import CHUNK_BYTES, Manifest
from mpcnode.types import BlobId, MemberIndex, QueryId, SessionId
from mpcnode.v1 import inquiry_pb2, peer_pb2
from tests.fuzz.target import Target, codec, expect
from tests.fuzz.targets.chain import LENGTHS, VECTORS

CHAIN = ChainId(bytes.fromhex(VECTORS["consortium"]["chain"]))
NOW = Millis(VECTORS["consortium"]["now_ms"])
ME, PEER = MemberIndex(3), MemberIndex(4)
NO_SIGNATURE = Signature(bytes(64))
REFUSED = (DecodeError, CallerError)

_CODECS: Mapping[str, Callable[[bytes], None]] = {
    Kind.ORDER: codec(decode_order, encode_order, REFUSED),
    Kind.SHARES: codec(decode_shares, encode_shares, REFUSED),
    Kind.DEAL: codec(decode_deal, encode_deal, REFUSED),
    Kind.ACCEPT: codec(decode_accept, encode_accept, REFUSED),
    Kind.END: codec(decode_end, encode_end, REFUSED),
    Kind.ABORT: codec(decode_abort, encode_abort, REFUSED),
    Kind.RECALL: codec(decode_recall, encode_recall, REFUSED),
    Kind.FRAMES: codec(decode_shown, encode_shown, REFUSED),
    Kind.DIFFER: codec(decode_differ, encode_differ, REFUSED),
}
_STATED: Mapping[str, tuple[Callable[[bytes], Any], Callable[[bytes], None]]] = {
    Kind.ORDER: (decode_order, codec(requests.decode_request, requests.encode_request, REFUSED)),
    Kind.DEAL: (
        decode_deal,
        codec(statements.decode_deal_statement, statements.encode_deal_statement, REFUSED),
    ),
    Kind.ACCEPT: (
        decode_accept,
        codec(statements.decode_accept_statement, statements.encode_accept_statement, REFUSED),
    ),
    Kind.END: (decode_end, codec(statements.decode_end_statement, statements.encode_end_statement, REFUSED)),
}
"""Payloads that carry a statement: how to take it out, and its law."""


def _real(*path: str | int) -> bytes:
    found: Any = VECTORS
    for step in path:
        found = found[step]
    return bytes.fromhex(found)


def _shown() -> Shown:
    leaves = (Digest(bytes(32)), Digest(bytes(31) + b"\x01"))
    flush = Flush(1, leaves, NO_SIGNATURE)
    return Shown(
        session=SessionId(_real("session", "session")),
        first=0,
        chunk_hashes=(Digest(bytes(32)),),
        opened=((Digest(bytes(32)), Digest(bytes(32))),),
        corrections=(SignedCorrections(0, Digest(bytes(32)), NO_SIGNATURE),),
        frames=tuple(
            ArrivedFrame(flush, place, PEER, 0, 1, Digest(bytes(32))).signed() for place in range(len(leaves))
        ),
        data=(b"data",),
    )


def _payloads() -> Mapping[str, bytes]:
    session = VECTORS["session"]
    shares = Shares(
        query=_real("query"),
        attempt=1,
        salt=bytes(32),
        sent=_real("contributions", 0, "sent", 0),
        signature=Signature(_real("contributions", 0, "shares_signatures", 0)),
    )
    deal = Deal(
        statement=_real("session", "deal_statement"),
        signature=Signature(_real("session", "deal_signature")),
        seed_hashes=tuple(map(bytes.fromhex, session["seed_hashes"])),
        seed=bytes(32),
        salt=bytes(32),
    )
    end = End(
        statement=_real("session", "ends", 0, "statement"),
        signature=Signature(_real("session", "ends", 0, "signature")),
        inquirer_box=_real("session", "ends", 0, "inquirer_box"),
        supervisor_box=_real("session", "ends", 0, "supervisor_box"),
    )
    order = Order(
        statement=_real("request", "statement"),
        signature=Signature(_real("request", "signature")),
        inquirer=PublicKey(_real("request", "inquirer")),
        token=_real("request", "tokens", 0),
        path=(bytes(32),) * 2,
    )
    accept = Accept(
        statement=_real("session", "accept_statement"), signature=Signature(_real("session", "accept_signatures", 0))
    )
    return {
        Kind.ORDER: encode_order(order),
        Kind.SHARES: encode_shares(shares),
        Kind.DEAL: encode_deal(deal),
        Kind.ACCEPT: encode_accept(accept),
        Kind.END: encode_end(end),
        Kind.ABORT: encode_abort(Abort(session=_real("session", "session"), reason=3)),
        Kind.RECALL: encode_recall(Recall(session=_real("session", "session"), first=32)),
        Kind.FRAMES: encode_shown(_shown()),
        Kind.DIFFER: encode_differ(
            Differ(
                own=end.statement,
                own_signature=end.signature,
                member=PEER,
                other=_real("session", "ends", 1, "statement"),
                other_signature=Signature(_real("session", "ends", 1, "signature")),
            )
        ),
    }


def _trust_signatures() -> None:
    def trust(_key: PublicKey, _stated: bytes, _signature: Signature, _what: str) -> None:
        """Take it as good."""

    patch.object(signed, "check_signature", trust).start()
    patch.object(requests, "check_signature", trust).start()


def deliver() -> Target:
    """A message of a peer: protobuf, the signed message, its payload, the statement in that."""
    _trust_signatures()

    def check(data: bytes) -> None:
        try:
            sent = peer_pb2.DeliverRequest.FromString(data)
        except google.protobuf.message.DecodeError:
            return
        message = signed.SignedMessage(
            kind=sent.kind,
            sender=MemberIndex(sent.sender),
            receiver=MemberIndex(sent.receiver),
            payload=sent.payload,
            signature=Signature(sent.signature),
        )
        try:
            payload = signed.check_message(message, CHAIN, peer=PEER, peer_key=PublicKey(bytes(32)), me=ME)
        except CallerError:
            return
        if sent.kind in _CODECS:
            _CODECS[sent.kind](payload)
        if sent.kind in _STATED:
            take, law = _STATED[sent.kind]
            try:
                stated = take(payload).statement
            except REFUSED:
                return
            law(stated)

    seeds = tuple(
        peer_pb2.DeliverRequest(
            kind=kind, sender=PEER, receiver=ME, payload=payload, signature=NO_SIGNATURE
        ).SerializeToString()
        for kind, payload in _payloads().items()
    )
    return Target(check=check, seeds=seeds, words=(*(kind.encode() for kind in Kind), *LENGTHS))


def rounds() -> Target:
    """A flush of frames: whatever was sent has a statement that can be checked."""

    def check(data: bytes) -> None:
        try:
            sent = peer_pb2.RoundsRequest.FromString(data)
        except google.protobuf.message.DecodeError:
            return
        flush = statements.FlushStatement(
            chain=CHAIN,
            sender=PEER,
            receiver=ME,
            number=sent.number,
            frames_root=statements.frames_root(
                (SessionId(frame.session), frame.chunk, frame.round, frame.data) for frame in sent.frames
            ),
        )
        stated = statements.encode_flush_statement(flush)
        expect(statements.decode_flush_statement(stated) == flush, f"expected {flush} to be encoded and decoded")

    frames = [
        peer_pb2.Frame(session=_real("session", "session"), chunk=7, round=number, data=b"shares") for number in (1, 2)
    ]
    sent = peer_pb2.RoundsRequest(number=1, frames=frames, signature=NO_SIGNATURE)
    return Target(check=check, seeds=(sent.SerializeToString(),))


def inquiry() -> Target:
    """An inquirer's question and its other calls; the first byte says which."""
    _trust_signatures()

    def ask(data: bytes) -> None:
        sent = inquiry_pb2.AskRequest.FromString(data)
        sealed = requests.SealedRequest(
            statement=sent.statement,
            signature=Signature(sent.signature),
            inquirer=PublicKey(sent.inquirer),
            tokens=tuple(sent.tokens),
            supervisor_copy=sent.supervisor_copy,
        )
        requests.check_sealed_request(sealed, CHAIN, now=NOW)
        if len(sealed.signature) == 64 and len(sealed.inquirer) == 32:  # the signature check refuses others
            kept = requests.encode_sealed_request(sealed)
            expect(requests.decode_sealed_request(kept) == sealed, "expected what was asked to be kept as it is")

    def call(data: bytes) -> None:
        sent = inquiry_pb2.FollowRequest.FromString(data).call
        made = signed.SignedCall(
            method="Follow",
            inquirer=PublicKey(sent.inquirer),
            nonce=sent.nonce,
            expiry_ms=Millis(sent.expiry_ms),
            payload=sent.payload,
            signature=Signature(sent.signature),
        )
        payload = signed.check_call(made, CHAIN, method="Follow", now=NOW)
        signed.CallWindow(1).admit(made, NOW)
        expect(payload == sent.payload, "expected the payload that was signed")

    def check(data: bytes) -> None:
        try:
            (ask if data[:1] == b"\0" else call)(data[1:])
        except (google.protobuf.message.DecodeError, *REFUSED):
            return

    asked = inquiry_pb2.AskRequest(
        statement=_real("request", "statement"),
        signature=_real("request", "signature"),
        inquirer=_real("request", "inquirer"),
        tokens=[bytes.fromhex(token) for token in VECTORS["request"]["tokens"]],
        supervisor_copy=_real("request", "supervisor_copy"),
    )
    made = inquiry_pb2.SignedCall(
        inquirer=_real("request", "inquirer"),
        nonce=_real("call", "nonce"),
        expiry_ms=VECTORS["call"]["expiry_ms"],
        payload=_real("call", "payload"),
        signature=_real("call", "signature"),
    )
    followed = inquiry_pb2.FollowRequest(call=made)
    seeds = (
        b"\0" + asked.SerializeToString(),
        b"\0" + _about_many(asked).SerializeToString(),
        b"\1" + followed.SerializeToString(),
    )
    words = (b"mpcnode/request/1", hashlib.sha256(_real("request", "supervisor_copy")).digest())
    return Target(check=check, seeds=seeds, words=words)


def _about_many(asked: inquiry_pb2.AskRequest) -> inquiry_pb2.AskRequest:
    """The same question about thousands."""
    one, blob = requests.decode_request(asked.statement), BlobId(bytes(range(32)))
    made = inquiry_pb2.AskRequest()
    made.CopyFrom(asked)
    made.statement = requests.encode_request(replace(one, subjects=5_000, pseudonyms=blob, identifiers=blob))
    return made


def plaintext() -> Target:
    """What is inside envelopes: rows and audit records of a participant with one or three values of either width."""

    def laws(shape: RowShape) -> tuple[Callable[[bytes], None], ...]:
        def encoded(contribution: Contribution) -> bytes:
            return encode_contribution(contribution, shape.ring)

        return (
            codec(lambda row: decode_contribution(row, shape), encoded, (NodeError,)),
            codec(lambda row: decode_columns(row, shape), lambda row: encode_columns(row, shape.ring), (NodeError,)),
            codec(lambda record: decode_audit_record(record, shape, 3), encode_audit_record, (NodeError,)),
        )

    checks = [law for values in (1, 3) for ring in (32, 64) for law in laws(RowShape(values, ring=ring))]

    def check(data: bytes) -> None:
        for law in checks:
            law(data)

    seeds = tuple(bytes.fromhex(each[name]) for each in VECTORS["contributions"] for name in ("row", "audit_record"))
    seeds += tuple(bytes.fromhex(each["row"]) for each in VECTORS["rows_of_32_bits"])
    return Target(check=check, seeds=seeds, size_max=512)


def offer() -> Target:
    """What a peer or an inquirer announces as a blob."""
    label = blobs.BlobLabel(query=QueryId(_real("query")), attempt=1, kind=blobs.BlobKind.ROWS, author=ME)
    manifest = Manifest(length=CHUNK_BYTES + 1, chunks=(Digest(bytes(32)), Digest(bytes(32))))
    seed = blobs.encode_offer(blobs.BlobOffer(label=label, manifest=manifest))
    return Target(check=codec(blobs.decode_offer, blobs.encode_offer, REFUSED), seeds=(seed,), words=LENGTHS)
