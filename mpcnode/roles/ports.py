"""What roles need of the world. Each port is small, and the tests' fakes are its second implementation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ledger.types import Cosignature, Height, Millis, PublicKey, Signature
from mpcnode.mpc.pools import PoolId
from mpcnode.query.blobs import BlobLabel, BlobOffer
from mpcnode.query.frames import ArrivedFrame
from mpcnode.query.view import LedgerView, QueryView
from mpcnode.scorecard import Columns
from mpcnode.sealing.blobs import BlobReference, Manifest
from mpcnode.types import Bitmap, BlobId, Epoch, EpochKeys, MemberIndex, ModelHash, QueryId, SessionId

Handler = Callable[[MemberIndex, bytes], Awaitable[None]]
"""Takes a verified message of one kind: its sender and its payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A contract function to be called on the ledger."""

    method: str
    """`contract.function`."""
    values: tuple[object, ...]
    """The arguments of docs/protocol.md section 5, in order."""
    cosigners: tuple[Cosignature, ...] = ()
    expiry_ms: Millis
    """Last block time at which the call makes sense."""


class LedgerPort(Protocol):
    """The own replica."""

    @property
    def view(self) -> LedgerView:
        """What the ledger says of every query, as of the own head."""

    @property
    def epochs(self) -> Mapping[Epoch, EpochKeys]:
        """The supervisor's public keys of every epoch until the own head; those of a query in `view` are among them."""

    async def until(self, query: QueryId, condition: Callable[[QueryView], bool]) -> QueryView:
        """Wait until the ledger knows the query and `condition` holds of it."""

    def changed(self) -> AsyncIterator[QueryId]:
        """Every open query, then each query when a final block changes it."""

    async def submit(self, call: Call) -> Height:
        """Send a transaction and wait until it is final; return the height.

        Raises:
            RevertedError: the contract refused it, with the contract's code.
            UnavailableError: it expired before it was included.
        """

    async def panel(self, model: ModelHash) -> Bitmap:
        """Return the participants that a model asks at the own head; none for an unknown model."""

    async def mark(self, member: MemberIndex, pool: PoolId) -> int:
        """Return what a member has used up of a pool of correlations, by its mark at the own head; 0 for none."""

    async def receipt(self, query: QueryId) -> bytes:
        """Build the receipt file of a query's transactions so far."""

    async def preflight(self, call: Call) -> None:
        """Try a call on the head's state, and keep nothing.

        Raises:
            RevertedError: as `submit` would.
        """


class RoundsChannel(Protocol):
    """One session's frames."""

    def broadcast(self, chunk: int, number: int, data: bytes) -> None:
        """Send a round's data to all others.

        Raises:
            SessionError: too much waits for a peer.
        """

    def send(self, to: MemberIndex, chunk: int, number: int, data: bytes) -> None:
        """Send something to one of the others.

        Raises:
            SessionError: too much waits for it.
        """

    async def receive(self) -> tuple[MemberIndex, int, int, bytes]:
        """Wait for the next frame: its sender, chunk, round and data.

        Raises:
            PeerLostError: a peer's stream broke.
        """

    def evidence(self) -> Sequence[ArrivedFrame]:
        """What stands for every frame that was received so far; also after the session."""


@dataclass(frozen=True, slots=True)
class DealtCorrections:
    """One chunk's corrections, and the dealer's signature of them."""

    data: bytes = field(repr=False)
    signature: Signature = field(repr=False)


class CorrectionsDealer(Protocol):
    """What a dealer gives the last nodes of committees."""

    async def ready(self, session: SessionId, chunk: int) -> bool:
        """Wait until a chunk can be dealt, as long as nodes wait; False if it cannot be by then, or ever."""

    async def corrections(self, node: MemberIndex, session: SessionId, chunk: int) -> DealtCorrections | None:
        """Deal one chunk to a session's last node, at once; None if it is not dealt now.

        Raises:
            NotAllowedError: it is not that session's last node, has no such chunk, or has asked too often.
        """


class PeersPort(Protocol):
    """The other daemons."""

    async def deliver(self, to: MemberIndex, kind: str, payload: bytes) -> None:
        """Sign a message and send it until its receiver acknowledges it; cancel to give up.

        Raises:
            PeerRefusedError: the receiver will never take it.
        """

    def broken(self, to: MemberIndex) -> asyncio.Event:
        """Return what is set when the stream of messages to a member breaks: it may have forgotten what it was told."""

    async def send_blob(self, to: MemberIndex, blob: BlobId) -> None:
        """Send a blob that is held here until its receiver has signed that it holds it whole; cancel to give up.

        Raises:
            PeerRefusedError: the receiver will never take it.
            WrongSignatureError: its word is not signed by it.
        """

    def rounds(self, session: SessionId, others: Sequence[MemberIndex]) -> AbstractAsyncContextManager[RoundsChannel]:
        """Open the frames of a session with the other nodes."""

    def pull(self, dealer: MemberIndex, session: SessionId, chunk: int, size: int) -> asyncio.Future[DealtCorrections]:
        """Ask the dealer for one chunk's corrections of so many bytes now; cancel to give up.

        The future raises DealError if they have another size.
        """


class JournalPort(Protocol):
    """The daemon's own durable memory: write once, then act."""

    async def put_once(self, kind: str, key: bytes, value: bytes) -> bool:
        """Keep a value durably before returning; False if the key was there already (its value stays)."""

    async def get(self, kind: str, key: bytes) -> bytes | None:
        """Read a value back."""

    async def items(self, kind: str, newest: int) -> Sequence[tuple[bytes, bytes]]:
        """The newest entries of a kind, so many at most, oldest first."""


class BlobsPort(Protocol):
    """The blobs that this daemon holds, its own among them."""

    async def offer(self, offer: BlobOffer, until: Millis) -> int:
        """Make room for a blob, or find it again; return how many of its chunks are held.

        Raises:
            MalformedMessageError: another blob was offered under this label, or this one under another.
            UnavailableError: BUSY; there is no room for it.
        """

    async def put(self, blob: BlobId, number: int, sealed: bytes) -> int:
        """Keep the next chunk durably before returning; return how many are held.

        Raises:
            RequestError: the blob was not offered.
            MalformedMessageError: it is not the next chunk, or has other bytes.
        """

    async def get(self, blob: BlobId, number: int) -> bytes:
        """Return a sealed chunk.

        Raises:
            RequestError: it is not held.
        """

    async def about(self, blob: BlobId) -> tuple[BlobOffer, Millis]:
        """Return what was offered as a blob, and until when it is kept at least.

        Raises:
            RequestError: nothing was.
        """

    async def is_whole(self, blob: BlobId) -> bool:
        """Whether all chunks of a blob are held."""

    async def whole(self, label: BlobLabel) -> Manifest:
        """Wait until the blob of a label is held whole."""

    async def has_room(self, size: int) -> bool:
        """Whether a blob of so many bytes would find room now."""

    async def create(self, label: BlobLabel, key: bytes, pieces: Iterable[bytes], until: Millis) -> Manifest:
        """Seal a body into a blob of one's own; it is held whole when this returns.

        Raises:
            MalformedMessageError: the body is empty or too long.
            UnavailableError: BUSY; there is no room for it.
        """

    def read(self, reference: BlobReference) -> Iterator[bytes]:
        """Yield the body of a blob that is held whole, chunk by chunk; for worker threads.

        Raises:
            RequestError: it is not held whole.
            SealedBoxError: it does not open under the key.
        """


BlobSender: TypeAlias = MemberIndex | PublicKey
"""Who sends or fetches a blob: a member, or an inquirer."""


class BlobKeeper(Protocol):
    """What a role takes in of blobs, and hands out."""

    def admit(self, sender: BlobSender, offer: BlobOffer) -> Millis:
        """Return until when a blob is kept.

        Raises:
            NotAllowedError: this sender may not send it here, or it has not the size that its query gives it.
            UnavailableError: the own replica does not show yet what it is for.
        """

    def check_reader(self, reader: BlobSender, label: BlobLabel) -> None:
        """Check that somebody may fetch a blob.

        Raises:
            NotAllowedError: it may not.
        """


class RecordsPort(Protocol):
    """A participant's own records."""

    def lookup(self, pseudonyms: bytes, attributes: Sequence[str]) -> Columns:
        """The attributes of subjects, whose pseudonyms are joined; a column that the records lack is missing."""


class Clock(Protocol):
    """The wall clock."""

    def now_ms(self) -> Millis:
        """Milliseconds since the Unix epoch."""


RandomBytes = Callable[[int], bytes]
"""Draws that many secret random bytes."""
