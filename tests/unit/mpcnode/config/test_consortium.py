"""The consortium document: what it means, and that every mistake is named with its place."""

import base64
import hashlib
import re

import pytest

from mpcnode.config.consortium import load_consortium
from mpcnode.errors import ConfigError
from mpcnode.types import AuditMode, CorrelationSource, Role

KEY = r'"[0-9a-f]{64}"'


@pytest.fixture(scope="module")
def text(network):
    return network.consortium.read_text()


@pytest.fixture
def load(tmp_path):
    def loaded(text):
        path = tmp_path / "consortium.toml"
        path.write_text(text)
        return load_consortium(path)

    return loaded


def test_means_what_it_says(network):
    consortium = load_consortium(network.consortium)
    assert consortium.chain == hashlib.sha256(network.consortium.read_bytes()).digest()
    assert consortium.companies == ("platform", "bank", "insurer", "telecom", "notary", "regulator", "lender")
    assert [member.name for member in consortium.members] == [
        "operator",
        "bank-data",
        "bank-mpc",
        "insurer-data",
        "insurer-mpc",
        "telecom-data",
        "notary-mpc",
        "regulator",
    ]
    assert [member.index for member in consortium.members] == list(range(8))
    telecom = consortium.member("telecom-data")
    assert (telecom.company, telecom.roles, telecom.classes) == (3, Role.PARTICIPANT, 0b100)
    assert {member.name for member in consortium.members if member.vote_key} == {
        "operator",
        "bank-mpc",
        "insurer-mpc",
        "telecom-data",
        "notary-mpc",
        "regulator",
    }
    (model,) = consortium.models
    assert (model.classes, model.minimum, model.audit) == (0b111, 1, AuditMode.BEFORE_RELEASE)
    assert consortium.inquirer("lender-desk").company == 6
    assert consortium.timings.view_timeout_ms == 2000


@pytest.mark.parametrize("source", CorrelationSource)
def test_who_makes_correlations_is_the_dealer_unless_told(load, text, source):
    said = 'correlations = "dealer"\n'
    assert said in text
    assert load(text.replace(said, "")).correlations is CorrelationSource.DEALER
    audited_after = text.replace('audit = "before release"', 'audit = "after release"')
    assert load(audited_after.replace(said, f'correlations = "{source}"\n')).correlations is source


def test_genesis_is_the_document_as_the_ledger_needs_it(network):
    consortium = load_consortium(network.consortium)
    genesis = consortium.genesis()
    assert genesis.chain == consortium.chain
    assert len(genesis.validators()) == 6
    assert [(record.name, record.roles, record.classes) for record in genesis.members][5] == ("telecom-data", 4, 4)
    assert genesis.models[0].mode == AuditMode.BEFORE_RELEASE
    assert genesis.epoch.audit_key == consortium.epoch.audit
    assert genesis.inquirers[0].company == 6


def test_members_are_found_by_what_they_show(network):
    consortium = load_consortium(network.consortium)
    for member in consortium.members:
        fingerprint = hashlib.sha256(consortium.certificates[member.index]).digest()
        assert consortium.member_by_fingerprint(fingerprint) is member
        assert consortium.member_by_identity(member.identity) is member
    assert consortium.member_by_fingerprint(bytes(32)) is None
    assert consortium.member_by_identity(bytes(32)) is None
    assert consortium.inquirer_by_key(consortium.inquirers[0].key) is consortium.inquirers[0]
    assert consortium.model_by_hash(consortium.models[0].model) is consortium.models[0]
    with pytest.raises(ConfigError, match=r"member: expected one of operator, bank-data.*got 'nobody'"):
        consortium.member("nobody")


def test_anchors_become_a_bitmap(load, text):
    anchored = text.replace(
        'classes = ["accounts"]\n', 'classes = ["accounts"]\nanchors = ["notary-mpc", "bank-mpc"]\n'
    )
    assert load(anchored).member("bank-data").anchors == 0b1000100


def sub(pattern, replacement):
    """An edit that must change something, at its first place."""

    def edit(text):
        changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
        assert count == 1, pattern
        return changed

    return edit


def in_member(name, pattern, replacement):
    """An edit inside one member's table."""
    return sub(rf'(name = "{name}"(?:\n(?!\[\[).*)*?\n){pattern}', rf"\g<1>{replacement}")


def moved_to(company):
    """The notary's node at another company, without its vote."""

    def edit(text):
        text = in_member("notary-mpc", r"vote = .*\n", "")(text)
        return in_member("notary-mpc", 'company = "notary"', f'company = "{company}"')(text)

    return edit


def key_of(text, name, what):
    found = re.search(rf'name = "{name}"(?:\n(?!\[\[).*)*?\n{what} = "([0-9a-f]+)"', text)
    assert found
    return found[1]


MISTAKES = {
    "unknown key": (sub(r"^\[consortium\]", "[consortium]\nquorum = 3"), r"consortium\.quorum: expected no such key"),
    "unknown table": (lambda text: text + "\n[extra]\n", r": extra: expected no such key"),
    "missing key": (
        in_member("bank-mpc", r"identity = .*\n", ""),
        r'member\[2\] "bank-mpc"\.identity: expected a value',
    ),
    "wrong type": (
        sub(r"committee_companies_min = 3", 'committee_companies_min = "3"'),
        r"consortium\.committee_companies_min: expected a valid integer, got '3'",
    ),
    "upper-case name": (sub(r'name = "devnet"', 'name = "Devnet"'), r"consortium\.name: expected a text that matches"),
    "unknown role": (
        in_member("operator", 'role = "operator"', 'role = "boss"'),
        r'member\[0\] "operator"\.role: .*got \'boss\'',
    ),
    "unknown company": (
        in_member("operator", 'company = "platform"', 'company = "nowhere"'),
        r"member\[0\] \"operator\"\.company: expected one of platform, bank, .*got 'nowhere'",
    ),
    "unknown class": (
        sub(r'classes = \["accounts"\]', 'classes = ["shoes"]'),
        r"member\[1\] \"bank-data\"\.classes: expected one of accounts, property, contracts, got 'shoes'",
    ),
    "class twice": (
        sub(r'classes = \["accounts"\]', 'classes = ["accounts", "accounts"]'),
        r"\.classes: expected each value once",
    ),
    "unknown anchor": (
        sub(r'classes = \["accounts"\]', 'classes = ["accounts"]\nanchors = ["telecom-data"]'),
        r"\.anchors: expected one of bank-mpc, insurer-mpc, notary-mpc, got 'telecom-data'",
    ),
    "participant without data": (
        in_member("bank-data", r"classes = .*\n", ""),
        r'"bank-data"\.classes: expected at least one',
    ),
    "data of an mpc member": (
        in_member("bank-mpc", 'role = "mpc"', 'role = "mpc"\nclasses = ["accounts"]'),
        r'"bank-mpc"\.classes: expected none: only participants supply data',
    ),
    "member twice": (
        sub('name = "bank-mpc"', 'name = "operator"'),
        r": member: expected each name once, got 'operator' twice",
    ),
    "two supervisors": (
        in_member("operator", 'role = "operator"', 'role = "supervisor"'),
        r": member: expected exactly one supervisor, got operator, regulator",
    ),
    "operator computes": (
        moved_to("platform"),
        r'"notary-mpc"\.company: expected a company without operator',
    ),
    "supervisor computes": (
        moved_to("regulator"),
        r'"notary-mpc"\.company: expected a company without supervisor',
    ),
    "too few companies compute": (
        sub(r"committee_companies_min = 3", "committee_companies_min = 4"),
        r"committee_companies_min: expected at most as many as companies with an mpc member \(3\), got 4",
    ),
    "minimum out of reach": (
        sub(r"^minimum = 1", "minimum = 4"),
        r'model\[0\] "credit-rating"\.minimum: expected at most .*\(3\), got 4',
    ),
    "unknown audit": (
        sub(r'audit = "before release"', 'audit = "before_release"'),
        r"\.audit: expected 'before release'",
    ),
    "a mask that nobody can release": (
        sub(r'correlations = "dealer"', 'correlations = "ot"'),
        r'model\[0\] "credit-rating"\.audit: expected after release or off, with consortium\.correlations = ot, got',
    ),
    "unknown correlations": (
        sub(r'correlations = "dealer"', 'correlations = "OT"'),
        r"consortium\.correlations: expected 'dealer'",
    ),
    "purpose with a space": (
        sub(r'purposes = \["credit-application"', 'purposes = ["credit application"'),
        r"\.purposes\[0\]: expected a text that matches",
    ),
    "small-order identity": (
        in_member("bank-mpc", f"identity = {KEY}", 'identity = "' + "00" * 32 + '"'),
        r'member\[2\] "bank-mpc"\.identity: expected a valid Ed25519 public key',
    ),
    "small-order sealing key": (
        in_member("bank-mpc", f"sealing = {KEY}", 'sealing = "01' + "00" * 31 + '"'),
        r'member\[2\] "bank-mpc"\.sealing: expected a valid X25519 public key',
    ),
    "key too short": (
        in_member("bank-mpc", f"sealing = {KEY}", 'sealing = "00"'),
        r'"bank-mpc"\.sealing: expected a text that matches',
    ),
    "no certificate": (
        in_member(
            "bank-mpc", 'tls = """\n-----BEGIN CERTIFICATE-----\n.*', 'tls = """\n-----BEGIN CERTIFICATE-----\nAAAA'
        ),
        r'"bank-mpc"\.tls: expected one X\.509',
    ),
    "window of timings": (
        lambda text: text + "\n[consensus]\nview_timeout_ms = 9000\n",
        r"consensus\.view_timeout_ms_max: expected at least view_timeout_ms \(9000\), got 8000",
    ),
    "not TOML": (lambda text: text + "\n[", r": expected a TOML document"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(load, text, tmp_path, mistake):
    edit, message = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=message) as caught:
        load(edit(text))
    assert str(caught.value).startswith(f"{tmp_path}/consortium.toml: ")
    assert "expected" in str(caught.value)
    assert "got" in str(caught.value)


def test_one_key_serves_one_use(load, text):
    stolen = key_of(text, "bank-data", "identity")
    edit = in_member("bank-mpc", f"vote = {KEY}", f'vote = "{stolen}"')
    with pytest.raises(ConfigError, match=r'"bank-mpc"\.vote: expected a key of its own, got the key of member\[1\]'):
        load(edit(text))


def test_a_company_has_one_vote(load, text):
    edit = in_member(
        "bank-data", 'role = "participant"', f'role = "participant"\nvote = "{key_of(text, "bank-mpc", "vote")}"'
    )
    with pytest.raises(ConfigError, match=r"at most one validator \(vote\) of company bank, got 2"):
        load(edit(text))


def test_a_certificate_belongs_to_the_identity_that_signed_it(load, text):
    other = key_of(text, "bank-data", "tls_signature")
    edit = in_member("bank-mpc", 'tls_signature = "[0-9a-f]*"', f'tls_signature = "{other}"')
    with pytest.raises(ConfigError, match=r'"bank-mpc"\.tls_signature: expected the identity\'s signature'):
        load(edit(text))


def test_two_members_never_share_a_certificate(load, text):
    certificate = re.search(r'name = "bank-data"(?:\n(?!\[\[).*)*?\n(tls = """\n(?:.*\n)*?""")', text)
    assert certificate
    edit = in_member("bank-mpc", r'tls = """\n(?:.*\n)*?"""', certificate[1])
    with pytest.raises(ConfigError, match=r"tls: expected a subject name of its own|tls_signature"):
        load(edit(text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml: expected a readable file, got No such file"):
        load_consortium(tmp_path / "nothing.toml")


def test_what_was_found_is_cut_short(load, text):
    """Somebody may have pasted a secret there."""
    edit = sub(r'name = "devnet"', 'name = "' + "s3cret" * 20 + '"')
    with pytest.raises(ConfigError) as caught:
        load(edit(text))
    assert "s3cret" * 8 not in str(caught.value)
    assert caught.value.__cause__ is None


def test_certificate_whose_key_is_of_an_unknown_kind_is_named(text, load):
    first = re.search(r"-----BEGIN CERTIFICATE-----\n(.+?)-----END", text, re.DOTALL)
    assert first is not None
    der = base64.b64decode(first[1])
    ecdsa = bytes.fromhex("06072a8648ce3d0201")
    strange = base64.encodebytes(der.replace(ecdsa, bytes.fromhex("06072a8648ce740201"))).decode()
    with pytest.raises(
        ConfigError, match=r'member\[0\] "operator".tls: expected a certificate with an ECDSA P-256 key'
    ):
        load(text.replace(first[1], strange))
