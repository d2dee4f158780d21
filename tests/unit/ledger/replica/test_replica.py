"""Replicas of one process, joined in memory: what their daemons may rely on."""

import asyncio
import random
from contextlib import aclosing
from dataclasses import replace

import pytest

from ledger.consensus import Decided, decode_message
from ledger.encoding import decode_transaction, encode_transaction, transaction_id
from ledger.errors import DecodeError, ExpiredError, InvalidTransactionError, StorageError, UnavailableError
from ledger.replica.items import Transactions, decode_item, encode_item
from ledger.store import MemoryStore
from ledger.types import Digest, Height, ReplicaId, Signature, Vote
from tests.support.chains import genesis_of, member_key, transaction
from tests.support.networks import Cluster, gone, until
from tests.support.odd_keys import signed_twice

ALL = (0, 1, 2, 3)


@pytest.fixture
def cluster():
    return Cluster(genesis_of(4))


def fresh(cluster, number, **options):
    return transaction(number, expiry_ms=cluster.clock.now_ms() + options.pop("life_ms", 60_000), **options)


def id_of(data):
    return transaction_id(decode_transaction(data))


async def submit_all(cluster, numbers, replicas=ALL):
    for number in numbers:
        chosen = replicas[number % len(replicas)]
        await cluster.replicas[chosen].submit(fresh(cluster, number, sender=chosen))


async def heads(cluster, indices=ALL):
    return {(await cluster.replicas[index].status()).block_hash for index in indices}


async def at_height(cluster, height, indices=ALL):
    for index in indices:
        async with aclosing(cluster.replicas[index].subscribe(Height(height))) as blocks:
            await asyncio.wait_for(anext(blocks), 10)


def test_transactions_are_final_everywhere_in_one_order(cluster):
    async def run():
        async with cluster.running(*ALL):
            outcomes = await asyncio.gather(
                *(cluster.replicas[n % 4].submit(fresh(cluster, n, sender=n % 4)) for n in range(20))
            )
            assert len({(outcome.height, outcome.index) for outcome in outcomes}) == 20
            await at_height(cluster, max(outcome.height for outcome in outcomes))
            assert len(await heads(cluster)) == 1
            assert [await cluster.replicas[i].view("test.count") for i in ALL] == [(20,)] * 4
            executed = {executor.executed for executor in cluster.executors.values()}
            assert executed == {max(outcome.height for outcome in outcomes)}

    asyncio.run(run())


def test_a_reverted_transaction_is_final_too(cluster):
    async def run():
        async with cluster.running(*ALL):
            outcome = await cluster.replicas[0].submit(fresh(cluster, 1, method="test.fail"))
            assert (outcome.receipt.ok, outcome.receipt.reason) == (False, "NO_SUCH_METHOD")

    asyncio.run(run())


def test_the_same_transaction_has_one_outcome(cluster):
    async def run():
        async with cluster.running(*ALL):
            data = fresh(cluster, 1)
            again = [cluster.replicas[i].submit(data) for i in (0, 0, 1, 2)]
            outcomes = await asyncio.gather(*again)
            outcomes.append(await cluster.replicas[3].submit(data))
            assert len(set(outcomes)) == 1
            assert await cluster.replicas[0].outcome(id_of(data)) == outcomes[0]
            assert await cluster.replicas[0].outcome(id_of(fresh(cluster, 2))) is None

    asyncio.run(run())


def variants(data):
    """The same transaction, so the same id, with bytes of its signatures altered."""
    tx = decode_transaction(data)
    altered = [Signature(bytes([each.signature[0] ^ 1]) + each.signature[1:]) for each in (tx, tx.cosigners[0])]
    other = (
        replace(tx, signature=altered[0]),
        replace(tx, cosigners=(replace(tx.cosigners[0], signature=altered[1]),)),
    )
    return tuple(map(encode_transaction, other))


def test_altered_signatures_do_not_stand_in_the_way_of_the_true_ones(cluster):
    async def run():
        async with cluster.running(*ALL):
            data = fresh(cluster, 1, cosigners=[(member_key(2), bytes(64))])
            assert {id_of(other) for other in variants(data)} == {id_of(data)}
            for index in ALL:
                sender = ReplicaId((index + 1) % 4)
                await cluster.replicas[index].receive(sender, [encode_item(Transactions(variants(data)))])
            for other in variants(data):
                with pytest.raises(InvalidTransactionError, match="signature"):
                    await cluster.replicas[0].submit(other)
            outcome = await cluster.replicas[0].submit(data)
            assert cluster.stores[0].final(outcome.height).block.txs == (data,)

    asyncio.run(run())


def test_a_transaction_whose_signers_signed_twice_is_final_once(cluster):
    """Its id leaves the signatures out: whoever made others gets the outcome of those in the block."""

    async def run():
        async with cluster.running(*ALL):
            data = fresh(cluster, 1, cosigners=[(member_key(2), bytes(64))])
            again = encode_transaction(signed_twice(decode_transaction(data), 5))
            assert again != data
            first, second = await asyncio.gather(cluster.replicas[0].submit(data), cluster.replicas[1].submit(again))
            assert first == second
            assert await cluster.replicas[2].submit(again) == first
            assert await cluster.replicas[2].view("test.count") == (1,)

    asyncio.run(run())


def test_what_no_block_may_hold_is_refused_at_once(cluster):
    async def run():
        async with cluster.running(*ALL):
            replica = cluster.replicas[0]
            for wrong, error in (
                (b"junk", DecodeError),
                (fresh(cluster, 1, chain=bytes(32)), InvalidTransactionError),
                (fresh(cluster, 1, sender=9), InvalidTransactionError),
                (fresh(cluster, 1, life_ms=3_700_000), InvalidTransactionError),
                (fresh(cluster, 1, life_ms=-1), ExpiredError),
            ):
                with pytest.raises(error):
                    await asyncio.wait_for(replica.submit(wrong), 5)
            assert (await replica.status()).mempool == 0

    asyncio.run(run())


def test_without_a_quorum_a_transaction_expires(cluster):
    async def run():
        async with cluster.running(0, 1):
            submitted = asyncio.get_running_loop().create_task(cluster.replicas[0].submit(fresh(cluster, 1)))
            await until(lambda: cluster.replicas[0]._parts and cluster.replicas[0]._parts.intake.mempool)
            assert not cluster.replicas[0].is_ready()
            cluster.clock.offset_ms += 75_000
            with pytest.raises(ExpiredError):
                await asyncio.wait_for(submitted, 5)
            assert (await cluster.replicas[0].status()).mempool == 0

    asyncio.run(run())


def test_one_of_four_may_be_missing(cluster):
    async def run():
        async with cluster.running(0, 1, 2):
            await submit_all(cluster, range(6), (0, 1, 2))
            await at_height(cluster, 6, (0, 1, 2))
            assert len(await heads(cluster, (0, 1, 2))) == 1

    asyncio.run(run())


def test_lost_gossip_is_made_up_for(cluster):
    async def run():
        lost: list[bytes] = []

        def drop(sender, to, item):
            is_lost = isinstance(decode_item(item), Transactions) and len(lost) < 6
            lost.extend([item] * is_lost)
            return is_lost

        cluster.hub.drop = drop
        async with cluster.running(*ALL):
            outcome = await asyncio.wait_for(cluster.replicas[1].submit(fresh(cluster, 1, sender=1)), 10)
            assert outcome.height == 1
            assert len(lost) >= 3

    asyncio.run(run())


def test_votes_are_durable_before_they_leave(cluster):
    async def run():
        seen = []

        def drop(sender, to, item):
            message = decode_item(item)
            if isinstance(message, Vote):
                seen.append(message in cluster.stores[sender].records(message.height))
            return False

        cluster.hub.drop = drop
        async with cluster.running(*ALL):
            await submit_all(cluster, range(5))
        assert len(seen) >= 60
        assert all(seen)

    asyncio.run(run())


def test_a_replica_that_was_away_catches_up_and_votes_again(cluster):
    async def run():
        async with cluster.running(*ALL):
            await submit_all(cluster, range(3))
            await at_height(cluster, 3)
            await cluster.stop(3)
            await submit_all(cluster, range(3, 25), (0, 1, 2))
            assert not cluster.stores[3].has_never_voted()
            cluster.start(3)
            await at_height(cluster, 25)
            await until(cluster.replicas[3].is_ready)
            assert (await cluster.replicas[3].status()).may_vote
            await cluster.stop(0)
            await submit_all(cluster, range(25, 28), (1, 2, 3))  # its votes are needed now
            await at_height(cluster, 28, (1, 2, 3))

    asyncio.run(run())


def test_whoever_goes_away_is_expected_less_until_it_is_back(cluster):
    async def run():
        async with cluster.running(*ALL):
            await submit_all(cluster, range(3))
            assert [gone(cluster.replicas[index]) for index in ALL] == [set()] * 4
            await cluster.stop(3)
            await until(lambda: all(gone(cluster.replicas[index]) == {3} for index in (0, 1, 2)))
            cluster.start(3)
            await until(lambda: all(gone(cluster.replicas[index]) == set() for index in (0, 1, 2)))

    asyncio.run(run())


def test_a_new_replica_follows_from_genesis():
    cluster = Cluster(genesis_of(5, validators=4))

    async def run():
        async with cluster.running(*ALL):
            await submit_all(cluster, range(60))
            cluster.start(4)
            await at_height(cluster, 60, (*ALL, 4))
            await until(cluster.replicas[4].is_ready)
            assert len(await heads(cluster, (*ALL, 4))) == 1

    asyncio.run(run())


def test_after_a_crash_of_all_the_chain_goes_on(cluster):
    async def run():
        async with cluster.running(*ALL):
            await submit_all(cluster, range(4))
            await at_height(cluster, 4)
        async with cluster.running(*ALL):
            await submit_all(cluster, range(4, 8))
            await at_height(cluster, 8)
            assert len(await heads(cluster)) == 1

    asyncio.run(run())


def test_through_loss_and_restarts_all_end_at_one_head():
    cluster, source = Cluster(genesis_of(5, validators=4)), random.Random(0)
    cluster.hub.drop = lambda _sender, _to, _item: source.random() < 0.25

    async def client(index):
        for number in range(6):
            await cluster.replicas[index].submit(fresh(cluster, index * 100 + number, sender=index))

    async def restart():
        while True:
            await asyncio.sleep(source.uniform(0.2, 0.6))
            await cluster.stop(3)
            cluster.start(3)

    async def run():
        async with cluster.running(*ALL, 4):
            restarting = asyncio.get_running_loop().create_task(restart())
            await asyncio.wait_for(asyncio.gather(*map(client, (0, 1, 2, 4))), 60)
            restarting.cancel()
            await asyncio.gather(restarting, return_exceptions=True)
            if 3 not in cluster.indices():
                cluster.start(3)
            highest = max([(await cluster.replicas[index].status()).height for index in (0, 1, 2, 4)])
            await at_height(cluster, highest, (*ALL, 4))
            assert len(await heads(cluster, (*ALL, 4))) == 1

    asyncio.run(run())


def test_a_lost_log_observes_two_heights(cluster):
    async def run():
        async with cluster.running(*ALL):
            await submit_all(cluster, range(3))
            await at_height(cluster, 3)
            await cluster.stop(3)
            cluster.stores[3] = MemoryStore(fresh=False)
            cluster.start(3)
            await at_height(cluster, 3)
            await until(cluster.replicas[3].is_ready)
            assert not (await cluster.replicas[3].status()).may_vote
            await submit_all(cluster, range(3, 6))
            await at_height(cluster, 6)
            votes = [cluster.stores[3].records(Height(height)) for height in (4, 5, 6)]
            assert [bool(made) for made in votes] == [False, False, True]

    asyncio.run(run())


def test_an_observer_follows_and_submits():
    cluster = Cluster(genesis_of(5, validators=4))

    async def run():
        async with cluster.running(*ALL, 4):
            await until(cluster.replicas[4].is_ready)
            outcome = await cluster.replicas[4].submit(fresh(cluster, 1, sender=4))
            assert outcome.height == 1
            status = await cluster.replicas[4].status()
            assert (status.height, status.may_vote, status.peers) == (1, False, 4)
            assert cluster.stores[4].newest_vote() is None

    asyncio.run(run())


def test_one_alone_decides():
    cluster = Cluster(genesis_of(1))

    async def run():
        async with cluster.running(0):
            assert (await cluster.replicas[0].submit(fresh(cluster, 1))).height == 1
            assert cluster.replicas[0].is_ready()

    asyncio.run(run())


async def collect(blocks, heights):
    async for block in blocks:
        heights.append(block.height)


def test_subscribers_get_every_block_in_order_until_the_end(cluster):
    async def run():
        async def read(from_height):
            heights: list[int] = []
            with pytest.raises(UnavailableError):
                await collect(cluster.replicas[0].subscribe(Height(from_height)), heights)
            return heights

        async with cluster.running(*ALL):
            first = asyncio.get_running_loop().create_task(read(0))
            await submit_all(cluster, range(5))
            second = asyncio.get_running_loop().create_task(read(3))
            await submit_all(cluster, range(5, 8))
            await at_height(cluster, 8)
        assert await first == list(range(9))
        assert await second == list(range(3, 9))

    asyncio.run(run())


def test_an_idle_chain_is_silent(cluster):
    async def run():
        async with cluster.running(*ALL):
            await submit_all(cluster, range(2))
            await at_height(cluster, 2)
            await asyncio.sleep(0.2)
            cluster.hub.sent.clear()
            await asyncio.sleep(1.0)
            assert await heads(cluster)
            assert (await cluster.replicas[0].status()).height == 2
            assert len(cluster.hub.sent) <= 4 * 3 * 4  # a status now and then

    asyncio.run(run())


class BrokenStore(MemoryStore):
    """A disk that fails at one commit."""

    def commit(self, decision):
        if decision.final.block.header.height == 2:
            raise StorageError("disk: expected a flush, got its failure")
        super().commit(decision)


def test_a_disk_failure_ends_the_replica_and_no_other(cluster):
    async def run():
        cluster.stores[0] = BrokenStore()
        async with cluster.running(*ALL):
            await submit_all(cluster, [0])
            waiting = asyncio.get_running_loop().create_task(cluster.replicas[0].submit(fresh(cluster, 1)))
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(waiting, 5)
            failure = await cluster.failure(0)
            assert "expected a flush" in repr(failure)
            await at_height(cluster, 2, (1, 2, 3))
            with pytest.raises(UnavailableError):
                await cluster.replicas[0].status()

    asyncio.run(run())


def test_a_replica_whose_state_differs_stops(cluster):
    async def run():
        async with cluster.running(*ALL):
            await submit_all(cluster, [0])
            executor = cluster.executors[2]
            execute = executor.execute

            def differently(*args):
                done = execute(*args)
                return type(done)(
                    state_root=Digest(bytes(32)),
                    receipts=done.receipts,
                    nodes=done.nodes,
                    validators=done.validators,
                )

            executor.execute = differently
            await submit_all(cluster, [1], (1,))
            await at_height(cluster, 2, (0, 1, 3))
            assert "quorum" in repr(await cluster.failure(2))

    asyncio.run(run())


def test_bytes_that_are_no_item_are_the_peers_fault(cluster):
    async def run():
        async with cluster.running(*ALL):
            with pytest.raises(DecodeError):
                await cluster.replicas[0].receive(ReplicaId(1), [b"\xff"])
            await submit_all(cluster, [0])

    asyncio.run(run())


def test_a_flood_of_gossip_is_limited(cluster):
    async def run():
        async with cluster.running(*ALL):
            await submit_all(cluster, [0])
            junk = Transactions(tuple(fresh(cluster, n, sender=9) for n in range(10)))
            intake = cluster.replicas[0]._parts.intake
            checked = []

            def check(data):
                checked.append(data)
                raise DecodeError("junk")

            intake._check = check
            intake._pace.per_second = 0
            for _ in range(300):
                await intake.take(ReplicaId(1), junk.txs)
            assert 1_990 <= len(checked) <= 2_000

    asyncio.run(run())


def test_bulk_synchronisation_is_asked_for_in_batches():
    cluster = Cluster(genesis_of(5, validators=4))

    async def run():
        async with cluster.running(*ALL):
            await submit_all(cluster, range(40))
            cluster.hub.sent.clear()
            cluster.start(4)
            await at_height(cluster, 40, (4,))
            decided = [item for _, to, item in cluster.hub.sent if to == 4 and item[0] == 7]
            assert all(isinstance(decode_message(item), Decided) for item in decided)
            assert 40 <= len(decided) <= 40 * 4

    asyncio.run(run())
