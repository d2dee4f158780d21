"""Keys: bad public keys are refused, signatures belong to one key and one statement, secrets stay inside."""

import copy
import pickle

import nacl.bindings
import nacl.signing
import pytest

from ledger.encoding import statement
from ledger.types import ChainId, PublicKey, Signature
from mpcnode.errors import InvalidKeyError, WrongSignatureError
from mpcnode.sealing.keys import (
    OpeningKey,
    SigningKey,
    certificate_statement,
    check_public_key,
    check_sealing_key,
    check_signature,
    verify,
)
from tests.support.odd_keys import (
    FORGED,
    NON_CANONICAL,
    SMALL_ORDER,
    P,
    mixed_order_forgery,
    same_signature,
)

CHAIN = ChainId(b"\x07" * 32)
STATED = statement("mpcnode/test/1", CHAIN, 5)
SMALL_ORDER_X25519 = {
    "zero": bytes(32),
    "one": (1).to_bytes(32, "little"),
    "minus one": (P - 1).to_bytes(32, "little"),
    "p": P.to_bytes(32, "little"),
    "order 8, a": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "order 8, b": bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
}


def statement_of(number: int) -> bytes:
    return statement("mpcnode/test/1", CHAIN, number)


@pytest.mark.parametrize("key", [*SMALL_ORDER.values(), *NON_CANONICAL.values(), b"", b"\x01" * 31])
def test_bad_signing_keys_are_refused(key):
    with pytest.raises(InvalidKeyError, match="prime order"):
        check_public_key(key)
    assert not verify(PublicKey(key), STATED, Signature(bytes(64)))


def test_a_mixed_order_key_is_refused_although_its_signature_would_verify():
    key, stated, signature = mixed_order_forgery(statement_of)
    assert nacl.bindings.crypto_sign_open(signature + stated, key) == stated
    with pytest.raises(InvalidKeyError):
        check_public_key(key)
    assert not verify(PublicKey(key), stated, Signature(signature))


def test_a_small_order_key_verifies_nothing_even_where_the_equation_holds():
    for key in SMALL_ORDER.values():
        assert not verify(PublicKey(key), STATED, Signature(FORGED))


@pytest.mark.parametrize("key", [*SMALL_ORDER_X25519.values(), bytes(31)])
def test_bad_sealing_keys_are_refused(key):
    with pytest.raises(InvalidKeyError):
        check_sealing_key(key)


def test_good_keys_pass():
    assert check_public_key(SigningKey(b"\x01" * 32).public) == SigningKey(b"\x01" * 32).public
    assert check_sealing_key(OpeningKey(b"\x01" * 32).public) == OpeningKey(b"\x01" * 32).public


def test_keys_are_those_of_the_rfcs():
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert SigningKey(seed).public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    scalar = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    assert OpeningKey(scalar).public.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"


def test_a_signature_is_verified_by_the_library_and_by_us():
    key = SigningKey(b"\x02" * 32)
    signature = key.sign(STATED)
    nacl.signing.VerifyKey(key.public).verify(STATED, signature)
    assert verify(key.public, STATED, signature)
    check_signature(key.public, STATED, signature, "test")


@pytest.mark.parametrize("at", [0, 31, 32, 63])
def test_a_changed_signature_is_refused(at):
    key = SigningKey(b"\x02" * 32)
    signature = bytearray(key.sign(STATED))
    signature[at] ^= 1
    assert not verify(key.public, STATED, Signature(bytes(signature)))


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_has_64_bytes(size):
    key = SigningKey(b"\x02" * 32)
    padded = (key.sign(STATED) + b"\0")[:size]
    assert not verify(key.public, STATED, Signature(padded))


def test_the_malleable_twin_of_a_signature_is_refused():
    key = SigningKey(b"\x02" * 32)
    signature = key.sign(STATED)
    assert not verify(key.public, STATED, Signature(same_signature(signature)))


def test_another_statement_or_key_is_refused():
    key, other = SigningKey(b"\x02" * 32), SigningKey(b"\x03" * 32)
    signature = key.sign(STATED)
    assert not verify(key.public, statement("mpcnode/test/1", CHAIN, 6), signature)
    with pytest.raises(WrongSignatureError, match=other.public.hex()):
        check_signature(other.public, STATED, signature, "test")


@pytest.mark.parametrize("stated", [b"", b"\0" * 32, b"\0" * 65])
def test_only_statements_are_signed(stated):
    with pytest.raises(ValueError, match="statement"):
        SigningKey(b"\x02" * 32).sign(stated)


@pytest.mark.parametrize("kind", [SigningKey, OpeningKey])
def test_secrets_neither_print_nor_pickle_nor_copy(kind):
    key = kind(b"S" * 32)
    for text in (repr(key), str(key), f"{key}"):
        assert text == f"{kind.__name__}(secret)"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            leak(key)
    assert key.secret() == b"S" * 32


@pytest.mark.parametrize("kind", [SigningKey, OpeningKey])
def test_secrets_have_32_bytes(kind):
    with pytest.raises(ValueError, match="got 31"):
        kind(b"S" * 31)


def test_a_certificate_is_signed_before_a_chain_exists():
    stated = certificate_statement(b"\x09" * 32)
    assert stated == b"mpcnode/tls/1".ljust(32, b"\0") + bytes(32) + b"\x09" * 32
