"""A peer that sends without end gets what its quota allows, and the others what they always get; in virtual time."""

import asyncio
from dataclasses import replace

import pytest

from ledger.consensus import Decided, GetBlock, Status, decode_message, encode_message
from ledger.encoding import block_hash
from ledger.replica.items import AskVotes, Transactions, encode_item
from ledger.replica.pace import Quota
from ledger.types import BlockHash, Height, PublicKey, ReplicaId, Signature, View, Vote, VoteKind
from tests.support import virtual_time
from tests.support.chains import block_on, certificate, genesis_of, genesis_state, receipt, transaction
from tests.support.networks import Cluster, until

FLOODER = ReplicaId(3)
SECONDS = 10
BLOCKS = 30


def status(number):
    return encode_message(Status(height=Height(1 + number % BLOCKS), view=View(1 + number // BLOCKS)))


def get_block(number):
    wanted = GetBlock(height=Height(1 + number % BLOCKS), block_hash=BlockHash(number.to_bytes(32, "big")))
    return encode_message(wanted)


def vote(number):
    forged = Vote(
        kind=VoteKind.NOTARIZE,
        height=Height(BLOCKS + 1),
        view=View(1 + number % 60),
        block_hash=BlockHash((number + 1).to_bytes(32, "big")),
        signer=0,
        signature=Signature(bytes(64)),
    )
    return encode_message(forged)


def gossip(number):
    return encode_item(Transactions((transaction(number, sender=3, expiry_ms=1),)))


def question(number):
    return encode_item(AskVotes(PublicKey(number.to_bytes(32, "big"))))


def large(number):
    return encode_item(Transactions((number.to_bytes(16_000, "big"),) * 64))


async def flood(replica, make, taken):
    """Send messages of 64 items as fast as they are taken; nothing without a `make`."""
    items = [make(number) for number in range(64)] if make else []
    while items:
        await replica.receive(FLOODER, items)
        taken[0] += 1


async def flooded(make, work):
    """Run three replicas of four; the fourth floods the first while something is done."""
    cluster = Cluster(genesis_of(4))
    taken = [0]
    async with cluster.running(0, 1, 2):
        await until(lambda: all(cluster.replicas[index].is_ready() for index in (0, 1, 2)), 60)
        for number in range(BLOCKS):
            await submit(cluster, number)
        async with asyncio.TaskGroup() as tasks:
            flooding = tasks.create_task(flood(cluster.replicas[0], make, taken))
            began = asyncio.get_running_loop().time()
            await work(cluster)
            seconds = asyncio.get_running_loop().time() - began
            flooding.cancel()
    return taken[0], seconds, cluster


async def submit(cluster, number):
    expiry = cluster.clock.now_ms() + 3_000_000
    await cluster.replicas[number % 3].submit(transaction(1_000 + number, sender=number % 3, expiry_ms=expiry))


async def submit_some(cluster):
    for number in range(BLOCKS, 2 * BLOCKS):
        await submit(cluster, number)


async def wait(cluster):
    await asyncio.sleep(SECONDS)


@pytest.mark.parametrize("make", [status, get_block, vote, gossip, question, large])
def test_the_others_are_served_as_before(make):
    _, undisturbed, _ = virtual_time.run(flooded(None, submit_some))
    _, disturbed, _ = virtual_time.run(flooded(make, submit_some))
    assert disturbed <= 1.1 * undisturbed


@pytest.mark.parametrize("make", [status, get_block, vote, gossip, question])
def test_items_beyond_the_rate_wait(make):
    taken, seconds, _ = virtual_time.run(flooded(make, wait))
    items = Quota().items
    assert items.burst <= taken * 64 <= items.burst + seconds * items.per_second + 128


def test_bytes_beyond_the_rate_wait():
    taken, seconds, _ = virtual_time.run(flooded(large, wait))
    size, message = Quota().size, 64 * len(large(0))
    assert taken * message <= size.burst + seconds * size.per_second + 2 * message
    assert taken * message >= seconds * size.per_second / 2


@pytest.mark.parametrize("make", [status, question])
def test_answers_are_limited(make):
    _, seconds, cluster = virtual_time.run(flooded(make, wait))
    answers = [item for sender, to, item in cluster.hub.sent if (sender, to) == (0, FLOODER)]
    decided = [item for item in answers if item[0] < 128 and isinstance(decode_message(item), Decided)]
    quota = Quota().questions if make is status else Quota().votes
    batches = quota.burst + seconds * quota.per_second
    assert len(decided) <= batches * 17
    assert len(answers) - len(decided) <= batches + 10 * seconds


LATE, LIAR = ReplicaId(5), ReplicaId(6)
BEHIND = 120


def false_blocks(first):
    """Final blocks that no quorum signed, of all heights that may be kept."""
    genesis = genesis_of(7)
    made = []
    for height in range(first, first + 17):
        head = replace(genesis_state(genesis).header, height=Height(height - 1))
        block = block_on(replace(genesis_state(genesis), header=head), [transaction(height)], [receipt(height)])
        voted = certificate(genesis, VoteKind.FINALIZE, height, 1, block_hash(block.header))
        made.append(Decided(block=block, certificate=replace(voted, signatures=(Signature(bytes(64)),) * 5)))
    return [encode_message(each) for each in made]


async def catch_up(lies):
    """Seconds until a replica that was away has all blocks, while another one sends it false ones."""
    cluster = Cluster(genesis_of(7))
    async with cluster.running(0, 1, 2, 3, 4):
        await until(lambda: all(cluster.replicas[index].is_ready() for index in range(5)), 60)
        for number in range(BEHIND):
            await submit(cluster, number)
        height = (await cluster.replicas[0].head()).height
        began = asyncio.get_running_loop().time()
        cluster.start(LATE)
        late = cluster.replicas[LATE]
        while late._height < height:
            if lies:
                await late.receive(LIAR, false_blocks(late._height + 1))
            await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time() - began


def test_false_blocks_do_not_delay_whoever_catches_up():
    undisturbed, disturbed = (virtual_time.run(catch_up(lies)) for lies in (False, True))
    assert disturbed <= 1.5 * undisturbed
