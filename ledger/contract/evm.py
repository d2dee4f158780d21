"""Executes transactions on the contracts: parent root in; receipts, new root and new state nodes out.

The host owns no disk, clock or randomness: equal arguments give equal results on every replica. A transaction that
fails, for whatever reason of its own, gives a receipt and never an exception; `StorageError` means that a node of the
state is missing, which is this machine's fault.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import structlog

from ledger.contract.abi import (
    address_of,
    decode_output,
    encode_call,
    encode_calldata,
    find_function,
)
from ledger.contract.artefacts import ADDRESSES, Artefact, Function, load_artefacts, load_codes
from ledger.contract.genesis import genesis_calls
from ledger.contract.storage import Nodes
from ledger.contract.upgrades import apply_upgrade, pending_upgrade
from ledger.encoding import BLOCK_GAS_MAX, TX_GAS_MAX
from ledger.errors import InvalidError
from ledger.types import (
    Address,
    ChainId,
    Digest,
    Genesis,
    Header,
    Height,
    Millis,
    PublicKey,
    Receipt,
    ReplicaId,
    Transaction,
    Validator,
)

if TYPE_CHECKING:
    from ledger.contract.machine import Machine, Outcome

SYSTEM = Address(bytes(20))
"""Sender of the calls that load genesis; no key has this address."""

_log = structlog.get_logger("ledger.contract")

_GENESIS_GAS = 100_000_000
_VIEW_GAS = 10_000_000
_SETS_CACHED = 64
_EVM_CHAIN_ID_BITS = 52


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What executing a block's transactions did."""

    state_root: Digest
    receipts: tuple[Receipt, ...]
    """Of the transactions that fit the block's gas, in order: fewer than were given if the rest must wait."""
    nodes: Mapping[bytes, bytes] = field(repr=False)
    """New state nodes by their keccak256, for the store."""
    validators: tuple[Validator, ...]
    """The set that decides the next height, sorted by key."""


class ContractHost:
    """The contracts on one chain, at any state that `read_node` can reach.

    Args:
        chain: hash of the consortium document.
        read_node: returns a state node by its keccak256, or None.
        codes: the code that contracts may be replaced with, by its hash; what this program brings along if None.
    """

    def __init__(
        self,
        chain: ChainId,
        read_node: Callable[[bytes], bytes | None],
        codes: Mapping[bytes, Artefact] | None = None,
    ) -> None:
        self._chain = chain
        self._codes = load_codes() if codes is None else codes
        self._read_node = read_node
        self._nodes = Nodes()
        self._sets: OrderedDict[int, tuple[Validator, ...]] = OrderedDict()

    def genesis(self, genesis: Genesis) -> Execution:
        """Return the state that a consortium document describes.

        Raises:
            InvalidError: the document breaks a rule of the contracts, or is another chain's.
        """
        if genesis.chain != self._chain:
            raise InvalidError(f"expected the chain {self._chain.hex()}, got {genesis.chain.hex()}")
        machine = self._machine_at(None, Height(0), Millis(0))
        for name, artefact in load_artefacts().items():
            machine.install(ADDRESSES[name], artefact.runtime)
        for function, values in genesis_calls(genesis):
            done = machine.call(SYSTEM, ADDRESSES[function.contract], encode_call(function, *values), _GENESIS_GAS)
            if not done.ok:
                raise InvalidError(f"genesis: expected {function.name}{values} to hold, got {done.reason}")
        return self._finish(machine, ())

    def execute(
        self, parent_root: Digest, height: Height, timestamp_ms: Millis, txs: Sequence[Transaction]
    ) -> Execution:
        """Execute transactions in order until one might not fit the block's gas.

        A transaction fits while the gas used before it leaves `TX_GAS_MAX`. A proposer puts as many transactions into
        its block as there are receipts; a validator refuses a block that has more.

        Raises:
            StorageError: a node of the parent's state is missing, or this program lacks code that the companies
                decided to use from this height on.
        """
        machine = self._next_machine(parent_root, height, timestamp_ms)
        receipts: list[Receipt] = []
        gas = 0
        for tx in txs:
            if gas + TX_GAS_MAX > BLOCK_GAS_MAX:
                break
            receipts.append(self._execute(machine, tx))
            gas += receipts[-1].gas
        return self._finish(machine, tuple(receipts))

    def call(self, root: Digest, height: Height, timestamp_ms: Millis, tx: Transaction) -> Receipt:
        """Return what a transaction would do in a block on this state; nothing is kept.

        Raises:
            StorageError: a node of the state is missing.
        """
        return self._execute(self._next_machine(root, height, timestamp_ms), tx)

    def view(
        self, root: Digest, height: Height, timestamp_ms: Millis, method: str, *args: object
    ) -> tuple[object, ...]:
        """Ask a read function of a contract, at any state.

        Raises:
            InvalidError: there is no such function, or it does not take or answer these arguments.
            StorageError: a node of the state is missing.
        """
        return self._view(self._machine_at(root, height, timestamp_ms), method, *args)

    def children(self, node: bytes) -> tuple[bytes, ...]:
        """Return the keys of the nodes that a node of the state refers to."""
        from ledger.contract.trie import references  # noqa: PLC0415 - py-evm takes a second to import

        return references(node)

    @property
    def evm_chain_id(self) -> int:
        """What CHAINID answers: the first 52 bits of the chain (docs/protocol.md 1.3)."""
        return int.from_bytes(self._chain, "big") >> (len(self._chain) * 8 - _EVM_CHAIN_ID_BITS)

    def code(self, header: Header, address: Address) -> bytes:
        """Code at an address after a block; empty where no contract is.

        Raises:
            StorageError: a node of the state is missing.
        """
        if address not in ADDRESSES.values():
            return b""
        return self._machine_at(header.state_root, header.height, header.timestamp_ms).code(address)

    def address_of(self, key: PublicKey) -> Address:
        """Name of a key inside the contracts."""
        return address_of(key)

    def message_of(self, tx: Transaction) -> tuple[Address, bytes]:
        """Contract that a transaction calls and its calldata; `SYSTEM` and nothing if there is no such function."""
        function = find_function(tx.method)
        if function is None or not function.takes_transactions:
            return SYSTEM, b""
        return ADDRESSES[function.contract], _calldata(function, tx)

    def static_call(
        self, header: Header, sender: Address, target: Address, data: bytes, gas: int = _VIEW_GAS
    ) -> "Outcome":
        """Call a contract with any calldata on the state after a block, at its time; nothing can change.

        Raises:
            StorageError: a node of the state is missing.
        """
        machine = self._machine_at(header.state_root, header.height, header.timestamp_ms)
        return machine.call(sender, target, data, gas, is_static=True)

    def _machine_at(self, root: Digest | None, height: Height, timestamp_ms: Millis) -> "Machine":
        from ledger.contract.machine import Machine  # noqa: PLC0415 - py-evm takes a second to import

        return Machine(
            self._read_node,
            root,
            nodes=self._nodes,
            chain_id=self.evm_chain_id,
            height=height,
            timestamp_ms=timestamp_ms,
        )

    def _next_machine(self, parent_root: Digest, height: Height, timestamp_ms: Millis) -> "Machine":
        """The state of a parent, ready for the transactions of a height."""
        machine = self._machine_at(parent_root, height, timestamp_ms)
        upgrade = pending_upgrade(machine)
        if upgrade is not None and upgrade.height == height:
            apply_upgrade(machine, upgrade, self._codes, SYSTEM)
        elif upgrade is not None and (missing := upgrade.missing(self._codes)):
            _log.warning("code.missing", first_height=upgrade.height, code=missing, do="install a release that has it")
        return machine

    def _find(self, machine: "Machine", method: str) -> Function | None:
        """A function of the code that is in place: a program that knows later code executes old blocks as ever."""
        contract, _, name = method.partition(".")
        address = ADDRESSES.get(contract)
        artefact = None if address is None else self._codes.get(machine.code_hash(address))
        return None if artefact is None else artefact.find(name)

    def _finish(self, machine: "Machine", receipts: tuple[Receipt, ...]) -> Execution:
        validators = self._validators(machine)
        root, nodes = machine.finish()
        return Execution(state_root=root, receipts=receipts, nodes=nodes, validators=validators)

    def _validators(self, machine: "Machine") -> tuple[Validator, ...]:
        """The set in a state; asked of the contract only where its digest is new."""
        digest = machine.slot(ADDRESSES["members"], load_artefacts()["members"].slots["validators_digest"])
        found = self._sets.get(digest)
        if found is None:
            listed = cast("tuple[tuple[bytes, int], ...]", self._view(machine, "members.validators")[0])
            found = tuple(sorted(Validator(PublicKey(key), ReplicaId(index)) for key, index in listed))
            self._sets[digest] = found
            if len(self._sets) > _SETS_CACHED:
                self._sets.popitem(last=False)
        return found

    def _execute(self, machine: "Machine", tx: Transaction) -> Receipt:
        function = self._find(machine, tx.method)
        if function is None or not function.takes_transactions:
            return Receipt(ok=False, gas=0, reason="UNKNOWN_METHOD")
        # A contract sees the statements joined. If they could differ in length, a signer could finish another one's
        # with the end of its own; as it is, length and number of signers tell where each begins.
        if len({len(cosigner.statement) for cosigner in tx.cosigners}) > 1:
            return Receipt(ok=False, gas=0, reason="UNEQUAL_STATEMENTS")
        data = _calldata(function, tx)
        done = machine.call(address_of(tx.sender), ADDRESSES[function.contract], data, TX_GAS_MAX)
        return Receipt(ok=done.ok, gas=done.gas, reason=done.reason, logs=done.logs)

    def _view(self, machine: "Machine", method: str, *args: object) -> tuple[object, ...]:
        function = self._find(machine, method)
        if function is None or not function.reads:
            raise InvalidError(f"expected a read function, got {method!r}")
        data = encode_call(function, *args)
        done = machine.call(SYSTEM, ADDRESSES[function.contract], data, _VIEW_GAS, is_static=True)
        if not done.ok:
            raise InvalidError(f"expected {method} to answer, got {done.reason}")
        return decode_output(function, done.output)


def _calldata(function: Function, tx: Transaction) -> bytes:
    return encode_calldata(
        function,
        [address_of(cosigner.key) for cosigner in tx.cosigners],
        b"".join(cosigner.statement for cosigner in tx.cosigners),
        tx.args,
    )
