"""Signed messages between daemons and signed calls of inquirers (docs/protocol.md 1.1 and 7).

A signature is verified over the payload's bytes as they arrived; only then does anybody parse them. Who the sender is
follows from the channel; the message must say the same, and must name its receiver.
"""

import hashlib
from dataclasses import dataclass, field

from ledger.encoding import statement
from ledger.types import ChainId, Millis, PublicKey, Signature
from mpcnode.errors import ErrorCode, MalformedMessageError, ReplayedError, UnavailableError, WrongPeerError
from mpcnode.sealing.keys import SigningKey, check_signature
from mpcnode.types import MemberIndex

NONCE_BYTES = 32
NAME_CHARACTERS_MAX = 32

CALL_AHEAD_MS_MAX = 300_000
"""How far ahead a call's expiry may lie, ms."""

CLOCK_SKEW_MS = 30_000
"""How far the clocks of an inquirer and an operator may differ, ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedMessage:
    """One member's word to another."""

    kind: str
    sender: MemberIndex
    receiver: MemberIndex
    payload: bytes = field(repr=False)
    signature: Signature = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCall:
    """An inquirer's call of one of the operator's methods."""

    method: str
    inquirer: PublicKey
    nonce: bytes
    """32 random bytes."""
    expiry_ms: Millis
    payload: bytes = field(repr=False)
    signature: Signature = field(repr=False)


def message_statement(chain: ChainId, kind: str, sender: MemberIndex, receiver: MemberIndex, payload: bytes) -> bytes:
    """What a message's sender signs."""
    return statement("mpcnode/message/1", chain, kind, sender, receiver, hashlib.sha256(payload).digest())


def sign_message(
    key: SigningKey, chain: ChainId, *, kind: str, sender: MemberIndex, receiver: MemberIndex, payload: bytes
) -> SignedMessage:
    """Sign a message."""
    signature = key.sign(message_statement(chain, kind, sender, receiver, payload))
    return SignedMessage(kind=kind, sender=sender, receiver=receiver, payload=payload, signature=signature)


def check_message(
    message: SignedMessage, chain: ChainId, *, peer: MemberIndex, peer_key: PublicKey, me: MemberIndex
) -> bytes:
    """Return the payload of a message that the authenticated peer signed for this member.

    Args:
        message: as received.
        chain: the consortium's.
        peer: the member whose certificate the channel shows.
        peer_key: that member's identity key.
        me: this member.

    Raises:
        WrongPeerError: it names another sender or receiver.
        MalformedMessageError: its kind cannot be a word.
        WrongSignatureError: the peer did not sign it.
    """
    if message.sender != peer:
        raise WrongPeerError(f"message: expected sender {peer}, got {message.sender}")
    if message.receiver != me:
        raise WrongPeerError(f"message: expected receiver {me}, got {message.receiver}")
    _check_name(message.kind, "message kind")
    stated = message_statement(chain, message.kind, message.sender, message.receiver, message.payload)
    check_signature(peer_key, stated, message.signature, "message")
    return message.payload


def call_statement(chain: ChainId, method: str, nonce: bytes, expiry_ms: Millis, payload: bytes) -> bytes:
    """What an inquirer signs of a call."""
    return statement("mpcnode/call/1", chain, method, nonce, expiry_ms, hashlib.sha256(payload).digest())


def sign_call(
    key: SigningKey, chain: ChainId, *, method: str, nonce: bytes, expiry_ms: Millis, payload: bytes
) -> SignedCall:
    """Sign a call."""
    return SignedCall(
        method=method,
        inquirer=key.public,
        nonce=nonce,
        expiry_ms=expiry_ms,
        payload=payload,
        signature=key.sign(call_statement(chain, method, nonce, expiry_ms, payload)),
    )


def check_call(call: SignedCall, chain: ChainId, *, method: str, now: Millis) -> bytes:
    """Return the payload of a call that its inquirer signed for this method, and that is neither old nor far ahead.

    Whether the inquirer is registered and the call is new (`CallWindow`) are the next questions.

    Raises:
        MalformedMessageError: the nonce has another width, the expiry does not fit, or another method was signed.
        ReplayedError: it has expired, or expires too far ahead.
        WrongSignatureError: the inquirer did not sign it.
    """
    if call.method != method:
        raise MalformedMessageError(f"call: expected the method {method}, got {call.method!r}")
    _check_name(call.method, "call method")
    if len(call.nonce) != NONCE_BYTES:
        raise MalformedMessageError(f"call nonce: expected {NONCE_BYTES} bytes, got {len(call.nonce)}")
    if not 0 <= call.expiry_ms < 1 << 64:
        raise MalformedMessageError(f"call expiry: expected 64 bits, got {call.expiry_ms}")
    if now > call.expiry_ms + CLOCK_SKEW_MS:
        raise ReplayedError(f"call: expected an expiry after {now}, got {call.expiry_ms}")
    if call.expiry_ms > now + CALL_AHEAD_MS_MAX + CLOCK_SKEW_MS:
        raise ReplayedError(f"call: expected an expiry within {CALL_AHEAD_MS_MAX} ms of {now}, got {call.expiry_ms}")
    stated = call_statement(chain, call.method, call.nonce, call.expiry_ms, call.payload)
    check_signature(call.inquirer, stated, call.signature, "call")
    return call.payload


class CallWindow:
    """Calls that were made and have not expired yet: none is admitted twice.

    In memory only: a call outlives a restart by at most `CALL_AHEAD_MS_MAX`, and every method bears being repeated.
    """

    def __init__(self, calls_max: int) -> None:
        """Take the number of calls to remember at most."""
        self._calls_max = calls_max
        self._forget_at: dict[tuple[PublicKey, bytes], Millis] = {}

    def admit(self, call: SignedCall, now: Millis) -> None:
        """Remember a checked call.

        Raises:
            ReplayedError: it was made before.
            UnavailableError: too many calls are remembered.
        """
        name = (call.inquirer, call.nonce)
        if name in self._forget_at:
            raise ReplayedError("call: expected a new nonce, got one that was used")
        if len(self._forget_at) >= self._calls_max:
            self._forget_at = {known: until for known, until in self._forget_at.items() if until >= now}
        if len(self._forget_at) >= self._calls_max:
            raise UnavailableError(f"expected fewer than {self._calls_max} calls at a time, got more", ErrorCode.BUSY)
        self._forget_at[name] = Millis(call.expiry_ms + CLOCK_SKEW_MS)


def _check_name(name: str, what: str) -> None:
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX or not name.isascii() or "\0" in name:
        raise MalformedMessageError(f"{what}: expected 1 to {NAME_CHARACTERS_MAX} ASCII characters, got {name!r}")
