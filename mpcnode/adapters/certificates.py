"""Self-signed TLS certificates of members: ECDSA P-256, because gRPC takes no Ed25519 ones.

Nobody trusts a name in them. A channel trusts exactly its peer's certificate; the subject is unique because TLS stacks
look issuers up by name, and two members with one name would shadow one another.
"""

import datetime
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ledger.types import Millis
from mpcnode.adapters.randomness import random_bytes

VALID_DAYS = 3650
"""Ten years: a member changes its certificate by decision, not because a date has passed."""

EARLY_DAYS = 1
"""Valid this long before it was made, for peers whose clocks are behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


def make_certificate(name: str, now: Millis) -> TlsPair:
    """Make a key and its self-signed certificate.

    Args:
        name: the member's; also the certificate's one alternative name, which channels expect.
        now: when it is made.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    unique = random_bytes(16)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, unique.hex()),
        ]
    )
    made = datetime.datetime.fromtimestamp(now // 1000, datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(unique, "big") >> 1)
        .not_valid_before(made - datetime.timedelta(days=EARLY_DAYS))
        .not_valid_after(made + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return TlsPair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
