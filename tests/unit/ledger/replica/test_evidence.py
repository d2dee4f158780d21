"""A validator that votes twice is written down by whoever hears both votes, once, and through restarts."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from ledger.consensus import Evidence, encode_message
from ledger.errors import StorageError
from ledger.store import SqliteStore, create_directory, verify_store
from ledger.types import Height, ReplicaId, Signature, VoteKind
from tests.ports.store_suite import GENESIS, equivocation, vote
from tests.support.chains import verify
from tests.support.executors import CountingExecutor
from tests.support.networks import Cluster, until

LIAR = 2
"""Signer; the replica with this key never runs."""
KINDS = {
    "two NOTARIZE": (vote(VoteKind.NOTARIZE, 1, 1, b"\1" * 32, LIAR), vote(VoteKind.NOTARIZE, 1, 1, b"\2" * 32, LIAR)),
    "two FINALIZE": (vote(VoteKind.FINALIZE, 1, 1, b"\1" * 32, LIAR), vote(VoteKind.FINALIZE, 1, 1, b"\2" * 32, LIAR)),
    "NULLIFY and FINALIZE": (
        vote(VoteKind.NULLIFY, 1, 1, bytes(32), LIAR),
        vote(VoteKind.FINALIZE, 1, 1, b"\2" * 32, LIAR),
    ),
}


@pytest.fixture
def path(tmp_path):
    create_directory(tmp_path / "data")
    return tmp_path / "data"


async def hear(path, *votes, proofs):
    """Run a replica on a directory, let it hear votes of the liar, and return what it can prove."""
    cluster = Cluster(GENESIS)
    cluster.stores[0] = SqliteStore(path)
    async with cluster.running(0):
        replica = cluster.replicas[0]
        liar = ReplicaId(GENESIS.validators()[LIAR].replica)
        await replica.receive(liar, [encode_message(each) for each in votes])

        store = cluster.stores[0]
        await until(lambda: len(store.evidence()) >= proofs)
        return await replica.evidence()


@pytest.mark.parametrize("kinds", KINDS)
def test_two_votes_are_proof_through_a_restart_and_kept_once(path, kinds):
    first, second = KINDS[kinds]
    proof = equivocation(1, 1, first, second, LIAR)
    assert asyncio.run(hear(path, first, second, proofs=1)) == (proof,)
    assert asyncio.run(hear(path, second, first, proofs=1)) == (proof,)
    store = SqliteStore(path)
    assert verify_store(store, partial(CountingExecutor, GENESIS.validators()), GENESIS, verify).failure is None
    store.close()


def test_whoever_votes_as_agreed_is_not_accused(path):
    said = (vote(VoteKind.NULLIFY, 1, 1, bytes(32), LIAR), vote(VoteKind.NOTARIZE, 1, 1, b"\2" * 32, LIAR))
    later = (vote(VoteKind.NOTARIZE, 1, 2, b"\3" * 32, LIAR), vote(VoteKind.NOTARIZE, 1, 2, b"\4" * 32, LIAR))
    (only,) = asyncio.run(hear(path, *said, *said, *later, proofs=1))
    assert (only.first.view, only.first.height) == (2, Height(1))


def test_garbage_is_no_evidence(path):
    """Votes that nobody signed, or somebody else, or for other heights; then a real pair, so that all were heard."""
    forged = [
        replace(each, signature=Signature(bytes([number]) * 64)) for number, each in enumerate(KINDS["two NOTARIZE"])
    ]
    others = [vote(VoteKind.NOTARIZE, 1, 1, bytes([number]) * 32, 1) for number in (1, 2)]
    mixed = [replace(each, signer=LIAR) for each in others]
    later = [vote(VoteKind.NOTARIZE, height, 1, b"\1" * 32, LIAR) for height in (2, 3)]
    far = [vote(VoteKind.NOTARIZE, 1, 1_000, bytes([number]) * 32, LIAR) for number in (1, 2)]
    (proof,) = asyncio.run(hear(path, *forged, *others, *mixed, *later, *far, *KINDS["two FINALIZE"], proofs=1))
    assert {proof.first, proof.second} == set(KINDS["two FINALIZE"])


def test_a_disk_that_cannot_keep_evidence_ends_the_replica(path):
    async def run():
        cluster = Cluster(GENESIS)
        store = cluster.stores[0] = SqliteStore(path)
        cluster.start(0)
        await until(lambda: cluster.replicas[0]._parts)
        store._db.run("CREATE TEMP TRIGGER fail BEFORE INSERT ON evidence BEGIN SELECT RAISE(ABORT, 'broken'); END")
        liar = ReplicaId(GENESIS.validators()[LIAR].replica)
        await cluster.replicas[0].receive(liar, [encode_message(each) for each in KINDS["two NOTARIZE"]])
        return await asyncio.wait_for(cluster.failure(0), 10)

    failure = asyncio.run(run())
    assert isinstance(failure, ExceptionGroup)  # of the test's own network
    assert isinstance(failure.exceptions[0], StorageError)
    assert "broken" in str(failure.exceptions[0])


def test_the_key_is_that_of_the_height_at_which_was_voted():
    """The head may have moved on, with other validators, before the worker comes to it."""
    cluster = Cluster(GENESIS)

    async def run():
        async with cluster.running(0, 1, 3):
            await until(lambda: cluster.replicas[0]._parts)
            parts = cluster.replicas[0]._parts
            assert parts is not None
            engine = parts.engine
            first, second = KINDS["two NOTARIZE"]
            engine.head = replace(engine.head, validators=engine.head.validators[:1])
            engine.accuse(Evidence(first, second))
            return engine.evidence()

    (proof,) = asyncio.run(run())
    assert proof.key == GENESIS.validators()[LIAR].key
