import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpcnode.mpc import keystream
from mpcnode.mpc.ot.columns import Columns, transpose
from mpcnode.mpc.ot.hashing import ColumnHash, RowHash

KEY = b"k" * 32


def test_rows_are_hashed_as_documented() -> None:
    rows = keystream(KEY, 16 * 9000).view(np.uint64).reshape(-1, 2)
    key = hashlib.blake2b(b"ctx", digest_size=16, person=b"mpc-ot-rows").digest()
    encrypt = Cipher(algorithms.AES128(key), modes.ECB()).encryptor().update  # noqa: S305
    found = RowHash(b"ctx")(rows, 1 << 40)
    for place in (0, 1, 8191, 8192, 8999):
        inner = encrypt(rows[place].tobytes())
        tweak = ((1 << 40) + place).to_bytes(16, "little")
        outer = encrypt(bytes(a ^ b for a, b in zip(inner, tweak, strict=True)))
        assert found[place].tobytes() == bytes(a ^ b for a, b in zip(inner, outer, strict=True))


def times(x: int, y: int) -> int:
    """The field of GCM, NIST SP 800-38D: the first bit of a block is its highest and the constant term."""
    product = 0
    for i in range(128):
        if y >> (127 - i) & 1:
            product ^= x
        x = (x >> 1) ^ (0xE1 << 120) if x & 1 else x >> 1
    return product


def test_columns_are_hashed_by_a_polynomial() -> None:
    column = keystream(KEY, 80)
    h = int.from_bytes(Cipher(algorithms.AES256(b"c" * 32), modes.ECB()).encryptor().update(bytes(16)), "big")  # noqa: S305
    value = 0
    for at in range(0, 80, 16):
        value = times(value ^ int.from_bytes(column[at : at + 16].tobytes(), "big"), h)
    assert ColumnHash(b"c" * 32, 80)(column[None]).tobytes() == times(value, h).to_bytes(16, "big")


def test_the_hash_of_columns_is_linear_and_depends_on_its_key() -> None:
    one, two = keystream(KEY, 400).reshape(2, 200)
    hashed = ColumnHash(KEY, 200)(np.stack([one, two, one ^ two]))
    assert (hashed[2] == hashed[0] ^ hashed[1]).all()
    assert (hashed[0] != ColumnHash(b"l" * 32, 200)(one[None])).any()


@pytest.mark.parametrize("size", [8, 16, 272, 2760])
def test_transposition(size: int) -> None:
    columns = keystream(KEY, 128 * size).reshape(128, size)
    bits = np.unpackbits(columns, axis=1, bitorder="little")
    rows = transpose(columns.copy(), 8 * size - 5)
    assert rows.shape == (8 * size - 5, 2)
    assert (np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little") == bits.T[: 8 * size - 5]).all()


def test_streams_go_on() -> None:
    keys = [b"a" * 32, b"b" * 32]
    twice, once = Columns(keys), Columns(keys)
    assert (np.concatenate([twice.draw(16), twice.draw(48)], axis=1) == once.draw(64)).all()
