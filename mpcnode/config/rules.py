"""What must hold between the parts of a consortium document; every broken rule names its place.

Keys are checked where they enter: a key of small order would accept signatures that nobody made, or open every box.
"""

import hashlib
import ssl
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.types import PublicKey, Signature
from mpcnode.config.document import ConsortiumDocument, MemberTable
from mpcnode.config.reading import found
from mpcnode.errors import ConfigError, InvalidKeyError
from mpcnode.sealing.keys import certificate_statement, check_public_key, check_sealing_key, verify


@dataclass(frozen=True, slots=True)
class Document:
    """A document under check."""

    path: Path
    shape: ConsortiumDocument

    def wrong(self, place: str, expected: str, got: str) -> ConfigError:
        """Return the error that names this place."""
        return ConfigError(f"{self.path}: {place}: expected {expected}, got {got}")


def check_document(document: Document) -> tuple[bytes, ...]:
    """Check everything that one value alone cannot show; return the members' certificates, DER.

    Raises:
        ConfigError: a rule is broken; the message names the place.
    """
    _check_names(document)
    _check_references(document)
    _check_roles(document)
    _check_companies(document)
    _check_models(document)
    _check_keys(document)
    return _check_certificates(document)


def _member_place(index: int, member: MemberTable, key: str) -> str:
    return f'member[{index}] "{member.name}".{key}'


def _check_names(document: Document) -> None:
    shape = document.shape
    listed: tuple[tuple[str, Sequence[str]], ...] = (
        ("consortium.classes", shape.consortium.classes),
        ("company", [company.name for company in shape.company]),
        ("member", [member.name for member in shape.member]),
        ("model", [model.name for model in shape.model]),
        ("inquirer", [inquirer.name for inquirer in shape.inquirer]),
        ("model's hashes", [model.hash for model in shape.model]),
    )
    for place, names in listed:
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise document.wrong(place, "each name once", f"{twice!r} twice")


def _check_references(document: Document) -> None:
    shape = document.shape
    companies = [company.name for company in shape.company]
    mpc_members = [member.name for member in shape.member if member.role == "mpc"]
    for index, member in enumerate(shape.member):
        _check_known(document, _member_place(index, member, "company"), [member.company], companies)
        _check_known(document, _member_place(index, member, "classes"), member.classes, shape.consortium.classes)
        _check_known(document, _member_place(index, member, "anchors"), member.anchors, mpc_members)
    for index, model in enumerate(shape.model):
        place = f'model[{index}] "{model.name}"'
        _check_known(document, f"{place}.classes", model.classes, shape.consortium.classes)
        _check_distinct(document, f"{place}.purposes", model.purposes)
    for index, inquirer in enumerate(shape.inquirer):
        _check_known(document, f'inquirer[{index}] "{inquirer.name}".company', [inquirer.company], companies)


def _check_known(document: Document, place: str, names: Sequence[str], known: Iterable[str]) -> None:
    _check_distinct(document, place, names)
    choices = list(known)
    for name in names:
        if name not in choices:
            raise document.wrong(place, f"one of {', '.join(choices) or 'none'}", repr(name))


def _check_distinct(document: Document, place: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise document.wrong(place, "each value once", ", ".join(names))


def _check_roles(document: Document) -> None:
    for index, member in enumerate(document.shape.member):
        supplies = member.role == "participant"
        if supplies != bool(member.classes):
            expected = "at least one data class of a participant" if supplies else "none: only participants supply data"
            raise document.wrong(_member_place(index, member, "classes"), expected, found(member.classes))
        if member.anchors and not supplies:
            expected = "none: only participants name anchors"
            raise document.wrong(_member_place(index, member, "anchors"), expected, found(member.anchors))
    supervisors = [member.name for member in document.shape.member if member.role == "supervisor"]
    if len(supervisors) != 1:
        raise document.wrong("member", "exactly one supervisor", ", ".join(supervisors) or "none")
    if not any(member.role == "operator" for member in document.shape.member):
        raise document.wrong("member", "at least one operator", "none")


def _check_companies(document: Document) -> None:
    """One vote for each company, and no committee member at a company that runs the desk or the audit."""
    members = document.shape.member
    validators = Counter(member.company for member in members if member.vote is not None)
    for company, count in validators.items():
        if count > 1:
            raise document.wrong("member", f"at most one validator (vote) of company {company}", str(count))
    if not validators:
        raise document.wrong("member", "at least one validator (vote)", "none")
    apart = {member.company: member.role for member in members if member.role in {"operator", "supervisor"}}
    for index, member in enumerate(members):
        if member.role == "mpc" and member.company in apart:
            expected = f"a company without {apart[member.company]}: it may not compute"
            raise document.wrong(_member_place(index, member, "company"), expected, repr(member.company))
    computing = {member.company for member in members if member.role == "mpc"}
    if len(computing) < document.shape.consortium.committee_companies_min:
        expected = f"at most as many as companies with an mpc member ({len(computing)})"
        got = str(document.shape.consortium.committee_companies_min)
        raise document.wrong("consortium.committee_companies_min", expected, got)
    timings = document.shape.consensus
    if timings.view_timeout_ms_max < timings.view_timeout_ms:
        expected = f"at least view_timeout_ms ({timings.view_timeout_ms})"
        raise document.wrong("consensus.view_timeout_ms_max", expected, str(timings.view_timeout_ms_max))


def _check_models(document: Document) -> None:
    for index, model in enumerate(document.shape.model):
        wanted = set(model.classes)
        suppliers = {member.company for member in document.shape.member if wanted & set(member.classes)}
        if model.minimum > len(suppliers):
            expected = f"at most as many as companies that supply its classes ({len(suppliers)})"
            raise document.wrong(f'model[{index}] "{model.name}".minimum', expected, str(model.minimum))
        if model.audit == "before release" and document.shape.consortium.correlations != "dealer":
            # nobody but a dealer knows the mask that the verdict would release
            expected = f"after release or off, with consortium.correlations = {document.shape.consortium.correlations}"
            raise document.wrong(f'model[{index}] "{model.name}".audit', expected, repr(model.audit))


def _check_keys(document: Document) -> None:
    """Every key is a sound one and serves one use of one owner."""
    seen: dict[str, str] = {}
    for place, key, signs in _keys(document.shape):
        if key in seen:
            raise document.wrong(place, "a key of its own", f"the key of {seen[key]}")
        seen[key] = place
        try:
            (check_public_key if signs else check_sealing_key)(bytes.fromhex(key))
        except InvalidKeyError as error:
            kind = "Ed25519" if signs else "X25519"
            raise document.wrong(place, f"a valid {kind} public key", found(key)) from error


def _keys(shape: ConsortiumDocument) -> Iterable[tuple[str, str, bool]]:
    """Yield (place, key, whether it signs)."""
    for index, member in enumerate(shape.member):
        yield _member_place(index, member, "identity"), member.identity, True
        yield _member_place(index, member, "sealing"), member.sealing, False
        if member.vote is not None:
            yield _member_place(index, member, "vote"), member.vote, True
    for index, inquirer in enumerate(shape.inquirer):
        yield f'inquirer[{index}] "{inquirer.name}".key', inquirer.key, True
    yield "supervisor.audit_key", shape.supervisor.audit_key, False
    yield "supervisor.archive_key", shape.supervisor.archive_key, False


def _check_certificates(document: Document) -> tuple[bytes, ...]:
    certificates: list[bytes] = []
    subjects: dict[bytes, str] = {}
    for index, member in enumerate(document.shape.member):
        place = _member_place(index, member, "tls")
        certificate, subject = _read_certificate(document, place, member.tls)
        if subject in subjects:
            # gRPC's TLS looks issuers up by name: two equal names would shadow one another
            raise document.wrong(place, "a subject name of its own", f"the one of {subjects[subject]}")
        subjects[subject] = place
        stated = certificate_statement(hashlib.sha256(certificate).digest())
        signature = Signature(bytes.fromhex(member.tls_signature))
        if not verify(PublicKey(bytes.fromhex(member.identity)), stated, signature):
            expected = "the identity's signature over mpcnode/tls/1 of this certificate"
            raise document.wrong(_member_place(index, member, "tls_signature"), expected, found(member.tls_signature))
        certificates.append(certificate)
    return tuple(certificates)


def _read_certificate(document: Document, place: str, pem: str) -> tuple[bytes, bytes]:
    """Return a certificate's DER bytes and its subject name."""
    from cryptography import x509  # noqa: PLC0415 (slow to load)
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    try:
        certificate = ssl.PEM_cert_to_DER_cert(pem)
        parsed = x509.load_der_x509_certificate(certificate)
        key = parsed.public_key()
        subject = parsed.subject.public_bytes()
    except ValueError as error:
        raise document.wrong(place, "one X.509 certificate, PEM", found(pem)) from error
    except UnsupportedAlgorithm as error:
        raise document.wrong(place, "a certificate with an ECDSA P-256 key", "one of an unknown kind") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise document.wrong(place, "a certificate with an ECDSA P-256 key", type(key).__name__)
    return certificate, subject
