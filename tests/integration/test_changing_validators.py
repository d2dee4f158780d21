"""Five replicas on the real contracts while the companies change who votes: the chain goes on, and proofs follow."""

import asyncio
from functools import partial

import structlog.testing

from ledger.consistency import verify_consistency
from ledger.contract import ContractHost, decode_log, encode_args
from ledger.contract.abi import event_topic
from ledger.contract.artefacts import ADDRESSES
from ledger.contract.proposals import encode_proposal
from ledger.encoding import block_hash
from ledger.ports import Place
from ledger.receipts import verify_receipt
from ledger.replica.proving import find_handovers, write_consistency
from ledger.store import verify_store
from ledger.types import Height, ReplicaId, Validator
from tests.support.chains import genesis_of, public_key, signing_key, transaction, verify, vote_key
from tests.support.networks import Cluster, VoteSigner, until

ALL = (0, 1, 2, 3, 4)
FIRST_QUORUM = (0, 1, 2, 3)
"""Delegates of more than two thirds of the five companies."""
NEW_KEY = signing_key("vote 1 anew")
NOBODY = bytes(32)


class ContractCluster(Cluster):
    """Replicas on the real contracts."""

    def __init__(self) -> None:
        super().__init__(genesis_of(5, 4))
        self.signers[4] = VoteSigner(vote_key(4))
        self.sent = 0
        self.decided = 0

    def executor(self, index, store):
        return ContractHost(self.genesis.chain, store.read_node)

    async def send(self, sender, method, *values):
        self.sent += 1
        data = transaction(
            self.sent,
            sender=sender,
            expiry_ms=self.clock.now_ms() + 60_000,
            method=method,
            args=encode_args(method, *values),
        )
        outcome = await asyncio.wait_for(self.replicas[sender].submit(data), 20)
        assert outcome.receipt.ok, outcome.receipt.reason
        return outcome

    async def decide(self, method, *values):
        """Propose a call and vote for it until it is made; return where the last vote is."""
        target, data = encode_proposal(method, *values)
        proposer, *others = FIRST_QUORUM
        await self.send(proposer, "governance.propose", target, data, self.clock.now_ms() + 3_600_000)
        vote = ("governance.vote", self.decided, True, target, data)
        outcome = [await self.send(voter, *vote) for voter in others][-1]
        self.decided += 1
        await self.reach(outcome.height)
        return Place(outcome.height, outcome.index)

    async def reach(self, height):
        await until(lambda: all(self.stores[index].height() >= height for index in self.indices()), 20)

    async def expect_voting(self, *expected):
        async with asyncio.timeout(20):
            while [i for i in sorted(self.indices()) if (await self.replicas[i].status()).may_vote] != [*expected]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def test_companies_add_rotate_and_remove_validators_while_blocks_go_on():
    cluster = ContractCluster()

    async def run():
        async with cluster.running(*ALL):
            await until(lambda: all(cluster.replicas[index].is_ready() for index in ALL), 20)
            await cluster.expect_voting(0, 1, 2, 3)
            added = await cluster.decide("members.set_vote_key", 4, public_key(vote_key(4)))
            await cluster.expect_voting(0, 1, 2, 3, 4)
            with structlog.testing.capture_logs() as logs:
                rotated = await cluster.decide("members.set_vote_key", 1, public_key(NEW_KEY))
            assert [log["held"] for log in logs if log["event"] == "replica.vote_key_differs"] == [
                public_key(vote_key(1)).hex()
            ]
            await cluster.expect_voting(0, 2, 3, 4)
            await cluster.stop(1)
            cluster.signers[1] = VoteSigner(NEW_KEY)
            cluster.start(1)
            await until(cluster.replicas[1].is_ready, 20)
            await cluster.expect_voting(0, 1, 2, 3, 4)
            removed = await cluster.decide("members.set_vote_key", 0, NOBODY)
            await cluster.expect_voting(1, 2, 3, 4)
            assert cluster.replicas[0].is_ready()
            last = await cluster.decide("members.suspend", 4)  # any decision: the new set makes it final
            receipts = [await cluster.replicas[index].receipt([added, rotated, removed, last]) for index in ALL]
            await expect_proposals(cluster, last)
            return [place.height for place in (added, rotated, removed, last)], receipts

    heights, receipts = asyncio.run(run())
    for receipt in receipts:
        assert [tx.height for tx in verify_receipt(receipt, cluster.genesis, verify).transactions] == heights
    store = cluster.stores[3]
    assert list(find_handovers(store)) == heights[:3]
    keys = {1: NEW_KEY, 2: vote_key(2), 3: vote_key(3), 4: vote_key(4)}
    expected = sorted(Validator(public_key(key), ReplicaId(index)) for index, key in keys.items())
    assert list(store.validators(Height(heights[2]))) == expected
    check_proofs(cluster, heights)


async def expect_proposals(cluster, last):
    """What was proposed is found on every replica, in order, in the blocks that were asked for and no others."""
    event = ADDRESSES["governance"], event_topic("governance", "Proposed")
    for replica in cluster.replicas.values():
        found = await replica.find_logs(Height(0), last.height, *event)
        assert [decode_log(entry.log).values["id"] for entry in found] == [0, 1, 2, 3]
        assert list(await replica.find_logs(found[1].height, found[2].height, *event)) == list(found[1:3])


def check_proofs(cluster, heights):
    """Every pair of heads is consistent, and every store follows from genesis."""
    store, chain = cluster.stores[3], cluster.genesis.chain
    for older, newer in ((0, heights[-1]), (heights[0], heights[1]), (heights[1], heights[-1])):
        header = store.header(Height(older))
        assert header is not None
        found = verify_consistency(
            write_consistency(store, Height(older), Height(newer)), chain, block_hash(header), verify
        )
        assert found.newer == store.header(Height(newer))
    for kept in cluster.stores.values():
        report = verify_store(kept, partial(ContractHost, chain), cluster.genesis, verify)
        assert report.failure is None
        assert report.verified == kept.height()
