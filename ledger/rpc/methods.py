"""The methods of the JSON-RPC endpoint: parameters in, JSON values out."""

from collections.abc import Mapping, Sequence

from ledger.ports import FoundLog
from ledger.rpc.allowance import Allowance, Limits
from ledger.rpc.ethereum import Json, ShownBlock, matches
from ledger.rpc.hexadecimal import (
    data,
    quantity,
    read_address,
    read_data,
    read_object,
    read_quantity,
)
from ledger.rpc.reading import ChainReader, Contracts
from ledger.rpc.refusals import INVALID_PARAMS, LIMIT_EXCEEDED, REVERTED, SERVER_ERROR, RefusedError
from ledger.types import Address, BlockHash, Header, Height, TxId

_NEWEST = frozenset({"latest", "finalized", "safe", "pending"})
"""Every block is final, and there is none before it is."""

_TOPICS_MAX = 4
_STRIDE = 32
_LOG_BYTES = 512
"""What an event takes beside its data, about."""
_ALTERNATIVES_MAX = 64


class Methods:
    """Answers the requests of one body.

    Every method raises `RefusedError` for what the caller gets as an error object, and `StorageError` for what is this
    machine's fault.
    """

    def __init__(self, reader: ChainReader, contracts: Contracts, *, client: str, limits: Limits) -> None:
        """Answer no more than the limits allow."""
        self._reader = reader
        self._contracts = contracts
        self._client = client
        self._allowance = Allowance(limits)
        self._log_bytes = limits.log_bytes
        self._loaded: tuple[Height, ShownBlock] | None = None

    def client_version(self) -> str:
        """Name and version of the program."""
        return self._client

    def network(self) -> str:
        """Chain id in decimal."""
        return str(self._contracts.evm_chain_id)

    def chain_id(self) -> str:
        """Chain id: the first 52 bits of the chain."""
        return quantity(self._contracts.evm_chain_id)

    def block_number(self) -> str:
        """Height of the newest block."""
        return quantity(self._newest())

    def block_by_number(self, block: object, is_full: object = False) -> Json | None:
        """A block by its height or a tag; null if there is none."""
        height = self._height(block, "block")
        return self._show(height, is_full) if height <= self._newest() else None

    def block_by_hash(self, block: object, is_full: object = False) -> Json | None:
        """A block by its hash; null if there is none."""
        height = self._reader.find_block(BlockHash(read_data(block, "block", 32)))
        return None if height is None else self._show(height, is_full)

    def transaction(self, tx_id: object) -> Json | None:
        """A transaction by its id; null if no block holds it."""
        place = self._reader.locate(TxId(read_data(tx_id, "transaction", 32)))
        return None if place is None else self._load(place.height).as_transaction(place.index, self._contracts)

    def receipt(self, tx_id: object) -> Json | None:
        """What a transaction did; null if no block holds it."""
        place = self._reader.locate(TxId(read_data(tx_id, "transaction", 32)))
        return None if place is None else self._load(place.height).as_receipt(place.index, self._contracts)

    def code(self, address: object, block: object = "latest") -> str:
        """Code at an address after a block."""
        header = self._header(block)
        self._check_kept(header)
        return data(self._contracts.code(header, read_address(address, "address")))

    def nothing_of(self, address: object, block: object = "latest") -> str:
        """Balance or nonce of an address: there is no money, and transactions are not numbered."""
        self._header(block)
        read_address(address, "address")
        return quantity(0)

    def call(self, message: object, block: object = "latest") -> str:
        """Call a contract on the state after a block."""
        sender, target, calldata = _read_message(read_object(message, "call"))
        header = self._header(block)
        self._check_kept(header)
        if target is None or not self._contracts.code(header, target):
            return "0x"
        gas = self._allowance.gas()
        done = self._contracts.static_call(header, sender, target, calldata, gas)
        self._allowance.use(done.gas)
        if done.ok:
            return data(done.output)
        if done.reason == "OUT_OF_GAS":
            raise RefusedError(SERVER_ERROR, f"out of gas: expected a call that needs no more than {gas}")
        if done.reason == "MACHINE_ERROR":
            raise RefusedError(SERVER_ERROR, "the call broke a rule of the machine")
        raise RefusedError(REVERTED, f"execution reverted: {done.reason}", data(done.output))

    def _check_kept(self, header: Header) -> None:
        kept_from = self._reader.states_from()
        if header.height < kept_from:
            told = f"the state of block {header.height} was removed; states are kept from block {kept_from} on"
            raise RefusedError(SERVER_ERROR, told)

    def logs(self, wanted: object) -> Sequence[Json]:
        """Events of some blocks that pass a filter, in order."""
        given = read_object(wanted, "filter")
        addresses, topics = _read_addresses(given.get("address")), _read_topics(given.get("topics"))
        first, last = self._range(given)
        self._allowance.search(max(0, last - first + 1))
        found = self._find(first, last, addresses, topics)
        return [self._load(entry.height).as_log(entry.tx_index, entry.log_index) for entry in found]

    def _find(
        self, first: Height, last: Height, addresses: Sequence[Address], topics: Sequence[Sequence[bytes]]
    ) -> Sequence[FoundLog]:
        """Search some blocks at a time, so that no more is read than may be answered."""
        address = addresses[0] if len(addresses) == 1 else None
        topic = topics[0][0] if topics and len(topics[0]) == 1 else None
        found: list[FoundLog] = []
        for start in range(first, last + 1, _STRIDE):
            end = Height(min(start + _STRIDE - 1, last))
            entries = self._reader.find_logs(Height(start), end, address, topic)
            self._allowance.read(len(entries))
            found += (entry for entry in entries if matches(entry.log, addresses, topics))
            if sum(_LOG_BYTES + len(entry.log.data) for entry in found) > self._log_bytes:
                raise RefusedError(LIMIT_EXCEEDED, "expected fewer events: ask for a part of the range at a time")
        return found

    def _range(self, given: Mapping[str, object]) -> tuple[Height, Height]:
        """First and last height of a filter; none after the newest."""
        newest = self._newest()
        if given.get("blockHash") is not None:
            if given.get("fromBlock") is not None or given.get("toBlock") is not None:
                raise RefusedError(INVALID_PARAMS, "filter: expected blockHash or a range, got both")
            height = self._header({"blockHash": given["blockHash"]}).height
            return height, height
        first, last = (
            newest if given.get(name) is None else self._height(given[name], name) for name in ("fromBlock", "toBlock")
        )
        if first > last:
            raise RefusedError(INVALID_PARAMS, f"filter: expected fromBlock up to toBlock, got {first} to {last}")
        return first, min(last, newest)

    def _newest(self) -> Height:
        height = self._reader.height()
        if height is None:
            raise RefusedError(SERVER_ERROR, "no block yet")
        return height

    def _height(self, block: object, what: str) -> Height:
        """Height that a number or tag names; it may be of no block."""
        if isinstance(block, str) and block in _NEWEST:
            return self._newest()
        return Height(0) if block == "earliest" else Height(read_quantity(block, what))

    def _header(self, block: object) -> Header:
        """Header of a block by number, tag, or an object of either kind (EIP-1898)."""
        height: Height | None
        if isinstance(block, dict) and "blockHash" in block:
            height = self._reader.find_block(BlockHash(read_data(block["blockHash"], "blockHash", 32)))
        else:
            height = self._height(block.get("blockNumber") if isinstance(block, dict) else block, "block")
        header = None if height is None or height > self._newest() else self._reader.header(height)
        if header is None:
            raise RefusedError(SERVER_ERROR, "header not found")
        return header

    def _show(self, height: Height, is_full: object) -> Json:
        if not isinstance(is_full, bool):
            raise RefusedError(INVALID_PARAMS, "full transactions: expected true or false")
        return self._load(height).as_block(self._contracts, is_full=is_full)

    def _load(self, height: Height) -> ShownBlock:
        """A block that is there, with its receipts; the last one is kept."""
        if self._loaded is not None and self._loaded[0] == height:
            return self._loaded[1]
        final = self._reader.final(height)
        if final is None:
            raise RefusedError(SERVER_ERROR, f"block {height} not found")
        self._allowance.read(1 + len(final.block.txs))
        shown = ShownBlock.of(final.block, self._reader.receipts(height))
        self._loaded = height, shown
        return shown


def _read_message(given: Mapping[str, object]) -> tuple[Address, Address | None, bytes]:
    """Sender, target and calldata of a call; what concerns gas and its price is not heeded."""
    sender, target = (None if given.get(name) is None else read_address(given[name], name) for name in ("from", "to"))
    inputs = {read_data(given[name], name) for name in ("input", "data") if given.get(name) is not None}
    if len(inputs) > 1:
        raise RefusedError(INVALID_PARAMS, "call: expected the same in input and data, got two")
    if given.get("value") is not None and read_quantity(given["value"], "value"):
        raise RefusedError(SERVER_ERROR, "value: expected none, for there is no money on this chain")
    return sender or Address(bytes(20)), target, next(iter(inputs), b"")


def _read_addresses(given: object) -> Sequence[Address]:
    """Addresses of a filter; none admits all."""
    if given is None:
        return ()
    listed = given if isinstance(given, list) else [given]
    if len(listed) > _ALTERNATIVES_MAX:
        raise RefusedError(LIMIT_EXCEEDED, f"address: expected at most {_ALTERNATIVES_MAX}, got {len(listed)}")
    return [read_address(item, "address") for item in listed]


def _read_topics(given: object) -> Sequence[Sequence[bytes]]:
    """Topics of a filter by place: null admits all, a list any of it."""
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > _TOPICS_MAX:
        raise RefusedError(INVALID_PARAMS, f"topics: expected a list of at most {_TOPICS_MAX}")
    places: list[Sequence[bytes]] = []
    for place in given:
        listed = place if isinstance(place, list) else [] if place is None else [place]
        if len(listed) > _ALTERNATIVES_MAX:
            raise RefusedError(LIMIT_EXCEEDED, f"topics: expected at most {_ALTERNATIVES_MAX}, got {len(listed)}")
        places.append([] if None in listed else [read_data(item, "topic", 32) for item in listed])
    return places
