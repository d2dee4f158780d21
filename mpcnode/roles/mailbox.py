"""What peers deliver to an MPC node for its sessions."""

from dataclasses import dataclass, field

from mpcnode.query.messages import Abort, Deal, Draw, End, Shares
from mpcnode.roles.inbox import Inbox
from mpcnode.types import QueryId, SessionId

_ENDS_KEPT_MAX = 256
"""An end holds two boxes, up to 24 KiB in all: so a peer that sends ends of nothing takes 6 MiB at most."""


@dataclass(slots=True)
class Mailbox:
    """What peers delivered for sessions, ahead of their use or not."""

    shares: Inbox[Shares] = field(default_factory=Inbox)
    """By participant and `share_name`."""
    deals: Inbox[Deal] = field(default_factory=Inbox)
    """By dealer and session."""
    draws: Inbox[Draw] = field(default_factory=Inbox)
    """By pool keeper and session."""
    accepts: Inbox[bytes] = field(default_factory=Inbox)
    """Deal hashes by node and session."""
    ends: Inbox[End] = field(default_factory=lambda: Inbox(_ENDS_KEPT_MAX))
    """By node and session."""
    aborts: Inbox[Abort] = field(default_factory=Inbox)
    """By node and session."""
    recalls: Inbox[None] = field(default_factory=Inbox)
    """By supervisor and session: it asks what arrived there."""

    def forget(self, query: QueryId, attempt: int, session: SessionId) -> None:
        """Drop everything that came for an attempt."""
        self.shares.forget(share_name(query, attempt))
        for inbox in (self.deals, self.draws, self.accepts, self.ends, self.aborts, self.recalls):
            inbox.forget(session)


def share_name(query: QueryId, attempt: int) -> bytes:
    """Name of a participant's share for an attempt."""
    return query + bytes((attempt,))
