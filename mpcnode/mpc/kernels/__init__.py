"""The hot loops of a joint computation, in numpy or compiled by numba: the same bits, so the same messages.

A process chooses once, at its start; until then numpy runs. `chosen()` is what runs now.
"""

from enum import StrEnum
from importlib.util import find_spec

from mpcnode.errors import ConfigError
from mpcnode.mpc.kernels.compiled import Compiled, compile_loops
from mpcnode.mpc.kernels.interface import FULL, ZERO, Bits, Integers, Kernels, Places, Words
from mpcnode.mpc.kernels.reference import Reference
from mpcnode.mpc.kernels.trial import differing

__all__ = [
    "FULL",
    "ZERO",
    "Bits",
    "Choice",
    "Integers",
    "Kernels",
    "Places",
    "Words",
    "choose",
    "chosen",
    "would_choose",
]


class Choice(StrEnum):
    """What may be asked for."""

    AUTO = "auto"
    """numba if it is installed."""
    NUMPY = "numpy"
    NUMBA = "numba"


class _Process:
    """What this process runs."""

    kernels: Kernels = Reference()


def chosen() -> Kernels:
    """Return the kernels that run."""
    return _Process.kernels


def would_choose(choice: Choice) -> Choice:
    """Say which kernels a choice leads to, without loading them."""
    if choice is Choice.AUTO:
        return Choice.NUMPY if find_spec("numba") is None else Choice.NUMBA
    return choice


def choose(choice: Choice, cache: str) -> Kernels:
    """Load kernels and use them from now on, in the whole process.

    Args:
        choice: which.
        cache: where compiled ones are kept: a directory that nobody else may write to.

    Raises:
        ConfigError: numba was asked for and is not there, or what it compiled is wrong.
    """
    _Process.kernels = _load(would_choose(choice), cache)
    return _Process.kernels


def _load(choice: Choice, cache: str) -> Kernels:
    if choice is Choice.NUMPY:
        return Reference()
    try:
        kernels = Compiled(compile_loops(cache))
    except ImportError as error:
        raise ConfigError(
            f"kernels: expected numba to be installed, got {error}; install mpcnode[fast], or choose numpy"
        ) from error
    wrong = differing(kernels, Reference())
    if wrong:
        raise ConfigError(
            f"kernels: expected numba's to agree with numpy's, got other results of {', '.join(wrong)}; "
            f"remove {cache}, or choose numpy"
        )
    return kernels
