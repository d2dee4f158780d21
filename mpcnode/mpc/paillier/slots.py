"""How many products share a plaintext: the layout of its slots.

A slot holds a·b + mask with a, b < 2^bits. The mask is uniform and `STATISTICAL_BITS` longer than the product: the sum
tells of the product no more than 2^-64, and its low bits are additive shares mod 2^bits with the mask's. One more bit
takes the carry, so that no slot ever reaches the next, and all slots together stay below n.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gmpy2 import mpz

from mpcnode.mpc.paillier.drawing import Source, draw_bits

STATISTICAL_BITS = 64
"""Of masking: each product is off uniform by 2^-64, and nodes make millions."""


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
            raise ValueError(f"modulus: expected more than {self.width} bits, got {self.modulus_bits}")

    @property
    def mask_bits(self) -> int:
        """Bits of a mask."""
        return (((1 << self.bits) - 1) ** 2).bit_length() + STATISTICAL_BITS

    @property
    def width(self) -> int:
        """Bits of a slot."""
        return self.mask_bits + 1

    @property
    def count(self) -> int:
        """Slots of a plaintext: 2^(count·width) is at most 2^(modulus_bits - 1), hence below n."""
        return (self.modulus_bits - 1) // self.width

    def place(self, factor: int, item: int) -> mpz:
        """Return the plaintext that holds a factor in an item's slot.

        Raises:
            ValueError: the factor is not below 2^bits.
        """
        if not 0 <= factor < 1 << self.bits:
            raise ValueError(f"factor {item}: expected {self.bits} bits, got a number outside")
        return mpz(factor) << (item % self.count * self.width)

    def draw_masks(self, source: Source, count: int) -> list[mpz]:
        """Draw masks for so many slots."""
        return [draw_bits(source, self.mask_bits) for _ in range(count)]

    def pack(self, masks: Sequence[mpz]) -> mpz:
        """Return the plaintext that holds these masks, the first in the lowest slot."""
        packed = mpz(0)
        for mask in reversed(masks):
            packed = packed << self.width | mask
        return packed

    def unpack(self, plaintext: mpz, count: int) -> list[int]:
        """Return what the lowest slots hold, mod 2^bits.

        What lies above them is not looked at. Only a node that deviates puts anything there, and whether its choice
        made the sum overflow would depend on factors: an error would tell it. Wrong products are the audit's business.
        """
        reduced = (1 << self.bits) - 1
        return [int(plaintext >> (slot * self.width)) & reduced for slot in range(count)]
