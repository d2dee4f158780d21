"""The supervisor opens its envelopes by either key, and finds out if the archive's wrap is a fake."""

import nacl.secret
import pytest

from mpcnode.errors import SealedBoxError
from mpcnode.sealing.boxes import seal
from mpcnode.sealing.envelopes import (
    ENVELOPE_OVERHEAD,
    envelope_epoch,
    has_archive_wrap,
    open_by_archive,
    open_by_audit,
    seal_envelope,
)
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import Epoch, EpochKeys

AUDIT, ARCHIVE = OpeningKey(b"\x31" * 32), OpeningKey(b"\x32" * 32)
KEYS = EpochKeys(epoch=Epoch(3), audit=AUDIT.public, archive=ARCHIVE.public)
SECRETS = b"\x41" * 32 + b"\x42" * 32 + b"\x43" * 32
PLAIN = b"row and seeds"


def test_both_keys_open_it():
    envelope = seal_envelope(PLAIN, KEYS, SECRETS)
    assert envelope_epoch(envelope) == 3
    assert open_by_audit(envelope, Epoch(3), AUDIT).plaintext == PLAIN
    assert open_by_archive(envelope, Epoch(3), ARCHIVE).plaintext == PLAIN


def test_its_layout_is_the_specified_one():
    envelope = seal_envelope(PLAIN, KEYS, SECRETS)
    content = nacl.secret.SecretBox(b"\x41" * 32).encrypt(b"\x43" * 32 + PLAIN, bytes(24)).ciphertext
    expected = (3).to_bytes(8, "big")
    expected += seal(b"\x41" * 32, AUDIT.public, b"\x42" * 32) + seal(b"\x41" * 32, ARCHIVE.public, b"\x43" * 32)
    assert envelope == expected + content
    assert len(envelope) == len(PLAIN) + ENVELOPE_OVERHEAD == len(PLAIN) + 216


def test_the_width_depends_on_the_plaintexts_width_alone():
    assert {len(seal_envelope(bytes([value]) * 500, KEYS, SECRETS)) for value in range(5)} == {716}


def test_keys_do_not_stand_for_each_other():
    envelope = seal_envelope(PLAIN, KEYS, SECRETS)
    with pytest.raises(SealedBoxError):
        open_by_audit(envelope, Epoch(3), ARCHIVE)
    with pytest.raises(SealedBoxError):
        open_by_archive(envelope, Epoch(3), AUDIT)


def test_another_epoch_is_refused():
    with pytest.raises(SealedBoxError, match="expected epoch 4, got 3"):
        open_by_audit(seal_envelope(PLAIN, KEYS, SECRETS), Epoch(4), AUDIT)


@pytest.mark.parametrize("size", [0, 8, ENVELOPE_OVERHEAD - 1])
def test_a_short_envelope_is_refused(size):
    with pytest.raises(SealedBoxError, match=f"got {size}"):
        envelope_epoch(bytes(size))


@pytest.mark.parametrize("at", [8, 40, 87, 170, -1])
def test_a_changed_envelope_does_not_open_by_audit_or_fails_the_archive_check(at):
    envelope = bytearray(seal_envelope(PLAIN, KEYS, SECRETS))
    envelope[at] ^= 1
    with pytest.raises(SealedBoxError):
        open_by_audit(bytes(envelope), Epoch(3), AUDIT)


def test_the_auditor_sees_a_good_archive_wrap():
    envelope = seal_envelope(PLAIN, KEYS, SECRETS)
    assert has_archive_wrap(envelope, open_by_audit(envelope, Epoch(3), AUDIT), ARCHIVE.public)


@pytest.mark.parametrize(
    "fake",
    [
        bytes(80),
        seal(b"\x44" * 32, ARCHIVE.public, b"\x43" * 32),
        seal(b"\x41" * 32, AUDIT.public, b"\x43" * 32),
        seal(b"\x41" * 32, ARCHIVE.public, b"\x42" * 32),
    ],
)
def test_the_auditor_sees_a_fake_archive_wrap(fake):
    envelope = seal_envelope(PLAIN, KEYS, SECRETS)
    forged = envelope[:88] + fake + envelope[168:]
    opened = open_by_audit(forged, Epoch(3), AUDIT)
    assert opened.plaintext == PLAIN
    assert not has_archive_wrap(forged, opened, ARCHIVE.public)


def test_what_was_opened_does_not_print():
    opened = open_by_audit(seal_envelope(PLAIN, KEYS, SECRETS), Epoch(3), AUDIT)
    assert "row" not in repr(opened)
    assert "AAAA" not in repr(opened)


def test_secrets_have_96_bytes():
    with pytest.raises(ValueError, match="got 95"):
        seal_envelope(PLAIN, KEYS, SECRETS[:-1])
