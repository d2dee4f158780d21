"""Boxes are libsodium's sealed boxes, to the bit and both ways."""

import hashlib

import nacl.public
import pytest

from mpcnode.errors import InvalidKeyError, SealedBoxError
from mpcnode.sealing.boxes import BOX_OVERHEAD, open_box, seal
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import SealingKey

KEY = OpeningKey(b"\x11" * 32)
EPHEMERAL = b"\x22" * 32


@pytest.mark.parametrize("size", [0, 1, 152, 5000])
def test_libsodium_opens_what_we_seal(size):
    box = seal(b"x" * size, KEY.public, EPHEMERAL)
    assert len(box) == size + BOX_OVERHEAD
    assert nacl.public.SealedBox(nacl.public.PrivateKey(KEY.secret())).decrypt(box) == b"x" * size


@pytest.mark.parametrize("size", [0, 1, 152, 5000])
def test_we_open_what_libsodium_seals(size):
    box = nacl.public.SealedBox(nacl.public.PublicKey(KEY.public)).encrypt(b"y" * size)
    assert open_box(box, KEY) == b"y" * size


def test_the_bytes_follow_from_key_plaintext_and_ephemeral_secret():
    private = nacl.public.PrivateKey(EPHEMERAL)
    public = bytes(private.public_key)
    nonce = hashlib.blake2b(public + KEY.public, digest_size=24).digest()
    expected = nacl.public.Box(private, nacl.public.PublicKey(KEY.public)).encrypt(b"text", nonce).ciphertext
    assert seal(b"text", KEY.public, EPHEMERAL) == public + expected
    assert seal(b"text", KEY.public, EPHEMERAL) == seal(b"text", KEY.public, EPHEMERAL)
    assert seal(b"text", KEY.public, b"\x23" * 32)[:32] != public


@pytest.mark.parametrize("at", [0, 32, 48, 51])
def test_a_changed_box_does_not_open(at):
    box = bytearray(seal(b"text", KEY.public, EPHEMERAL))
    box[at] ^= 1
    with pytest.raises(SealedBoxError):
        open_box(bytes(box), KEY)


@pytest.mark.parametrize("size", [0, 47])
def test_a_short_box_does_not_open(size):
    with pytest.raises(SealedBoxError, match=f"got {size}"):
        open_box(bytes(size), KEY)


def test_another_key_does_not_open_it():
    with pytest.raises(SealedBoxError):
        open_box(seal(b"text", KEY.public, EPHEMERAL), OpeningKey(b"\x12" * 32))


@pytest.mark.parametrize("key", [bytes(32), (1).to_bytes(32, "little"), bytes(31)])
def test_nothing_is_sealed_to_a_key_that_everybody_could_open(key):
    with pytest.raises(InvalidKeyError):
        seal(b"text", SealingKey(key), EPHEMERAL)


def test_an_ephemeral_secret_has_32_bytes():
    with pytest.raises(ValueError, match="got 31"):
        seal(b"text", KEY.public, bytes(31))
