"""Correlations that the nodes derive together, without a dealer (docs/computation.md 6)."""

from mpcnode.mpc.joint.derivations import ELEMENTARY, Derivation, derivation
from mpcnode.mpc.joint.multiplying import MultiplierMaker
from mpcnode.mpc.joint.provider import Maker, Plan, provide
from mpcnode.mpc.joint.scaling import BitTimesBits
from mpcnode.mpc.joint.talk import Messages, Talk, broadcast, expect_length, others

__all__ = [
    "ELEMENTARY",
    "BitTimesBits",
    "Derivation",
    "Maker",
    "Messages",
    "MultiplierMaker",
    "Plan",
    "Talk",
    "broadcast",
    "derivation",
    "expect_length",
    "others",
    "provide",
]
