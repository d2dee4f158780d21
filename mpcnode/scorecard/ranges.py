"""Range analysis: prove that nothing in a model's computation overflows, and pick the narrowest ring for each step.

Points enter the score through shared bits, and their bounds hold for *every* value of the bits, honest or not: a
participant that contributes a value outside its declared range gets a wrong score, but it cannot push the score of an
insufficient query past a grade by a public number that is large enough.

An attribute that earns its value enters the score as it is shared, any number of the ring. Its bounds are those of its
declared range: they hold for whoever keeps to it, and an insufficient query is answered by nothing for another reason
(`mpcnode.scorecard.body`).
"""

from dataclasses import dataclass

from mpcnode.errors import ModelError
from mpcnode.scorecard.model import COVERAGE_MAX, Attribute, Model
from mpcnode.sealing.envelopes import ENVELOPE_OVERHEAD
from mpcnode.types import COMMITTEE_MAX

COMPARISON_BITS_MIN, COMPARISON_BITS_MAX = 8, 64
ROW_BITS_MIN, ROW_BITS_MAX = 32, 64

ENVELOPE_BYTES_MAX = 12 * 1024
"""An audit envelope: the largest argument of a ledger transaction."""

_ENVELOPE_HEAD_BYTES = 32 + 1 + 1 + 32 + 32
_ENVELOPE_NODE_BYTES = 32 + 32
_SCORE_MAX = (1 << 60) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Rings of a model's computation; a comparison in Z_(2^k) is right while |x - t| < 2^(k-1)."""

    value_bits: int
    """k of the comparisons of values with thresholds; 0 if all attributes earn their values, and none is compared."""
    coverage_bits: int
    """k of the comparisons of the count of contributors."""
    score_bits: int
    """k of the comparisons of the score with the grades."""
    row_bits: int
    """Width of the ring in which values are shared: 32 if that is enough, else 64.

    It is if all declared ranges are within 32 bits, signed, so that a value is known in clear, and if no comparison
    that a value enters opens more: that of values, and that of the score if an attribute earns its value.
    """
    score_min: int
    score_max: int
    insufficient_offset: int
    """Subtracted from the score of an insufficient query: then it reaches no grade but the last.

    0 if an attribute earns its value: then no number is large enough, and the grade bits are gated instead.
    """

    @property
    def ring_bits(self) -> int:
        """Width of the integers that hold points and counts: 16, 32 or 64."""
        return integer_bits(max(self.score_bits, self.coverage_bits))


def analyse(model: Model) -> Ranges:
    """Find the rings of a model.

    Raises:
        ModelError: some step does not fit 64 bits, or a contribution does not fit a ledger transaction; the message
            names the place in the model's file.
    """
    _check_envelope(len(model.attributes))
    compared = ((i, attribute) for i, attribute in enumerate(model.attributes) if not attribute.earns_value)
    value_bits = max((_value_bits(i, attribute) for i, attribute in compared), default=0)
    score_min, score_max = _score_range(model.attributes)
    offset = 0 if model.has_values else max(0, score_max - model.cuts[0] + 1)
    counts = (0, COVERAGE_MAX)
    thresholds = (model.minimum_coverage, *model.coverage_bands)
    score_bits = _score_bits(model, score_min - offset, score_max)
    entered = max(value_bits, score_bits if model.has_values else 0)
    return Ranges(
        value_bits=value_bits,
        coverage_bits=comparison_bits(max(abs(count - t) for count in counts for t in thresholds)),
        score_bits=score_bits,
        row_bits=ROW_BITS_MIN if entered <= ROW_BITS_MIN and _are_narrow(model.attributes) else ROW_BITS_MAX,
        score_min=score_min,
        score_max=score_max,
        insufficient_offset=offset,
    )


def comparison_bits(distance: int) -> int:
    """Smallest k of at least 8 with distance < 2^(k-1)."""
    return max(COMPARISON_BITS_MIN, distance.bit_length() + 1)


def integer_bits(bits: int) -> int:
    """Width of the narrowest integers that hold so many bits: 16, 32 or 64."""
    return next(width for width in (16, 32, 64) if width >= bits)


def envelope_bytes(attributes: int, committee: int) -> int:
    """Size of the audit envelope of a participant with so many attributes of 8 bytes each (docs/protocol.md 4)."""
    row = 8 * attributes + (attributes + 8) // 8
    return ENVELOPE_OVERHEAD + _ENVELOPE_HEAD_BYTES + row + _ENVELOPE_NODE_BYTES * committee


def _check_envelope(attributes: int) -> None:
    size = envelope_bytes(attributes, COMMITTEE_MAX)
    if size > ENVELOPE_BYTES_MAX:
        raise ModelError(f"attribute: expected audit envelopes of at most {ENVELOPE_BYTES_MAX} bytes, got {size}")


def _are_narrow(attributes: tuple[Attribute, ...]) -> bool:
    """Whether all values within the declared ranges are signed integers of `ROW_BITS_MIN` bits."""
    end = 1 << ROW_BITS_MIN - 1
    return all(-end <= attribute.minimum and attribute.maximum < end for attribute in attributes)


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
        lowest, highest = _weighted_range(attribute)
        least += lowest
        most += highest
        if max(abs(least), abs(most)) > _SCORE_MAX:
            raise ModelError(
                f"attribute[{i}]: expected scores of less than 2^60 up to this attribute, got a range of "
                f"{least} to {most}; lower its weight or {'range' if attribute.earns_value else 'points'}"
            )
    return least, most


def _weighted_range(attribute: Attribute) -> tuple[int, int]:
    """What an attribute can add to a score: by points, for all values of the bits; by its value, within its range."""
    if attribute.earns_value:
        earned = [attribute.weight * points for points in (attribute.minimum, attribute.maximum, attribute.missing)]
        return min(earned), max(earned)
    jumps = (*attribute.steps, attribute.missing - attribute.points_of(0))
    least = attribute.weight * (attribute.base + sum(min(0, jump) for jump in jumps))
    most = attribute.weight * (attribute.base + sum(max(0, jump) for jump in jumps))
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
