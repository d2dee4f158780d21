"""The models that the ledger has and who answers for them: read from the contract, whoever can call its functions."""

from collections.abc import AsyncIterator, Container
from dataclasses import dataclass

from ledger.types import Height, Millis, TxId
from mpcnode.errors import ErrorCode, RequestError
from mpcnode.governance.standing import View, number_of
from mpcnode.types import AuditMode, MemberIndex, ModelHash, members_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What a query costs, in the unit that the companies settle in."""

    since_ms: Millis
    """Block time from which they hold."""
    asked: int
    """For whoever asked."""
    contributed: int
    """Due to each participant that contributed."""
    computed: int
    """Due to each node that computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A model as the ledger has it."""

    model: ModelHash
    classes: int
    """Bitmap of the data classes that it needs."""
    minimum: int
    audit: AuditMode
    purposes: tuple[str, ...]
    retired: bool
    suppliers: tuple[MemberIndex, ...]
    """Active participants that supply a class of it."""
    approved: tuple[MemberIndex, ...]
    """Participants that approved it, whether they are suppliers now or not."""
    reach: int
    """Output classes that one supplier alone can choose among; 0 if not stated."""
    share: int
    """Largest part of the range of points that is one supplier's, permille; 0 if not stated."""
    fees: Fees | None
    """For a query that is registered now; None if none were set."""

    @property
    def asked(self) -> tuple[MemberIndex, ...]:
        """Return the participants that a query asks that is registered now."""
        return () if self.retired else tuple(index for index in self.suppliers if index in self.approved)

    @property
    def missing(self) -> tuple[MemberIndex, ...]:
        """Return the suppliers that have not approved it."""
        return tuple(index for index in self.suppliers if index not in self.approved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An approval of ours, or its withdrawal, that is final."""

    height: Height
    tx_id: TxId
    model: RegisteredModel
    """As of the newest block, this included."""


def check_document(model: ModelHash, documents: Container[ModelHash]) -> None:
    """Check that a participant has the document of a model, for it could not answer without.

    Raises:
        RequestError: it has not.
    """
    if model not in documents:
        raise RequestError(
            f"model {model.hex()}: expected one that the consortium document lists, got one of the ledger only; this "
            "daemon has no document of it and could not answer",
            ErrorCode.UNKNOWN_MODEL,
        )


async def read_models(view: View, now: Millis) -> AsyncIterator[RegisteredModel]:
    """Read every model, in the order in which they were published; `now` is for the fees."""
    (count,) = await view("registries.model_count")
    for index in range(number_of(count)):
        (model,) = await view("registries.model_at", index)
        yield await read_model(view, ModelHash(_bytes_of(model)), now)


async def read_model(view: View, model: ModelHash, now: Millis) -> RegisteredModel:
    """Read a model that there is."""
    _, _, classes, minimum, mode, purposes, retired, approved, reach, share = await view("registries.model", model)
    (suppliers,) = await view("members.suppliers", classes)
    return RegisteredModel(
        model=model,
        classes=number_of(classes),
        minimum=number_of(minimum),
        audit=AuditMode(number_of(mode)),
        purposes=_texts(purposes),
        retired=bool(retired),
        suppliers=tuple(members_of(number_of(suppliers))),
        approved=tuple(members_of(number_of(approved))),
        reach=number_of(reach),
        share=number_of(share),
        fees=await _read_fees(view, model, now),
    )


async def _read_fees(view: View, model: ModelHash, now: Millis) -> Fees | None:
    since, asked, contributed, computed = map(number_of, await view("registries.fees", model, now))
    if not since:
        return None
    return Fees(since_ms=Millis(since), asked=asked, contributed=contributed, computed=computed)


def _texts(words: object) -> tuple[str, ...]:
    return tuple(map(_text, map(_bytes_of, words if isinstance(words, tuple | list) else ())))


def _text(word: bytes) -> str:
    """Return what a word says; hexadecimal if it is not what a program like this one puts there."""
    text = word.rstrip(b"\0").decode("latin-1")
    return text if text.isascii() and text.isprintable() else word.hex()


def _bytes_of(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"expected bytes of the contract, got {type(value).__name__}")
    return value
