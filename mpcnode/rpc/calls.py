"""Signed calls of inquirers as they arrive: checked before anything that they ask is tried, and made once only."""

from collections.abc import Callable

from ledger.types import ChainId, Millis, PublicKey, Signature
from mpcnode.errors import MalformedMessageError
from mpcnode.roles.ports import Clock
from mpcnode.sealing.messages import CallWindow, SignedCall, check_call
from mpcnode.v1 import inquiry_pb2

CALLS_MAX = 10_000
"""Signed calls of each inquirer's last five minutes that the operator remembers, so that none is made twice."""


class CallGate:
    """Lets the calls of registered inquirers through, whatever service they are for."""

    def __init__(self, chain: ChainId, clock: Clock, check_inquirer: Callable[[PublicKey], None]) -> None:
        """Take the chain that calls must name, the clock, and what refuses whoever is not registered."""
        self._chain = chain
        self._clock = clock
        self._check_inquirer = check_inquirer
        self._windows: dict[PublicKey, CallWindow] = {}
        """By registered inquirer: nobody else's calls can fill one's window."""

    def check(self, sent: inquiry_pb2.SignedCall, method: str, *, payload_bytes: int) -> SignedCall:
        """Return a call that a registered inquirer signed for this method, for the first time.

        Raises:
            MalformedMessageError: it is for another method, or its payload has another width.
            WrongSignatureError: the inquirer did not sign it.
            ReplayedError: it has expired, expires too far ahead, or was made before.
            NotAllowedError: the inquirer is not registered.
        """
        now = self._clock.now_ms()
        call = SignedCall(
            method=method,
            inquirer=PublicKey(sent.inquirer),
            nonce=sent.nonce,
            expiry_ms=Millis(sent.expiry_ms),
            payload=sent.payload,
            signature=Signature(sent.signature),
        )
        payload = check_call(call, self._chain, method=method, now=now)
        if len(payload) != payload_bytes:
            raise MalformedMessageError(f"{method}: expected a payload of {payload_bytes} bytes, got {len(payload)}")
        self._check_inquirer(call.inquirer)
        self._windows.setdefault(call.inquirer, CallWindow(CALLS_MAX)).admit(call, now)
        return call


def sent_call(call: SignedCall) -> inquiry_pb2.SignedCall:
    """Return a signed call as it travels."""
    return inquiry_pb2.SignedCall(
        inquirer=call.inquirer,
        nonce=call.nonce,
        expiry_ms=call.expiry_ms,
        payload=call.payload,
        signature=call.signature,
    )
