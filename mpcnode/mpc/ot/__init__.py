"""Elementary correlations from oblivious transfers between every two nodes (docs/computation.md 6)."""

from mpcnode.mpc.ot.links import Link, Links, connect
from mpcnode.mpc.ot.maker import TransferMaker

__all__ = ["Link", "Links", "TransferMaker", "connect"]
