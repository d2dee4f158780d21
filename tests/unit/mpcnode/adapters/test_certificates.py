"""Certificates that pinned channels take: P-256, self-signed, a subject of their own."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.types import Millis
from mpcnode.adapters.certificates import make_certificate
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.randomness import random_bytes

NOW = Millis(1_790_000_000_000)


def test_what_a_certificate_says():
    pair = make_certificate("bank-mpc", NOW)
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    key = serialization.load_pem_private_key(pair.key, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.public_key() == certificate.public_key()
    assert certificate.issuer == certificate.subject
    certificate.verify_directly_issued_by(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["bank-mpc"]
    made = datetime.datetime.fromtimestamp(NOW / 1000, datetime.UTC)
    assert certificate.not_valid_before_utc == made - datetime.timedelta(days=1)
    assert certificate.not_valid_after_utc == made + datetime.timedelta(days=3650)


def test_two_certificates_of_one_name_have_two_subjects():
    first, second = (x509.load_pem_x509_certificate(make_certificate("a", NOW).certificate) for _ in range(2))
    assert first.subject != second.subject
    assert first.serial_number != second.serial_number


def test_keys_do_not_print():
    assert b"PRIVATE" not in repr(make_certificate("a", NOW)).encode()


def test_clock_and_randomness_are_the_machines():
    first, second = SystemClock().now_ms(), SystemClock().now_ms()
    assert 1_600_000_000_000 < first <= second
    assert len(random_bytes(32)) == 32
    assert random_bytes(32) != random_bytes(32)
