"""What every role is given: who it is, whom it knows, and its ports."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

import structlog

from ledger.types import Address, ChainId, Height, InquirerRecord, Millis, PublicKey, Signature
from mpcnode.errors import (
    ErrorCode,
    NotAllowedError,
    PeerRefusedError,
    RevertedError,
    UnavailableError,
    WrongSignatureError,
)
from mpcnode.query.committee import address_of
from mpcnode.query.view import QueryView
from mpcnode.roles.ports import BlobsPort, Call, Clock, JournalPort, LedgerPort, PeersPort, RandomBytes
from mpcnode.roles.worker import Worker
from mpcnode.scorecard import Model
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import (
    BlobId,
    CorrelationSource,
    EpochKeys,
    Member,
    MemberIndex,
    ModelHash,
    QueryId,
    QueryState,
    Role,
)

_log = structlog.get_logger(__name__)

_OPEN = (QueryState.REGISTERED, QueryState.COMPUTING)
"""While an attempt is under way."""


RESUMED_MAX = 10_000
"""Journal entries that a role looks at after a restart: older ones are of queries that have ended, hours ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Waits of the query flow, ms."""

    commit_offset: int = 100
    """From seeing an attempt to committing inputs to it, whatever the look-up took."""
    preparation: int = 5_000
    """For shares, deal and accepts, from seeing COMPUTING."""
    computation: int = 5_000
    """For the rounds of a session's first chunk, from one chunk's end to the next one's, and for the session's ends."""
    preparation_thousand: int = 300
    """Longer for each thousand subjects: bodies travel, the dealer checks them."""
    computation_thousand: int = 1_500
    """Longer for each thousand subjects."""
    notice: int = 500
    """For word of a peer's failure. Whoever is a step further waits so much longer, and so does not blame who waits."""
    verdict: int = 6_000
    """For the supervisor's word because of whom transcripts differ: a third for what the committee shows at first, a
    third for what it is asked for then."""
    verdict_thousand: int = 10
    """Longer for each thousand subjects: the chunk in question is computed again, its rows are read."""
    retry: int = 500
    """Between tries of a transaction."""
    room: int = 3_000
    """Between tries to keep a blob of one's own where there is no room for it: each seals it anew."""
    call: int = 60_000
    """Life of a transaction that has no nearer deadline."""

    def of(self, subjects: int) -> "Timing":
        """The same for a query about so many subjects."""
        thousands = subjects // 1000
        return replace(
            self,
            preparation=self.preparation + self.preparation_thousand * thousands,
            computation=self.computation + self.computation_thousand * thousands,
            verdict=self.verdict + self.verdict_thousand * thousands,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One daemon's place in the consortium, and its ports."""

    chain: ChainId
    me: Member
    members: Mapping[MemberIndex, Member]
    classes: tuple[str, ...]
    """Names of the data classes, by index."""
    inquirers: Mapping[Address, InquirerRecord] = field(repr=False)
    """Registered inquirers, by contract address."""
    committee_companies_min: int
    """Distinct companies that a committee must span."""
    dealer: MemberIndex
    """The supervisor, which deals correlations if anybody does."""
    models: Mapping[ModelHash, Model] = field(repr=False)
    identity: SigningKey = field(repr=False)
    ledger: LedgerPort
    peers: PeersPort
    journal: JournalPort
    blobs: BlobsPort
    clock: Clock
    random: RandomBytes
    timing: Timing = field(default_factory=Timing)
    correlations: CorrelationSource = CorrelationSource.DEALER
    stock_items: int = 0
    """Sessions to make correlations for in advance, for each committee and program, where nobody deals."""
    worker: Worker = field(default_factory=Worker)

    def sign(self, statement: bytes) -> Signature:
        """Sign a statement with the member's identity."""
        return self.identity.sign(statement)

    def check_inquirer(self, key: PublicKey) -> None:
        """Check that the consortium knows an inquirer, before anything of a stranger is tried or kept.

        Raises:
            NotAllowedError: it does not.
        """
        if address_of(key) not in self.inquirers:
            raise NotAllowedError("expected a registered inquirer's key, got another", ErrorCode.UNKNOWN_INQUIRER)

    def epoch_of(self, view: QueryView) -> EpochKeys:
        """The supervisor's public keys that whatever belongs to a query is sealed to: its own epoch's.

        They stay those of the query, whatever epoch has begun since.
        """
        return self.ledger.epochs[view.terms.epoch]

    @property
    def operator(self) -> MemberIndex:
        """The desk at which inquirers fetch what does not stand on the ledger."""
        return next(index for index, member in self.members.items() if member.roles & Role.OPERATOR)

    def soon(self) -> Millis:
        """Expiry of a transaction that has no nearer deadline."""
        return Millis(self.clock.now_ms() + self.timing.call)


async def settle(
    context: Context,
    call: Call,
    query: QueryId,
    moved_on: Collection[ErrorCode],
    not_yet: Collection[ErrorCode] = (),
) -> Height | None:
    """Submit a call until it is final, it makes sense no more, or the ledger says that it is not needed.

    Args:
        context: The role's context.
        call: What to submit.
        query: The query that it is about, for the log.
        moved_on: Codes that mean somebody else was faster or the query has moved on.
        not_yet: Codes that mean block time lags the own clock; it is tried again.

    Returns:
        The height, or None if it was not needed or has expired.

    Raises:
        RevertedError: the contract refused it for another reason.
    """
    while True:
        try:
            return await context.ledger.submit(call)
        except RevertedError as reverted:
            if reverted.code in moved_on:
                _log.info("call.not_needed", method=call.method, query=query.hex(), code=reverted.code)
                return None
            if reverted.code not in not_yet:
                raise
        except UnavailableError as error:
            _log.info("call.not_final", method=call.method, query=query.hex(), reason=str(error))
        if context.clock.now_ms() > call.expiry_ms:
            _log.warning("call.expired", method=call.method, query=query.hex())
            return None
        await asyncio.sleep(context.timing.retry / 1000)


async def is_due(context: Context, query: QueryId, due_ms: int, moved_on: Callable[[QueryView], bool]) -> bool:
    """Sleep until a time on the own clock; return False as soon as the ledger shows that the query has moved on."""
    wait_ms = max(0, due_ms - context.clock.now_ms())
    try:
        async with asyncio.timeout(wait_ms / 1000):
            await context.ledger.until(query, moved_on)
    except TimeoutError:
        return True
    return False


async def deliver(context: Context, query: QueryId, to: MemberIndex, kind: str, payload: bytes) -> None:
    """Deliver a message until it is acknowledged; a peer that will never take it is noted and left alone."""
    try:
        await context.peers.deliver(to, kind, payload)
    except PeerRefusedError as refused:
        _log.warning("deliver.refused", kind=kind, to=to, query=query.hex(), reason=str(refused))


async def keep_delivered(context: Context, query: QueryId, to: MemberIndex, kind: str, payload: bytes) -> None:
    """Deliver a message, and again to a peer that may have restarted since; cancel when it is needed no more."""
    while True:
        broken = context.peers.broken(to)
        await deliver(context, query, to, kind, payload)
        await broken.wait()


async def send_blob(context: Context, query: QueryId, to: MemberIndex, blob: BlobId) -> bool:
    """Send a blob until it is held whole; False if the peer will never take it, which is noted."""
    try:
        await context.peers.send_blob(to, blob)
    except (PeerRefusedError, WrongSignatureError) as refused:
        _log.warning("blob.refused", to=to, query=query.hex(), reason=str(refused))
        return False
    return True


@asynccontextmanager
async def _while_not(
    context: Context, query: QueryId, is_past: Callable[[QueryView], bool]
) -> AsyncIterator[asyncio.TaskGroup]:
    # a scope that can be cancelled is what asyncio calls a timeout
    scope = asyncio.timeout(None)

    async def watch() -> None:
        await context.ledger.until(query, is_past)
        scope.reschedule(0)

    try:
        async with scope, asyncio.TaskGroup() as tasks:
            tasks.create_task(watch(), name=f"end of {query.hex()[:8]}")
            yield tasks
    except TimeoutError:
        if not scope.expired():
            raise


def until_over(context: Context, query: QueryId) -> AbstractAsyncContextManager[asyncio.TaskGroup]:
    """A task group that lives exactly as long as a query: its end cancels body and tasks."""
    return _while_not(context, query, lambda view: view.is_over)


def while_current(context: Context, view: QueryView) -> AbstractAsyncContextManager[asyncio.TaskGroup]:
    """A task group that lives exactly as long as an attempt: its end or its result cancels body and tasks."""
    return _while_not(context, view.query, lambda now: now.attempt > view.attempt or now.state not in _OPEN)


class QueryTasks:
    """At most one task for each query; an error in one is logged and ends that one only.

    Work lasts until the query needs nothing more of this daemon, so what happens to a query while it runs is its own to
    see. A query whose task failed ends by its deadline on the ledger like any other that is waited for in vain.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        """Take the group that owns the tasks."""
        self._tasks = tasks
        self._running: dict[QueryId, asyncio.Task[None]] = {}

    def start(self, query: QueryId, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Start work on a query unless it is being worked on."""
        if query not in self._running:
            self._running[query] = self._tasks.create_task(self._guarded(query, work), name=query.hex()[:8])

    async def _guarded(self, query: QueryId, work: Callable[[], Coroutine[object, object, None]]) -> None:
        with structlog.contextvars.bound_contextvars(query=query.hex()):
            try:
                await work()
            except Exception:  # noqa: BLE001 - the boundary between queries: one must not end the others
                _log.exception("query.failed")
            finally:
                del self._running[query]
