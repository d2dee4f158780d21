"""Key pairs of members, inquirers and the supervisor, and the one verifier of signatures (docs/protocol.md section 2).

Only statements are signed: a fixed number of words that starts with a domain, so no signature means two things. Secrets
neither print nor pickle; they leave a key pair only through `secret()`, for a key file.
"""

from functools import lru_cache
from typing import NoReturn

import nacl.bindings
import nacl.exceptions

from ledger.encoding import WORD_BYTES, statement
from ledger.types import ChainId, PublicKey, Signature
from mpcnode.errors import InvalidKeyError, WrongSignatureError
from mpcnode.types import SealingKey

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

_KEYS_REMEMBERED = 1024
"""Ed25519 keys whose validity is remembered; more than a consortium's members and inquirers in use."""

_TEST_SCALAR = bytes([1] * 32)
"""Any scalar will do: X25519 clamps it to a multiple of 8, which sends every point of small order to zero."""


class SecretValue:
    """Base of everything that holds a secret: it does not print, and refuses to be pickled or copied."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(secret)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and is not serialised")


class SigningKey(SecretValue):
    """Ed25519 key pair: a member's identity, a validator's vote key, or an inquirer's key."""

    __slots__ = ("_expanded", "_seed", "public")

    public: PublicKey

    def __init__(self, seed: bytes) -> None:
        """Take the 32-byte seed of RFC 8032."""
        self._seed = _exactly(seed, SEED_BYTES, "seed")
        public, self._expanded = nacl.bindings.crypto_sign_seed_keypair(self._seed)
        self.public = PublicKey(public)

    def sign(self, stated: bytes) -> Signature:
        """Sign a statement.

        Raises:
            ValueError: it is not a statement; a programming error.
        """
        if len(stated) < 2 * WORD_BYTES or len(stated) % WORD_BYTES:
            raise ValueError(f"expected a statement of at least 2 whole words, got {len(stated)} bytes")
        return Signature(nacl.bindings.crypto_sign(stated, self._expanded)[:SIGNATURE_BYTES])

    def secret(self) -> bytes:
        """Return the seed, to be kept in a key file."""
        return self._seed


class OpeningKey(SecretValue):
    """X25519 key pair: opens what was sealed to its public half."""

    __slots__ = ("_secret", "public")

    public: SealingKey

    def __init__(self, secret: bytes) -> None:
        """Take the 32-byte secret of RFC 7748; it is clamped when used."""
        self._secret = _exactly(secret, SEED_BYTES, "secret")
        self.public = SealingKey(nacl.bindings.crypto_scalarmult_base(self._secret))

    def secret(self) -> bytes:
        """Return the secret, for `mpcnode.sealing.boxes` and for a key file."""
        return self._secret


def _exactly(value: bytes, size: int, what: str) -> bytes:
    if len(value) != size:
        raise ValueError(f"{what}: expected {size} bytes, got {len(value)}")
    return bytes(value)


def _is_valid_point(key: bytes) -> bool:
    # the length first: what is remembered must not grow with what a stranger sends as a key
    return len(key) == PUBLIC_KEY_BYTES and _is_on_main_subgroup(bytes(key))


@lru_cache(maxsize=_KEYS_REMEMBERED)
def _is_on_main_subgroup(key: bytes) -> bool:
    return nacl.bindings.crypto_core_ed25519_is_valid_point(key)


def _shown(key: bytes) -> str:
    """A key as a message may show it: whatever was sent as one is not repeated in full."""
    return bytes(key).hex() if len(key) == PUBLIC_KEY_BYTES else f"{len(key)} bytes"


def check_public_key(key: bytes) -> PublicKey:
    """Return an Ed25519 public key that is canonical, on the main subgroup and not of small order.

    Raises:
        InvalidKeyError: it is not; somebody could make one signature verify for many messages.
    """
    if not _is_valid_point(key):
        raise InvalidKeyError(f"expected an Ed25519 public key of prime order, got {_shown(key)}")
    return PublicKey(bytes(key))


def check_sealing_key(key: bytes) -> SealingKey:
    """Return an X25519 public key that is not of small order.

    Raises:
        InvalidKeyError: it is; everybody could open what is sealed to it.
    """
    if len(key) != 32:
        raise InvalidKeyError(f"expected an X25519 public key of 32 bytes, got {len(key)}")
    try:
        nacl.bindings.crypto_scalarmult(_TEST_SCALAR, bytes(key))
    except nacl.exceptions.RuntimeError as error:
        raise InvalidKeyError(f"expected an X25519 public key of large order, got {bytes(key).hex()}") from error
    return SealingKey(bytes(key))


def verify(key: PublicKey, stated: bytes, signature: Signature) -> bool:
    """Whether a signature over a statement is the key's; false for every key that `check_public_key` refuses."""
    if len(signature) != SIGNATURE_BYTES or not _is_valid_point(key):
        return False
    try:
        nacl.bindings.crypto_sign_open(bytes(signature) + stated, bytes(key))
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def check_signature(key: PublicKey, stated: bytes, signature: Signature, what: str) -> None:
    """Check a signature.

    Raises:
        WrongSignatureError: it is not the key's over these bytes.
    """
    if not verify(key, stated, signature):
        raise WrongSignatureError(f"{what}: expected a signature of {_shown(key)}, got another one")


def certificate_statement(fingerprint: bytes) -> bytes:
    """What a member's identity signs of its TLS certificate: SHA-256 of the DER bytes. No chain exists yet."""
    return statement("mpcnode/tls/1", ChainId(bytes(32)), fingerprint)
