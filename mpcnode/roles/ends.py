"""What a committee's ends are checked for, and what is said of two that do not agree."""

import hashlib
import hmac

from mpcnode.query.messages import Differ, End, encode_differ
from mpcnode.query.statements import EndStatement
from mpcnode.roles.failures import AttemptFailedError
from mpcnode.types import FailReason, MemberIndex


def session_words(end: EndStatement) -> tuple[object, ...]:
    """What an end is the end of. The contract compares it, too: one that differs would be refused with everybody's."""
    return (end.chain, end.query, end.attempt, end.session, end.deal_hash)


def check_boxes(member: MemberIndex, end: End, own: End, stated: EndStatement) -> None:
    """Check that boxes are those that their node signed, and as long as the own ones.

    Raises:
        AttemptFailedError: they are not.
    """
    boxes = (
        (end.inquirer_box, own.inquirer_box, stated.inquirer_box_hash),
        (end.supervisor_box, own.supervisor_box, stated.supervisor_box_hash),
    )
    for box, ours, expected in boxes:
        if len(box) != len(ours) or not hmac.compare_digest(hashlib.sha256(box).digest(), expected):
            why = f"member {member}: its boxes are not those that it signed"
            raise AttemptFailedError(FailReason.ABORT, why, (member,))


def encode_difference(own: End, member: MemberIndex, other: End) -> bytes:
    """Encode the word to the supervisor that a member signed another transcript."""
    return encode_differ(
        Differ(
            own=own.statement,
            own_signature=own.signature,
            member=member,
            other=other.statement,
            other_signature=other.signature,
        )
    )
