"""The hot loops of a joint computation, in numpy or compiled by numba: the same bits, so the same messages.

A process chooses once, at its start; until then numpy runs. `chosen()` is what runs now.
"""

from dataclasses import dataclass
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
    """numba if it is installed and can compile here."""
    NUMPY = "numpy"
    NUMBA = "numba"


class _Process:
    """What this process runs."""

    kernels: Kernels = Reference()


def chosen() -> Kernels:
    """Return the kernels that run."""
    return _Process.kernels


def would_choose(choice: Choice) -> Choice:
    """Say which kernels a choice leads to, without loading them; numba may yet turn out not to work here."""
    if choice is Choice.AUTO:
        return Choice.NUMPY if find_spec("numba") is None else Choice.NUMBA
    return choice


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a choice led to."""

    kernels: Kernels
    refused: str = ""
    """Why numba does not run although it is installed and was not ruled out."""


def choose(choice: Choice, cache: str) -> Chosen:
    """Load kernels and use them from now on, in the whole process.

    Args:
        choice: which.
        cache: where compiled ones are kept: a directory that nobody else may write to.

    Raises:
        ConfigError: numba was asked for and cannot be used, or what it compiled is wrong.
    """
    found = Chosen(Reference())
    if would_choose(choice) is Choice.NUMBA:
        try:
            found = Chosen(_compiled(cache))
        except (ImportError, OSError) as error:  # not there, or not allowed to make memory executable
            if choice is not Choice.AUTO:
                raise ConfigError(
                    f"kernels: expected numba to be installed and able to compile, got {error}; install mpcnode[fast], "
                    "or choose numpy"
                ) from error
            found = Chosen(Reference(), refused=str(error))
    _Process.kernels = found.kernels
    return found


def _compiled(cache: str) -> Kernels:
    kernels = Compiled(compile_loops(cache))
    wrong = differing(kernels, Reference())
    if wrong:
        raise ConfigError(
            f"kernels: expected numba's to agree with numpy's, got other results of {', '.join(wrong)}; "
            f"remove {cache}, or choose numpy"
        )
    return kernels
