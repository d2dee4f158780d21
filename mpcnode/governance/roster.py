"""The members that a daemon knows, as they stand on the ledger."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mpcnode.governance.standing import Standing
from mpcnode.types import Member, MemberIndex


class Roster(Mapping[MemberIndex, Member]):
    """Members of the consortium document by index; who is suspended is not active. Owned by the event loop's thread."""

    def __init__(self, members: Iterable[Member]) -> None:
        """Take the members of the consortium document."""
        self._members = {member.index: member for member in members}

    def __getitem__(self, index: MemberIndex) -> Member:
        return self._members[index]

    def __iter__(self) -> Iterator[MemberIndex]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def learn(self, standings: Iterable[Standing]) -> tuple[Member, ...]:
        """Take over who is active; return the members of which that is news.

        A member that the document does not list has no keys or address here, and stays unknown.
        """
        changed = []
        for standing in standings:
            member = self._members.get(standing.index)
            if member is not None and member.active is not standing.active:
                self._members[member.index] = replace(member, active=standing.active)
                changed.append(self._members[member.index])
        return tuple(changed)
