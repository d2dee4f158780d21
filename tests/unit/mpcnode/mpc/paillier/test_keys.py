import logging

import pytest
from gmpy2 import jacobi, mpz, powmod
from hypothesis import given
from hypothesis import strategies as st
from phe import EncryptedNumber, PaillierPrivateKey, PaillierPublicKey

from mpcnode.mpc.paillier import MODULUS_BITS, generate
from mpcnode.mpc.paillier.drawing import draw_unit
from mpcnode.mpc.paillier.keys import EXPONENT_BYTES
from mpcnode.mpc.paillier.powers import FixedBase
from tests.support.paillier import key_of, seeded

KEY = key_of(0)
PLAINTEXTS = st.one_of(
    st.sampled_from([0, 1, 2**64, int(KEY.encryption.n) - 1]), st.integers(0, int(KEY.encryption.n) - 1)
)


def agrees_with_phe(key, plaintext, source):
    public, private = key.encryption.public, key.private
    for ciphertext in (key.encrypt(mpz(plaintext), source), key.encryption.encrypt(mpz(plaintext), source)):
        assert private.raw_decrypt(int(ciphertext)) == plaintext
        assert key.decrypt(ciphertext) == plaintext
    assert key.decrypt(mpz(public.raw_encrypt(plaintext))) == plaintext


@given(PLAINTEXTS, st.integers(0, 2**32))
def test_what_we_encrypt_phe_decrypts_and_the_other_way_round(plaintext, seed):
    agrees_with_phe(KEY, plaintext, seeded(seed))


@pytest.mark.parametrize("modulus_bits", [2048, MODULUS_BITS])
def test_so_it_is_at_full_length(modulus_bits):
    key = key_of(1, modulus_bits)
    n = int(key.encryption.n)
    assert n.bit_length() == key.encryption.modulus_bits == modulus_bits
    assert key.encryption.ciphertext_bytes == modulus_bits // 4
    for plaintext in (0, 1, n // 3, n - 1):
        agrees_with_phe(key, plaintext, seeded(plaintext % 1000))


def test_keys_are_of_3072_bits_unless_told():
    assert MODULUS_BITS == 3072
    assert generate.__kwdefaults__ == {"modulus_bits": MODULUS_BITS}


def test_keys_are_phes_and_phes_own_arithmetic_works_on_our_ciphertexts():
    assert isinstance(KEY.private, PaillierPrivateKey)
    assert isinstance(KEY.encryption.public, PaillierPublicKey)
    ours = EncryptedNumber(KEY.encryption.public, int(KEY.encrypt(mpz(40), seeded(1))))
    assert KEY.private.decrypt(ours + KEY.encryption.public.encrypt(2)) == 42
    assert KEY.private.decrypt(ours * 3) == 120


def test_products_of_ciphertexts_decrypt_to_sums_mod_n():
    n, squared = KEY.encryption.n, KEY.encryption.n_squared
    source = seeded(2)
    assert KEY.decrypt(KEY.encrypt(n - 1, source) * KEY.encryption.encrypt(mpz(3), source) % squared) == 2


@pytest.mark.parametrize("encrypt", [KEY.encrypt, KEY.encryption.encrypt])
@pytest.mark.parametrize("plaintext", [mpz(-1), KEY.encryption.n, KEY.encryption.n_squared])
def test_a_plaintext_outside_0_to_n_is_refused(encrypt, plaintext):
    with pytest.raises(ValueError, match="plaintext: expected 0 to n - 1, n of 512 bits"):
        encrypt(plaintext, seeded(3))


def test_h_is_the_negative_of_a_square_so_no_square_itself():
    h, n = KEY.h, KEY.encryption.n
    assert jacobi(h, n) == 1
    assert jacobi(h, KEY.p) == jacobi(h, KEY.q) == -1


def test_an_owner_blinds_with_a_power_of_h_and_others_with_any_nth_power():
    n, squared = KEY.encryption.n, KEY.encryption.n_squared
    exponent = int.from_bytes(seeded(4)(EXPONENT_BYTES), "little")
    assert EXPONENT_BYTES == 32
    assert KEY.encrypt(mpz(5), seeded(4)) == (1 + 5 * n) * powmod(KEY.h, n * exponent, squared) % squared
    r = draw_unit(seeded(4), n)
    assert KEY.encryption.encrypt(mpz(5), seeded(4)) == (1 + 5 * n) * powmod(r, n, squared) % squared


def test_no_ciphertext_comes_twice():
    source = seeded(5)
    assert len({int(KEY.encrypt(mpz(1), source)) for _ in range(100)}) == 100


def test_other_random_bytes_another_key():
    assert key_of(0).encryption.n != key_of(1).encryption.n
    assert generate(seeded(0), modulus_bits=512).encryption.n == key_of(0).encryption.n


def test_keys_do_not_show_in_repr_or_logs(caplog):
    shown = [KEY, KEY.encryption, KEY.private, KEY.modulo_n, FixedBase(KEY.p, KEY.q, 1), {"key": KEY}]
    with caplog.at_level(logging.DEBUG):
        for thing in shown:
            logging.getLogger("test").debug("%s %r", thing, thing)
    assert "DecryptionKey(512 bits)" in caplog.text
    secrets = (KEY.p, KEY.q, KEY.h, KEY.private.hp, KEY.private.hq)
    assert not any(str(int(secret)) in caplog.text or f"{int(secret):x}" in caplog.text for secret in secrets)
