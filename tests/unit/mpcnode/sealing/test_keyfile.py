"""Key files: what they hold comes back, nothing in them can be changed, weak ones are refused."""

import json

import pytest

from mpcnode.errors import KeyFileError, PassphraseError
from mpcnode.sealing.keyfile import (
    FILE_BYTES_MAX,
    MEMORY_BYTES_MIN,
    UNPROTECTED,
    KeyKind,
    Protection,
    StoredKey,
    decode_key_file,
    encode_key_file,
    is_protected,
)

KEY = StoredKey(kind=KeyKind.IDENTITY, public=b"\x01" * 32, secret=b"\x02" * 32)
PROTECTION = Protection(passphrase=b"correct horse", salt=b"\x03" * 16, nonce=b"\x04" * 24)


@pytest.fixture(scope="module")
def protected():
    return encode_key_file(KEY, PROTECTION)


def changed(data, **fields):
    return json.dumps(json.loads(data) | fields).encode()


def test_the_passphrase_opens_it(protected):
    assert is_protected(protected)
    assert decode_key_file(protected, KeyKind.IDENTITY, b"correct horse") == KEY
    assert KEY.secret.hex().encode() not in protected


def test_another_passphrase_does_not(protected):
    with pytest.raises(PassphraseError):
        decode_key_file(protected, KeyKind.IDENTITY, b"correct horsf")


def test_the_unprotected_form_says_so_and_opens_only_when_asked_for(protected):
    plain = encode_key_file(KEY, None)
    assert UNPROTECTED.encode() in plain
    assert not is_protected(plain)
    assert decode_key_file(plain, KeyKind.IDENTITY, None) == KEY
    with pytest.raises(KeyFileError, match="passphrase"):
        decode_key_file(plain, KeyKind.IDENTITY, b"correct horse")
    with pytest.raises(KeyFileError, match="passphrase"):
        decode_key_file(protected, KeyKind.IDENTITY, None)


@pytest.mark.parametrize(
    "weak", [{"operations": 1}, {"memory_bytes": 8192}, {"operations": 11}, {"memory_bytes": 2**40}]
)
def test_a_file_that_asks_for_less_than_the_floor_or_more_than_the_ceiling_is_refused(protected, weak):
    with pytest.raises(KeyFileError, match=f"got {next(iter(weak.values()))}"):
        decode_key_file(changed(protected, **weak), KeyKind.IDENTITY, b"correct horse")


def test_a_weak_file_is_not_made():
    weak = Protection(passphrase=b"p", salt=bytes(16), nonce=bytes(24), memory_bytes=MEMORY_BYTES_MIN - 1)
    with pytest.raises(KeyFileError):
        encode_key_file(KEY, weak)


def test_a_key_serves_one_use(protected):
    for kind in set(KeyKind) - {KeyKind.IDENTITY}:
        with pytest.raises(KeyFileError, match=f"expected a key of kind {kind}"):
            decode_key_file(protected, kind, b"correct horse")


def test_the_kind_and_the_public_half_cannot_be_changed(protected):
    with pytest.raises(KeyFileError, match="public half"):
        decode_key_file(changed(protected, kind="vote"), KeyKind.VOTE, b"correct horse")
    with pytest.raises(KeyFileError, match="public half"):
        decode_key_file(changed(protected, public="05" * 32), KeyKind.IDENTITY, b"correct horse")


@pytest.mark.parametrize(
    "fields",
    [
        {"box": "00" * 80},
        {"box": ""},
        {"box": "zz"},
        {"box": 5},
        {"salt": "00" * 15},
        {"nonce": "00" * 25},
        {"operations": "3"},
        {"memory_bytes": True},
        {"public": "00" * 31},
        {"protection": "rot13"},
        {"protection": ["argon2id"]},
        {"format": "mpcnode/key/2"},
        {"more": 1},
        {"kind": 1},
    ],
)
def test_a_damaged_file_is_refused(protected, fields):
    with pytest.raises(KeyFileError):
        decode_key_file(changed(protected, **fields), KeyKind.IDENTITY, b"correct horse")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"5", b"\xff\xfe", b"[" * 9000, b" " * (FILE_BYTES_MAX + 1), b"{}"])
def test_other_bytes_are_refused(data):
    with pytest.raises(KeyFileError):
        decode_key_file(data, KeyKind.IDENTITY, None)
    with pytest.raises(KeyFileError):
        is_protected(data)


def test_pem_is_kept_for_tls_only():
    pem = StoredKey(kind=KeyKind.TLS, public=b"", secret=b"-----BEGIN PRIVATE KEY-----")
    assert decode_key_file(encode_key_file(pem, None), KeyKind.TLS, None) == pem
    with pytest.raises(ValueError, match="got a secret of 3 bytes"):
        encode_key_file(StoredKey(kind=KeyKind.VOTE, public=b"", secret=b"abc"), None)
    with pytest.raises(KeyFileError, match="got 3 bytes"):
        decode_key_file(changed(encode_key_file(KEY, None), secret=b"abc".hex()), KeyKind.IDENTITY, None)


def test_secrets_do_not_print():
    assert "\\x02" not in repr(KEY)
    assert "horse" not in repr(PROTECTION)
