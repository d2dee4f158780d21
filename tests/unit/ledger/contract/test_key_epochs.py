"""The supervisor's keys, and the OPRF keys that MPC members make for a participant."""

import hashlib

import pytest

from ledger.contract.abi import encode_args
from ledger.encoding import word
from ledger.types import Receipt
from tests.support.contracts import World, bitmap, key, must, query_id, reason_of, standard
from tests.support.council import DELEGATES, Council

HOLDERS = [2, 3, 4]
SALT = b"\x05" * 32


@pytest.fixture
def council() -> Council:
    return Council(World(genesis=standard()))


def send(council: Council, sender: int, method: str, *values: object) -> Receipt:
    args = encode_args(f"registries.{method}", *values)
    return council.world.run(council.world.tx(sender, f"registries.{method}", args))


# ------------------------------------------------------------------------------------------------ the supervisor's


def test_the_supervisor_rotates_its_audit_key(council: Council):
    world = council.world
    world.now += 5000
    happened = must(send(council, 1, "rotate_audit_key", 8, key("audit 8")))[0]
    assert (happened.event, happened.values) == (
        "EpochBegan",
        {"number": 8, "audit_key": key("audit 8"), "archive_key": key("archive")},
    )
    assert world.view("registries.epoch") == (8, key("audit 8"), key("archive"))
    assert world.view("registries.epoch_at", 8) == (key("audit 8"), key("archive"), world.now)
    assert world.view("registries.epoch_at", 7)[:2] == (key("audit"), key("archive"))
    assert reason_of(world.register(query_id(1))) == "EPOCH_STALE"
    must(world.register(query_id(1), epoch=8))


def test_nobody_else_and_nothing_else_begins_an_epoch(council: Council):
    for sender in (0, 2, 7, 99):
        assert reason_of(send(council, sender, "rotate_audit_key", 8, key("audit 8"))) == "SUPERVISOR_ONLY"
    for number, new in ((7, "x"), (9, "x"), (0, "x"), (8, "audit"), (8, "archive")):
        assert reason_of(send(council, 1, "rotate_audit_key", number, key(new))) == "EPOCH"
    assert reason_of(send(council, 1, "rotate_audit_key", 8, bytes(32))) == "EPOCH"


def test_another_archive_key_is_the_companies_matter(council: Council):
    must(council.decide(DELEGATES, "registries.set_epoch", 20, key("audit 20"), key("archive 20")))
    assert council.world.view("registries.epoch") == (20, key("audit 20"), key("archive 20"))
    for values in ((20, "x", "y"), (19, "x", "y"), (1 << 32, "x", "y"), (21, "x", "x")):
        number, audit, archive = values
        refused = council.decide(DELEGATES, "registries.set_epoch", number, key(audit), key(archive))
        assert reason_of(refused) == "EPOCH"
    must(send(council, 1, "rotate_audit_key", 21, key("audit 21")))
    assert council.world.view("registries.epoch")[2] == key("archive 20")


# ------------------------------------------------------------------------------------------------------- OPRF keys


def point(holder: int) -> bytes:
    return hashlib.sha256(b"point %d" % holder).digest()


def digest(participant: int, version: int, holder: int, proof: bytes = b"proof", salt: bytes = SALT) -> bytes:
    words = word(participant) + word(version) + word(holder)
    return hashlib.sha256(words + point(holder) + salt + proof).digest()


def begin(council: Council, participant: int = 7, holders=HOLDERS, threshold: int = 2, budget: int = 1000) -> Receipt:
    return council.decide(DELEGATES, "registries.open_oprf", participant, bitmap(holders), threshold, budget)


def commit(council: Council, holder: int, version: int = 1, participant: int = 7) -> Receipt:
    return send(council, holder, "commit_oprf", participant, version, digest(participant, version, holder))


def reveal(council: Council, holder: int, version: int = 1, participant: int = 7, proof: bytes = b"proof") -> Receipt:
    return send(council, holder, "reveal_oprf", participant, version, point(holder), SALT, proof)


def state(council: Council, version: int = 1, participant: int = 7):
    return council.world.view("registries.oprf", participant, version)


def serve(council: Council, version: int = 1) -> None:
    must(begin(council))
    for holder in HOLDERS:
        must(commit(council, holder, version))
    for holder in HOLDERS:
        must(reveal(council, holder, version))


def test_holders_commit_and_then_reveal(council: Council):
    happened = must(begin(council))[-1]
    assert (happened.event, happened.values) == (
        "OprfOpened",
        {"participant": 7, "version": 1, "holders": bitmap(HOLDERS), "threshold": 2, "budget": 1000},
    )
    assert state(council) == (1, bitmap(HOLDERS), bitmap(HOLDERS), 2, 1000)
    assert reason_of(reveal(council, 2)) == "WRONG_STATE"
    must(commit(council, 2))
    must(commit(council, 4))
    assert council.world.view("registries.oprf_share", 7, 1, 2) == (digest(7, 1, 2),)
    assert state(council)[:3] == (1, bitmap(HOLDERS), bitmap([3]))
    assert reason_of(reveal(council, 2)) == "WRONG_STATE"  # nobody shows a point before all are bound to theirs
    assert [e.event for e in must(commit(council, 3))] == ["OprfCommitted", "OprfChanged"]
    assert reason_of(commit(council, 3)) == "WRONG_STATE"
    assert state(council)[0] == 2
    events = []
    for holder in HOLDERS:
        assert reason_of(send(council, holder, "reveal_oprf", 7, 1, point(9), SALT, b"proof")) == "COMMITMENTS"
        assert reason_of(reveal(council, holder, proof=b"another")) == "COMMITMENTS"
        events = must(reveal(council, holder))
        assert events[0].values["point"] == point(holder)
        if holder != HOLDERS[-1]:
            assert reason_of(reveal(council, holder)) == "ALREADY_CONTRIBUTED"
    assert events[-1].values == {"participant": 7, "version": 1, "state": 3}
    assert state(council) == (3, bitmap(HOLDERS), 0, 2, 1000)
    assert [council.world.view("registries.oprf_share", 7, 1, holder)[0] for holder in HOLDERS] == [
        point(holder) for holder in HOLDERS
    ]
    assert reason_of(reveal(council, 2)) == "WRONG_STATE"


def test_a_new_key_does_not_end_the_old_one_before_the_participant_does(council: Council):
    serve(council)
    serve(council, 2)
    assert (state(council, 1)[0], state(council, 2)[0]) == (3, 3)
    assert council.world.view("registries.oprf_version", 7) == (2,)
    assert reason_of(send(council, 8, "retire_oprf", 1)) == "WRONG_STATE"  # its own are none
    assert reason_of(send(council, 2, "retire_oprf", 1)) == "PARTICIPANT_ONLY"
    happened = must(send(council, 7, "retire_oprf", 1))[0]
    assert happened.values == {"participant": 7, "version": 1, "state": 4}
    assert (state(council, 1)[0], state(council, 2)[0]) == (4, 3)
    assert reason_of(send(council, 7, "retire_oprf", 1)) == "WRONG_STATE"
    assert reason_of(send(council, 7, "retire_oprf", 3)) == "WRONG_STATE"


def test_a_key_that_was_not_finished_is_given_up(council: Council):
    must(begin(council))
    must(commit(council, 2))
    must(begin(council, holders=[3, 4, 5], threshold=3))
    assert (state(council, 1)[0], state(council, 2)[0]) == (4, 1)
    assert reason_of(commit(council, 3)) == "WRONG_STATE"
    must(commit(council, 3, version=2))
    assert reason_of(commit(council, 3, version=2)) == "ALREADY_CONTRIBUTED"
    assert reason_of(commit(council, 2, version=2)) == "NOT_A_HOLDER"


def test_keys_of_two_participants_have_nothing_in_common(council: Council):
    must(begin(council))
    must(begin(council, participant=8))
    must(commit(council, 2))
    assert state(council, participant=8)[2] == bitmap(HOLDERS)
    assert reason_of(send(council, 2, "commit_oprf", 7 + (1 << 5), 1, digest(7, 1, 2))) == "NOT_A_HOLDER"


def test_whoever_holds_no_share_has_no_say(council: Council):
    must(begin(council))
    for sender in (5, 0, 1, 7, 99):
        assert reason_of(commit(council, sender)) == "NOT_A_HOLDER"
    assert reason_of(send(council, 2, "commit_oprf", 7, 1, bytes(32))) == "COMMITMENTS"
    assert reason_of(commit(council, 2, version=2)) == "NOT_A_HOLDER"
    must(council.decide(DELEGATES, "members.suspend", 2))
    assert reason_of(commit(council, 2)) == "NOT_A_HOLDER"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"participant": 2}, "UNKNOWN_MEMBER"),
        ({"participant": 128}, "UNKNOWN_MEMBER"),
        ({"holders": [2, 3, 7]}, "HOLDERS"),
        ({"holders": [2, 3, 200]}, "HOLDERS"),
        ({"threshold": 1}, "THRESHOLD"),
        ({"threshold": 4}, "THRESHOLD"),
        ({"holders": []}, "THRESHOLD"),
        ({"budget": 1 << 64}, "BUDGET"),
    ],
)
def test_what_is_no_way_to_share_a_key_is_refused(council: Council, changes: dict, reason: str):
    assert reason_of(begin(council, **changes)) == reason
