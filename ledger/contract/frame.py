"""Instructions that read what a call brought with it, and words of its contract's storage, beside `interpreter`.

Contracts made by Vyper look at the size of their arguments and at the value that came with them in every function, and
read a dozen words of storage in a transaction.
"""
# ruff: noqa: SLF001 - the accounts are py-evm's; going through its methods is what costs

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from eth.exceptions import FullStack, OutOfGas
from eth.vm.computation import BaseComputation
from eth.vm.forks.berlin.constants import COLD_SLOAD_COST, WARM_STORAGE_READ_COST
from eth.vm.state import BaseState

from ledger.contract.accounts import Accounts
from ledger.contract.blocks import STACK_MAX

Read: TypeAlias = Callable[[BaseComputation, list[int], object, int], int]
"""Takes computation, stack, memory and the gas that is left after the instruction's own; returns what is left then."""


def _push(stack: list[int], word: int) -> None:
    if len(stack) >= STACK_MAX:
        raise FullStack("Stack limit reached")
    stack.append(word)


def _caller(computation: BaseComputation, stack: list[int], _: object, gas: int) -> int:
    _push(stack, int.from_bytes(computation.msg.sender, "big"))
    return gas


def _call_value(computation: BaseComputation, stack: list[int], _: object, gas: int) -> int:
    _push(stack, computation.msg.value)
    return gas


def _call_data_size(computation: BaseComputation, stack: list[int], _: object, gas: int) -> int:
    _push(stack, len(computation.msg.data))
    return gas


def _return_data_size(computation: BaseComputation, stack: list[int], _: object, gas: int) -> int:
    _push(stack, len(computation.return_data))
    return gas


def _gas_left(_: BaseComputation, stack: list[int], _memory: object, gas: int) -> int:
    _push(stack, gas)
    return gas


def _load_word(computation: BaseComputation, stack: list[int], _: object, gas: int) -> int:
    """Read a word of storage (EIP-2929)."""
    state, address, slot = cast("BaseState", computation.state), computation.msg.storage_address, stack[-1]
    accounts = cast("Accounts", state._account_db)
    gas -= COLD_SLOAD_COST if accounts.touch(address, slot) else WARM_STORAGE_READ_COST
    if gas < 0:
        raise OutOfGas("Out of gas")
    stack[-1] = accounts.read(address, slot)
    return gas


READS: Mapping[int, Read] = {
    0x33: _caller,
    0x34: _call_value,
    0x36: _call_data_size,
    0x3D: _return_data_size,
    0x54: _load_word,
    0x5A: _gas_left,
}
"""By opcode."""
