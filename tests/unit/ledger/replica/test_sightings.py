"""When a replica may say that it follows."""

import pytest

from ledger.consensus import Status
from ledger.replica.sightings import Sightings
from ledger.types import Height, ReplicaId, View, VoteKind
from tests.ports.store_suite import vote
from tests.support.chains import genesis_of, public_key, vote_key

ALL = frozenset(map(ReplicaId, range(8)))


def seen(*heights, own=0, validators=4):
    key = public_key(vote_key(own))
    sightings = Sightings(replica=ReplicaId(own), key=key, validators=genesis_of(8, validators).validators())
    for peer, height in enumerate(heights, 1):
        if height is not None:
            sightings.see(ReplicaId(peer), Height(height))
    return sightings


@pytest.mark.parametrize(
    ("heights", "height", "follows"),
    [
        ((None, None, None), 1, False),
        ((5, None, None), 5, False),
        ((5, 5, None), 5, True),
        ((5, 5, None), 4, True),
        ((5, 5, None), 3, False),
        ((9_999, 5, 5), 5, True),  # one of four may invent
        ((9_999, 9_999, 5), 5, False),
        ((1, 1, 1), 5, True),
    ],
)
def test_a_validator_needs_q_less_one_others(heights, height, follows):
    assert seen(*heights).follows(Height(height), ALL) is follows


def test_an_observer_needs_a_quorum():
    assert not seen(5, 5, own=7).follows(Height(5), ALL)
    sightings = seen(5, 5, own=7)
    sightings.see(ReplicaId(0), Height(5))
    assert sightings.follows(Height(5), ALL)


def test_only_who_is_connected_counts():
    assert not seen(5, 5, 5).follows(Height(5), frozenset({ReplicaId(1)}))


def test_observers_are_no_evidence():
    assert not seen(None, None, None, 5, 5, 5).follows(Height(5), ALL)


def test_alone_it_follows_itself():
    assert seen(validators=1).follows(Height(1), frozenset())


def test_heights_and_votes_are_learnt_from_messages():
    sightings = seen()
    first, second = vote(VoteKind.NOTARIZE, 5, 1), vote(VoteKind.NOTARIZE, 4, 9)
    for message in (first, second, Status(height=Height(6), view=View(1))):
        sightings.take(ReplicaId(1), message)
    assert sightings.newest_vote(ReplicaId(1)) == first
    assert sightings.newest_vote(ReplicaId(2)) is None
    sightings.see(ReplicaId(2), Height(6))
    assert sightings.follows(Height(5), ALL)
    assert not sightings.follows(Height(4), ALL)
