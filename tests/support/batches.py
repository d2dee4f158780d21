"""A question about many subjects in a `Flow`: its blobs lie at the desk as if they had been sent there."""

from collections.abc import Sequence

from ledger.types import Millis
from mpcnode.client.asking import Many, Prepared, Question, about_many, prepare
from mpcnode.client.opening import open_outcomes, result_references, view_of_receipt
from mpcnode.query.blobs import EVERY_ATTEMPT, INQUIRER, BlobKind, BlobLabel
from mpcnode.roles.blobs import ASKING_MS
from mpcnode.scorecard import Outcome
from mpcnode.sealing.blobs import BlobReference
from mpcnode.sealing.pseudonyms import make_pseudonyms, normalise, pad_identifiers, pseudonyms_key, pseudonyms_root
from mpcnode.types import QueryId
from tests.support.consortium import LENDER, OPERATOR, PURPOSE, REGULATOR, SUBJECT_KEY, identity
from tests.support.flow import Flow


async def prepare_many(
    flow: Flow,
    subjects: Sequence[str],
    *,
    bound: Sequence[str] | None = None,
    told: Sequence[str] | None = None,
    life_ms: int = 120_000,
) -> Prepared:
    """A request about these subjects; with `bound`, S and the supervisor's blob are about others, with `told` that."""
    query, nonce, key = QueryId(flow._random(32)), flow._random(32), flow._random(32)
    pseudonyms = make_pseudonyms(SUBJECT_KEY, map(normalise, subjects))
    identifiers = [normalise(subject) for subject in told or bound or subjects]
    root = pseudonyms_root([make_pseudonyms(SUBJECT_KEY, map(normalise, bound or subjects))])
    kept = []
    for kind, secret, body in (
        (BlobKind.PSEUDONYMS, pseudonyms_key(nonce, query), pseudonyms),
        (BlobKind.IDENTIFIERS, key, pad_identifiers(identifiers)),
    ):
        label = BlobLabel(query=query, attempt=EVERY_ATTEMPT, kind=kind, author=INQUIRER)
        until = Millis(flow.clock.now_ms() + ASKING_MS)
        manifest = await flow.blobs[OPERATOR].create(label, secret, (body,), until)
        kept.append(manifest.blob)
    many = Many(
        query=query,
        nonce=nonce,
        subjects=len(subjects),
        root=root,
        pseudonyms=kept[0],
        identifiers=BlobReference(blob=kept[1], key=key),
    )
    now = flow.clock.now_ms()
    question = Question(
        model=flow.consortium.models[0],
        purpose=PURPOSE,
        consent=b"consent",
        contribute_by=Millis(now + 20_000),
        deadline=Millis(now + life_ms),
    )
    return prepare(flow.consortium, LENDER, about_many(many), question, flow._random)


async def ask_many(flow: Flow, subjects: Sequence[str], **options: object) -> Prepared:
    prepared = await prepare_many(flow, subjects, **options)  # type: ignore[arg-type]
    await flow.desk.ask(prepared.sealed)
    return prepared


async def opened_many(flow: Flow, asked: Prepared) -> list[Outcome]:
    """The answers, opened from the receipt and what the desk holds."""
    view = view_of_receipt(await flow.desk.receipt(asked.request.query, asked.sealed.inquirer), flow.consortium)
    supervisor, desk = identity(REGULATOR).public, flow.blobs[OPERATOR]
    for reference in result_references(view, asked.result_key, supervisor):
        assert await desk.is_whole(reference.blob)
    found, places = open_outcomes(
        view, flow.setting.model, asked.result_key, supervisor, lambda reference: b"".join(desk.read(reference))
    )
    return [found[place] for place in places]
