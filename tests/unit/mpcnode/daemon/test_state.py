"""What a daemon says of itself."""

import os

import pytest

from ledger.types import BlockHash, PublicKey
from mpcnode.config.node import load_node
from mpcnode.daemon.state import NodeReporter
from mpcnode.rpc.control import NodeState
from mpcnode.types import MemberIndex
from tests.support.chains import block_on, genesis_of, genesis_state


@pytest.fixture
def reporter(network) -> NodeReporter:
    return NodeReporter(load_node(network.node("insurer-mpc").config))


def test_a_daemon_that_starts_names_itself_and_is_not_healthy(reporter):
    status, health = reporter.status(), reporter.health()
    assert (status.name, status.role, status.state) == ("insurer-mpc", "mpc", NodeState.STARTING)
    assert (status.pid, status.height, status.head) == (os.getpid(), 0, bytes(32))
    assert not health.healthy
    assert {check.name: check.passed for check in health.checks} == {"state": False, "ledger": False, "vote": True}
    assert all("expected" in check.detail for check in health.checks if not check.passed)


@pytest.mark.parametrize(
    ("state", "follows", "healthy"),
    [
        (NodeState.READY, True, True),
        (NodeState.READY, False, False),
        (NodeState.STOPPING, True, False),
        (NodeState.STARTING, True, False),
    ],
)
def test_a_daemon_is_healthy_if_it_is_ready_and_follows(reporter, state, follows, healthy):
    reporter.state, reporter.follows = state, follows
    assert reporter.health().healthy is healthy
    assert all(bool(check.detail) is not check.passed for check in reporter.health().checks)


def test_a_validator_without_its_vote_key_is_not_healthy(reporter):
    reporter.state, reporter.follows = NodeState.READY, True
    reporter.vote_key_wanted = PublicKey(b"\xab" * 32)
    health = reporter.health()
    assert not health.healthy
    (failed,) = [check for check in health.checks if not check.passed]
    assert (failed.name, f"expected the vote key {'ab' * 32}" in failed.detail) == ("vote", True)


def test_the_newest_block_and_the_connected_peers_are_told(reporter):
    genesis = genesis_of(4)
    header = block_on(genesis_state(genesis), [], []).header
    reporter.see_block(header, BlockHash(b"\x07" * 32))
    reporter.connected = frozenset({MemberIndex(0), MemberIndex(7)})
    reporter.counters = {"open_queries": 3}
    status = reporter.status()
    assert (status.height, status.head, status.head_time_ms) == (1, b"\x07" * 32, header.timestamp_ms)
    assert [peer.name for peer in status.peers if peer.connected] == ["operator", "regulator"]
    assert len(status.peers) == 7
    assert "insurer-mpc" not in {peer.name for peer in status.peers}
    assert status.counters == {"open_queries": 3}
