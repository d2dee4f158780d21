"""Statements that a validator may vote again: what is refused, and a network that goes on by them."""

import asyncio
from dataclasses import replace

import pytest

from ledger.encoding import WORD_BYTES
from ledger.errors import InvalidError
from ledger.replica.items import decode_item
from ledger.replica.rejoining import REJOIN_MS_MAX, Position, Rejoin, check_carried, check_rejoin, check_signatures
from ledger.store import MemoryStore
from ledger.types import Certificate, ChainId, Height, Millis, PublicKey, ReplicaId, Vote, VoteKind
from tests.ports.store_suite import vote
from tests.support.chains import CHAIN, NOW, genesis_of, member_key, public_key, sign, transaction, verify
from tests.support.networks import Cluster, until

GENESIS = genesis_of(4)
KEYS = {validator.replica: validator.key for validator in GENESIS.validators()}
MINE = Rejoin(
    chain=CHAIN,
    replica=ReplicaId(2),
    vote_key=KEYS[ReplicaId(2)],
    sign_from=Height(8),
    expires_ms=Millis(NOW + 86_400_000),
)
HERE = Position(chain=CHAIN, head=Height(7), validators=KEYS, newest_vote=vote(VoteKind.FINALIZE, 7, 2))
DELEGATES = {public_key(member_key(index)): index for index in range(4)}


def signed(rejoin, *members):
    return {public_key(member_key(index)): sign(member_key(index), rejoin.statement()) for index in members}


def test_the_statement_is_six_words_and_each_of_them_counts():
    words = MINE.statement()
    assert len(words) == 6 * WORD_BYTES
    assert words.startswith(b"ledger/rejoin/1")
    others = [
        replace(MINE, chain=ChainId(bytes(32))),
        replace(MINE, replica=ReplicaId(3)),
        replace(MINE, vote_key=PublicKey(bytes(32))),
        replace(MINE, sign_from=Height(9)),
        replace(MINE, expires_ms=Millis(NOW)),
    ]
    assert len({words, *(other.statement() for other in others)}) == 6


def test_a_true_statement_is_taken():
    check_rejoin(MINE, HERE, NOW)
    check_rejoin(MINE, replace(HERE, newest_vote=None), Millis(MINE.expires_ms))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chain": ChainId(bytes(32))}, "expected chain"),
        ({"replica": ReplicaId(3)}, "expected the vote key of replica 3"),
        ({"replica": ReplicaId(4)}, r"of replica 4 \(none, for it is no validator\)"),
        ({"vote_key": KEYS[ReplicaId(1)]}, "expected the vote key of replica 2"),
        ({"sign_from": Height(7)}, "expected height 8, for block 7 is the newest here, got 7"),
        ({"sign_from": Height(9)}, "expected height 8, for block 7 is the newest here, got 9"),
        ({"expires_ms": Millis(NOW - 1)}, "expected an expiry in the next 7 days, got one -1 s"),
        ({"expires_ms": Millis(NOW + REJOIN_MS_MAX + 1)}, "expected an expiry in the next 7 days"),
    ],
)
def test_a_statement_about_something_else_is_refused(change, message):
    with pytest.raises(InvalidError, match=message):
        check_rejoin(replace(MINE, **change), HERE, NOW)


@pytest.mark.parametrize("height", [8, 9])
def test_a_known_vote_at_the_height_contradicts_it(height):
    position = replace(HERE, newest_vote=vote(VoteKind.NULLIFY, height, 3, bytes(32)))
    with pytest.raises(
        InvalidError, match=f"expected no vote of replica 2 .* got NULLIFY at height {height} in view 3"
    ):
        check_rejoin(MINE, position, NOW)


@pytest.mark.parametrize(("signed", "of"), [(1, 1), (2, 2), (3, 3), (3, 4), (5, 6), (5, 7)])
def test_more_than_two_thirds_of_the_companies_carry_it(signed, of):
    check_carried(signed, of)
    with pytest.raises(InvalidError, match=f"expected more than two thirds of {of} companies, got {signed - 1}"):
        check_carried(signed - 1, of)


def test_companies_that_signed_are_counted():
    assert check_signatures(MINE, signed(MINE, 0, 1, 3), DELEGATES.get, verify) == 3
    assert check_signatures(MINE, {}, DELEGATES.get, verify) == 0
    joint = {key: min(company, 2) for key, company in DELEGATES.items()}
    assert check_signatures(MINE, signed(MINE, 0, 2, 3), joint.get, verify) == 2


def test_signatures_of_others_or_of_other_statements_are_refused():
    with pytest.raises(InvalidError, match="expected signatures of companies' delegates"):
        check_signatures(MINE, signed(MINE, 0, 1, 2, 7), DELEGATES.get, verify)
    for other in (replace(MINE, sign_from=Height(7)), replace(MINE, replica=ReplicaId(1))):
        with pytest.raises(InvalidError, match="expected a signature of this statement"):
            check_signatures(MINE, signed(MINE, 0, 1) | signed(other, 2), DELEGATES.get, verify)


def statement_for(cluster, index, height):
    expires_ms = Millis(cluster.clock.now_ms() + 60_000)
    return replace(
        MINE, replica=ReplicaId(index), vote_key=KEYS[ReplicaId(index)], sign_from=height, expires_ms=expires_ms
    )


async def settled(cluster, height, indices=(0, 1, 2, 3)):
    """Wait until all hold a block and know where the others are."""
    await until(lambda: all(cluster.stores[index].height() == height for index in indices))
    for index in indices:
        await until(cluster.replicas[index].is_ready)


def may_vote(cluster, *indices):
    """Whether replicas that have their answers have begun their height anew with them."""
    return all(cluster.replicas[index]._parts.driver.may_vote for index in indices)


def test_a_network_that_lost_more_than_f_logs_goes_on_and_nobody_votes_twice():
    cluster, votes, kept, stuck = Cluster(genesis_of(4)), [], [], []

    def note(sender, _to, item):
        message = decode_item(item)
        if isinstance(message, Vote):
            votes.append((message.height, message.view, message.kind, sender, message.block_hash))
        return False

    def tx(number, sender=0):
        return transaction(number, expiry_ms=cluster.clock.now_ms() + 60_000, sender=sender)

    async def run():
        cluster.hub.drop = note
        async with cluster.running(0, 1, 2, 3):
            for number in range(3):
                await cluster.replicas[0].submit(tx(number))
            await until(lambda: all(store.height() == 3 for store in cluster.stores.values()))
        for index in (2, 3):
            cluster.stores[index] = MemoryStore(fresh=False)
        async with cluster.running(0, 1, 2, 3):
            await settled(cluster, 3)
            await until(lambda: may_vote(cluster, 0, 1))
            statuses = [await cluster.replicas[index].status() for index in range(4)]
            assert [(status.height, status.may_vote) for status in statuses] == [
                (3, True),
                (3, True),
                (3, False),
                (3, False),
            ]
            for index in (0, 1, 3):
                await cluster.replicas[index].check_rejoin(statement_for(cluster, 2, Height(4)))
            stuck.append(tx(9))
            pending = asyncio.create_task(cluster.replicas[0].submit(stuck[0]))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(pending), 1.5)  # two of four are no quorum
            kept.append(len(votes))
            pending.cancel()
        for index in (2, 3):
            cluster.stores[index].rejoin(Height(4), b"")
        async with cluster.running(0, 1, 2, 3):
            await settled(cluster, 3)
            assert (await cluster.replicas[0].submit(stuck[0])).height == 4
            await until(lambda: all(store.height() == 4 for store in cluster.stores.values()))
            with pytest.raises(InvalidError, match="expected height 5"):
                await cluster.replicas[0].check_rejoin(statement_for(cluster, 2, Height(4)))
            assert not [proof for index in range(4) for proof in await cluster.replicas[index].evidence()]
        async with cluster.running(0, 1, 2, 3):  # as after any restart: what was lost below height 4 counts no more
            await settled(cluster, 4)
            assert (await cluster.replicas[2].submit(tx(10, 2))).height == 5

    asyncio.run(run())
    ballots: dict[tuple[int, ...], bytes] = {}
    for height, view, kind, sender, block in votes:
        assert ballots.setdefault((height, view, kind, sender), block) == block
    assert {(2, VoteKind.FINALIZE), (3, VoteKind.FINALIZE)} <= {
        (sender, kind) for _, _, kind, sender, _ in votes[kept[0] :]
    }


def test_a_statement_that_is_used_again_after_another_loss_gives_no_leave():
    """The peers name votes from its first use on; the replica waits for the next height, as ever."""
    cluster = Cluster(genesis_of(4))

    async def run():
        async with cluster.running(0, 1, 2, 3):
            await cluster.replicas[0].submit(transaction(1, expiry_ms=cluster.clock.now_ms() + 60_000))
            await until(lambda: all(store.height() == 1 for store in cluster.stores.values()))
            await cluster.stop(3)
            cluster.stores[3] = MemoryStore(fresh=False)
            cluster.stores[3].rejoin(Height(1), b"")
            cluster.start(3)
            await until(cluster.replicas[3].is_ready)
            assert not (await cluster.replicas[3].status()).may_vote

    asyncio.run(run())


def voters(records):
    """Replicas whose votes stand in certificates of a log."""
    certificates = [record for record in records if isinstance(record, Certificate)]
    return {GENESIS.validators()[signer].replica for record in certificates for signer in record.signers}


def test_a_daemon_that_saw_a_vote_at_the_height_does_not_vouch():
    cluster = Cluster(genesis_of(4))

    def no_finality(sender, _to, item):
        """Nothing becomes final, and without replica 3 every certificate needs replica 2."""
        message = decode_item(item)
        return sender == 3 or (isinstance(message, Vote) and message.kind is VoteKind.FINALIZE)

    async def run():
        cluster.hub.drop = no_finality
        async with cluster.running(0, 1, 2, 3):
            pending = asyncio.create_task(
                cluster.replicas[0].submit(transaction(1, expiry_ms=cluster.clock.now_ms() + 60_000))
            )
            await until(lambda: all(store.records(Height(1)) for store in cluster.stores.values()))
            await until(lambda: 2 in voters(cluster.stores[0].records(Height(1))))
            with pytest.raises(InvalidError, match="expected no vote of replica 2 at height 1 or above, got"):
                await cluster.replicas[0].check_rejoin(statement_for(cluster, 2, Height(1)))
            pending.cancel()

    asyncio.run(run())
