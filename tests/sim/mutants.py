"""Bugs planted in the core, to know that the simulator finds them: `python -m tests.sim.mutants [NAME]`.

Each is a patch for the time of a run; the core itself has no switch for any of them.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unittest import mock

from ledger import chain
from ledger.consensus import BuildBlock, Effect, Persist, committee, effects, height, proposing, voting
from ledger.consensus.state import HeightState
from ledger.types import Block, Certificate, Millis, Proposal, View, Vote, VoteKind
from tests.sim.cluster import Cluster, Violation

SEEDS = 500

Patch = Callable[[], contextlib.AbstractContextManager[object]]
Rule = Callable[[HeightState, Millis], bool]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug."""

    name: str
    breaks: str
    patch: Patch


def with_rule(original: Rule, mutated: Rule) -> contextlib.AbstractContextManager[object]:
    rules = tuple(mutated if rule is original else rule for rule in height.RULES)
    return mock.patch.object(height, "RULES", rules)


@contextlib.contextmanager
def small_quorum() -> Iterator[None]:
    def two_f(validators: int) -> int:
        return 2 * ((validators - 1) // 3)

    with mock.patch.object(committee, "quorum", two_f), mock.patch.object(chain, "quorum", two_f):
        yield


def forgetting(*kinds: type) -> contextlib.AbstractContextManager[object]:
    put = effects.Outbox.put

    def put_some(self: effects.Outbox, effect: Effect) -> None:
        if not (isinstance(effect, Persist) and isinstance(effect.record, kinds)):
            put(self, effect)

    return mock.patch.object(effects.Outbox, "put", put_some)


def finalize_anyway(state: HeightState, _now: Millis) -> bool:
    if not state.unanswered:
        return False
    view = state.unanswered.pop()
    voting.cast(state, VoteKind.FINALIZE, view, state.certificates.notarized[view].block_hash)
    return True


def nullify_anyway() -> contextlib.AbstractContextManager[object]:
    """NULLIFY of the view before, in which FINALIZE may have been cast."""

    def nullify(state: HeightState) -> bool:
        before = View(state.view - 1)
        if state.me is None or state.voted(VoteKind.NULLIFY, state.view):
            return False
        if before and not state.voted(VoteKind.NULLIFY, before):
            voting.cast(state, VoteKind.NULLIFY, before)
        voting.cast(state, VoteKind.NULLIFY, state.view)
        return True

    return mock.patch.object(voting, "nullify", nullify)


@contextlib.contextmanager
def fresh_blocks_only() -> Iterator[None]:
    def propose(state: HeightState, _now: Millis) -> bool:
        if not state.leads or state.proposed >= state.view or not state.work or state.building == state.view:
            return False
        state.building = state.view
        state.put(BuildBlock(state.height, state.view))
        return True

    def take_built(state: HeightState, view: View, block: Block | None) -> None:
        if block is not None and view == state.view and state.leads and state.proposed < view:
            state.keep_body(block)
            proposing._publish(state, block, View(0))

    with with_rule(proposing.propose, propose), mock.patch.object(proposing, "take_built", take_built):
        yield


def notarize_twice() -> contextlib.AbstractContextManager[object]:
    """Take whatever proposal came last, and vote for it as well."""
    receive = proposing.receive_proposal

    def receive_any(state, sender, proposal, now):
        if proposal.view == state.view and state.proposal is not None and state.proposal != proposal:
            state.proposal = None
            state.own.pop((VoteKind.NOTARIZE, state.view), None)
        receive(state, sender, proposal, now)

    return mock.patch.object(proposing, "receive_proposal", receive_any)


def no_notarize_after_nullify(state: HeightState, now: Millis) -> bool:
    return not state.voted(VoteKind.NULLIFY, state.view) and proposing.notarize(state, now)


def never(_state: HeightState, _now: Millis) -> bool:
    return False


REQUIRED = (
    Mutant("quorum-2f", "q = n - f", small_quorum),
    Mutant("votes-forgotten", "H5", lambda: forgetting(Vote)),
    Mutant("finalize-after-nullify", "H2", lambda: with_rule(voting.finalize, finalize_anyway)),
    Mutant("justification-unchecked", "H3", lambda: mock.patch.object(proposing, "is_justified", return_value=True)),
    Mutant("base-ignored", "the leader's rule", fresh_blocks_only),
    Mutant("nullify-after-finalize", "H2", nullify_anyway),
    Mutant("notarize-twice", "H1", notarize_twice),
    Mutant("proposals-forgotten", "H5", lambda: forgetting(Proposal)),
)
"""Each must be found within `SEEDS` seeds."""

MASKED = (
    Mutant("certificates-forgotten", "H5", lambda: forgetting(Certificate)),
    Mutant("no-amplification", "amplification", lambda: with_rule(voting.amplify, never)),
    Mutant(
        "no-notarize-after-nullify",
        "H3's permission",
        lambda: with_rule(proposing.notarize, no_notarize_after_nullify),
    ),
)
"""Other rules may make up for these; found or not, the table says so."""


def hunt(mutant: Mutant, seeds: int = SEEDS) -> tuple[int, str] | None:
    """Return the first seed that finds a mutant and what it broke; None if none does."""
    with mutant.patch():
        for seed in range(seeds):
            try:
                Cluster(seed).run()
            except (Violation, ValueError) as found:
                return seed, str(found)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=__doc__)
    parser.add_argument("name", nargs="?", choices=[mutant.name for mutant in REQUIRED + MASKED])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    escaped = 0
    for mutant in REQUIRED + MASKED:
        if options.name in (None, mutant.name):
            found = hunt(mutant, options.seeds)
            escaped += found is None and mutant in REQUIRED
            said = "not found" if found is None else f"seed {found[0]:3d}: {found[1][:90]}"
            print(f"{mutant.name:26s} {mutant.breaks:18s} {said}", flush=True)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
