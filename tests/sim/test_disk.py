"""The simulated disks: what is lost, what is dropped unseen, what is found."""

import random

import pytest

from ledger.errors import StorageError
from ledger.types import Vote, VoteKind
from tests.ports.store_suite import vote
from tests.sim.disk import Disk
from tests.sim.reality import Reality
from tests.sim.world import Symbolic

FIRST, SECOND = vote(VoteKind.NOTARIZE, 7, 2), vote(VoteKind.FINALIZE, 7, 2)


@pytest.fixture(params=["symbolic", "real"])
def disk(request):
    world = Symbolic(4) if request.param == "symbolic" else Reality(4)
    yield world.disk()
    world.close()


def fill(disk: Disk, *votes: Vote) -> None:
    store = disk.open()
    for made in votes:
        store.append([made])


def found(disk: Disk) -> tuple[Vote, ...]:
    return tuple(record for record in disk.open().records(FIRST.height) if isinstance(record, Vote))


def test_what_was_flushed_stays(disk):
    fill(disk, FIRST, SECOND)
    disk.lose_power()
    assert found(disk) == (FIRST, SECOND)


def test_what_was_being_written_is_gone_as_a_whole(disk):
    fill(disk, FIRST)
    disk.lose_power(torn=[SECOND])
    store = disk.open()
    assert store.records(FIRST.height) == (FIRST,)
    assert not store.has_never_voted()
    store.append([SECOND])
    disk.lose_power()
    assert found(disk) == (FIRST, SECOND)


@pytest.mark.parametrize("seed", range(6))
def test_a_roll_back_loses_the_last_flush_unseen(disk, seed):
    fill(disk, FIRST, SECOND)
    disk.lose_power()
    disk.roll_back(random.Random(seed))
    assert found(disk) == (FIRST,)


@pytest.mark.parametrize("seed", range(6))
def test_older_damage_is_seen(disk, seed):
    fill(disk, FIRST, SECOND)
    disk.lose_power()
    disk.corrupt(random.Random(seed))
    with pytest.raises(StorageError):
        disk.open()


def test_a_new_disk_is_empty_and_not_new_to_the_world(disk):
    fill(disk, FIRST)
    disk.lose_power()
    disk.wipe()
    store = disk.open()
    assert store.newest_vote() is None
    assert not store.has_never_voted()
