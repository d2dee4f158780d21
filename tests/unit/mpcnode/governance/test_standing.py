"""Who stands where, who speaks for whom, and what a daemon takes over of it."""

import asyncio
from dataclasses import replace

import pytest

from ledger.types import Address, PublicKey
from mpcnode.governance.roster import Roster
from mpcnode.governance.standing import Names, read_members
from mpcnode.types import Role
from tests.support.consortium import Setting

NAMES = Names(["a-data", "a-mpc", "b-data", "b-mpc"], ["alpha", "beta"])
MEMBERS = Setting().consortium().members


def contract(seats, validators=()):
    """Read functions of a contract with these members: company, roles, active."""
    addresses = [bytes([index + 1]) * 20 for index in range(len(seats))]

    async def view(method, *args):
        match method:
            case "members.validators":
                return (tuple((bytes([index]) * 32, index) for index in validators),)
            case "members.by_index":
                return (Address(addresses[args[0]] if args[0] < len(seats) else bytes(20)),)
            case _:
                index = addresses.index(args[0])
                return (index, *seats[index])

    return view


def members_of(seats, validators=()):
    return asyncio.run(read_members(contract(seats, validators), NAMES))


def delegates(seats, validators=()):
    return [member.name for member in members_of(seats, validators) if member.is_delegate]


def test_members_are_read_with_their_names():
    data, mpc = members_of([(0, 4, True), (0, 2, False)], [1])
    assert (data.name, data.company_name, data.roles, data.active) == ("a-data", "alpha", Role.PARTICIPANT, True)
    assert (mpc.index, mpc.active, mpc.vote_key, mpc.address) == (1, False, PublicKey(b"\x01" * 32), b"\x02" * 20)
    assert data.vote_key is None


def test_who_came_later_has_a_number_for_a_name():
    found = members_of([(0, 4, True)] * 4 + [(7, 4, True)])
    assert (found[4].name, found[4].company_name) == ("member-4", "company-7")


@pytest.mark.parametrize(
    ("seats", "validators", "expected"),
    [
        ([(0, 4, True), (0, 2, True), (1, 4, True), (1, 2, True)], [1], ["a-mpc", "b-data"]),
        ([(0, 4, True), (0, 2, True), (1, 4, True), (1, 2, True)], [], ["a-data", "b-data"]),
        ([(0, 4, False), (0, 2, True), (1, 4, False), (1, 2, False)], [], ["a-mpc"]),
        ([(0, 4, True), (0, 2, False), (1, 4, True), (1, 2, True)], [], ["a-data", "b-data"]),
    ],
)
def test_a_company_speaks_through_its_validator_or_its_first_active_member(seats, validators, expected):
    assert delegates(seats, validators) == expected


def standings(*inactive):
    seats = [(member.company, int(member.roles), member.index not in inactive) for member in MEMBERS]
    return members_of([*seats, (0, 4, False)])


def test_a_roster_takes_over_who_is_active_and_says_what_is_news():
    roster = Roster(MEMBERS)
    assert roster.learn(standings()) == ()
    assert roster.learn(standings(2)) == (replace(MEMBERS[2], active=False),)
    assert [member.index for member in roster.values() if not member.active] == [2]
    assert roster.learn(standings(2)) == ()
    assert roster.learn(standings()) == (MEMBERS[2],)
    assert dict(roster) == {member.index: member for member in MEMBERS}
