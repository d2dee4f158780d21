"""Telling the service manager how the daemon is: the sd_notify protocol, without its library.

Source: systemd, sd_notify(3): one datagram of `KEY=value` lines to the unix socket that NOTIFY_SOCKET names; a name
that begins with `@` lies in the abstract name space.
"""

import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """Sends the daemon's state to its service manager; without a manager it says nothing."""

    address: str | None
    """Value of NOTIFY_SOCKET; None or empty where nobody listens."""

    def ready(self, status: str) -> None:
        """Say that the daemon does its work now."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """Say in a few words what the daemon is doing."""
        self._send(f"STATUS={_one_line(status)}")

    def stopping(self) -> None:
        """Say that the daemon began to stop."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self.address:
            return
        target = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(target)
            channel.sendall(message.encode())


def _one_line(text: str) -> str:
    return " ".join(text.split())
