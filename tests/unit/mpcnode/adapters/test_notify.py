"""sd_notify against a fake service manager."""

import secrets
import socket

import pytest

from mpcnode.adapters.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """The manager's socket and the value of NOTIFY_SOCKET."""
    name = str(tmp_path / "notify.sock") if request.param == "path" else f"@mpcnode-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if name.startswith("@") else name)
        listening.settimeout(5)
        yield listening, name


def test_ready_status_stopping(manager):
    listening, name = manager
    notifier = Notifier(address=name)
    notifier.status("catching up at height 3")
    notifier.ready("following\nthe chain")
    notifier.stopping()
    heard = [listening.recv(4096) for _ in range(3)]
    assert heard == [b"STATUS=catching up at height 3", b"READY=1\nSTATUS=following the chain", b"STOPPING=1"]


@pytest.mark.parametrize("address", [None, ""])
def test_without_a_manager_nothing_is_said(address):
    Notifier(address=address).ready("x")
    Notifier(address=address).stopping()


def test_a_manager_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Notifier(address=str(tmp_path / "gone")).ready("x")
