"""Files are whole or not there; private ones are refused as soon as others could read them."""

import os
import stat

import pytest

from mpcnode.adapters.durable import create_file, make_private_directory, replace_file
from mpcnode.adapters.private_files import FILE_BYTES_MAX, read_private_file
from mpcnode.errors import ErrorCode, KeyFileError, LocalError, StorageError


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_replace_puts_the_whole_new_version(tmp_path):
    path = tmp_path / "state"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert mode_of(path) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["state"]


def test_modes_do_not_depend_on_the_umask(tmp_path):
    old = os.umask(0)
    try:
        replace_file(tmp_path / "a", b"")
        make_private_directory(tmp_path / "d")
    finally:
        os.umask(old)
    assert mode_of(tmp_path / "a") == 0o600
    assert mode_of(tmp_path / "d") == 0o700


def test_create_never_replaces(tmp_path):
    create_file(tmp_path / "key", b"old")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "key", b"new")
    assert (tmp_path / "key").read_bytes() == b"old"


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_failing_disk_leaves_the_old_version(tmp_path, monkeypatch, failing):
    path = tmp_path / "state"
    replace_file(path, b"old")

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"mpcnode.adapters.durable.os.{failing}", fail)
    with pytest.raises(StorageError, match="No space left") as failed:
        replace_file(path, b"new")
    assert failed.value.code is ErrorCode.DISK_FULL
    assert path.read_bytes() == b"old"


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr("mpcnode.adapters.durable.os.write", lambda descriptor, data: write(descriptor, data[:3]))
    replace_file(tmp_path / "state", b"0123456789")
    assert (tmp_path / "state").read_bytes() == b"0123456789"


def test_a_write_of_nothing_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("mpcnode.adapters.durable.os.write", lambda _descriptor, _data: 0)
    with pytest.raises(StorageError, match="expected to write 3 bytes, got 0"):
        replace_file(tmp_path / "state", b"new")


@pytest.fixture
def secret(tmp_path):
    make_private_directory(tmp_path / "keys")
    create_file(tmp_path / "keys" / "a.key", b"secret")
    return tmp_path / "keys" / "a.key"


def test_a_private_file_is_read(secret):
    assert read_private_file(secret) == b"secret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_can_reach_is_refused_with_the_line_to_run(secret, mode):
    secret.chmod(mode)
    with pytest.raises(LocalError, match=rf"expected mode 0600, got 0{mode:o}; run: chmod 600 .*a\.key") as caught:
        read_private_file(secret)
    assert caught.value.code is ErrorCode.PERMISSIONS


def test_a_directory_that_others_can_enter_is_refused_with_the_line_to_run(secret):
    secret.parent.chmod(0o755)
    with pytest.raises(LocalError, match=r"expected mode 0700, got 0755; run: chmod 700 .*keys"):
        read_private_file(secret)


def test_a_file_of_another_user_is_refused(secret, monkeypatch):
    monkeypatch.setattr("mpcnode.adapters.private_files.os.geteuid", lambda: 12345)
    with pytest.raises(LocalError, match="expected it to belong to user 12345, got user"):
        read_private_file(secret)


def test_a_link_is_no_private_file(secret):
    (secret.parent / "b.key").symlink_to(secret)
    with pytest.raises(KeyFileError, match=r"b\.key"):
        read_private_file(secret.parent / "b.key")


def test_a_directory_is_no_private_file(secret):
    (secret.parent / "c.key").mkdir(mode=0o700)
    with pytest.raises((LocalError, KeyFileError), match=r"c\.key"):
        read_private_file(secret.parent / "c.key")


def test_a_large_file_is_refused(secret):
    secret.write_bytes(bytes(FILE_BYTES_MAX + 1))
    with pytest.raises(KeyFileError, match="expected at most 65536 bytes"):
        read_private_file(secret)
