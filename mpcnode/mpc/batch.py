"""A computation on many subjects: the same program again and again, for one chunk of the subjects after another.

A chunk is a run of the program by itself, with correlations and a transcript of its own. A node holds a window of
chunks at a time, so what it holds does not depend on how many subjects there are; and while it waits for the others in
one chunk it works on the next. One subject is a batch of one chunk.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mpcnode.mpc.correlations import stream_size
from mpcnode.mpc.prg import CHUNK_BYTES
from mpcnode.mpc.program import Program

CHUNK_SUBJECTS = 65_536
"""Most subjects of a chunk. In one process 16,384 are best with a small program, these take 1.2 times as long for a
subject; but every chunk has messages of its own, and over daemons 100,000 subjects in two chunks take a tenth less time
than in four."""

PAYLOAD_BYTES_MAX = 3 * 1024 * 1024
"""What a node sends in one round of a chunk: it must fit one message."""

CORRECTIONS_BYTES_MAX = 4 * 1024 * 1024
"""What is dealt to the last node for a chunk. A program's corrections are a measure of all that it holds, so a chunk
takes about as much memory whatever the model."""

WINDOW = 4
"""Chunks that a node runs at a time."""

_WORD_BITS = 64

_CHUNKS_MAX = 1 << 8 * CHUNK_BYTES


@dataclass(frozen=True, kw_only=True)
class Batch:
    """How N subjects are cut, and what runs on the chunks. All nodes, the dealer and the auditor have equal ones."""

    subjects: int
    """N, 1 or more."""
    chunk_subjects: int
    """Subjects of every chunk but the last, which may have fewer."""
    window: int
    """Chunks that a node runs at a time; 1 or more. Another node may have announced as many more."""
    whole: Program
    """For the chunks of `chunk_subjects`; `rest` if there is one chunk only."""
    rest: Program
    """For the last chunk; `whole` if that is as large."""

    @property
    def parties(self) -> int:
        """Nodes of the committee."""
        return self.whole.parties

    @property
    def output_bytes(self) -> int:
        """Bytes of one subject's output."""
        return self.whole.body.output_bytes

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.subjects // self.chunk_subjects)

    def program(self, chunk: int) -> Program:
        """What runs on a chunk: what is sent in which round, and how the rows look, is known before.

        Raises:
            ValueError: there is no such chunk.
        """
        self._check(chunk)
        return self.rest if chunk == self.chunks - 1 else self.whole

    def subjects_of(self, chunk: int) -> range:
        """Places of a chunk's subjects among all, from 0.

        Raises:
            ValueError: there is no such chunk.
        """
        self._check(chunk)
        first = chunk * self.chunk_subjects
        return range(first, min(first + self.chunk_subjects, self.subjects))

    def _check(self, chunk: int) -> None:
        if not 0 <= chunk < self.chunks:
            raise ValueError(f"expected one of {self.chunks} chunks, got chunk {chunk}")


def corrections_size(program: Program) -> int:
    """Bytes that the last node receives for one chunk."""
    return sum(stream_size(item.corrected) for item in program.body.correlations)


def cut_batch(
    compiled: Callable[[int], Program], subjects: int, *, chunk_subjects: int = CHUNK_SUBJECTS, window: int = WINDOW
) -> Batch:
    """Cut a computation into as few chunks as may be, all of about one size: a small last one takes almost as long.

    Args:
        compiled: compiles the program for so many subjects.
        subjects: N.
        chunk_subjects: most subjects of a chunk, a power of two; it is halved until every payload fits a message and
            corrections are not too large.
        window: chunks that a node runs at a time.

    Raises:
        ValueError: a number is out of range, or there would be more than 2^32 chunks.
    """
    if subjects < 1:
        raise ValueError(f"expected one subject or more, got {subjects}")
    if chunk_subjects < 1 or chunk_subjects & (chunk_subjects - 1):
        raise ValueError(f"expected chunks of a power of two subjects, got {chunk_subjects}")
    if window < 1:
        raise ValueError(f"expected a window of one chunk or more, got {window}")
    whole = compiled(min(subjects, chunk_subjects))
    while _is_too_large(whole) and chunk_subjects > 1:
        chunk_subjects //= 2
        whole = compiled(min(subjects, chunk_subjects))
    size = _even(subjects, chunk_subjects)
    chunks = -(-subjects // size)
    if chunks > _CHUNKS_MAX:
        raise ValueError(f"expected at most {_CHUNKS_MAX} chunks, got {chunks}: make them larger")
    if chunks > 1 and size != chunk_subjects:
        whole = compiled(size)
    last = subjects - (chunks - 1) * size
    return Batch(
        subjects=subjects,
        chunk_subjects=size,
        window=window,
        whole=whole,
        rest=whole if chunks == 1 or last == size else compiled(last),
    )


def _even(subjects: int, most: int) -> int:
    """The size of chunks: the least that makes no more of them, of whole words if that many fit one."""
    unit = min(most, _WORD_BITS)
    chunks = -(-subjects // most)
    return -(-subjects // (chunks * unit)) * unit


def _is_too_large(program: Program) -> bool:
    return max(program.round_bytes) > PAYLOAD_BYTES_MAX or corrections_size(program) > CORRECTIONS_BYTES_MAX
