"""A block that a replica voted for stays to be had from its records until its height is decided."""

import asyncio
from dataclasses import replace

import pytest

from ledger.consensus import BlockMessage, GetBlock, decode_message, encode_message
from ledger.encoding import block_hash, proposal_statement
from ledger.replica.engine import Engine
from ledger.store import MemoryStore
from ledger.types import NO_BLOCK, BlockHash, Height, Proposal, ReplicaId, Signature, View, VoteKind
from tests.support.chains import NOW, certificate, finalize, genesis_of, public_key, sign, transaction, verify, vote_key
from tests.support.executors import CountingExecutor
from tests.support.networks import Cluster, until

GENESIS = genesis_of(4)
LEADER = next(index for index in range(4) if public_key(vote_key(index)) == GENESIS.validators()[2].key)
"""Member that leads view 1 of height 1."""


def engine_on(store):
    executor = CountingExecutor(GENESIS.validators(), store.read_node)
    return Engine(store=store, executor=executor, genesis=GENESIS, verify=verify)


@pytest.fixture
def proposal():
    engine = engine_on(MemoryStore())
    block, _ = engine.build([engine.check(transaction(1))], public_key(vote_key(LEADER)), NOW)
    assert block is not None
    unsigned = Proposal(
        height=Height(1), view=View(1), block=block, base=View(0), justification=(), signature=Signature(bytes(64))
    )
    stated = proposal_statement(GENESIS.chain, unsigned.height, unsigned.view, block_hash(block.header), unsigned.base)
    return replace(unsigned, signature=sign(vote_key(LEADER), stated))


def test_it_is_there_until_its_height_is_decided(proposal):
    engine, hashed = engine_on(MemoryStore()), block_hash(proposal.block.header)
    engine.persist([proposal, proposal])
    assert engine.recorded_block(Height(1), hashed) == [encode_message(BlockMessage(block=proposal.block))]
    assert engine.recorded_block(Height(1), BlockHash(bytes(32))) == []
    assert engine.recorded_block(Height(2), hashed) == []
    engine.commit(proposal.block, finalize(GENESIS, proposal.block.header, hashed))
    assert engine.recorded_block(Height(1), hashed) == []


def test_a_replica_sends_it_to_a_peer_that_asks(proposal):
    """View 1 is over, so a replica that comes back holds the block in its records and nowhere else."""
    cluster = Cluster(GENESIS)
    store = cluster.store(0)
    engine_on(store).persist([proposal, certificate(GENESIS, VoteKind.NULLIFY, 1, 1, NO_BLOCK)])
    request = GetBlock(height=Height(1), block_hash=block_hash(proposal.block.header))

    def answers():
        sent = [decode_message(item) for own, to, item in cluster.hub.sent if (own, to) == (0, 1) and item[0] < 128]
        return [message for message in sent if isinstance(message, BlockMessage)]

    async def run():
        async with cluster.running(0):
            await cluster.replicas[0].receive(ReplicaId(1), [encode_message(request)])
            await until(answers)
            assert (await cluster.replicas[0].status()).view == 2

    asyncio.run(run())
    assert answers() == [BlockMessage(block=proposal.block)]
