"""What a target is, the laws that targets share, and the bounds that hold for each."""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
MEMORY_BYTES = 1 << 20
MEMORY_FACTOR = 200
"""Peak of Python's memory: so much and so many bytes for each byte of the input. JSON's `{}` takes 72 for 3."""

CPU_S = 2.0
"""Of one input while memory is traced, which makes it some four times slower."""

_SHOWN = 1000
"""Characters of what a finding says."""

Mutate = Callable[[bytes, int], bytes]
"""Bytes and the size that they may grow to; gives changed ones."""


class Finding(Exception):  # noqa: N818 - what is looked for, not what went wrong
    """A law does not hold for an input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that takes bytes from others."""

    check: Callable[[bytes], None]
    """Returns if all is well; whatever it raises is a finding."""
    seeds: tuple[bytes, ...]
    """Real encodings to start from."""
    words: tuple[bytes, ...] = ()
    """Pieces that chance would not find; bare numbers and long lengths are added for all."""
    size_max: int = 4096
    mutate: Callable[[bytes, int, int, Mutate], bytes] | None = None
    """A mutation that knows the form: bytes, largest size, seed, and the ordinary mutation."""
    memory_bytes: int = MEMORY_BYTES


def codec(
    decode: Callable[[bytes], T], encode: Callable[[T], bytes], refused: tuple[type[Exception], ...]
) -> Callable[[bytes], None]:
    """The law of every canonical decoder: a value that encodes to the same bytes, or a refusal."""

    def check(data: bytes) -> None:
        try:
            value = decode(data)
        except refused:
            return
        again = encode(value)
        expect(again == data, f"expected one encoding of each value, got another of {again.hex()}, {value!r}")

    return check


def expect(holds: bool, broken: str) -> None:
    """Raise a finding unless it holds."""
    if not holds:
        raise Finding(broken[:_SHOWN])


def measured(target: Target, data: bytes) -> None:
    """Check an input, and that it took memory in proportion to its size, and little time.

    Raises:
        Finding: more than that.
    """
    tracemalloc.start()
    began = time.process_time()
    try:
        target.check(data)
        took = time.process_time() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    allowed = target.memory_bytes + MEMORY_FACTOR * len(data)
    expect(peak <= allowed, f"expected at most {allowed} bytes of memory for {len(data)} of input, got {peak}")
    expect(took <= CPU_S, f"expected at most {CPU_S} s of CPU time for {len(data)} bytes of input, got {took:.1f}")
