"""Ed25519 at its edges: keys that sign anything, other encodings of a signature, a second signature of a statement."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

import nacl.bindings
import nacl.signing

from ledger.encoding import transaction_statement
from ledger.types import Signature, Transaction
from tests.support.chains import member_key

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493

SMALL_ORDER = {
    "neutral": (1).to_bytes(32, "little"),
    "order 2": (P - 1).to_bytes(32, "little"),
    "order 4": bytes(32),
    "order 4, sign": bytes(31) + b"\x80",
    "order 8, a": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "order 8, a, sign": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    "order 8, b": bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    "order 8, b, sign": bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
}
NON_CANONICAL = {
    "y = p": P.to_bytes(32, "little"),
    "y = p + 1": (P + 1).to_bytes(32, "little"),
    "neutral with a sign": bytes([1, *[0] * 30, 0x80]),
    "all ones": b"\xff" * 32,
}
FORGED = (1).to_bytes(32, "little") + bytes(32)
"""Of the neutral point as R, and S = 0: the equation holds for a key of small order and many statements."""

_add = nacl.bindings.crypto_core_ed25519_add
_base = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp


def _little(number: int) -> bytes:
    return (number % ORDER).to_bytes(32, "little")


def mixed_order_forgery(statement_of: Callable[[int], bytes]) -> tuple[bytes, bytes, bytes]:
    """Key, statement and signature: a good key plus a point of order 8, and a hash that is a multiple of 8.

    The key is canonical and on the curve, but outside the main subgroup; the verification equation holds.
    """
    secret, nonce = 12345, 67890
    key = mixed_order_key(secret)
    commitment = _base(_little(nonce))
    for number in range(1000):
        stated = statement_of(number)
        challenge = int.from_bytes(hashlib.sha512(commitment + key + stated).digest(), "little") % ORDER
        if challenge % 8 == 0:
            return key, stated, commitment + _little(nonce + challenge * secret)
    raise AssertionError("no hash was a multiple of 8")


def mixed_order_key(secret: int) -> bytes:
    return _add(_base(_little(secret)), SMALL_ORDER["order 8, a"])


def second_signature(key: nacl.signing.SigningKey, stated: bytes, nonce: int) -> bytes:
    """A valid signature with a nonce of the signer's choice: as many as he likes, of one statement."""
    expanded = bytearray(hashlib.sha512(bytes(key)).digest()[:32])
    expanded[0] &= 248
    expanded[31] = expanded[31] & 63 | 64
    commitment, public = _base(_little(nonce)), bytes(key.verify_key)
    challenge = int.from_bytes(hashlib.sha512(commitment + public + stated).digest(), "little")
    return commitment + _little(nonce + challenge * int.from_bytes(expanded, "little"))


def same_signature(signature: bytes) -> bytes:
    """Its S plus the order of the group: the same number to whoever does not ask for the smallest."""
    return signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")


def bad_signature(signature: bytes, rng: random.Random) -> bytes:
    point = rng.choice([*SMALL_ORDER.values(), *NON_CANONICAL.values()])
    return rng.choice(
        (
            same_signature(signature),
            point + signature[32:],
            point + bytes(32),
            signature[:32] + bytes(32),
            signature[:32] + _little(ORDER - int.from_bytes(signature[32:], "little")),
            signature[:63] + bytes([signature[63] ^ 0x80]),
            signature[:31] + bytes([signature[31] ^ 0x80]) + signature[32:],
        )
    )


def signed_twice(tx: Transaction, nonce: int) -> Transaction:
    """Every signature made again by its signer, with another nonce."""
    of = {bytes(member_key(index).verify_key): member_key(index) for index in range(4)}
    cosigners = tuple(
        replace(each, signature=Signature(second_signature(of[each.key], each.statement, nonce)))
        for each in tx.cosigners
    )
    changed = replace(tx, cosigners=cosigners)
    return replace(changed, signature=Signature(second_signature(of[tx.sender], transaction_statement(changed), nonce)))
