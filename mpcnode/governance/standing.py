"""Where every member stands: read from the contract, whoever can call its read functions."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ledger.types import Address, Height, PublicKey
from mpcnode.errors import ErrorCode, NotAllowedError
from mpcnode.types import MEMBERS_MAX, CompanyIndex, MemberIndex, Role

View = Callable[..., Awaitable[tuple[object, ...]]]
"""Calls a read function of the contracts: its name (`contract.function`), then its arguments."""

_NOBODY = bytes(20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A member as the ledger has it."""

    index: MemberIndex
    name: str
    """Of the consortium document; members that came later have none there."""
    company: CompanyIndex
    company_name: str
    roles: Role
    active: bool
    address: Address
    """Of its identity key: the last 20 bytes of the key's keccak256."""
    vote_key: PublicKey | None
    """Set for a validator."""
    is_delegate: bool
    """Whether it speaks for its company: its validator, else its active member of the lowest index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """All members after one block."""

    height: Height
    members: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """What people call members and companies, by index."""

    members: Sequence[str]
    companies: Sequence[str]

    def member(self, index: int) -> str:
        """Return a member's name."""
        return self.members[index] if index < len(self.members) else f"member-{index}"

    def company(self, index: int) -> str:
        """Return a company's name."""
        return self.companies[index] if index < len(self.companies) else f"company-{index}"


def check_delegate(members: Sequence[Standing], index: MemberIndex) -> None:
    """Check that a member speaks for its company.

    Raises:
        NotAllowedError: another one does, or none.
    """
    mine = next(member for member in members if member.index == index)
    if mine.is_delegate:
        return
    speaker = next((m.name for m in members if m.company == mine.company and m.is_delegate), None)
    instead = "no member of it is active" if speaker is None else f"that is {speaker}"
    raise NotAllowedError(
        f"{mine.name}: expected the delegate of {mine.company_name}, got another of its members; {instead}",
        ErrorCode.DELEGATE_ONLY,
    )


async def read_members(view: View, names: Names) -> tuple[Standing, ...]:
    """Read every member from the contract, by index."""
    (validators,) = await view("members.validators")
    votes = _by_index(validators)
    seats: list[tuple[Address, CompanyIndex, Role, bool]] = []
    for index in range(MEMBERS_MAX):
        (address,) = await view("members.by_index", index)
        if not isinstance(address, bytes) or address == _NOBODY:
            break
        _, company, roles, active = await view("members.member", address)
        seats.append((Address(address), CompanyIndex(number_of(company)), Role(number_of(roles)), bool(active)))
    speakers = set(_delegates([(company, active) for _, company, _, active in seats], votes).values())
    return tuple(
        Standing(
            index=MemberIndex(index),
            name=names.member(index),
            company=company,
            company_name=names.company(company),
            roles=roles,
            active=active,
            address=address,
            vote_key=votes.get(index),
            is_delegate=index in speakers,
        )
        for index, (address, company, roles, active) in enumerate(seats)
    )


def _delegates(seats: Iterable[tuple[CompanyIndex, bool]], votes: Mapping[int, PublicKey]) -> dict[CompanyIndex, int]:
    """Index of each company's delegate; a company without an active member has none."""
    found: dict[CompanyIndex, int] = {}
    for index, (company, active) in enumerate(seats):
        if active and (company not in found or index in votes):
            found[company] = index
    return found


def _by_index(validators: object) -> dict[int, PublicKey]:
    pairs = validators if isinstance(validators, tuple | list) else ()
    return {number_of(index): PublicKey(key) for key, index in pairs}


def number_of(value: object) -> int:
    """Return a number that a contract answered."""
    if not isinstance(value, int):
        raise TypeError(f"expected a number of the contract, got {type(value).__name__}")
    return value
