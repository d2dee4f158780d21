"""What a daemon says of itself: its status and its health, from memory."""

import os
from collections.abc import Mapping
from importlib.metadata import version

from ledger.types import Header, Height, Millis, PublicKey
from mpcnode.adapters.clock import SystemClock
from mpcnode.config.node import NodeConfig
from mpcnode.rpc.control import Check, NodeHealth, NodeState, NodeStatus, PeerStatus
from mpcnode.types import MemberIndex, Role

_ROLE_NAMES: Mapping[Role, str] = {
    Role.OPERATOR: "operator",
    Role.MPC: "mpc",
    Role.PARTICIPANT: "participant",
    Role.SUPERVISOR: "supervisor",
}


class NodeReporter:
    """Keeps what the control socket tells. Owned by the event loop's thread."""

    def __init__(self, config: NodeConfig) -> None:
        """Take the daemon's configuration."""
        self._config = config
        self._started_ms = SystemClock().now_ms()
        self.state = NodeState.STARTING
        self.detail = "opening the ledger"
        self.height = Height(0)
        self.head = bytes(32)
        self.head_time_ms = Millis(0)
        self.connected: frozenset[MemberIndex] = frozenset()
        self.follows = False
        """Whether the replica is where a quorum of the others are."""
        self.vote_key_wanted: PublicKey | None = None
        """The vote key that the ledger has for this member, if the daemon holds another one or none."""
        self.counters: Mapping[str, int] = {}

    def see_block(self, header: Header, block_hash: bytes) -> None:
        """Take note of a final block."""
        self.height, self.head, self.head_time_ms = header.height, block_hash, header.timestamp_ms

    def status(self) -> NodeStatus:
        """What the daemon is now."""
        consortium, member = self._config.consortium, self._config.member
        return NodeStatus(
            name=member.name,
            role=_ROLE_NAMES[member.roles],
            version=version("mpcnode"),
            state=self.state,
            detail=self.detail,
            pid=os.getpid(),
            started_ms=self._started_ms,
            chain=consortium.chain,
            height=self.height,
            head=self.head,
            head_time_ms=self.head_time_ms,
            peers=tuple(
                PeerStatus(name=other.name, connected=other.index in self.connected)
                for other in consortium.members
                if other.index != member.index
            ),
            counters=self.counters,
        )

    def health(self) -> NodeHealth:
        """Whether the daemon does its work now."""
        checks = (
            Check(
                name="state",
                passed=self.state is NodeState.READY,
                detail="" if self.state is NodeState.READY else f"expected ready, got {self.state.name.lower()}",
            ),
            Check(
                name="ledger",
                passed=self.follows,
                detail=""
                if self.follows
                else "expected to be where a quorum of the validators is, got behind or alone",
            ),
            Check(
                name="vote",
                passed=self.vote_key_wanted is None,
                detail=""
                if self.vote_key_wanted is None
                else f"expected the vote key {self.vote_key_wanted.hex()} of the ledger in the keys directory, got "
                "another or none: this validator only observes",
            ),
        )
        return NodeHealth(healthy=all(check.passed for check in checks), checks=checks)
