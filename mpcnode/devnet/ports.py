"""Fixed loopback ports below the range that the kernel hands out by itself, so that none is taken by chance."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

from mpcnode.errors import ErrorCode, LocalError

LOOPBACK = "127.0.0.1"
PORT_MIN = 10_000
"""Below are the ports of well-known services."""

_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp (linux/net/tcp_states.h)."""


def choose_ports(root: Path, count: int) -> tuple[int, ...]:
    """Return `count` ports in a row that nobody uses; the same directory tries the same ones first.

    Raises:
        LocalError: there is no such row.
    """
    end = int(_RANGE_FILE.read_text().split()[0])
    places = (end - PORT_MIN) // count
    first = int.from_bytes(hashlib.sha256(str(root).encode()).digest()[:4], "big")
    for step in range(max(places, 0)):
        start = PORT_MIN + (first + step) % places * count
        ports = tuple(range(start, start + count))
        if all(is_free(port) for port in ports):
            return ports
    message = f"expected {count} free ports in a row in {PORT_MIN} to {end - 1}, got none"
    raise LocalError(message, ErrorCode.CONFIG)


def is_free(port: int) -> bool:
    """Whether a daemon could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def owner_of(port: int) -> str:
    """Say which process listens on a port, as far as this user may know."""
    inodes = set(_inodes_listening_on(port))
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and inodes & set(_socket_inodes(directory)):
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            return f"process {directory.name} ({command[:80]})"
    return "a process of another user" if inodes else "a process that is gone by now"


def _inodes_listening_on(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _socket_inodes(process: Path) -> Iterator[str]:
    try:
        for descriptor in (process / "fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                yield target[len("socket:[") : -1]
    except OSError:
        # the process ended, or belongs to somebody else
        return
