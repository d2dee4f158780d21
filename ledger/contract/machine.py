"""py-evm's Cancun machine behind five methods; the only module of the ledger that knows py-evm.

What is changed changes speed or removes an opcode; what the remaining opcodes do is py-evm's alone. Importing this
module takes a second: import it where something is executed.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from eth.abc import ComputationAPI, MessageAPI, StateAPI, TransactionContextAPI
from eth.constants import BLANK_ROOT_HASH, ZERO_ADDRESS
from eth.exceptions import OutOfGas, Revert
from eth.vm.computation import BaseComputation
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.cancun.state import CancunState
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.interrupt import EVMMissingData
from eth.vm.message import Message
from eth_typing import Address as EvmAddress
from eth_typing import BlockNumber, Hash32
from trie.exceptions import MissingTrieNode

from ledger.contract.abi import decode_revert
from ledger.contract.accounts import Accounts
from ledger.contract.artefacts import load_codes
from ledger.contract.interpreter import OPCODES, interpret, take_apart
from ledger.contract.nodes import NodeOverlay
from ledger.contract.recursion import restore_recursion_limit
from ledger.contract.storage import Nodes
from ledger.encoding import BLOCK_GAS_MAX
from ledger.encoding.limits import REASON_BYTES_MAX
from ledger.errors import StorageError
from ledger.types import Address, Digest, Height, Log, Millis

restore_recursion_limit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one top-level call did."""

    ok: bool
    gas: int
    """Used, less the refund."""
    output: bytes = field(repr=False)
    reason: str
    """Why it failed; empty if it did not."""
    logs: tuple[Log, ...]


class Machine:
    """A state, and calls that change it; one for each block, because py-evm's states slow down with what they read."""

    def __init__(
        self,
        read_node: Callable[[bytes], bytes | None],
        root: Digest | None,
        *,
        nodes: Nodes,
        chain_id: int,
        height: Height,
        timestamp_ms: Millis,
    ) -> None:
        context = ExecutionContext(
            coinbase=ZERO_ADDRESS,
            timestamp=timestamp_ms,
            block_number=BlockNumber(height),
            difficulty=0,
            mix_hash=Hash32(bytes(32)),
            gas_limit=BLOCK_GAS_MAX,
            prev_hashes=(),
            chain_id=chain_id,
            base_fee_per_gas=0,
            excess_blob_gas=0,
        )
        self._overlay = NodeOverlay(read_node, nodes)
        with _missing_is_ours():
            self._state = _State(self._overlay, context, BLANK_ROOT_HASH if root is None else Hash32(root))

    def install(self, address: Address, code: bytes) -> None:
        """Put a contract where none is."""
        self._state.set_nonce(EvmAddress(address), 1)
        self._state.set_code(EvmAddress(address), code)

    def replace(self, codes: Mapping[Address, bytes], calls: Sequence[tuple[Address, bytes]], gas: int) -> bool:
        """Put other code where contracts are and call it as the system; all of it, or, if a call fails, nothing.

        Raises:
            StorageError: a node that the root commits to is missing.
        """
        state = self._state
        with _missing_is_ours():
            before = state.snapshot()
            for address, code in codes.items():
                state.set_code(EvmAddress(address), code)
            done = all(self._apply(ZERO_ADDRESS, EvmAddress(to), data, gas).is_success for to, data in calls)
            if done:
                state.commit(before)
            else:
                state.revert(before)
            state.lock_changes()
            state.clear_transient_storage()
        return done

    def code(self, address: Address) -> bytes:
        """Return the code at an address."""
        with _missing_is_ours():
            return self._state.get_code(EvmAddress(address))

    def code_hash(self, address: Address) -> bytes:
        """keccak256 of the code at an address."""
        with _missing_is_ours():
            return bytes(self._state.get_code_hash(EvmAddress(address)))

    def call(self, sender: Address, target: Address, data: bytes, gas: int, *, is_static: bool = False) -> Outcome:
        """Call a contract; what it changes is locked in, as at the end of every transaction.

        Raises:
            StorageError: a node that the root commits to is missing.
        """
        state, to, origin = self._state, EvmAddress(target), EvmAddress(sender)
        with _missing_is_ours():
            done = self._apply(origin, to, data, gas, is_static=is_static)
            state.lock_changes()
            state.clear_transient_storage()
        used = done.get_gas_used()
        if not done.is_error:
            used -= min(done.get_gas_refund(), used // 5)  # EIP-3529
        return Outcome(
            ok=not done.is_error,
            gas=used,
            output=done.output,
            reason=_reason_of(done.error, done.output) if done.is_error else "",
            logs=tuple(
                Log(address=Address(address), topics=tuple(topic.to_bytes(32, "big") for topic in topics), data=data)
                for address, topics, data in done.get_log_entries()
            ),
        )

    def _apply(
        self, origin: EvmAddress, to: EvmAddress, data: bytes, gas: int, *, is_static: bool = False
    ) -> ComputationAPI:
        state = self._state
        code = state.get_code(to)
        message = Message(gas=gas, to=to, sender=origin, value=0, data=data, code=code, is_static=is_static)
        state.mark_address_warm(origin)  # EIP-2929
        state.mark_address_warm(to)
        state.mark_address_warm(state.coinbase)  # EIP-3651
        return _Computation.apply_message(state, message, CancunTransactionContext(gas_price=0, origin=origin))

    def slot(self, address: Address, slot: int) -> int:
        """Read one word of a contract's storage."""
        with _missing_is_ours():
            return self._state.get_storage(EvmAddress(address), slot)

    def finish(self) -> tuple[Digest, Mapping[bytes, bytes]]:
        """Return the root after all calls, and the nodes that are new."""
        with _missing_is_ours():
            self._state.persist()
        return Digest(bytes(self._state.state_root)), self._overlay.new


@contextlib.contextmanager
def _missing_is_ours() -> Iterator[None]:
    try:
        yield
    except (EVMMissingData, MissingTrieNode) as error:
        raise StorageError(f"expected every node of the state, got {error}") from error


def _reason_of(error: Exception, output: bytes) -> str:
    """Why a call failed, as a code."""
    if isinstance(error, Revert):
        # Only arguments that do not decode revert without a reason.
        return decode_revert(output)[:REASON_BYTES_MAX] or "MALFORMED_ARGUMENTS"
    return "OUT_OF_GAS" if isinstance(error, OutOfGas) else "MACHINE_ERROR"


_CODES = {code_hash: artefact.runtime for code_hash, artefact in load_codes().items()}


class _Computation(CancunComputation):
    """py-evm's computation with our loop."""

    opcodes = OPCODES

    @classmethod
    def apply_computation(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,  # noqa: ARG003
    ) -> ComputationAPI:
        """Run a precompile or a contract; what came of it is in the computation."""
        with cls(state, message, transaction_context) as computation:
            precompile = computation.precompiles.get(message.code_address)
            if precompile is not None:
                precompile(computation)
            else:
                interpret(cast("BaseComputation", computation), take_apart(message.code))
        return computation


class _State(CancunState):
    """The accounts of the contracts: they hold code and storage and no money."""

    computation_class = _Computation
    account_db_class = Accounts

    def set_system_contracts(self) -> None:
        """Nothing: there is no beacon chain."""

    def touch_account(self, address: EvmAddress) -> None:
        """Nothing: touching matters for empty accounts only (EIP-161), and would write one for every precompile."""

    def get_code(self, address: EvmAddress) -> bytes:
        """Code of an account; that of the fixed contracts is not read from the store again."""
        code = _CODES.get(self.get_code_hash(address))
        return super().get_code(address) if code is None else code
