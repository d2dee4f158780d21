"""Bugs planted in the core, to know that the simulator finds them: `python -m tests.sim.mutants [NAME]`.

Each is a patch for the time of a run; the core itself has no switch for any of them. `--rotate COMMIT` runs three that
a commit's hash chooses, so that every bug's turn comes without any run taking long.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from unittest import mock

from ledger import chain
from ledger.consensus import (
    BuildBlock,
    Effect,
    Persist,
    Record,
    SendRecorded,
    ValidateBlock,
    committee,
    effects,
    height,
    machine,
    proposing,
    repair,
    timing,
    votes,
    voting,
)
from ledger.consensus.state import HeightState
from ledger.encoding import block_hash
from ledger.errors import LedgerError
from ledger.types import Block, Certificate, Millis, Proposal, View, Vote, VoteKind
from tests.sim.campaign import be_quiet
from tests.sim.cluster import Cluster, Violation

SEEDS = 500
ROTATED = 3

Patch = Callable[[], contextlib.AbstractContextManager[object]]
Rule = Callable[[HeightState, Millis], bool]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug."""

    name: str
    breaks: str
    """The rule, as docs/ledger.md names it."""
    patch: Patch


@dataclass(frozen=True, slots=True)
class Found:
    """How a planted bug came to light."""

    seeds: int
    """How many it took, the last one included."""
    by: str
    """Number of the invariant; `-` if the core itself stopped."""
    said: str


def with_rule(original: Rule, mutated: Rule) -> contextlib.AbstractContextManager[object]:
    rules = tuple(mutated if rule is original else rule for rule in height.RULES)
    return mock.patch.object(height, "RULES", rules)


@contextlib.contextmanager
def quorum_of(size: Callable[[int], int]) -> Iterator[None]:
    with mock.patch.object(committee, "quorum", size), mock.patch.object(chain, "quorum", size):
        yield


def without(what: Callable[[Effect], bool]) -> contextlib.AbstractContextManager[object]:
    put = effects.Outbox.put

    def put_some(self: effects.Outbox, effect: Effect) -> None:
        if not what(effect):
            put(self, effect)

    return mock.patch.object(effects.Outbox, "put", put_some)


def forgetting(kind: type) -> contextlib.AbstractContextManager[object]:
    return without(lambda effect: isinstance(effect, Persist) and isinstance(effect.record, kind))


def without_bodies() -> contextlib.AbstractContextManager[object]:
    """Keep own proposals, and none of those that are voted for."""
    notarize = proposing.notarize

    def forgetful(state: HeightState, now: Millis) -> bool:
        with forgetting(Proposal):
            return notarize(state, now)

    return with_rule(notarize, forgetful)


def finalize_anyway(state: HeightState, _now: Millis) -> bool:
    if not state.unanswered:
        return False
    view = state.unanswered.pop()
    voting.cast(state, VoteKind.FINALIZE, view, state.certificates.notarized[view].block_hash)
    return True


def finalize_early(state: HeightState, now: Millis) -> bool:
    """Cast FINALIZE with the own NOTARIZE, before there is a certificate."""
    own = state.own.get((VoteKind.NOTARIZE, state.view))
    if own is None or state.voted(VoteKind.NULLIFY, state.view) or state.voted(VoteKind.FINALIZE, state.view):
        return voting.finalize(state, now)
    voting.cast(state, VoteKind.FINALIZE, state.view, own.block_hash)
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


def always_fresh() -> contextlib.AbstractContextManager[object]:
    """Look at the age of a block that is proposed again, too."""

    def is_valid(self: HeightState, block, *, fresh: bool) -> bool | None:
        return self.verdicts.get((block, True))

    def validate(state: HeightState, _now: Millis) -> bool:
        if state.proposal is None or state.me is None or state.voted(VoteKind.NOTARIZE, state.view):
            return False
        key = (block_hash(state.proposal.block.header), True)
        if key in state.verdicts:
            return False
        state.verdicts[key] = None
        state.put(ValidateBlock(state.proposal.block, fresh=True))
        return True

    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(HeightState, "is_valid", is_valid))
    stack.enter_context(with_rule(proposing.validate, validate))
    return stack


def believe_final_blocks() -> contextlib.AbstractContextManager[object]:
    def take_decided(self: height.Instance, message) -> bool:
        voting.learn(self.state, message.certificate)
        return self.state.keep_body(message.block)

    return mock.patch.object(height.Instance, "_take_decided", take_decided)


def set_before() -> contextlib.AbstractContextManager[object]:
    """Decide a height with the set of the one before."""
    begin = machine.Machine._begin

    def late(self, number, parent, validators, records):
        before = getattr(self, "_instance", None)
        return begin(self, number, parent, before.state.committee.validators if before else validators, records)

    return mock.patch.object(machine.Machine, "_begin", late)


def send_first() -> contextlib.AbstractContextManager[object]:
    def take(self: effects.Outbox) -> list[Effect]:
        taken, self._records, self._others = self._others + self._records, [], []
        return taken

    return mock.patch.object(effects.Outbox, "take", take)


def uncapped() -> contextlib.AbstractContextManager[object]:
    def view_timeout(self: timing.Timing, view: View, *, absent: bool = False) -> int:
        return int(self.view_ms * 1.5 ** (view - 1)) // (4 if absent else 1)

    return mock.patch.object(timing.Timing, "view_timeout", view_timeout)


def answer_everything() -> contextlib.AbstractContextManager[object]:
    """Answer every question, and ask back each time."""
    return mock.patch.object(repair.Limiter, "allows", return_value=True)


def votes_left_on_disk() -> contextlib.AbstractContextManager[object]:
    """Begin a height after a restart without the own votes that are on disk."""
    restore = height.Instance._restore

    def restore_others(self: height.Instance, record: Record) -> None:
        if not isinstance(record, Vote):
            restore(self, record)

    return mock.patch.object(height.Instance, "_restore", restore_others)


def first_votes_only() -> contextlib.AbstractContextManager[object]:
    """Drop a vote that contradicts one of its kind."""

    def is_news(self: votes.Tally, vote: Vote) -> bool:
        return not self._of(vote.kind, vote.view, vote.signer)

    return mock.patch.object(votes.Tally, "is_news", is_news)


def never(_state: HeightState, _now: Millis) -> bool:
    return False


MUTANTS = (
    Mutant("quorum-half", "q = n - f", lambda: quorum_of(lambda n: n // 2)),
    Mutant("quorum-2f", "q = n - f", lambda: quorum_of(lambda n: 2 * chain.faults_tolerated(n))),
    Mutant("votes-forgotten", "H5", lambda: forgetting(Vote)),
    Mutant("votes-not-replayed", "H5", votes_left_on_disk),
    Mutant("proposals-forgotten", "H5", lambda: forgetting(Proposal)),
    Mutant("bodies-forgotten", "H5", without_bodies),
    Mutant("certificates-forgotten", "H5", lambda: forgetting(Certificate)),
    Mutant("sent-before-flush", "H5", send_first),
    Mutant("notarize-twice", "H1", notarize_twice),
    Mutant("finalize-after-nullify", "H2", lambda: with_rule(voting.finalize, finalize_anyway)),
    Mutant("nullify-after-finalize", "H2", nullify_anyway),
    Mutant("justification-unchecked", "H3", lambda: mock.patch.object(proposing, "is_justified", return_value=True)),
    Mutant("finalize-early", "H4", lambda: with_rule(voting.finalize, finalize_early)),
    Mutant("final-blocks-believed", "synchronisation", believe_final_blocks),
    Mutant("set-of-height-before", "validators", set_before),
    Mutant("base-ignored", "leaders", fresh_blocks_only),
    Mutant("no-notarize-after-nullify", "progress", lambda: with_rule(proposing.notarize, no_notarize_after_nullify)),
    Mutant("no-amplification", "progress", lambda: with_rule(voting.amplify, never)),
    Mutant("old-blocks-refused", "progress", always_fresh),
    Mutant("timeouts-uncapped", "progress", uncapped),
    Mutant("answers-unlimited", "rate limits", answer_everything),
    Mutant("bodies-put-away", "progress", lambda: without(lambda effect: isinstance(effect, SendRecorded))),
    Mutant("conflicting-votes-dropped", "evidence", first_votes_only),
)


def hunt(mutant: Mutant, seeds: int = SEEDS, *, inside: bool = True) -> Found | None:
    """Run seeds until one finds a planted bug; None if none does. Without `inside` nobody looks into replicas."""
    with mutant.patch():
        for seed in range(seeds):
            try:
                Cluster(seed, inside=inside).run()
            except Violation as violation:
                return Found(seed + 1, str(violation.number), str(violation))
            except (ValueError, LedgerError) as error:
                return Found(seed + 1, "-", f"the core stops: {error}")
    return None


def rotated(commit: str) -> Sequence[Mutant]:
    """Choose by the hash of a commit."""
    first = int(commit, 16)
    step = len(MUTANTS) // ROTATED
    return [MUTANTS[(first + number * step) % len(MUTANTS)] for number in range(ROTATED)]


def told(found: Found | None, seeds: int) -> str:
    """Seeds and invariant in short."""
    return f"> {seeds}" if found is None else f"{found.seeds} ({found.by})"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=__doc__)
    parser.add_argument("name", nargs="?", choices=[mutant.name for mutant in MUTANTS])
    parser.add_argument("--rotate", metavar="COMMIT", help="three, chosen by this hash")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    be_quiet()
    chosen = rotated(options.rotate) if options.rotate else MUTANTS
    escaped = 0
    print("| planted bug | breaks | seeds | invariant | from outside alone | seconds |\n|---|---|--:|--:|--:|--:|")
    for mutant in chosen:
        if options.name not in (None, mutant.name):
            continue
        began = time.monotonic()
        found = hunt(mutant, options.seeds)
        escaped += found is None
        seeds, by = (f"> {options.seeds}", "none") if found is None else (str(found.seeds), found.by)
        outside = "" if options.rotate else told(hunt(mutant, options.seeds, inside=False), options.seeds)
        took = time.monotonic() - began
        print(f"| {mutant.name} | {mutant.breaks} | {seeds} | {by} | {outside} | {took:.1f} |", flush=True)
        print(f"  {found.said[:150] if found else 'escaped'}", file=sys.stderr)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
