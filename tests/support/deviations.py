"""Every scripted deviation of an MPC node, and what must come of it.

What does not apply to this protocol has been replaced: there is no commit before a round's opening and no echo (frames
are signed, transcripts compared), and no stock of randomness with indices, ranges or marks (a session's is dealt when
it begins). What concerns sockets rather than messages (a byte a second, hundreds of connections, nested fields) is done
to real listeners: tests/integration/test_evil_stream.py, test_peer_refusals.py, and tests/network/test_deviations.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mpcnode.query.messages import Kind
from mpcnode.types import AuditStage, FailReason
from tests.support import deviant_rounds as rounds
from tests.support import deviant_words as words
from tests.support.deviation import Deviation, without


@dataclass(frozen=True)
class Harmless:
    """The first attempt answers as if nothing were; nobody is named."""

    refused: tuple[str, str] | None = None
    """A transaction that the ledger refused with a code, if the node is the first of its committee."""


@dataclass(frozen=True)
class Named:
    """Another node, or the supervisor, fails the attempt and names the one that deviates; the next committee answers
    without it."""

    reason: FailReason
    with_dealer: bool = False
    """It may have been the dealer: both are named."""
    or_answered: bool = False
    """Or it does not fail: whoever posts was not lied to."""


@dataclass(frozen=True)
class Accuses:
    """The node fails the attempt itself and names an honest one: the ledger shows who says so of whom."""


@dataclass(frozen=True)
class Audited:
    """The committee cannot see it: the auditor does, names who and where, and nothing is ever released."""

    stage: AuditStage
    round: int = 0


@dataclass(frozen=True)
class Unopenable:
    """Even the auditor cannot see it: the inquirer's client does, names the node, and shows no answer."""


Expected = Harmless | Named | Accuses | Audited | Unopenable

TIMEOUT, ABORT = Named(FailReason.TIMEOUT), Named(FailReason.ABORT)
DIFFER = Named(FailReason.TRANSCRIPTS_DIFFER)
OUTPUT = Audited(AuditStage.OUTPUT)


@dataclass(frozen=True)
class Case:
    """A deviation, made anew for each run."""

    make: Callable[[], Deviation]
    expected: Expected
    after_another: bool = False
    """The node first computes a query honestly in all that anybody sees; the deviation draws on it."""


def _opening(number: int, place: int = 0) -> Case:
    return Case(lambda: rounds.WrongOpening(number, place), Audited(AuditStage.TRANSCRIPT, number))


def _changed(change: Callable[[bytes], bytes], expected: Expected, number: int = 2) -> Case:
    return Case(lambda: rounds.Changed(change, number), expected)


_KINDS = {Kind.ACCEPT, Kind.END}

CASES: Mapping[str, Case] = {
    # silence and delay
    "silent from the start": Case(lambda: rounds.Silent(_KINDS, 0), TIMEOUT),
    "silent after its accept": Case(lambda: rounds.Silent({Kind.END}, 0), TIMEOUT),
    "silent after the first round": Case(lambda: rounds.Silent({Kind.END}, 1), TIMEOUT),
    "silent after the last round": Case(lambda: rounds.Silent({Kind.END}, 99), TIMEOUT),
    "accepts too late": Case(rounds.Late, TIMEOUT),
    "every frame three seconds late": Case(rounds.Slow, TIMEOUT),
    "looks at the others' frames first": Case(rounds.Rushing, Harmless()),
    "begins without its accept": Case(rounds.NoAccept, TIMEOUT),
    "accepts towards one node only": Case(lambda: rounds.Mute(Kind.ACCEPT), TIMEOUT),
    # frames
    "an empty frame": _changed(lambda _: b"", ABORT),
    "a frame a byte short": _changed(lambda data: data[:-1], ABORT),
    "a frame a byte long": _changed(lambda data: data + b"\0", ABORT),
    "a frame of a megabyte": _changed(lambda data: data * (1_000_000 // len(data)), ABORT),
    "a frame of zeros": _changed(lambda data: bytes(len(data)), DIFFER),
    "a frame of ones": _changed(lambda data: b"\xff" * len(data), DIFFER),
    "a frame in another byte order": _changed(lambda data: data[::-1], DIFFER),
    "elements beyond their ring": _changed(lambda data: data[:3] + bytes([data[3] | 0x80]) + data[4:], Harmless(), 1),
    "a frame twice": Case(rounds.Twice, ABORT),
    "a frame twice with other content": Case(lambda: rounds.Twice(lambda data: bytes(len(data))), ABORT),
    "a gap in the rounds": Case(lambda: rounds.Renumbered(4), ABORT),
    "a round repeated": Case(lambda: rounds.Renumbered(1), ABORT),
    "a round that no program has": Case(lambda: rounds.Renumbered(2**32 - 1), ABORT),
    "frames of an unknown session, too": Case(
        lambda: rounds.OfAnotherSession(words.digest("s"), instead=False), Harmless()
    ),
    "frames of an unknown session only": Case(
        lambda: rounds.OfAnotherSession(words.digest("s"), instead=True), TIMEOUT
    ),
    "a frame before the accepts": Case(rounds.Early, ABORT),
    "the frames of an older session": Case(rounds.Replayed, DIFFER, after_another=True),
    "different openings to two nodes": Case(
        lambda: rounds.Changed(lambda data: bytes([data[0] ^ 1]) + data[1:], one_only=True), DIFFER
    ),
    "different openings to two nodes, and the frames withheld": Case(
        lambda: without(Kind.FRAMES, rounds.Changed(lambda data: bytes([data[0] ^ 1]) + data[1:], one_only=True)),
        DIFFER,
    ),
    "misleads a node and has it look guilty": Case(rounds.Framing, DIFFER),
    # openings that everybody believes
    "a wrong value opened": _opening(1),
    "a wrong presence bit opened": _opening(1, 1),
    "a wrong wire opened": _opening(2),
    "a wrong coverage opened": _opening(2, 1),
    "a wrong point bit opened": _opening(4),
    "a wrong score opened": _opening(5),
    "a wrong grade bit opened": _opening(6),
    "a wrong opening, and the frames withheld": Case(
        lambda: rounds.WrongOpening(3, kinds={Kind.FRAMES}), Audited(AuditStage.TRANSCRIPT, 3)
    ),
    # messages
    "every message twice": Case(words.Copies, Harmless()),
    "kinds that it may not send": Case(words.Unasked, Harmless()),
    "a flood": Case(lambda: words.Flood(1_100), Harmless()),
    "an accept in another's name": Case(lambda: words.Posted(words.of_another_sender), TIMEOUT),
    "an accept for another chain": Case(lambda: words.Posted(words.for_another_chain), TIMEOUT),
    "an accept signed as another kind": Case(lambda: words.Posted(words.of_another_kind), TIMEOUT),
    "an accept signed by another statement": Case(lambda: words.Accepts(words.signed_by_nobody), TIMEOUT),
    "an accept of another version": Case(lambda: words.Accepts(words.of_an_older_version), TIMEOUT),
    "an accept with unknown fields": Case(words.TrailingBytes, TIMEOUT),
    "an accept of another session": Case(
        lambda: words.Accepts(words.accepting(session=words.digest("other"))), TIMEOUT
    ),
    "an accept of another session, too": Case(
        lambda: words.Accepts(words.accepting(session=words.digest("other")), instead=False), Harmless()
    ),
    "an accept of another deal": Case(
        lambda: words.Accepts(words.accepting(deal_hash=words.digest("deal"))),
        Named(FailReason.ABORT, with_dealer=True),
    ),
    # ends and boxes
    "no end for one node": Case(lambda: rounds.Mute(Kind.END), Harmless()),
    "an end of another attempt": Case(lambda: words.Ends(words.ending(attempt=3)), ABORT),
    "an end of another session": Case(lambda: words.Ends(words.ending(session=words.digest("other"))), TIMEOUT),
    "an end of another deal": Case(lambda: words.Ends(words.ending(deal_hash=words.digest("deal"))), ABORT),
    "an end with another transcript": Case(
        lambda: words.Ends(words.ending(transcript_hash=words.digest("other"))), DIFFER
    ),
    "an end with another transcript, and the frames withheld": Case(
        lambda: without(Kind.FRAMES, words.Ends(words.ending(transcript_hash=words.digest("other")))), DIFFER
    ),
    "different ends to two nodes": Case(
        lambda: words.Ends(words.ending(transcript_hash=words.digest("other")), one_only=True),
        Named(FailReason.TRANSCRIPTS_DIFFER, or_answered=True),
    ),
    "a second end with other content": Case(lambda: words.Ends(words.another_share, also_right=True), Harmless()),
    "another node's commitment and boxes": Case(words.Copied, OUTPUT),
    "no output commitment": Case(lambda: words.Ends(words.no_commitment), OUTPUT),
    "another output share": Case(lambda: words.Ends(words.another_share), OUTPUT),
    "boxes of another query": Case(lambda: words.Ends(words.boxes_of_another_query), OUTPUT),
    "nothing in the supervisor's box": Case(lambda: words.Ends(words.envelope_to_nobody), OUTPUT),
    "another share for the supervisor": Case(lambda: words.Ends(words.another_share_for_the_supervisor), OUTPUT),
    "another share for the inquirer": Case(lambda: words.Ends(words.another_share_for_the_inquirer), Unopenable()),
    "the inquirer's box to another key": Case(lambda: words.Ends(words.box_to_nobody), Unopenable()),
    "a wider box": Case(lambda: words.Ends(words.wider_box), ABORT),
    "another box than signed": Case(lambda: words.Ends(words.another_box_than_signed), ABORT),
    # aborts and transactions
    "an abort before its accept": Case(lambda: words.Aborts(Kind.ACCEPT), ABORT),
    "an abort before its end": Case(lambda: words.Aborts(Kind.END), ABORT),
    "an abort as if transcripts differed": Case(
        lambda: words.Aborts(Kind.END, reason=FailReason.TRANSCRIPTS_DIFFER), ABORT
    ),
    "an abort after its end": Case(lambda: words.Aborts(Kind.END, after=True), Harmless()),
    "an abort of another session": Case(lambda: words.Aborts(Kind.ACCEPT, session=words.digest("other")), Harmless()),
    "blames an honest node": Case(words.Blames, Accuses()),
    "chooses the next committee": Case(
        lambda: words.Blames(order=lambda order: order[::-1]), Harmless(("fail_attempt", "COMMITTEE_ORDER"))
    ),
    "posts in another order": Case(words.PostsInAnotherOrder, Harmless(("post_result", "COMMITTEE_SIGNATURES"))),
    # beliefs
    "computes another model": Case(words.OtherModel, Audited(AuditStage.TRANSCRIPT, -1)),
    "computes without a participant": Case(words.OtherPanel, Audited(AuditStage.TRANSCRIPT, 1)),
}
