"""Hexadecimal as Ethereum's JSON-RPC has it: quantities without leading zeros, data by whole bytes."""

import re
from collections.abc import Mapping
from typing import TypeGuard

from ledger.rpc.refusals import INVALID_PARAMS, RefusedError
from ledger.types import Address

_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,15})", re.ASCII)
_DATA = re.compile(r"0x([0-9a-fA-F]{2})*", re.ASCII)


def quantity(value: int) -> str:
    """Write a number."""
    return hex(value)


def data(value: bytes) -> str:
    """Write bytes."""
    return "0x" + value.hex()


def read_quantity(value: object, what: str) -> int:
    """Read a number of at most 64 bits.

    Raises:
        RefusedError: it is none.
    """
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise RefusedError(INVALID_PARAMS, f"{what}: expected a number as 0x and digits without leading zeros")
    return int(value, 16)


def read_data(value: object, what: str, size: int | None = None) -> bytes:
    """Read bytes; `size` of them, if given.

    Raises:
        RefusedError: they are none.
    """
    if not isinstance(value, str) or not _DATA.fullmatch(value) or size not in {None, len(value) // 2 - 1}:
        wanted = "whole bytes" if size is None else f"{size} bytes"
        raise RefusedError(INVALID_PARAMS, f"{what}: expected {wanted} as 0x and hexadecimal digits")
    return bytes.fromhex(value[2:])


def read_address(value: object, what: str) -> Address:
    """Read an address, whatever the case of its letters.

    Raises:
        RefusedError: it is none.
    """
    return Address(read_data(value, what, 20))


def read_object(value: object, what: str) -> Mapping[str, object]:
    """Check that a value is a JSON object.

    Raises:
        RefusedError: it is none.
    """
    if not _is_object(value):
        raise RefusedError(INVALID_PARAMS, f"{what}: expected an object")
    return value


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)
