"""What a stranger sends as a key: refused by its length, neither remembered nor repeated."""

import pytest

from ledger.types import PublicKey, Signature
from mpcnode.errors import InvalidKeyError, WrongSignatureError
from mpcnode.sealing import keys
from mpcnode.sealing.keys import SigningKey, check_public_key, check_signature, verify

STATED = bytes(64)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 4_000_000])
def test_a_key_of_another_length_is_not_remembered_and_not_shown(size):
    before = keys._is_on_main_subgroup.cache_info().currsize
    key = PublicKey(bytes([7]) * size)
    assert not verify(key, STATED, Signature(bytes(64)))
    for refused, error in (
        (lambda: check_public_key(key), InvalidKeyError),
        (lambda: signed(key), WrongSignatureError),
    ):
        with pytest.raises(error) as caught:
            refused()
        assert len(str(caught.value)) < 200
    assert keys._is_on_main_subgroup.cache_info().currsize == before


def signed(key):
    check_signature(key, STATED, Signature(bytes(64)), "request")


def test_what_is_remembered_is_bounded():
    for number in range(1, 1_200):
        verify(SigningKey(number.to_bytes(32, "big")).public, STATED, Signature(bytes(64)))
    assert keys._is_on_main_subgroup.cache_info().currsize <= 1_024
