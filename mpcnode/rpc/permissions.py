"""Who may deliver what to whom: one table, denied by default; roles are those of pinned identities."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from mpcnode.errors import NotAllowedError
from mpcnode.query.messages import Kind
from mpcnode.types import Member, Role


class Permission(NamedTuple):
    """Roles on both sides of a message."""

    senders: Role
    receivers: Role


PERMISSIONS: Mapping[Kind, Permission] = MappingProxyType(
    {
        Kind.ORDER: Permission(Role.OPERATOR, Role.MPC | Role.PARTICIPANT),
        Kind.SHARES: Permission(Role.PARTICIPANT, Role.MPC),
        Kind.DEAL: Permission(Role.SUPERVISOR, Role.MPC),
        Kind.ACCEPT: Permission(Role.MPC, Role.MPC | Role.SUPERVISOR),
        Kind.END: Permission(Role.MPC, Role.MPC),
        Kind.ABORT: Permission(Role.MPC, Role.MPC),
        Kind.RECALL: Permission(Role.SUPERVISOR, Role.MPC),
        Kind.FRAMES: Permission(Role.MPC, Role.SUPERVISOR),
        Kind.STOCK: Permission(Role.MPC, Role.MPC),
        Kind.DRAW: Permission(Role.MPC, Role.MPC),
        Kind.DIFFER: Permission(Role.MPC, Role.SUPERVISOR),
    }
)

ROUNDS = Permission(Role.MPC, Role.MPC)
CORRECTIONS = Permission(Role.MPC, Role.SUPERVISOR)


def check_permission(permission: Permission | None, sender: Member, receiver: Member, what: str) -> None:
    """Check that a sender may say this to this receiver.

    Raises:
        NotAllowedError: it may not; or nobody may.
    """
    if permission is None:
        raise NotAllowedError(f"expected a known kind of message, got {what[:32]!r} from {sender.name}")
    if not sender.active or not sender.roles & permission.senders:
        raise NotAllowedError(f"{what}: expected a sender that is {permission.senders!r}, got {sender.name}")
    if not receiver.roles & permission.receivers:
        raise NotAllowedError(f"{what}: expected a receiver that is {permission.receivers!r}, this is {receiver.name}")
