"""Range analysis: prove that nothing in a model's computation overflows, and pick the narrowest ring for each step.

The bounds hold for *every* value of the shared bits, honest or not: a participant that contributes a value outside
its declared range gets a wrong score, but it cannot push the score of an insufficient query past a grade.
"""

from dataclasses import dataclass

from mpcnode.errors import ModelError
from mpcnode.scorecard.model import COVERAGE_MAX, Attribute, Model
from mpcnode.sealing.envelopes import ENVELOPE_OVERHEAD
from mpcnode.types import COMMITTEE_MAX

COMPARISON_BITS_MIN, COMPARISON_BITS_MAX = 8, 64

ENVELOPE_BYTES_MAX = 12 * 1024
"""An audit envelope: the largest argument of a ledger transaction."""

_ENVELOPE_HEAD_BYTES = 32 + 1 + 1 + 32 + 32
_ENVELOPE_NODE_BYTES = 32 + 32
_SCORE_MAX = (1 << 60) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Rings of a model's computation; a comparison in Z_(2^k) is right while |x - t| < 2^(k-1)."""

    value_bits: int
    """k of the comparisons of values with thresholds."""
    coverage_bits: int
    """k of the comparisons of the count of contributors."""
    score_bits: int
    """k of the comparisons of the score with the grades."""
    score_min: int
    score_max: int
    insufficient_offset: int
    """Subtracted from the score of an insufficient query: then it reaches no grade but the last."""

    @property
    def ring_bits(self) -> int:
        """Width of the integers that hold points and counts: 16, 32 or 64."""
        need = max(self.score_bits, self.coverage_bits)
        return next(bits for bits in (16, 32, 64) if bits >= need)


def analyse(model: Model) -> Ranges:
    """Find the rings of a model.

    Raises:
        ModelError: some step does not fit 64 bits, or a contribution does not fit a ledger transaction; the message
            names the place in the model's file.
    """
    _check_envelope(len(model.attributes))
    value_bits = max(_value_bits(i, attribute) for i, attribute in enumerate(model.attributes))
    score_min, score_max = _score_range(model.attributes)
    offset = max(0, score_max - model.cuts[0] + 1)
    counts = (0, COVERAGE_MAX)
    thresholds = (model.minimum_coverage, *model.coverage_bands)
    return Ranges(
        value_bits=value_bits,
        coverage_bits=comparison_bits(max(abs(count - t) for count in counts for t in thresholds)),
        score_bits=_score_bits(model, score_min - offset, score_max),
        score_min=score_min,
        score_max=score_max,
        insufficient_offset=offset,
    )


def comparison_bits(distance: int) -> int:
    """Smallest k of at least 8 with distance < 2^(k-1)."""
    return max(COMPARISON_BITS_MIN, distance.bit_length() + 1)


def envelope_bytes(attributes: int, committee: int) -> int:
    """Size of the audit envelope of a participant that supplies this many attributes (docs/protocol.md 4)."""
    row = 8 * attributes + (attributes + 8) // 8
    return ENVELOPE_OVERHEAD + _ENVELOPE_HEAD_BYTES + row + _ENVELOPE_NODE_BYTES * committee


def _check_envelope(attributes: int) -> None:
    size = envelope_bytes(attributes, COMMITTEE_MAX)
    if size > ENVELOPE_BYTES_MAX:
        raise ModelError(f"attribute: expected audit envelopes of at most {ENVELOPE_BYTES_MAX} bytes, got {size}")


def _value_bits(index: int, attribute: Attribute) -> int:
    # 0 stands for a value that is missing, so it is compared whether or not it is in the declared range
    least, most = min(0, attribute.minimum), max(0, attribute.maximum)
    distance = max(max(abs(least - t), abs(most - t)) for t in attribute.thresholds)
    bits = comparison_bits(distance)
    if bits > COMPARISON_BITS_MAX:
        raise ModelError(
            f"attribute[{index}]: expected every value, or 0 for a missing one, to be less than 2^63 from every "
            f"bin's start, got {distance}"
        )
    return bits


def _score_range(attributes: tuple[Attribute, ...]) -> tuple[int, int]:
    least = most = 0
    for i, attribute in enumerate(attributes):
        jumps = (*attribute.steps, attribute.missing - attribute.points_of(0))
        least += attribute.weight * (attribute.bins[0].points + sum(min(0, jump) for jump in jumps))
        most += attribute.weight * (attribute.bins[0].points + sum(max(0, jump) for jump in jumps))
        if max(abs(least), abs(most)) > _SCORE_MAX:
            raise ModelError(
                f"attribute[{i}]: expected scores of less than 2^60 up to this attribute, got a range of "
                f"{least} to {most}; lower its weight or points"
            )
    return least, most


def _score_bits(model: Model, least: int, most: int) -> int:
    bits = 0
    for i, grade in enumerate(model.grades[:-1]):
        start = model.cuts[-1 - i]
        needed = comparison_bits(max(abs(least - start), abs(most - start)))
        if needed > COMPARISON_BITS_MAX:
            raise ModelError(
                f"model.grades[{i}].from: expected grade {grade.name} within 2^63 of every score, {least} to {most}, "
                f"got {start}"
            )
        bits = max(bits, needed)
    return bits
