"""A session's correlations without a dealer: the same items, of the same program, made by the nodes together.

A node draws its shares of all free values from a seed of its own. The elementary correlations are made by whatever a
`Maker` is; from them the nodes derive the others, all side by side: openings, one message to each node and round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mpcnode.mpc.correlations import Array, Arrays, Correlation, Material, cut, stream_size
from mpcnode.mpc.joint.derivations import ELEMENTARY, Derivation, derivation
from mpcnode.mpc.joint.talk import Talk, broadcast, others
from mpcnode.mpc.openings import parallel
from mpcnode.mpc.prg import Streams
from mpcnode.mpc.program import Party, Program
from mpcnode.types import Rank, SessionId

Maker = Callable[[Sequence[Correlation], Mapping[str, Arrays]], Talk[Mapping[str, Arrays]]]
"""(elementary correlations, this node's free values by label) -> its corrected values by label.

Talks with the makers of the other nodes, which are given the same correlations.
"""


@dataclass(frozen=True)
class Plan:
    """What the nodes of a program make, and what they derive."""

    program: Program

    @cached_property
    def derivations(self) -> Mapping[str, Derivation]:
        """For each correlation that is not elementary, by label.

        Raises:
            ValueError: one has no joint derivation; names it.
        """
        items = [item for item in self.program.body.correlations if not isinstance(item, ELEMENTARY)]
        return {item.label: derivation(item, self.program.parties) for item in items}

    @cached_property
    def elementary(self) -> tuple[Correlation, ...]:
        """Those of the program, and those that derivations consume."""
        own = (item for item in self.program.body.correlations if isinstance(item, ELEMENTARY))
        return (*own, *(item for found in self.derivations.values() for item in found.correlations))


def provide(program: Program, session: SessionId, rank: Rank, seed: bytes, maker: Maker) -> Talk[Material]:
    """Make one node's material together with the other nodes.

    Args:
        program: what will be run.
        session: where; no two sessions share an id.
        rank: the node's place in the committee.
        seed: 32 bytes that nobody else knows, of this session only.
        maker: of elementary correlations.

    Raises:
        ValueError: a correlation of the program has no joint derivation; names it.
        PeerDeviatedError: another node sent what no honest one does; names it.
    """
    plan = Plan(program)
    streams = Streams(seed, session)
    elementary = {item.label: _draw(streams, item) for item in plan.elementary}
    made = yield from maker(plan.elementary, elementary)
    found = {label: {**free, **made[label]} for label, free in elementary.items()}

    derived = [item for item in program.body.correlations if item.label in plan.derivations]
    free = [_draw(streams, item) for item in derived]
    party = Party(is_first=rank == 0, material=Material(found))
    running = (plan.derivations[item.label].run(party, rank, mine) for item, mine in zip(derived, free, strict=True))
    corrected = yield from broadcast(parallel(*running), others(rank, program.parties))
    for item, mine, share in zip(derived, free, corrected, strict=True):
        found[item.label] = {**mine, **share}
    return Material({item.label: found[item.label] for item in program.body.correlations})


def _draw(streams: Streams, item: Correlation) -> dict[str, Array]:
    """Draw this node's shares of a correlation's free values."""
    stream = streams.draw(item.label, stream_size(item.free))
    return {field.name: array for field, array in cut(item.free, stream)}
