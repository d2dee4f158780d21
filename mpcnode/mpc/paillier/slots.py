"""How many products share a plaintext: the layout of its slots, and the mask over all of it.

Slots lie side by side from the lowest bit; each takes a product a·b with a, b < 2^bits and `STATISTICAL_BITS` more. A
mask is drawn for every slot and for what is left above the slots, so that the whole is as good as uniform mod n: what
it is added to does not show, whatever it is. In a slot it leaves room for a product: a sum of honest products never
reaches the next slot, and its low bits are additive shares mod 2^bits with the mask's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gmpy2 import mpz

from mpcnode.mpc.paillier.drawing import Source, draw_below

STATISTICAL_BITS = 64
"""Of masking: a slot's mask is off uniform by 2^-64, for nodes make millions; so is what lies above the slots."""


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of plaintexts below a modulus."""

    bits: int
    """Factors are below 2^bits, shares mod 2^bits; 1 for bits, whose additive shares mod 2 are XOR shares."""
    modulus_bits: int

    def __post_init__(self) -> None:
        """Check that there is a slot.

        Raises:
            ValueError: factors of other widths, or a modulus too short for one product.
        """
        if not 1 <= self.bits <= 64:
            raise ValueError(f"factors: expected 1 to 64 bits, got {self.bits}")
        if self.count < 1:
            raise ValueError(
                f"modulus: expected more than {self.width + STATISTICAL_BITS} bits, got {self.modulus_bits}"
            )

    @property
    def product_bits(self) -> int:
        """Bits of a product."""
        return (((1 << self.bits) - 1) ** 2).bit_length()

    @property
    def width(self) -> int:
        """Bits of a slot."""
        return self.product_bits + STATISTICAL_BITS

    @property
    def count(self) -> int:
        """Slots of a plaintext: what is left above them, up to n, has `STATISTICAL_BITS` at least."""
        return (self.modulus_bits - 1 - STATISTICAL_BITS) // self.width

    def place(self, factor: int, item: int) -> mpz:
        """Return the plaintext that holds a factor in an item's slot.

        Raises:
            ValueError: the factor is not below 2^bits.
        """
        if not 0 <= factor < 1 << self.bits:
            raise ValueError(f"factor {item}: expected {self.bits} bits, got a number outside")
        return mpz(factor) << (item % self.count * self.width)

    def draw_mask(self, source: Source, n: mpz) -> tuple[mpz, list[mpz]]:
        """Draw a mask over plaintexts mod n; returns it and what it is in each slot."""
        room = (mpz(1) << self.width) - (mpz(1) << self.product_bits)
        masks = [draw_below(source, room) for _ in range(self.count)]
        above = draw_below(source, n >> (self.count * self.width))
        return self.pack([*masks, above]), masks

    def pack(self, values: Sequence[mpz]) -> mpz:
        """Return the plaintext that holds these values, the first in the lowest slot."""
        packed = mpz(0)
        for value in reversed(values):
            packed = packed << self.width | value
        return packed

    def unpack(self, plaintext: mpz, count: int) -> list[int]:
        """Return what the lowest slots hold, mod 2^bits."""
        reduced = (1 << self.bits) - 1
        return [int(plaintext >> (slot * self.width)) & reduced for slot in range(count)]
