"""Who may vote after a start, and from which height on."""

import pytest

from ledger.replica.enlisting import Enlisting
from ledger.replica.items import TellVotes
from ledger.types import Height, ReplicaId, Validator, VoteKind
from tests.ports.store_suite import vote
from tests.support.chains import CHAIN, genesis_of, public_key, verify, vote_key

GENESIS = genesis_of(4)
ME = GENESIS.validators()[0]
OTHERS = [validator.replica for validator in GENESIS.validators()[1:]]
MINE = vote(VoteKind.FINALIZE, 7, 2)
OLDER = vote(VoteKind.FINALIZE, 5, 1)


def enlisting(genesis=GENESIS):
    return Enlisting(chain=CHAIN, key=ME.key, replica=ME.replica, validators=genesis.validators(), verify=verify)


def test_q_less_one_others_must_answer():
    asked = enlisting()
    assert asked.missing(frozenset(OTHERS)) == sorted(OTHERS)
    for sender in (ME.replica, ReplicaId(77), OTHERS[0], OTHERS[0]):
        asked.take(sender, TellVotes(Height(3), None))
    assert not asked.is_complete()
    asked.take(OTHERS[1], TellVotes(Height(3), None))
    assert asked.is_complete()
    assert asked.missing(frozenset(OTHERS)) == [OTHERS[2]]


def test_alone_there_is_nobody_to_ask():
    assert enlisting(genesis_of(1)).is_complete()


@pytest.mark.parametrize(
    ("named", "heights", "log", "sign_from"),
    [
        ([None, None], [3, 3], [], 5),  # the log is empty though this replica is not new: it may have voted at 4
        ([None, None], [3, 9], [OLDER], 0),  # nobody remembers more than the log does
        ([MINE, None], [8, 8], [OLDER, MINE], 0),
        ([MINE, OLDER], [8, 8], [OLDER, MINE], 0),
        ([MINE, None], [8, 8], [OLDER], 10),  # the log was restored: someone remembers more
        ([MINE, None], [8, 6], [], 10),
        ([MINE, None], [4, 4], [OLDER], 8),  # never at the height of a forgotten vote, whoever claims to be lower
    ],
)
def test_what_the_answers_mean(named, heights, log, sign_from):
    asked = enlisting()
    for sender, newest, height in zip(OTHERS, named, heights, strict=False):
        asked.take(sender, TellVotes(Height(height), newest))
    assert asked.sign_from(log[-1] if log else None, log.__contains__) == sign_from


@pytest.mark.parametrize(
    ("named", "log", "whole_from", "sign_from"),
    [
        ([None, None], [], 8, 8),  # the companies vouch for an empty log
        ([MINE, OLDER], [], 8, 8),  # what was lost lies below the height
        ([MINE, None], [OLDER], 8, 8),
        ([MINE, None], [], 7, 10),  # it was used before: somebody remembers a vote from there on
        ([MINE, None], [OLDER], 6, 10),
        ([MINE, None], [MINE], 6, 6),
    ],
)
def test_what_the_companies_word_changes(named, log, whole_from, sign_from):
    asked = enlisting()
    for sender, newest in zip(OTHERS, named, strict=False):
        asked.take(sender, TellVotes(Height(8), newest))
    assert asked.sign_from(log[-1] if log else None, log.__contains__, Height(whole_from)) == sign_from


def test_a_vote_that_this_key_did_not_sign_is_left_out():
    asked = enlisting()
    asked.take(OTHERS[0], TellVotes(Height(3), vote(VoteKind.FINALIZE, 99, 1, signer=1)))
    asked.take(OTHERS[1], TellVotes(Height(3), None))
    assert asked.sign_from(OLDER, [OLDER].__contains__) == 0


def test_who_left_the_set_has_no_say_in_heights_and_who_came_has():
    others = [Validator(public_key(vote_key(index)), ReplicaId(index)) for index in (4, 5, 6)]
    asked = enlisting()
    for sender in OTHERS:
        asked.take(sender, TellVotes(Height(999), None))
    assert asked.is_complete()
    asked.validators = tuple(sorted((ME, *others)))
    assert not asked.is_complete()
    for validator in others[:2]:
        asked.take(validator.replica, TellVotes(Height(5), None))
    assert asked.is_complete()
    assert asked.sign_from(None, [].__contains__) == 7


def test_a_vote_is_believed_of_whoever_names_it():
    """Its signature says that it is real; an observer may be the only one who remembers it."""
    asked = enlisting()
    asked.take(ReplicaId(77), TellVotes(Height(9_999), MINE))
    for sender in OTHERS:
        asked.take(sender, TellVotes(Height(3), None))
    assert asked.sign_from(OLDER, [OLDER].__contains__) == MINE.height + 1
