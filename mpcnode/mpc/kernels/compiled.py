"""Kernels compiled by numba: the same bits as the reference in a fraction of its time.

Compiling takes seconds, so the loops are compiled when the set is made, for fixed types, and kept in a directory.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpcnode.mpc.kernels.interface import Integers, Places, Words
from mpcnode.mpc.kernels.loops import LOOPS, Kind, Loop
from mpcnode.mpc.kernels.reference import Reference

Functions = Mapping[str, Callable[..., None]]
"""Loops by their names."""

_Number = TypeVar("_Number", bound=np.generic)


class Compiled(Reference):
    """Kernels that call loops, and the reference for shapes that no loop is written for."""

    name = "numba"

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    def subtract_public(self, rows: Words, of: Places, thresholds: Words, size: int) -> Words:
        """Subtract public thresholds, and invert."""
        result = np.empty((size, len(of), rows.shape[2]), np.uint64)
        self._functions["subtract"](_laid_out(rows), _laid_out(of), _laid_out(thresholds), result)
        return result

    def fold_leaf(self, table: Words, inverted: Words, of: Places) -> tuple[Words, Words]:
        """Fold the bits of every block."""
        blocks, width, count, words = inverted.shape
        loop = self._functions.get(f"fold_{width}")
        if loop is None:
            return super().fold_leaf(table, inverted, of)
        greater = np.empty((blocks, count, words), np.uint64)
        equal = np.empty_like(greater)
        loop(_laid_out(table), _laid_out(inverted), _laid_out(of), greater, equal)
        return greater, equal

    def combine_wires(
        self, opened: Words, greater_mask: Words, table: Words, products: Words, *, is_last: bool
    ) -> tuple[Words, Words]:
        """Combine the wires of every group."""
        groups, fan, words = greater_mask.shape
        loop = self._functions.get(f"combine_last_{fan}" if is_last else f"combine_{fan}")
        if loop is None:
            return super().combine_wires(opened, greater_mask, table, products, is_last=is_last)
        combined = np.empty((2, groups, words), np.uint64)
        wanted = combined[:1] if is_last else combined
        loop(_laid_out(opened), _laid_out(greater_mask), _laid_out(table), _laid_out(products), *wanted)
        return wanted[0], wanted[-1]

    def weigh(self, weights: Integers, shares: Integers) -> Integers:
        """Sum up weights times shares."""
        total = np.empty(shares.shape[1], shares.dtype)
        self._functions[f"weigh_{shares.dtype.name}"](_laid_out(weights), _laid_out(shares), total)
        return total


def compile_loops(cache: str) -> Functions:
    """Compile all loops, or load what was compiled before.

    Args:
        cache: a directory to keep them in. What is there is run, so only this user may write to it.

    Raises:
        ImportError: numba is not installed, or does not go with what is.
        OSError: this process may not make memory executable, or `cache` cannot be written.
    """
    numba = import_module("numba")
    numba.config.CACHE_DIR = cache
    return {loop.name: _compile(numba, loop) for loop in LOOPS}


def _compile(numba: Any, loop: Loop) -> Callable[..., None]:  # noqa: ANN401 - a module without types
    """Compile one loop; it lets other threads run."""

    def typed(kind: Kind, *, readonly: bool) -> object:
        name, dimensions = kind
        element = getattr(numba.types, name)
        return numba.types.Array(element, dimensions, "C", readonly=readonly) if dimensions else element

    inputs = [typed(kind, readonly=True) for kind in loop.inputs]
    outputs = [typed(kind, readonly=False) for kind in loop.outputs]
    signature = numba.types.void(*inputs, *outputs)
    compiled: Callable[..., None] = numba.njit(signature, cache=True, nogil=True)(loop.function)
    return compiled


def _laid_out(array: NDArray[_Number]) -> NDArray[_Number]:
    """The array, copied if it is not contiguous or not aligned."""
    return np.require(array, requirements=("C", "A"))
