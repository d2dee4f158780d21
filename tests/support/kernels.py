"""Kernels held to numpy's, for arguments of any shape and layout: by unit tests the loops as they are written, by a
system test what numba makes of them."""

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from mpcnode.mpc.kernels import Kernels
from mpcnode.mpc.kernels.compiled import Functions
from mpcnode.mpc.kernels.loops import LOOPS
from mpcnode.mpc.kernels.reference import Reference

RINGS = (np.uint16, np.uint32, np.uint64)
EDGES = (0, 1, 63, 64, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def as_written() -> Functions:
    """The loops without numba."""
    return {loop.name: loop.function for loop in LOOPS}


@st.composite
def arrays(draw, shape, dtype=np.uint64):
    """An array of random numbers and edges, contiguous or not, perhaps read-only, perhaps not aligned."""
    size = int(np.prod(shape))
    numbers = np.random.default_rng(draw(st.integers(0, 1 << 32))).integers(0, 1 << 64, size, dtype=np.uint64)
    if size:
        places = draw(st.lists(st.integers(0, size - 1), max_size=4))
        numbers[places] = [draw(st.sampled_from(EDGES)) for _ in places]
    array = numbers.astype(dtype).reshape(shape)
    layout = draw(st.sampled_from(("plain", "reversed", "every second", "other order", "not aligned", "read-only")))
    if layout == "reversed":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    if layout == "every second":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "other order":
        return np.asfortranarray(array)
    if layout == "not aligned":
        return np.frombuffer(b"-" + array.tobytes(), dtype, offset=1).reshape(shape)
    if layout == "read-only":
        array.setflags(write=False)
    return array


@st.composite
def differences(draw):
    bits, values, words = draw(st.integers(1, 64)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    of = draw(st.lists(st.integers(0, values - 1), min_size=1, max_size=6))
    thresholds = np.array([draw(st.sampled_from(EDGES) | st.integers(0, (1 << 64) - 1)) for _ in of], np.uint64)
    rows = draw(arrays((bits, values, words)))
    return rows, np.array(of), thresholds, bits + draw(st.integers(0, 9))


@st.composite
def leaves(draw):
    width, blocks, values, words = (draw(st.integers(1, high)) for high in (5, 3, 4, 5))
    of = draw(st.lists(st.integers(0, values - 1), min_size=1, max_size=6) | st.just(list(range(values))))
    table, inverted = draw(arrays((blocks, 1 << width, values, words))), draw(arrays((blocks, width, len(of), words)))
    return table, inverted, np.array(of)


@st.composite
def wires(draw):
    fan, groups, words = draw(st.integers(2, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 9))
    is_last = draw(st.booleans())
    equals = fan - is_last
    shapes = ((fan + equals, words), (fan, words), (1 << equals, words), ((1 << fan) - 1 - fan, words))
    return *(draw(arrays((groups, *shape))) for shape in shapes), is_last


@st.composite
def flips(draw):
    items, subjects = draw(st.integers(1, 5)), draw(st.sampled_from((1, 2, 7, 63, 64, 65, 130)))
    stride = subjects if subjects < 64 else -(-subjects // 64) * 64
    opened = draw(arrays((-(-items * stride // 64),)))
    return opened, stride, draw(arrays((items, subjects), draw(st.sampled_from(RINGS)))), draw(st.booleans())


@st.composite
def weights(draw):
    items, subjects, ring = draw(st.integers(1, 7)), draw(st.integers(1, 70)), draw(st.sampled_from(RINGS))
    return draw(arrays((items,), ring)), draw(arrays((items, subjects), ring))


def results(kernels: Kernels, drawn) -> Iterator[tuple[str, np.ndarray]]:
    """What each kernel makes of one drawing of everything."""
    difference, leaf, layer, flip, weigh = drawn
    yield "subtract_public", kernels.subtract_public(*difference)
    for name, found in zip(("greater", "equal"), kernels.fold_leaf(*leaf), strict=True):
        yield f"fold_leaf: {name}", found
    *masked, is_last = layer
    combined = kernels.combine_wires(*masked, is_last=is_last)
    for name, found in zip(("F",) if is_last else ("F", "P"), combined, strict=False):
        yield f"combine_wires: {name}", found
    opened, stride, integers, is_first = flip
    yield "flip", kernels.flip(opened, stride, integers, is_first=is_first)
    yield "weigh", kernels.weigh(*weigh)


drawings = st.tuples(differences(), leaves(), wires(), flips(), weights())


def check_same(kernels: Kernels, drawn) -> None:
    """These kernels give what numpy's give, and leave their arguments as they are."""
    kept = [[np.copy(part) for part in arguments] for arguments in drawn]
    for (name, found), (_, expected) in zip(results(kernels, drawn), results(Reference(), drawn), strict=True):
        assert found.dtype == expected.dtype, name
        assert np.array_equal(found, expected), name
    for arguments, before in zip(drawn, kept, strict=True):
        assert all(np.array_equal(part, old) for part, old in zip(arguments, before, strict=True))
