"""Which blobs a role takes in, from whom, how large, and to whom it gives them: one table, denied by default."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from ledger.types import Millis, PublicKey
from mpcnode.errors import ErrorCode, NotAllowedError, UnavailableError
from mpcnode.query.blobs import BlobKind, BlobLabel, BlobOffer
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context
from mpcnode.roles.ports import BlobSender
from mpcnode.roles.programs import batch_of
from mpcnode.roles.rows import shapes_of
from mpcnode.sealing.blobs import Manifest
from mpcnode.sealing.pseudonyms import IDENTIFIER_BYTES_MAX, PSEUDONYM_BYTES
from mpcnode.types import QUERY_WINDOW_MS_MAX, SUBJECTS_MAX, BlobId, MemberIndex, QueryId, Role, members_of

_log = structlog.get_logger(__name__)

INPUT_RETENTION_MS = 24 * 3_600_000
"""How long after a query's deadline what it was made from is kept."""

RESULT_RETENTION_MS = 7 * 24 * 3_600_000
"""How long after a query's deadline its answers can be fetched."""

ASKING_MS = QUERY_WINDOW_MS_MAX
"""For an inquirer to ask after it has offered a blob; one that it does not ask about is kept no longer."""

INQUIRER_BLOBS_MAX = 16
"""Blobs of one inquirer that nothing was asked about yet; `[limits] offers_mib` says how large all of them may be."""

_WIDTHS = MappingProxyType({BlobKind.PSEUDONYMS: PSEUDONYM_BYTES, BlobKind.IDENTIFIERS: IDENTIFIER_BYTES_MAX})


def kept_until(kind: BlobKind, deadline: Millis) -> Millis:
    """Until when a blob of a query with this deadline is kept."""
    is_result = kind in (BlobKind.OUTPUT, BlobKind.MASK)
    return Millis(deadline + (RESULT_RETENTION_MS if is_result else INPUT_RETENTION_MS))


async def create_when_room(
    context: Context, label: BlobLabel, key: bytes, pieces: Callable[[], Iterable[bytes]], until: Millis
) -> Manifest:
    """Seal a body into a blob of one's own as soon as there is room for it; cancel to give up.

    Args:
        context: the role's context.
        label: whose it is.
        key: 32 bytes that seal nothing else.
        pieces: makes the body, the same one whenever it is called.
        until: when it may be removed.

    Raises:
        StorageError: the disk failed.
    """
    while True:
        try:
            return await context.blobs.create(label, key, pieces(), until)
        except UnavailableError as error:
            _log.warning("blob.no_room", kind=label.kind.name, query=label.query.hex(), reason=str(error))
        await asyncio.sleep(context.timing.room / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """A blob that will be asked about."""

    query: QueryId
    size: int
    """Bytes that it takes when it is here."""
    until: Millis
    """When it is forgotten and swept."""


class QueryBlobs:
    """The rules for one daemon's role, as `roles.ports.BlobKeeper` wants them."""

    def __init__(self, context: Context, *, offers_bytes: int) -> None:
        """Take the role's context.

        Args:
            context: it.
            offers_bytes: what may be announced of one inquirer's blobs, sealed, that nothing was asked about yet.
        """
        self._context = context
        self._offers_bytes = offers_bytes
        self._asking: dict[PublicKey, dict[BlobId, _Asking]] = {}
        """Blobs of inquirers that nothing on the ledger is about yet."""
        self._rules: Mapping[BlobKind, Callable[[QueryView, MemberIndex, BlobOffer], bool]] = {
            BlobKind.PSEUDONYMS: self._is_for_panel,
            BlobKind.IDENTIFIERS: self._is_for_supervisor,
            BlobKind.ROWS: self._are_rows,
            BlobKind.OUTPUT: self._is_output,
            BlobKind.MASK: self._is_mask,
        }

    def admit(self, sender: BlobSender, offer: BlobOffer) -> Millis:
        """Return until when a blob is kept.

        Raises:
            NotAllowedError: this sender may not send it here, or it has not the size that its query gives it.
            UnavailableError: the own replica does not show yet what it is for.
        """
        if isinstance(sender, bytes):
            return self._admit_inquirer(sender, offer)
        label = offer.label
        view = self._context.ledger.view.get(label.query)
        if view is None or label.attempt > view.attempt:
            raise UnavailableError(f"blob: query {label.query.hex()} is not on the own ledger yet")
        if view.is_settled and not view.is_released:
            raise NotAllowedError(f"blob: query {label.query.hex()} has ended")
        if label.attempt not in (0, view.attempt) or not self._rules[label.kind](view, sender, offer):
            raise NotAllowedError(f"blob: expected no {label.kind.name} of attempt {label.attempt} from {sender} here")
        return kept_until(label.kind, view.deadline)

    def check_reader(self, reader: BlobSender, label: BlobLabel) -> None:
        """Check that somebody may fetch a blob: only an inquirer its own answers.

        Raises:
            NotAllowedError: it may not.
        """
        view = self._context.ledger.view.get(label.query)
        is_result = label.kind in (BlobKind.OUTPUT, BlobKind.MASK)
        if not isinstance(reader, bytes) or view is None or not view.asked_by(reader) or not is_result:
            raise NotAllowedError("blob: expected the inquirer of its query, got another")

    def _admit_inquirer(self, inquirer: PublicKey, offer: BlobOffer) -> Millis:
        """Take what is to be asked about: it comes before the question."""
        kind, now = offer.label.kind, self._context.clock.now_ms()
        width = _WIDTHS.get(kind)
        if width is None or not self._is(Role.OPERATOR):
            raise NotAllowedError(f"blob: expected what is asked about, got {kind.name}")
        subjects, rest = divmod(offer.manifest.length, width)
        if rest or not 2 <= subjects <= SUBJECTS_MAX:
            raise NotAllowedError(f"blob: expected 2 to {SUBJECTS_MAX} subjects, got {offer.manifest.length} bytes")
        view, blob = self._context.ledger.view.get(offer.label.query), offer.manifest.blob
        if view is not None:
            if not view.asked_by(inquirer) or not _is_named(blob, view):
                raise NotAllowedError(f"blob: query {view.query.hex()} was asked, and about something else")
            return kept_until(kind, view.deadline)
        known = self._asking.setdefault(inquirer, {})
        for other in [other for other, it in known.items() if it.until < now or self._is_asked(it.query, other)]:
            del known[other]
        size = offer.manifest.sealed_bytes
        if blob not in known:
            self._check_offers(known, size)
        until = Millis(now + ASKING_MS)
        known[blob] = _Asking(query=offer.label.query, size=size, until=until)
        return until

    def _check_offers(self, known: Mapping[BlobId, _Asking], size: int) -> None:
        """What is announced counts, not what has come: there must be room for all of it."""
        if len(known) >= INQUIRER_BLOBS_MAX:
            why = f"blob: expected at most {INQUIRER_BLOBS_MAX} of an inquirer"
            raise UnavailableError(why, ErrorCode.OFFERS_FULL)
        offered = size + sum(it.size for it in known.values())
        if offered > self._offers_bytes:
            why = f"blob: expected at most {self._offers_bytes} bytes of an inquirer, got {offered}"
            raise UnavailableError(why, ErrorCode.OFFERS_FULL)

    def _is_asked(self, query: QueryId, blob: BlobId) -> bool:
        view = self._context.ledger.view.get(query)
        return view is not None and _is_named(blob, view)

    def _is(self, role: Role) -> bool:
        return bool(self._context.me.roles & role)

    def _is_operator(self, sender: MemberIndex) -> bool:
        return bool(self._context.members[sender].roles & Role.OPERATOR)

    def _is_for_panel(self, view: QueryView, sender: MemberIndex, offer: BlobOffer) -> bool:
        is_asked = bool(view.panel >> self._context.me.index & 1)
        size = PSEUDONYM_BYTES * view.terms.subjects
        return is_asked and self._is_operator(sender) and _is(offer, view.terms.pseudonyms, size)

    def _is_for_supervisor(self, view: QueryView, sender: MemberIndex, offer: BlobOffer) -> bool:
        size = IDENTIFIER_BYTES_MAX * view.terms.subjects
        is_mine = self._context.me.index == self._context.dealer
        return is_mine and self._is_operator(sender) and _is(offer, view.terms.identifiers, size)

    def _are_rows(self, view: QueryView, sender: MemberIndex, offer: BlobOffer) -> bool:
        panel = tuple(members_of(view.panel))
        if sender != offer.label.author or sender not in panel:
            return False
        if self._context.me.index not in (view.committee[-1], self._context.dealer):
            return False
        shapes = shapes_of(batch_of(self._context, view), panel.index(sender))
        return view.terms.subjects > 1 and offer.manifest.length == sum(shape.size for shape in shapes)

    def _is_output(self, view: QueryView, sender: MemberIndex, offer: BlobOffer) -> bool:
        is_holder = self._is(Role.OPERATOR) or self._context.me.index == self._context.dealer
        is_author = sender == offer.label.author and sender in view.committee
        return is_holder and is_author and self._has_outputs(view, offer)

    def _is_mask(self, view: QueryView, sender: MemberIndex, offer: BlobOffer) -> bool:
        is_author = sender == offer.label.author == self._context.dealer
        return self._is(Role.OPERATOR) and is_author and self._has_outputs(view, offer)

    def _has_outputs(self, view: QueryView, offer: BlobOffer) -> bool:
        batch = batch_of(self._context, view)
        return batch.subjects > 1 and offer.manifest.length == batch.subjects * batch.output_bytes


def _is_named(blob: BlobId, view: QueryView) -> bool:
    """Whether a query is about a blob that its inquirer sent."""
    return blob in (view.terms.pseudonyms, view.terms.identifiers)


def _is(offer: BlobOffer, blob: BlobId, size: int) -> bool:
    return offer.manifest.blob == blob and offer.manifest.length == size
