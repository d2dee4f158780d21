"""The gRPC edge of a replica: one stream for each pair of daemons."""

from ledger.rpc.network import Backoff, PeerAddress, PeerNetwork

__all__ = ["Backoff", "PeerAddress", "PeerNetwork"]
