"""A member's keys are those that the consortium document lists, and nobody else can read them."""

import pytest

from ledger.encoding import statement
from ledger.types import ChainId, Millis
from mpcnode.adapters.key_making import NewMember, make_member_keys
from mpcnode.adapters.keystore import key_path, kinds_of, load_key, load_keystore, store_key
from mpcnode.config.node import load_node
from mpcnode.errors import ErrorCode, KeyFileError, LocalError, PassphraseError
from mpcnode.sealing.keyfile import KeyKind, StoredKey, decode_key_file
from mpcnode.sealing.keys import OpeningKey, verify
from mpcnode.types import Role


def load(layout, name, passphrase=None):
    config = load_node(layout.node(name).config)
    return load_keystore(config.keys_dir, config.consortium, config.member, passphrase)


@pytest.mark.parametrize(
    ("name", "vote", "audit", "subject"),
    [
        ("operator", True, False, False),
        ("bank-mpc", True, False, False),
        ("bank-data", False, False, True),
        ("telecom-data", True, False, True),
        ("regulator", True, True, True),
    ],
)
def test_every_role_has_its_keys_and_no_other(network, name, vote, audit, subject):
    keys = load(network, name)
    assert (keys.vote is not None) == vote
    assert len(keys.audit) == audit
    assert (keys.dealer_master is not None) == audit
    assert (keys.subject_key is not None) == subject
    files = {path.name for path in network.node(name).keys.iterdir()}
    assert "archive.key" not in files
    assert len(files) == 3 + vote + 2 * audit + subject
    assert keys.protected is False


def test_operator_and_mpc_nodes_cannot_make_pseudonyms(network):
    for member in load_node(network.node("operator").config).consortium.with_role(Role.OPERATOR | Role.MPC):
        assert not key_path(network.node(member.name).keys, KeyKind.SUBJECT).exists()


def test_participants_and_inquirers_share_one_subject_key(network):
    keys = {load(network, name).subject_key for name in ("bank-data", "insurer-data", "telecom-data", "regulator")}
    inquirer = load_key(network.inquirer / "subject.key", KeyKind.SUBJECT).secret
    assert keys == {inquirer}


def test_the_keys_belong_to_the_document(network):
    config = load_node(network.node("bank-mpc").config)
    keys = load(network, "bank-mpc")
    stated = statement("test/1", ChainId(bytes(32)))
    assert verify(config.member.identity, stated, keys.identity.sign(stated))
    assert keys.sealing.public == config.member.sealing
    assert keys.tls.certificate.startswith(b"-----BEGIN CERTIFICATE-----")


def test_a_key_that_others_can_read_is_refused(own_network):
    path = key_path(own_network.node("bank-mpc").keys, KeyKind.VOTE)
    path.chmod(0o644)
    with pytest.raises(LocalError, match=r"vote\.key: expected mode 0600, got 0644; run: chmod 600") as caught:
        load(own_network, "bank-mpc")
    assert caught.value.code is ErrorCode.PERMISSIONS


def test_a_directory_that_others_can_enter_is_refused(own_network):
    own_network.node("bank-mpc").keys.chmod(0o750)
    with pytest.raises(LocalError, match=r"keys: expected mode 0700, got 0750; run: chmod 700"):
        load(own_network, "bank-mpc")


def test_a_missing_key_is_named(own_network):
    key_path(own_network.node("bank-mpc").keys, KeyKind.SEALING).unlink()
    with pytest.raises(KeyFileError, match=r"sealing\.key: expected a readable key file"):
        load(own_network, "bank-mpc")


def test_a_vote_key_may_be_newer_than_the_document(own_network):
    """The ledger says which one is registered; a daemon with another one observes."""
    new = key_path(own_network.node("notary-mpc").keys, KeyKind.VOTE).read_bytes()
    for name in ("bank-mpc", "bank-data"):
        store = key_path(own_network.node(name).keys, KeyKind.VOTE)
        store.write_bytes(new)
        store.chmod(0o600)
        keys = load(own_network, name)
        assert keys.vote is not None
        assert keys.vote.public == load(own_network, "notary-mpc").vote.public


def test_audit_keys_of_later_epochs_lie_beside_that_of_the_document(own_network):
    directory = own_network.node("regulator").keys
    for name, secret in (("audit-2.key", b"\x02" * 32), ("audit-10.key", b"\x0a" * 32)):
        key = OpeningKey(secret)
        store_key(directory / name, StoredKey(kind=KeyKind.AUDIT, public=key.public, secret=secret), None)
    config = load_node(own_network.node("regulator").config)
    first, *later = load(own_network, "regulator").audit
    assert first.public == config.consortium.epoch.audit
    assert {key.public for key in later} == {OpeningKey(b"\x02" * 32).public, OpeningKey(b"\x0a" * 32).public}
    (directory / "audit-3.key").write_bytes(key_path(directory, KeyKind.SEALING).read_bytes())
    (directory / "audit-3.key").chmod(0o600)
    with pytest.raises(KeyFileError, match=r"audit-3\.key: key file: expected a key of kind audit"):
        load(own_network, "regulator")


def test_a_vote_key_that_the_document_lists_must_be_there(own_network):
    key_path(own_network.node("bank-mpc").keys, KeyKind.VOTE).unlink()
    with pytest.raises(KeyFileError, match=r"vote\.key: expected a readable key file"):
        load(own_network, "bank-mpc")


@pytest.mark.parametrize("kind", [KeyKind.IDENTITY, KeyKind.SEALING])
def test_a_key_that_the_document_does_not_list_is_refused(own_network, kind):
    other = key_path(own_network.node("notary-mpc").keys, kind).read_bytes()
    key_path(own_network.node("bank-mpc").keys, kind).write_bytes(other)
    with pytest.raises(KeyFileError, match=rf"{kind}\.key: expected the key [0-9a-f]{{64}} of the consortium document"):
        load(own_network, "bank-mpc")


def test_a_tls_key_of_another_certificate_is_refused(own_network):
    other = key_path(own_network.node("notary-mpc").keys, KeyKind.TLS).read_bytes()
    key_path(own_network.node("bank-mpc").keys, KeyKind.TLS).write_bytes(other)
    with pytest.raises(KeyFileError, match=r"tls\.key: expected the key of the certificate"):
        load(own_network, "bank-mpc")


def test_a_key_of_another_kind_is_refused(own_network):
    keys = own_network.node("bank-mpc").keys
    key_path(keys, KeyKind.VOTE).write_bytes(key_path(keys, KeyKind.IDENTITY).read_bytes())
    with pytest.raises(KeyFileError, match=r"vote\.key: key file: expected a key of kind vote, got 'identity'"):
        load(own_network, "bank-mpc")


def test_a_protected_key_needs_its_passphrase(tmp_path):
    tmp_path.chmod(0o700)
    path = tmp_path / "vote.key"
    store_key(path, StoredKey(kind=KeyKind.VOTE, public=b"", secret=b"\x07" * 32), b"correct horse")
    assert load_key(path, KeyKind.VOTE, b"correct horse").secret == b"\x07" * 32
    with pytest.raises(PassphraseError):
        load_key(path, KeyKind.VOTE, b"wrong")
    with pytest.raises(KeyFileError, match=r"vote\.key"):
        load_key(path, KeyKind.VOTE)


def test_making_keys_replaces_none(tmp_path):
    member = NewMember(name="bank-mpc", roles=Role.MPC, validator=True)
    made = make_member_keys(tmp_path / "keys", member, Millis(0), None, None)
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    with pytest.raises(KeyFileError, match="expected no key yet, got one"):
        make_member_keys(tmp_path / "keys", member, Millis(0), None, None)
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before
    assert decode_key_file(before["vote.key"], KeyKind.VOTE, None).public == made.vote
    assert set(before) == {f"{kind}.key" for kind in kinds_of(Role.MPC, validator=True)}


def test_secrets_do_not_print(network):
    keys = load(network, "regulator")
    shown = repr(keys)
    assert keys.dealer_master is not None
    for secret in (keys.dealer_master, keys.identity.secret(), keys.sealing.secret(), keys.tls.key[40:80]):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
