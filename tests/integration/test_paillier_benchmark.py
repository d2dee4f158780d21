"""`make bench ONLY=paillier` in small: every figure comes out."""

import math

import pytest

from scripts.bench.paillier import Extent, measure

SMALL = Extent(modulus_bits=512, rounds=1, batch=2, plaintexts=1)
NAMES = {
    "paillier_key_s",
    "paillier_announce_s",
    "paillier_accept_s",
    "paillier_announcement_bytes",
    "paillier_encrypt_3072_phe_ratio",
    "paillier_encrypt_ms",
    "paillier_encrypt_by_others_ms",
    "paillier_decrypt_ms",
    "paillier_64_bit_cross_terms_per_s",
    "paillier_1_bit_cross_terms_per_s",
}


@pytest.mark.bench
def test_every_figure_is_measured():
    figures = measure(SMALL)
    assert {figure.name for figure in figures} == NAMES
    for figure in figures:
        assert math.isfinite(figure.value), figure
        assert figure.value > 0, figure
