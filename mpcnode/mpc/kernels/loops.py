"""The loops that numba compiles: the reference written out, so that each word is read once.

Plain functions that fill their last arguments, which must not overlap the others. They run without numba too, slowly:
so their tests do. Everything is unsigned: numba, as numpy, makes a float of a signed and an unsigned 64-bit integer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpcnode.mpc.kernels.interface import FULL, ZERO, Integers, Places, Words

_ONE = np.uint64(1)

Kind = tuple[str, int]
"""Type of an argument: that of an array's elements, and its dimensions; none is a single number."""


def subtract_loop(rows: Words, of: Places, thresholds: Words, result: Words) -> None:
    """Fill [size, T, W] from rows [k, V, W]: not (x - t) = not x + t, ones above."""
    bits, _, words = rows.shape
    for place in range(len(of)):
        value = of[place]
        for w in range(words):
            result[0, place, w] = ZERO  # carries, from the lowest bit to the top
        for i in range(bits):
            t = FULL if thresholds[place] >> np.uint64(i) & _ONE else ZERO
            for w in range(words):
                x = ~rows[i, value, w]
                carry = result[i, place, w]
                result[i, place, w] = x ^ t ^ carry
                if i + 1 < bits:
                    result[i + 1, place, w] = t ^ ((x ^ t) & (carry ^ t))
        for i in range(bits, result.shape[0]):
            for w in range(words):
                result[i, place, w] = FULL


def fold_four_loop(table: Words, inverted: Words, of: Places, greater: Words, equal: Words) -> None:
    """Fold blocks of 4 bits: `Reference.fold_leaf` written out."""
    blocks, _, count, words = inverted.shape
    for b in range(blocks):
        for place in range(count):
            v = of[place]
            for w in range(words):
                n = inverted[b, 0, place, w]
                odd = table[b, 1, v, w]
                g0, p0 = n & odd, odd ^ (n & table[b, 0, v, w])
                odd = table[b, 3, v, w]
                g1, p1 = n & odd, odd ^ (n & table[b, 2, v, w])
                odd = table[b, 5, v, w]
                g2, p2 = n & odd, odd ^ (n & table[b, 4, v, w])
                odd = table[b, 7, v, w]
                g3, p3 = n & odd, odd ^ (n & table[b, 6, v, w])
                odd = table[b, 9, v, w]
                g4, p4 = n & odd, odd ^ (n & table[b, 8, v, w])
                odd = table[b, 11, v, w]
                g5, p5 = n & odd, odd ^ (n & table[b, 10, v, w])
                odd = table[b, 13, v, w]
                g6, p6 = n & odd, odd ^ (n & table[b, 12, v, w])
                odd = table[b, 15, v, w]
                g7, p7 = n & odd, odd ^ (n & table[b, 14, v, w])
                n = inverted[b, 1, place, w]
                g0, p0 = (n & (table[b, 2, v, w] ^ g0)) ^ g1, p1 ^ (n & p0)
                g1, p1 = (n & (table[b, 6, v, w] ^ g2)) ^ g3, p3 ^ (n & p2)
                g2, p2 = (n & (table[b, 10, v, w] ^ g4)) ^ g5, p5 ^ (n & p4)
                g3, p3 = (n & (table[b, 14, v, w] ^ g6)) ^ g7, p7 ^ (n & p6)
                n = inverted[b, 2, place, w]
                g0, p0 = (n & (table[b, 4, v, w] ^ g0)) ^ g1, p1 ^ (n & p0)
                g1, p1 = (n & (table[b, 12, v, w] ^ g2)) ^ g3, p3 ^ (n & p2)
                n = inverted[b, 3, place, w]
                greater[b, place, w] = (n & (table[b, 8, v, w] ^ g0)) ^ g1
                equal[b, place, w] = p1 ^ (n & p0)


def combine_four_loop(  # noqa: PLR0917 - called by place
    opened: Words, a: Words, table: Words, products: Words, greater: Words, equal: Words
) -> None:
    """Combine groups of 4 wires, with the product of all p: `Reference.combine_wires` written out."""
    groups, _, words = opened.shape
    for b in range(groups):
        for w in range(words):
            g, p = opened[b, 0, w], opened[b, 4, w]
            f0 = (g & table[b, 0, w]) ^ a[b, 0, w]
            f1 = (g & table[b, 2, w]) ^ products[b, 0, w]
            f2 = (g & table[b, 4, w]) ^ products[b, 1, w]
            f3 = (g & table[b, 6, w]) ^ products[b, 2, w]
            f4 = (g & table[b, 8, w]) ^ products[b, 3, w]
            f5 = (g & table[b, 10, w]) ^ products[b, 4, w]
            f6 = (g & table[b, 12, w]) ^ products[b, 5, w]
            f7 = (g & table[b, 14, w]) ^ products[b, 6, w]
            q0 = table[b, 1, w] ^ (p & table[b, 0, w])
            q1 = table[b, 3, w] ^ (p & table[b, 2, w])
            q2 = table[b, 5, w] ^ (p & table[b, 4, w])
            q3 = table[b, 7, w] ^ (p & table[b, 6, w])
            q4 = table[b, 9, w] ^ (p & table[b, 8, w])
            q5 = table[b, 11, w] ^ (p & table[b, 10, w])
            q6 = table[b, 13, w] ^ (p & table[b, 12, w])
            q7 = table[b, 15, w] ^ (p & table[b, 14, w])
            g, p = opened[b, 1, w], opened[b, 5, w]
            f0 = (g & table[b, 0, w]) ^ a[b, 1, w] ^ f1 ^ (p & f0)
            f1 = (g & table[b, 4, w]) ^ products[b, 7, w] ^ f3 ^ (p & f2)
            f2 = (g & table[b, 8, w]) ^ products[b, 8, w] ^ f5 ^ (p & f4)
            f3 = (g & table[b, 12, w]) ^ products[b, 9, w] ^ f7 ^ (p & f6)
            q0, q1, q2, q3 = q1 ^ (p & q0), q3 ^ (p & q2), q5 ^ (p & q4), q7 ^ (p & q6)
            g, p = opened[b, 2, w], opened[b, 6, w]
            f0 = (g & table[b, 0, w]) ^ a[b, 2, w] ^ f1 ^ (p & f0)
            f1 = (g & table[b, 8, w]) ^ products[b, 10, w] ^ f3 ^ (p & f2)
            q0, q1 = q1 ^ (p & q0), q3 ^ (p & q2)
            g, p = opened[b, 3, w], opened[b, 7, w]
            greater[b, w] = (g & table[b, 0, w]) ^ a[b, 3, w] ^ f1 ^ (p & f0)
            equal[b, w] = q1 ^ (p & q0)


def combine_last_four_loop(opened: Words, a: Words, table: Words, products: Words, greater: Words) -> None:
    """Combine groups of 4 wires without the product: there is no p of the lowest wire, and no mask of it in `table`."""
    groups, _, words = opened.shape
    for b in range(groups):
        for w in range(words):
            g = opened[b, 0, w]
            f0 = (g & table[b, 0, w]) ^ a[b, 0, w]
            f1 = (g & table[b, 1, w]) ^ products[b, 0, w]
            f2 = (g & table[b, 2, w]) ^ products[b, 1, w]
            f3 = (g & table[b, 3, w]) ^ products[b, 2, w]
            f4 = (g & table[b, 4, w]) ^ products[b, 3, w]
            f5 = (g & table[b, 5, w]) ^ products[b, 4, w]
            f6 = (g & table[b, 6, w]) ^ products[b, 5, w]
            f7 = (g & table[b, 7, w]) ^ products[b, 6, w]
            g, p = opened[b, 1, w], opened[b, 4, w]
            f0 = (g & table[b, 0, w]) ^ a[b, 1, w] ^ f1 ^ (p & f0)
            f1 = (g & table[b, 2, w]) ^ products[b, 7, w] ^ f3 ^ (p & f2)
            f2 = (g & table[b, 4, w]) ^ products[b, 8, w] ^ f5 ^ (p & f4)
            f3 = (g & table[b, 6, w]) ^ products[b, 9, w] ^ f7 ^ (p & f6)
            g, p = opened[b, 2, w], opened[b, 5, w]
            f0 = (g & table[b, 0, w]) ^ a[b, 2, w] ^ f1 ^ (p & f0)
            f1 = (g & table[b, 4, w]) ^ products[b, 10, w] ^ f3 ^ (p & f2)
            g, p = opened[b, 3, w], opened[b, 6, w]
            greater[b, w] = (g & table[b, 0, w]) ^ a[b, 3, w] ^ f1 ^ (p & f0)


def combine_last_two_loop(opened: Words, a: Words, table: Words, products: Words, greater: Words) -> None:
    """Combine pairs of wires without the product."""
    groups, _, words = opened.shape
    for b in range(groups):
        for w in range(words):
            g = opened[b, 0, w]
            f0 = (g & table[b, 0, w]) ^ a[b, 0, w]
            f1 = (g & table[b, 1, w]) ^ products[b, 0, w]
            g, p = opened[b, 1, w], opened[b, 2, w]
            greater[b, w] = (g & table[b, 0, w]) ^ a[b, 1, w] ^ f1 ^ (p & f0)


def weigh_loop(weights: Integers, shares: Integers, total: Integers) -> None:
    """Fill [subjects] with the sum of weights [items] times shares [items, subjects]."""
    items, subjects = shares.shape
    for subject in range(subjects):
        total[subject] = 0
    for item in range(items):
        weight = weights[item]
        for subject in range(subjects):
            total[subject] += weight * shares[item, subject]


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop, and one of the types that it is compiled for."""

    name: str
    function: Callable[..., None]
    inputs: tuple[Kind, ...]
    outputs: tuple[Kind, ...]


_WIRES = (("uint64", 3),) * 4
LOOPS = (
    Loop("subtract", subtract_loop, (("uint64", 3), ("int64", 1), ("uint64", 1)), (("uint64", 3),)),
    Loop("fold_4", fold_four_loop, (("uint64", 4), ("uint64", 4), ("int64", 1)), (("uint64", 3), ("uint64", 3))),
    Loop("combine_4", combine_four_loop, _WIRES, (("uint64", 2), ("uint64", 2))),
    Loop("combine_last_4", combine_last_four_loop, _WIRES, (("uint64", 2),)),
    Loop("combine_last_2", combine_last_two_loop, _WIRES, (("uint64", 2),)),
    *(
        Loop(f"weigh_{ring}", weigh_loop, ((ring, 1), (ring, 2)), ((ring, 1),))
        for ring in ("uint16", "uint32", "uint64")
    ),
)
