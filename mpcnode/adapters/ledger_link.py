"""The own replica as roles see it: transactions out, a view of every query in.

One task folds final blocks into the view, in order; everything else waits for what it shows. All of it belongs to the
event loop's thread.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import cast

import ledger.errors
from ledger.contract.abi import DecodedLog, decode_log, encode_args
from ledger.encoding import EXPIRY_AHEAD_MS_MAX, encode_transaction, transaction_statement
from ledger.ports import Place
from ledger.replica import CommittedBlock, Replica, TxOutcome
from ledger.types import ChainId, Height, Millis, PublicKey, Receipt, Signature, Transaction
from mpcnode.errors import ErrorCode, RequestError, RevertedError, UnavailableError, code_of, code_of_revert
from mpcnode.mpc.pools import PoolId
from mpcnode.query.events import Event, event_of
from mpcnode.query.view import LedgerView, QueryView
from mpcnode.roles.ports import Call, Clock, RandomBytes
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import AuditMode, Bitmap, Epoch, EpochKeys, MemberIndex, ModelHash, QueryId, SealingKey

_QUERIES = "queries"
"""The contract whose events the view folds."""

_EPOCH_BEGAN = ("registries", "EpochBegan")
"""The event that says which keys of the supervisor hold from then on."""

_UNIQUE_BYTES = 16

Condition = Callable[[QueryView], bool]


class LedgerLink:
    """`roles.ports.LedgerPort` on a replica in this process."""

    def __init__(
        self,
        *,
        replica: Replica,
        chain: ChainId,
        modes: Mapping[ModelHash, AuditMode],
        epoch: EpochKeys,
        key: SigningKey,
        clock: Clock,
        random: RandomBytes,
    ) -> None:
        """Take the replica, what holds from genesis on, and the identity that signs transactions.

        Args:
            replica: in this process.
            chain: its chain.
            modes: audit mode of every model.
            epoch: the supervisor's keys at genesis.
            key: the own identity.
            clock: for expiries.
            random: makes transactions differ.
        """
        self._replica = replica
        self._chain = chain
        self._key = key
        self._clock = clock
        self._random = random
        self._view = LedgerView(modes)
        self._epochs = {epoch.epoch: epoch}
        self._height = Height(0)
        self._advanced = asyncio.Condition()
        self._waiting: dict[QueryId, list[tuple[Condition, asyncio.Future[QueryView]]]] = defaultdict(list)
        self._listeners: set[asyncio.Queue[QueryId]] = set()
        self._places: dict[QueryId, list[Place]] = defaultdict(list)
        """Where each query's transactions are, in order."""

    @property
    def view(self) -> LedgerView:
        """What the ledger says of every query, as of the last folded block."""
        return self._view

    @property
    def epochs(self) -> Mapping[Epoch, EpochKeys]:
        """The supervisor's public keys of every epoch, as of the last folded block."""
        return self._epochs

    async def run(self) -> None:
        """Fold every final block from genesis on; runs until cancelled."""
        async for block in self._replica.subscribe(Height(0)):
            self._fold(block)
            async with self._advanced:
                self._height = block.header.height
                self._advanced.notify_all()

    async def reach(self, height: Height) -> None:
        """Wait until the view includes a block."""
        async with self._advanced:
            await self._advanced.wait_for(lambda: self._height >= height)

    def _fold(self, block: CommittedBlock) -> None:
        events: list[Event] = []
        for index, receipt in enumerate(block.receipts):
            decoded = [decode_log(log) for log in receipt.logs]
            of_tx = [event_of(log.event, log.values) for log in decoded if log.contract == _QUERIES]
            begun = [_epoch_of(log) for log in decoded if (log.contract, log.event) == _EPOCH_BEGAN]
            self._epochs |= {keys.epoch: keys for keys in begun}
            for query in {event.query for event in of_tx}:
                self._places[query].append(Place(block.header.height, index))
            events += of_tx
        changed = self._view.apply(block.header.height, block.header.timestamp_ms, events)
        self._forget_places()
        for query in changed:
            self._tell(query)

    def _forget_places(self) -> None:
        """Forget the oldest queries that the view has forgotten."""
        while self._places and self._view.get(oldest := next(iter(self._places))) is None:
            del self._places[oldest]

    def _tell(self, query: QueryId) -> None:
        view = self._view.get(query)
        if view is None:
            return
        still = []
        for condition, waiter in self._waiting.pop(query, ()):
            if waiter.done():
                continue
            if condition(view):
                waiter.set_result(view)
            else:
                still.append((condition, waiter))
        if still:
            self._waiting[query] = still
        for listener in self._listeners:
            listener.put_nowait(query)

    async def until(self, query: QueryId, condition: Condition) -> QueryView:
        """Wait until the ledger knows the query and `condition` holds of it."""
        view = self._view.get(query)
        if view is not None and condition(view):
            return view
        waiter: asyncio.Future[QueryView] = asyncio.get_running_loop().create_future()
        entry = (condition, waiter)
        self._waiting[query].append(entry)
        try:
            return await waiter
        finally:
            if entry in self._waiting.get(query, ()):
                self._waiting[query].remove(entry)
                if not self._waiting[query]:
                    del self._waiting[query]

    async def changed(self) -> AsyncIterator[QueryId]:
        """Every open query, then each query when a final block changes it."""
        listener: asyncio.Queue[QueryId] = asyncio.Queue()
        self._listeners.add(listener)
        try:
            for view in self._view.open():
                yield view.query
            while True:
                yield await listener.get()
        finally:
            self._listeners.discard(listener)

    async def submit(self, call: Call) -> Height:
        """Send a transaction and wait until it is final and the view shows it.

        Raises:
            RevertedError: the contract refused it, with the contract's code.
            UnavailableError: it expired before it was included, or the replica has no room for it now.
        """
        outcome = await self._final(call)
        await self.reach(outcome.height)
        _check(call, outcome.receipt)
        return outcome.height

    async def send(self, call: Call) -> TxOutcome:
        """Send a transaction and wait until it is final; the view may not show it yet.

        Raises:
            RevertedError: the contract refused it, with the contract's code.
            UnavailableError: it expired before it was included, or the replica has no room for it now.
        """
        outcome = await self._final(call)
        _check(call, outcome.receipt)
        return outcome

    async def preflight(self, call: Call) -> None:
        """Try a call on the head's state, and keep nothing.

        Raises:
            RevertedError: as `submit` would.
        """
        _check(call, await self._replica.try_call(self._transaction(call)))

    async def panel(self, model: ModelHash) -> Bitmap:
        """Return the participants that a model asks at the own head; none for an unknown model."""
        (found,) = await self._replica.view("registries.panel", model)
        return Bitmap(cast("int", found))

    async def mark(self, member: MemberIndex, pool: PoolId) -> int:
        """Return what a member has used up of a pool of correlations, by its mark at the own head; 0 for none."""
        (found,) = await self._replica.view("records.marked", member, pool)
        return cast("int", found)

    async def receipt(self, query: QueryId) -> bytes:
        """Build the receipt file of a query's transactions so far.

        Raises:
            RequestError: the ledger does not know the query.
        """
        places = self._places.get(query)
        if not places:
            raise RequestError(f"query {query.hex()}: not on the ledger", ErrorCode.UNKNOWN_QUERY)
        return await self._replica.receipt(tuple(places))

    async def _final(self, call: Call) -> TxOutcome:
        try:
            return await self._replica.submit(encode_transaction(self._transaction(call)))
        except ledger.errors.UnavailableError as error:
            raise UnavailableError(f"{call.method}: {error}", code_of(error)) from error

    def _transaction(self, call: Call) -> Transaction:
        latest = Millis(self._clock.now_ms() + EXPIRY_AHEAD_MS_MAX // 2)
        unsigned = Transaction(
            chain=self._chain,
            sender=self._key.public,
            expiry_ms=min(call.expiry_ms, latest),
            unique=self._random(_UNIQUE_BYTES),
            method=call.method,
            args=encode_args(call.method, *call.values),
            cosigners=call.cosigners,
            signature=Signature(bytes(64)),
        )
        return Transaction(
            chain=unsigned.chain,
            sender=unsigned.sender,
            expiry_ms=unsigned.expiry_ms,
            unique=unsigned.unique,
            method=unsigned.method,
            args=unsigned.args,
            cosigners=unsigned.cosigners,
            signature=self._key.sign(transaction_statement(unsigned)),
        )


def _epoch_of(log: DecodedLog) -> EpochKeys:
    values = log.values
    return EpochKeys(
        epoch=Epoch(cast("int", values["number"])),
        audit=SealingKey(cast("bytes", values["audit_key"])),
        archive=SealingKey(cast("bytes", values["archive_key"])),
    )


def _check(call: Call, receipt: Receipt) -> None:
    if not receipt.ok:
        raise RevertedError(f"{call.method}: {receipt.reason}", code_of_revert(receipt.reason))


class VoteSigner:
    """A vote key as consensus wants it (`ledger.consensus.Signer`)."""

    def __init__(self, key: SigningKey) -> None:
        """Take the validator's vote key."""
        self._key = key

    @property
    def key(self) -> PublicKey:
        """Public half."""
        return self._key.public

    def sign(self, stated: bytes) -> Signature:
        """Sign a statement."""
        return self._key.sign(stated)
