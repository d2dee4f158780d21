"""Replicas of one process while the contract changes who votes: nobody stops, and everybody knows his place."""

import asyncio
import random
from contextlib import asynccontextmanager
from functools import partial

import pytest
import structlog.testing

from ledger.chain import hands_over
from ledger.ports import Place
from ledger.receipts import verify_receipt
from ledger.store import MemoryStore, verify_store
from ledger.types import Height, ReplicaId, Validator, Vote, VoteKind
from tests.support.chains import genesis_of, public_key, signing_key, verify, vote_key
from tests.support.executors import ChangingExecutor, encode_set
from tests.support.networks import Cluster, VoteSigner, until
from tests.unit.ledger.replica.test_replica import at_height, fresh, heads

ALL = (0, 1, 2, 3, 4)
NEW_KEY = signing_key("vote 0 anew")


def validator(index, key=None):
    return Validator(public_key(key or vote_key(index)), ReplicaId(index))


def validators(*indices):
    return tuple(sorted(map(validator, indices)))


@pytest.fixture
def cluster():
    """Five members, of whom 0 to 3 vote at first; 4 has a vote key that the contract does not know yet."""
    made = Cluster(genesis_of(5, 4))
    made.executing = ChangingExecutor
    made.signers[4] = VoteSigner(vote_key(4))
    return made


class Numbers:
    """Transactions by number, one after the other."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.last = 0

    async def put(self, at):
        self.last += 1
        data = fresh(self.cluster, self.last, sender=at)
        return await asyncio.wait_for(self.cluster.replicas[at].submit(data), 10)

    async def change(self, at, chosen):
        self.last += 1
        data = fresh(self.cluster, self.last, sender=at, method="test.validators", args=encode_set(chosen))
        outcome = await asyncio.wait_for(self.cluster.replicas[at].submit(data), 10)
        assert outcome.receipt.ok
        await at_height(self.cluster, outcome.height, sorted(self.cluster.indices()))
        return outcome.height


@asynccontextmanager
async def running(cluster, *indices):
    """Replicas that are ready."""
    async with cluster.running(*indices):
        await until(lambda: all(cluster.replicas[index].is_ready() for index in indices))
        yield Numbers(cluster)


async def votes(cluster, indices=ALL):
    return [index for index in indices if (await cluster.replicas[index].status()).may_vote]


def own_votes(cluster, index):
    """Heights at which a replica has voted."""
    return {place[0] for place, _ in cluster.stores[index].scan_votes()}


def test_a_set_grows_shrinks_and_is_exchanged_while_blocks_go_on(cluster):
    async def run():
        async with running(cluster, *ALL) as numbers:
            assert await votes(cluster) == [0, 1, 2, 3]
            await numbers.put(4)
            grown = await numbers.change(4, validators(0, 1, 2, 3, 4))
            assert await votes(cluster) == [0, 1, 2, 3, 4]
            for at in ALL:
                await numbers.put(at)
            shrunk = await numbers.change(0, validators(1, 2, 3, 4))
            assert await votes(cluster) == [1, 2, 3, 4]
            for at in ALL:
                await numbers.put(at)
            back = await numbers.change(0, validators(0, 1, 2, 3))
            for at in ALL:
                await numbers.put(at)
            last = await numbers.put(0)
            await at_height(cluster, last.height, ALL)
            assert len(await heads(cluster, ALL)) == 1
            assert await votes(cluster) == [0, 1, 2, 3]
            assert all(cluster.replicas[index].is_ready() for index in ALL)
            return grown, shrunk, back, last.height

    grown, shrunk, back, last = asyncio.run(run())
    assert min(own_votes(cluster, 4)) == grown + 1
    assert max(own_votes(cluster, 4)) <= back
    assert not own_votes(cluster, 0) & set(range(shrunk + 1, back + 1))
    assert max(own_votes(cluster, 0)) == last
    store = cluster.stores[2]
    changed = [height for height in range(last + 1) if hands_over(store.header(Height(height)))]
    assert changed == [grown, shrunk, back]


def test_its_receipts_verify_and_so_do_all_stores(cluster):
    async def run():
        async with running(cluster, *ALL) as numbers:
            places = []
            for chosen in ((0, 1, 2, 3, 4), (1, 2, 3, 4), (0, 1, 2, 3)):
                outcome = await numbers.put(0)
                places.append(Place(outcome.height, outcome.index))
                await numbers.change(1, validators(*chosen))
            outcome = await numbers.put(0)
            places.append(Place(outcome.height, outcome.index))
            await at_height(cluster, outcome.height, ALL)
            return places, [await cluster.replicas[index].receipt(places) for index in ALL]

    places, files = asyncio.run(run())
    for file in files:
        proven = verify_receipt(file, cluster.genesis, verify).transactions
        assert [found.height for found in proven] == [place.height for place in places]
    for index in ALL:
        store = cluster.stores[index]
        report = verify_store(store, partial(ChangingExecutor, validators(0, 1, 2, 3)), cluster.genesis, verify)
        assert (report.failure, report.verified) == (None, store.height())


def test_who_was_away_while_the_set_changed_comes_back_with_its_part(cluster):
    """Down: a validator that is removed, and an observer that is added; both find out when they are back."""

    async def run():
        async with running(cluster, *ALL) as numbers:
            await numbers.put(0)
            await cluster.stop(4)
            await numbers.change(1, validators(0, 1, 2, 3, 4))
            await numbers.put(1)
            await numbers.change(1, validators(0, 1, 2, 4))
            cluster.start(4)
            await until(cluster.replicas[4].is_ready)
            await cluster.stop(0)
            await numbers.change(1, validators(1, 2, 3, 4))
            last = await numbers.put(2)
            cluster.start(0)
            await until(cluster.replicas[0].is_ready)
            await at_height(cluster, last.height, ALL)
            assert await votes(cluster) == [1, 2, 3, 4]
            last = await numbers.put(0)
            await cluster.stop(1)  # three of the new four must do
            last = await numbers.put(0)
            await at_height(cluster, last.height, (0, 2, 3, 4))
            return last.height

    last = asyncio.run(run())
    assert last in own_votes(cluster, 4)
    assert last not in own_votes(cluster, 0)


def test_a_replica_from_genesis_follows_all_sets(cluster):
    async def run():
        async with running(cluster, 0, 1, 2, 3) as numbers:
            for chosen in ((0, 1, 2, 3, 4), (0, 1, 2, 3), (0, 1, 2, 3, 4)):
                await numbers.change(0, validators(*chosen))
                await numbers.put(0)
            cluster.start(4)
            await until(cluster.replicas[4].is_ready)
            last = await numbers.put(4)
            await at_height(cluster, last.height, ALL)
            return last.height

    assert asyncio.run(run()) in own_votes(cluster, 4)


def test_a_daemon_with_the_old_vote_key_observes_and_says_so(cluster):
    rotated = (validator(0, NEW_KEY), *validators(1, 2, 3))

    async def run():
        async with running(cluster, *ALL) as numbers:
            await numbers.put(0)
            with structlog.testing.capture_logs() as logs:
                changed = await numbers.change(0, rotated)
            warned = [log for log in logs if log["event"] == "replica.vote_key_differs"]
            for at in (0, 1, 2, 3):
                await numbers.put(at)
            assert await votes(cluster) == [1, 2, 3]
            assert (await cluster.replicas[0].status()).ready
            await cluster.stop(0)
            cluster.signers[0] = VoteSigner(NEW_KEY)
            cluster.start(0)
            await until(cluster.replicas[0].is_ready)
            back = await numbers.put(1)
            await cluster.stop(3)
            last = await numbers.put(2)
            await at_height(cluster, last.height, (0, 1, 2))
            return changed, warned, back.height, last.height

    changed, warned, back, last = asyncio.run(run())
    (warning,) = warned
    assert warning["log_level"] == "warning"
    assert (warning["registered"], warning["held"]) == (public_key(NEW_KEY).hex(), public_key(vote_key(0)).hex())
    assert not own_votes(cluster, 0) & set(range(changed + 1, back))
    assert last in own_votes(cluster, 0)


def test_a_daemon_with_the_new_key_too_early_observes_until_it_is_registered(cluster):
    rotated = (validator(0, NEW_KEY), *validators(1, 2, 3))
    cluster.signers[0] = VoteSigner(NEW_KEY)

    async def run():
        async with running(cluster, *ALL) as numbers:
            await numbers.put(0)
            assert await votes(cluster) == [1, 2, 3]
            changed = await numbers.change(0, rotated)
            assert await votes(cluster) == [0, 1, 2, 3]
            await cluster.stop(3)
            last = await numbers.put(2)
            await at_height(cluster, last.height, (0, 1, 2))
            return changed, last.height

    changed, last = asyncio.run(run())
    assert min(own_votes(cluster, 0)) > changed
    assert last in own_votes(cluster, 0)


def test_a_validator_without_any_key_observes_and_says_so(cluster):
    del cluster.signers[3]

    async def run():
        with structlog.testing.capture_logs() as logs:
            async with running(cluster, *ALL) as numbers:
                await numbers.put(3)
                assert await votes(cluster) == [0, 1, 2]
        return [log["held"] for log in logs if log["event"] == "replica.vote_key_differs"]

    assert asyncio.run(run()) == ["none"]


def test_a_key_that_moved_to_another_daemon_votes_only_there(cluster):
    """Both hold it: a company moved its validator and left the key file behind."""
    cluster.signers[4] = cluster.signers[0]
    moved = tuple(sorted((Validator(public_key(vote_key(0)), ReplicaId(4)), *validators(1, 2, 3))))

    async def run():
        async with running(cluster, *ALL) as numbers:
            await numbers.put(0)
            assert await votes(cluster) == [0, 1, 2, 3]
            changed = await numbers.change(0, moved)
            for at in ALL:
                await numbers.put(at)
            assert await votes(cluster) == [1, 2, 3, 4]
            await cluster.stop(3)
            last = await numbers.put(2)
            await at_height(cluster, last.height, (0, 1, 2, 4))
            return changed, last.height

    changed, last = asyncio.run(run())
    assert max(own_votes(cluster, 0)) <= changed
    assert last in own_votes(cluster, 4)
    assert min(own_votes(cluster, 4)) > changed


def test_the_founders_can_all_leave():
    """Readiness, and the question after a start, look at the present set: nobody waits for those who are gone."""
    cluster = Cluster(genesis_of(8, 4))
    cluster.executing = ChangingExecutor
    cluster.signers |= {index: VoteSigner(vote_key(index)) for index in range(4, 8)}

    async def run():
        async with running(cluster, *range(8)) as numbers:
            for first in range(1, 5):
                await numbers.change(0, validators(*range(first, first + 4)))
            await cluster.stop(0, 1, 2, 3)
            await numbers.put(7)
            assert all(cluster.replicas[index].is_ready() for index in (4, 5, 6, 7))
            await cluster.stop(4)
            cluster.start(4)
            await until(cluster.replicas[4].is_ready)
            await cluster.stop(5)
            cluster.stores[5] = MemoryStore(fresh=False)
            cluster.start(5)
            await until(cluster.replicas[5].is_ready)
            observed = await numbers.put(6)
            assert not own_votes(cluster, 5)
            await numbers.put(6)
            await numbers.put(7)
            last = await numbers.put(4)
            await at_height(cluster, last.height, (4, 5, 6, 7))
            await cluster.stop(6, 7)
            assert not cluster.replicas[4].is_ready()
            return observed.height, last.height

    observed, last = asyncio.run(run())
    assert last in own_votes(cluster, 4)
    assert min(own_votes(cluster, 5)) > observed
    assert last in own_votes(cluster, 5)


def test_through_many_changes_and_restarts_all_end_at_one_head(cluster):
    rng = random.Random(7)

    async def run():
        chosen = {0, 1, 2, 3}
        async with running(cluster, *ALL) as numbers:
            for _ in range(12):
                chosen = set(ALL) if len(chosen) == 4 else set(ALL) - {rng.choice(ALL)}
                await numbers.change(rng.choice(ALL), validators(*chosen))
                down = rng.choice(ALL)
                await cluster.stop(down)
                for _ in range(2):
                    await numbers.put(rng.choice([index for index in ALL if index != down]))
                cluster.start(down)
                await until(cluster.replicas[down].is_ready)
            last = await numbers.put(0)
            await at_height(cluster, last.height, ALL)
            assert len(await heads(cluster, ALL)) == 1

    asyncio.run(run())
    contradicting = [
        (vote.height, vote.view)
        for index in ALL
        for vote in cluster.stores[index]._votes.values()
        if isinstance(vote, Vote)
        and vote.kind is VoteKind.FINALIZE
        and (vote.height, vote.view, VoteKind.NULLIFY) in cluster.stores[index]._votes
    ]
    assert not contradicting
