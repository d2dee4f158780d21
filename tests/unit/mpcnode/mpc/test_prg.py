import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc import Streams, keystream
from mpcnode.types import SessionId

SESSION = SessionId(b"s" * 32)


def test_keystream_is_aes_256_in_counter_mode() -> None:
    # AES-256 of a zero block under the zero key (NIST CAVP, ECBVarTxt256 and others)
    assert keystream(bytes(32), 16).tobytes().hex() == "dc95c078a2408989ad48a21492842087"
    size = 2 * 256 * 1024 + 5
    whole = Cipher(algorithms.AES256(b"k" * 32), modes.CTR(bytes(16))).encryptor().update(bytes(size))
    assert keystream(b"k" * 32, size).tobytes() == whole
    assert keystream(b"k" * 32, 0).size == 0


def test_second_draw_of_a_label_raises() -> None:
    streams = Streams(b"k" * 32, SESSION)
    first = streams.draw("points", 64)
    other = streams.draw("grades", 64)
    assert not np.array_equal(first, other)
    with pytest.raises(CorrelationReuseError, match="stream points, chunk 0: expected to be drawn once"):
        streams.draw("points", 64)


def test_chunks_are_drawn_in_order_and_none_twice() -> None:
    streams = Streams(b"k" * 32, SESSION)
    drawn = [streams.draw("points", 64, chunk).tobytes() for chunk in (0, 1, 3)]
    drawn.append(streams.draw("grades", 64, 3).tobytes())
    assert len(set(drawn)) == 4
    with pytest.raises(CorrelationReuseError, match="stream points, chunk 3: expected to be drawn once"):
        streams.draw("points", 64, 3)
    for chunk in (0, 2):
        with pytest.raises(CorrelationReuseError, match=f"stream flags, chunk {chunk}: expected chunk 3 or later"):
            streams.draw("flags", 64, chunk)


def test_streams_differ_by_seed_session_chunk_and_label() -> None:
    drawn = {
        Streams(seed, SessionId(session)).draw(label, 32, chunk).tobytes()
        for seed in (b"k" * 32, b"l" * 32)
        for session in (b"s" * 32, b"t" * 32)
        for chunk in (0, 1, 1 << 24)
        for label in ("a", "b")
    }
    assert len(drawn) == 24


def test_seed_of_another_length_and_secrets_in_logs() -> None:
    with pytest.raises(ValueError, match="32 bytes, got 31"):
        Streams(bytes(31), SESSION)
    assert "kk" not in repr(Streams(b"k" * 32, SESSION))
