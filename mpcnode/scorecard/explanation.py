"""What a model's joint computation will cost and say, known before anything runs: rounds, bytes, rings, outputs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mpcnode.mpc import SEED_BYTES, Batch, Program
from mpcnode.mpc.correlations import stream_size
from mpcnode.scorecard.compile import compile_batch
from mpcnode.scorecard.output import output_size
from mpcnode.scorecard.panel import Layout
from mpcnode.scorecard.ranges import Ranges, analyse


@dataclass(frozen=True, slots=True)
class Correlated:
    """What is dealt under one label, for all subjects."""

    label: str
    free_bytes: int
    """Masks: drawn by every node from its seed."""
    corrected_bytes: int
    """What follows from them: drawn by every node but the last, which the dealer sends as many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributed:
    """What a participant of the panel shares."""

    values: int
    counted: bool
    """Whether it counts for coverage."""
    row_bytes: int
    """Its row of all subjects in clear, and each node's share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The computation of one model by one panel and committee, for so many subjects."""

    nodes: int
    subjects: int
    chunks: int
    round_bytes: tuple[int, ...]
    """Bytes that each node sends to each other node in each round, in all chunks."""
    correlations: tuple[Correlated, ...]
    """In program order."""
    panel: tuple[Contributed, ...]
    """In panel order."""
    unsupplied: tuple[str, ...]
    """Attributes that nobody in the panel supplies."""
    ranges: Ranges
    outcomes: int
    """Different answers that a subject can have, *insufficient* included."""
    output_bytes: int
    """Of one subject, and of each node's share of it."""

    @property
    def bytes_to_each_node(self) -> int:
        """Bytes that each node sends to each other node."""
        return sum(self.round_bytes)

    @property
    def bytes_to_last_node(self) -> int:
        """Bytes that the dealer sends to the last node, its seed included; the others get a seed."""
        return SEED_BYTES + sum(item.corrected_bytes for item in self.correlations)


def explain_model(layout: Layout, nodes: int, subjects: int = 1) -> Explanation:
    """Explain a model.

    Args:
        layout: model and panel.
        nodes: of the committee, 2 or more.
        subjects: how many are asked for at once.

    Raises:
        ValueError: a number is out of range.
        ModelError: a step does not fit 64 bits.
    """
    batch = compile_batch(layout, nodes, subjects)
    model = layout.model
    supplied = zip(model.attributes, layout.sources, strict=True)
    return Explanation(
        nodes=nodes,
        subjects=subjects,
        chunks=batch.chunks,
        round_bytes=tuple(_added(batch, lambda program: program.round_bytes)),
        correlations=tuple(_correlated(batch)),
        panel=tuple(
            Contributed(values=len(row), counted=seated.counted, row_bytes=size)
            for seated, row, size in zip(
                layout.members,
                layout.rows,
                _added(batch, lambda program: [shape.size for shape in program.body.rows]),
                strict=True,
            )
        ),
        unsupplied=tuple(attribute.name for attribute, source in supplied if source is None),
        ranges=analyse(model),
        outcomes=1 + len(model.grades) * len({model.minimum_coverage, *model.coverage_bands}),
        output_bytes=output_size(model),
    )


def _correlated(batch: Batch) -> Iterator[Correlated]:
    free = _added(batch, lambda program: [stream_size(item.free) for item in program.body.correlations])
    corrected = _added(batch, lambda program: [stream_size(item.corrected) for item in program.body.correlations])
    for item, free_bytes, corrected_bytes in zip(batch.rest.body.correlations, free, corrected, strict=True):
        yield Correlated(item.label, free_bytes, corrected_bytes)


def _added(batch: Batch, sizes: Callable[[Program], Sequence[int]]) -> list[int]:
    """Add up sizes over all chunks."""
    pairs = zip(sizes(batch.whole), sizes(batch.rest), strict=True)
    return [(batch.chunks - 1) * whole + rest for whole, rest in pairs]
