"""Products of every set of a few bits, in clear and shared: what leaves and multi-input ANDs are made of."""

import numpy as np

from mpcnode.mpc.correlations import Array
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import FULL, Words


def fans(count: int, fan: int) -> tuple[int, ...]:
    """Inputs of a group in each layer of a tree over `count` inputs, up to `fan` to one; one input needs no layer.

    Raises:
        ValueError: groups of fewer than two, which lead nowhere.
    """
    if fan < 2:
        raise ValueError(f"expected groups of two inputs or more, got {fan}")
    found = []
    while count > 1:
        found.append(min(count, fan))
        count = -(-count // fan)
    return tuple(found)


def several(count: int) -> list[int]:
    """Sets of at least two of `count` things, as bit masks, ascending."""
    return [members for members in range(1 << count) if members & (members - 1)]


def products(rows: Words) -> Words:
    """Products of every set of rows: [G, n, W] becomes [G, 2^n, W]; the empty product is 1."""
    groups, count, words = rows.shape
    table = np.full((groups, 1 << count, words), FULL)
    for i in range(count):
        table[:, 1 << i : 2 << i] = table[:, : 1 << i] & rows[:, i : i + 1]
    return table


def monomials(party: Party, rows: Words, dealt: Array) -> Words:
    """Shares of the products of every set of rows, of which those of two rows and more were dealt."""
    groups, count, words = rows.shape
    table = np.zeros((groups, 1 << count, words), np.uint64)
    if party.is_first:
        table[:, 0] = FULL
    table[:, [1 << i for i in range(count)]] = rows
    table[:, several(count)] = dealt
    return table
