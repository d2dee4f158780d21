"""Products of shared numbers by Paillier encryption between pairs of nodes, without a dealer (docs/computation.md)."""

from mpcnode.mpc.paillier.announcement import MODULUS_BITS_MAX, accept, announce
from mpcnode.mpc.paillier.drawing import Source
from mpcnode.mpc.paillier.introduction import introduce
from mpcnode.mpc.paillier.keys import MODULUS_BITS, DecryptionKey, EncryptionKey, generate
from mpcnode.mpc.paillier.multiplier import PaillierMultiplier

__all__ = [
    "MODULUS_BITS",
    "MODULUS_BITS_MAX",
    "DecryptionKey",
    "EncryptionKey",
    "PaillierMultiplier",
    "Source",
    "accept",
    "announce",
    "generate",
    "introduce",
]
