"""Who is asked and who computes: the panel and committee rules (docs/protocol.md 6.1, 6.2), as the contract has them.

Nobody chooses: both follow from the ledger. Who submits a registration or a failed attempt gives the pool in the order
of its ranks, and the contract verifies it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from eth_hash.auto import keccak

from ledger.encoding import word
from ledger.types import Address, PublicKey
from mpcnode.errors import ErrorCode, RequestError
from mpcnode.types import COMMITTEE_MAX, Bitmap, Member, MemberIndex, QueryId, Role, bitmap

COMPANIES = 3
"""Distinct companies whose members are taken before anchors are added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """Who computes one attempt."""

    members: tuple[MemberIndex, ...]
    """In rank order: the first is the operating node, the last receives corrections."""
    pool_order: tuple[MemberIndex, ...]
    """The pool by rank, for the contract to verify."""
    excluded: Bitmap
    """Exclusions that remain; none if the pool was too small without them."""


def address_of(key: PublicKey) -> Address:
    """Name of a key inside the contracts."""
    return Address(keccak(key)[-20:])


def rank_value(query: QueryId, attempt: int, member: MemberIndex) -> int:
    """What members are ranked by, ascending; nobody can predict it before the query id is drawn."""
    return int.from_bytes(keccak(query + word(attempt) + word(member)), "big")


def panel_of(members: Iterable[Member], classes: int) -> Bitmap:
    """Return every active participant that supplies one of a model's data classes."""
    return bitmap(
        member.index
        for member in members
        if member.active and Role.PARTICIPANT in member.roles and member.classes & classes
    )


def pool_order(
    query: QueryId,
    attempt: int,
    members: Iterable[Member],
    *,
    excluded: int,
    panel: int = 0,
    companies_min: int = COMPANIES,
) -> tuple[MemberIndex, ...]:
    """Return the pool by rank, to be submitted; `panel` and `companies_min` matter only where members are excluded."""
    known = tuple(members)
    pool, _ = _pool(known, panel=panel, excluded=excluded, companies_min=companies_min)
    return _ordered(query, attempt, pool)


def choose_committee(
    query: QueryId,
    attempt: int,
    members: Iterable[Member],
    *,
    panel: int,
    excluded: int,
    companies_min: int,
) -> Committee:
    """Return the committee of an attempt.

    Args:
        query: the query.
        attempt: 1, 2 or 3.
        members: the consortium's.
        panel: bitmap of the query's panel; its members' anchors count.
        excluded: bitmap of the members that earlier attempts waited for.
        companies_min: distinct companies that a committee must span.

    Raises:
        RequestError: COMMITTEE_TOO_SMALL: too few companies, an anchor list that nobody meets, or more than 8 members.
    """
    known = {member.index: member for member in members}
    pool, remaining = _pool(known.values(), panel=panel, excluded=excluded, companies_min=companies_min)
    order = _ordered(query, attempt, pool)
    chosen: set[MemberIndex] = set()
    companies: set[int] = set()
    for member in order:
        if len(companies) < COMPANIES and known[member].company not in companies:
            companies.add(known[member].company)
            chosen.add(member)
    if len(companies) < companies_min:
        raise RequestError(
            f"committee: expected {companies_min} companies, got {len(companies)}", ErrorCode.COMMITTEE_TOO_SMALL
        )
    for participant in _anchoring(known.values(), panel):
        if not bitmap(chosen) & participant.anchors:
            chosen.add(_best_anchor(participant, order))
    if len(chosen) > COMMITTEE_MAX:
        raise RequestError(
            f"committee: expected at most {COMMITTEE_MAX} members, got {len(chosen)}", ErrorCode.COMMITTEE_TOO_SMALL
        )
    return Committee(
        members=tuple(member for member in order if member in chosen), pool_order=order, excluded=remaining
    )


def excluded_after(excluded: Bitmap, failed: tuple[MemberIndex, ...], waited: int, following: Iterable[int]) -> Bitmap:
    """Return the exclusions that the contract keeps after a failed attempt, from its event alone.

    The contract clears them if it can form no committee without the excluded; then every committee has one of them, and
    otherwise none has.

    Args:
        excluded: before.
        failed: the committee of the failed attempt.
        waited: the members that it waited for; others than the committee's do not count.
        following: the committee of the next attempt.
    """
    grown = excluded | (waited & bitmap(failed))
    return Bitmap(0) if grown & bitmap(following) else Bitmap(grown)


def _pool(
    members: Iterable[Member], *, panel: int, excluded: int, companies_min: int
) -> tuple[tuple[Member, ...], Bitmap]:
    known = tuple(members)
    everyone = tuple(member for member in known if member.active and Role.MPC in member.roles)
    pool = tuple(member for member in everyone if not excluded >> member.index & 1)
    if _suffices(pool, known, panel, companies_min):
        return pool, Bitmap(excluded)
    return everyone, Bitmap(0)


def _suffices(pool: tuple[Member, ...], members: Iterable[Member], panel: int, companies_min: int) -> bool:
    available = bitmap(member.index for member in pool)
    return len({member.company for member in pool}) >= companies_min and all(
        participant.anchors & available for participant in _anchoring(members, panel)
    )


def _anchoring(members: Iterable[Member], panel: int) -> tuple[Member, ...]:
    wanting = (
        member
        for member in members
        if panel >> member.index & 1 and member.anchors and Role.PARTICIPANT in member.roles
    )
    return tuple(sorted(wanting, key=lambda member: member.index))


def _best_anchor(participant: Member, order: tuple[MemberIndex, ...]) -> MemberIndex:
    for member in order:
        if participant.anchors >> member & 1:
            return member
    raise RequestError(
        f"committee: expected an anchor of member {participant.index} in the pool, got none",
        ErrorCode.COMMITTEE_TOO_SMALL,
    )


def _ordered(query: QueryId, attempt: int, pool: Iterable[Member]) -> tuple[MemberIndex, ...]:
    return tuple(sorted((member.index for member in pool), key=lambda member: rank_value(query, attempt, member)))
