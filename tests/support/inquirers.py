"""An inquirer's client in a `Flow`: the desk without a wire between, and what the client leaves on its disk."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from mpcnode.client.answers import AnswerFiles
from mpcnode.client.inquirer import Inquirer
from mpcnode.errors import UnavailableError
from mpcnode.query.blobs import BlobOffer
from mpcnode.query.request import SealedRequest
from mpcnode.rpc.inquiry import Progress
from mpcnode.sealing.messages import SignedCall
from mpcnode.types import Bitmap, BlobId, ModelHash, QueryId
from tests.support.consortium import LENDER, OPERATOR, PURPOSE, SUBJECT_KEY
from tests.support.flow import Flow
from tests.support.models import CREDIT


class DirectChannel:
    """The operator's desk without a wire between."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.lose_answer = False
        self.follows = 0
        self.told_panel = 0

    async def ask(self, sealed: SealedRequest, _timeout_s: float) -> int:
        height = await self.flow.desk.ask(sealed)
        if self.lose_answer:
            raise UnavailableError("ask: expected an answer, got none")
        return height

    async def follow(self, call: SignedCall, timeout_s: float) -> AsyncIterator[Progress]:
        self.follows += 1
        async with asyncio.timeout(timeout_s):
            async for view in self.flow.desk.follow(QueryId(call.payload), call.inquirer):
                yield Progress(
                    state=view.state,
                    attempt=view.attempt,
                    reason=view.end_reason,
                    waited=view.waited,
                    mode=view.mode,
                    verdict=view.verdict,
                    panel=view.panel,
                    committed=view.committed,
                    refused=view.refused,
                )

    async def panel(self, call: SignedCall, _timeout_s: float) -> Bitmap:
        self.told_panel += 1
        return await self.flow.desk.panel(ModelHash(call.payload))

    async def receipt(self, call: SignedCall, _timeout_s: float) -> bytes:
        return await self.flow.desk.receipt(QueryId(call.payload), call.inquirer)

    def blobs(self, *_: object) -> "DirectLink":
        return DirectLink(self.flow)


class DirectLink:
    """`rpc.blobs.BlobLink` to the operator's folder."""

    def __init__(self, flow: Flow) -> None:
        self.held = flow.blobs[OPERATOR]
        self.keeper = flow.daemons[OPERATOR].keeper

    async def send(self, offer: BlobOffer, get: Any, _progress: Any) -> None:
        held = await self.held.offer(offer, self.keeper.admit(LENDER.public, offer))
        for number in range(held, len(offer.manifest.chunks)):
            await self.held.put(offer.manifest.blob, number, await get(number))

    async def fetch(self, blob: BlobId, first: int, put: Any) -> None:
        offer, _ = await self.held.about(blob)
        self.keeper.check_reader(LENDER.public, offer.label)
        for number in range(first, len(offer.manifest.chunks)):
            await put(offer.manifest, number, await self.held.get(blob, number))


def client_of(flow: Flow, directory: Path) -> tuple[Inquirer, DirectChannel]:
    audit = flow.setting.audit.name.lower().replace("_", " ")
    document = directory / "credit.toml"
    document.write_text(CREDIT.replace("after release", audit))
    listed = replace(flow.consortium.models[0], file=document)
    profile = SimpleNamespace(
        consortium=replace(flow.consortium, models=(listed,)),
        answers_dir=directory / "answers",
        purpose=PURPOSE,
        contribute_by_ms=2_000,
        deadline_ms=30_000,
    )
    channel = DirectChannel(flow)
    inquirer = Inquirer(cast("Any", profile), LENDER, SUBJECT_KEY, cast("Any", channel))
    inquirer._clock = cast("Any", flow.clock)
    return inquirer, channel


def subjects_in(directory: Path, *subjects: str) -> Path:
    path = directory / "ids"
    path.write_text("\n".join(subjects))
    return path


def unfinished(directory: Path) -> list[Path]:
    return [*(directory / "answers").glob("*.batch"), *(directory / "answers" / "blobs").glob("*")]


def check_many(flow: Flow, path: Path, subjects: Sequence[str]) -> None:
    lines = path.read_text().splitlines()
    clear = [flow.clear(subject) for subject in subjects]
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [subject, outcome.grade or "insufficient"] for subject, outcome in zip(subjects, clear, strict=True)
    ]


def files(directory: Path) -> AnswerFiles:
    return AnswerFiles(directory / "answers")
