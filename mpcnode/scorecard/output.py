"""The bytes of an answer (docs/protocol.md 3.1), and what they say."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpcnode.errors import MalformedMessageError
from mpcnode.scorecard.clear import INSUFFICIENT, Outcome, Outcomes
from mpcnode.scorecard.model import Model


def output_size(model: Model) -> int:
    """Bytes of one subject's output, and of each node's share of it."""
    return -(-(1 + len(model.cuts) + len(model.coverage_bands)) // 8)


def encode_output(model: Model, outcome: Outcome) -> bytes:
    """Encode an outcome: what all nodes' output shares must make."""
    grades, bands = 0, 0
    if outcome.sufficient and outcome.grade_index is not None and outcome.coverage_band is not None:
        grades, bands = len(model.cuts) - outcome.grade_index, outcome.coverage_band
    bits = int(outcome.sufficient) | ((1 << grades) - 1) << 1 | ((1 << bands) - 1) << (1 + len(model.cuts))
    return bits.to_bytes(output_size(model), "little")


def decode_output(model: Model, data: bytes) -> Outcome:
    """Decode the XOR of all nodes' output shares.

    Raises:
        MalformedMessageError: no outcome has these bytes: a length is wrong, a grade or band is reached without those
            below it, or an insufficient answer says more than that. Some share is not what its node computed; or a
            contributor broke the rules of a model with attributes that earn their values, and the score is none.
    """
    size = output_size(model)
    if len(data) != size:
        raise MalformedMessageError(f"output: expected {size} bytes, got {len(data)}")
    bits = [byte >> place & 1 for byte in data for place in range(8)]
    sufficient, grades = bits[0], bits[1 : 1 + len(model.cuts)]
    bands = bits[1 + len(model.cuts) :][: len(model.coverage_bands)]
    padding = bits[1 + len(model.cuts) + len(model.coverage_bands) :]
    for name, steps in (("grade", grades), ("coverage", bands)):
        if any(above > below for below, above in itertools.pairwise(steps)):
            raise MalformedMessageError(f"output: expected {name} bits that only fall, got some that rise")
    if any(padding) or (not sufficient and any(bits)):
        raise MalformedMessageError("output: expected zeros where nothing is said, got ones")
    if not sufficient:
        return INSUFFICIENT
    index = len(model.cuts) - sum(grades)
    return Outcome(sufficient=True, grade=model.grades[index].name, grade_index=index, coverage_band=sum(bands))


def encode_outcomes(model: Model, outcomes: Outcomes) -> bytes:
    """Encode the outcomes of many subjects: what all nodes' output shares must make, of all subjects in turn."""
    said = [encode_output(model, outcome) for outcome in _every_outcome(model)]
    table = np.frombuffer(b"".join(said), np.uint8).reshape(len(said), -1)
    bands = len(model.coverage_bands) + 1
    places = np.where(outcomes.sufficient, outcomes.grade_index * bands + outcomes.coverage_band, len(said) - 1)
    return table[places].tobytes()


def decode_outputs(model: Model, data: bytes) -> tuple[tuple[Outcome | None, ...], NDArray[np.intp]]:
    """Decode the XOR of all nodes' output shares of many subjects.

    Whoever broke the rules about one subject spoils that one's answer, and not the others'.

    Returns:
        The outcomes that occur, and for each subject which one it is; None is of those whose bytes `decode_output`
        refuses.

    Raises:
        MalformedMessageError: these are not whole subjects' bytes.
    """
    size = output_size(model)
    if not data or len(data) % size:
        raise MalformedMessageError(f"output: expected {size} bytes for each subject, got {len(data)}")
    rows = np.frombuffer(data, np.uint8).reshape(-1, size)
    if size > 8:
        found, places = np.unique(rows, axis=0, return_inverse=True)
    else:
        wide = np.zeros((len(rows), 8), np.uint8)
        wide[:, :size] = rows
        numbers, places = np.unique(wide.view("<u8")[:, 0], return_inverse=True)
        found = numbers.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :size]
    known = {encode_output(model, outcome): outcome for outcome in _every_outcome(model)}
    return tuple(known.get(row.tobytes()) for row in found), places.reshape(-1)


def _every_outcome(model: Model) -> Sequence[Outcome]:
    """All that may be said: by grade, then by band, and `INSUFFICIENT` last."""
    pairs = itertools.product(enumerate(model.grades), range(len(model.coverage_bands) + 1))
    return (
        *(Outcome(sufficient=True, grade=grade.name, grade_index=i, coverage_band=band) for (i, grade), band in pairs),
        INSUFFICIENT,
    )
