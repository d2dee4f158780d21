"""An inquirer: one profile, one channel to the operator."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from ledger.types import Millis
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.durable import make_private_directory
from mpcnode.adapters.keystore import load_key
from mpcnode.adapters.randomness import random_bytes
from mpcnode.client.answers import Answer, AnswerFiles, AnswerState, Kept, pending, updated
from mpcnode.client.asking import (
    EVERYBODY,
    QUERY_ID_BYTES,
    Prepared,
    Question,
    about_many,
    about_one,
    check_purpose,
    prepare,
)
from mpcnode.client.batches import (
    BatchFiles,
    BatchState,
    OnStep,
    OwnThreads,
    body_of,
    check_output,
    fetch_batch,
    load_batch,
    read_subjects,
    send_batch,
    sweep_batches,
    with_request,
    write_answers,
)
from mpcnode.client.opening import open_outcome, open_outcomes, result_references, view_of_receipt
from mpcnode.config.consortium import ListedModel
from mpcnode.config.models import load_model
from mpcnode.config.profile import Profile, load_profile
from mpcnode.errors import CallerError, ErrorCode, KeyFileError, RequestError, ResultError, UnavailableError
from mpcnode.query.request import SealedRequest, read_request
from mpcnode.query.view import QueryView
from mpcnode.rpc.blobs import BlobLink
from mpcnode.rpc.inquiry import FOLLOW, GET_PANEL, GET_RECEIPT, InquiryChannel, Progress
from mpcnode.sealing.keyfile import KeyKind
from mpcnode.sealing.keys import OpeningKey, SigningKey
from mpcnode.sealing.messages import NONCE_BYTES, SignedCall, sign_call
from mpcnode.types import AuditMode, Bitmap, ModelHash, QueryId, QueryState, Role, Verdict, members_of

CALL_MS = 60_000
"""Life of a signed call."""

GRACE_MS = 30_000
"""How long after a query's deadline the ledger may still be waited for."""

CONTRIBUTE_THOUSAND_MS, LIFE_THOUSAND_MS, LIFE_MS_MAX = 300, 2_500, 3_500_000
"""Longer for each thousand subjects: until contributions close and until the query expires, which has a bound, ms."""

_SHOWN = 12
"""Digits of a query's id that tell it from others."""

ENDED = {
    QueryState.REFUSED: AnswerState.REFUSED,
    QueryState.ABORTED: AnswerState.ABORTED,
    QueryState.EXPIRED: AnswerState.EXPIRED,
}
"""Ends without an answer."""

FINAL_VERDICTS = (Verdict.MATCH.name, Verdict.MISMATCH.name)
"""INCOMPLETE may be replaced."""

OnProgress = Callable[[Progress], None]


class Inquirer:
    """Asks, follows, opens and keeps. Open one with `Inquirer.open`."""

    def __init__(self, profile: Profile, key: SigningKey, subject_key: bytes, channel: InquiryChannel) -> None:
        """Take a loaded profile, its keys and an open channel."""
        self._profile = profile
        self._consortium = profile.consortium
        self._key = key
        self._subject_key = subject_key
        self._channel = channel
        self._files = AnswerFiles(profile.answers_dir)
        self._clock = SystemClock()
        self._panels: dict[ModelHash, Bitmap] = {}
        """What the operator said last of whom a model asks; who has asked nobody asks all that could be."""

    @classmethod
    @asynccontextmanager
    async def open(cls, profile_path: Path, passphrase: bytes | None = None) -> AsyncIterator[Self]:
        """Load a profile and its keys, and open its channel.

        Raises:
            ConfigError: the profile or the consortium document has a mistake.
            KeyFileError: a key does not load, or is not the one that the consortium lists.
        """
        profile = load_profile(profile_path)
        key = SigningKey(load_key(profile.key_file, KeyKind.INQUIRER, passphrase).secret)
        if key.public != profile.inquirer.key:
            listed = profile.inquirer.key.hex()
            raise KeyFileError(f"{profile.key_file}: expected the key {listed} of the consortium, got another")
        subject_key = load_key(profile.subject_key_file, KeyKind.SUBJECT, passphrase).secret
        operator = profile.consortium.with_role(Role.OPERATOR)[0]
        certificate = profile.operator_certificate.encode("ascii")
        async with InquiryChannel(str(profile.operator), operator.name, certificate) as channel:
            yield cls(profile, key, subject_key, channel)

    async def ask(
        self,
        model: str,
        subject: str,
        *,
        purpose: str | None = None,
        consent: str = "",
        wait_audit: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Answer:
        """Ask, wait for the answer and open it.

        Args:
            model: name of a listed model.
            subject: the subject's identifier; it leaves this process only sealed or as a pseudonym.
            purpose: code; the profile's default if None.
            consent: reference of the subject's consent, kept by the inquirer.
            wait_audit: return only when the supervisor has attested.
            on_progress: called with every state on the way.

        Returns:
            The answer as kept; a query that ended without one says why.

        Raises:
            CallerError: the request was refused, with its code.
            UnavailableError: the operator does not answer; `show` finds the answer later.
        """
        prepared = self._prepare(model, subject, purpose, consent)
        try:
            await self._register(prepared)
        except CallerError as refused:
            if refused.code is not ErrorCode.PANEL_STALE:
                raise
            # nothing was registered; somebody was suspended or readmitted, or approves the model now or no longer
            self._files.forget(prepared.request.query.hex())
            asked = self._model(model).model
            self._panels[asked] = await self._channel.panel(self._call(GET_PANEL, asked), CALL_MS / 1000)
            prepared = self._prepare(model, subject, purpose, consent)
            await self._register(prepared)
        query, deadline = prepared.request.query, prepared.request.deadline
        return await self._follow(query, deadline, wait_audit=wait_audit, on_progress=on_progress)

    async def ask_many(
        self,
        model: str,
        subjects: Path,
        out: Path,
        *,
        purpose: str | None = None,
        consent: str = "",
        on_step: OnStep = lambda *_: None,
    ) -> Answer:
        """Ask about many subjects, wait for the answers and write them to a file that only this user can read.

        Args:
            model: name of a listed model.
            subjects: file with an identifier in each line; they leave this process only sealed or as pseudonyms.
            out: where the answers go, as CSV.
            purpose: code; the profile's default if None.
            consent: reference of the subjects' consent, kept by the inquirer.
            on_step: told how far it is.

        Returns:
            The answer as kept: what the ledger says of the query.

        Raises:
            RequestError: what is asked, or where the answers shall go, cannot be.
            CallerError: the request was refused, with its code.
            UnavailableError: the operator does not answer; `resume_many` goes on.
        """
        listed = self._model(model)
        chosen = self._purpose(listed, purpose)
        check_output(out, subjects)
        identifiers = await asyncio.get_running_loop().run_in_executor(OwnThreads(), read_subjects, subjects)
        on_step("sealing", 0, 1)
        files = self._batch_files(QueryId(random_bytes(QUERY_ID_BYTES)))
        many = await asyncio.to_thread(files.seal, identifiers, self._subject_key, random_bytes)
        del identifiers
        state = BatchState(many=many, model=listed.name, purpose=chosen, consent=consent)
        files.keep(state)
        on_step(many.query.hex(), 1, 1)
        return await self._go_on(files, state, out, on_step)

    async def resume_many(self, query: str, out: Path, *, on_step: OnStep = lambda *_: None) -> Answer:
        """Go on with a query about many subjects that was interrupted; the query's id may be cut to its beginning.

        Raises:
            RequestError: nothing of such a query is here; it may have ended.
            CallerError: the request was refused, with its code.
            UnavailableError: as `ask_many`.
        """
        check_output(out)
        state = load_batch(self._profile.answers_dir, query)
        return await self._go_on(self._batch_files(state.many.query), state, out, on_step)

    def _batch_files(self, query: QueryId) -> BatchFiles:
        directory = self._profile.answers_dir
        make_private_directory(directory)
        sweep_batches(directory, SystemClock().now_ms())  # which gave the files their times
        return BatchFiles(directory, query, self._clock.now_ms())

    async def _go_on(self, files: BatchFiles, state: BatchState, out: Path, on_step: OnStep) -> Answer:
        """Do what is left; where the operator does not answer, say how to go on later."""
        try:
            return await self._finish(files, state, out, on_step)
        except UnavailableError as error:
            query = state.many.query.hex()
            why = f"query {query}: {error}; to go on: mpcnode query batch --resume {query[:_SHOWN]} --out {out}"
            raise UnavailableError(why, error.code) from error

    async def _finish(self, files: BatchFiles, state: BatchState, out: Path, on_step: OnStep) -> Answer:
        """Do what is left: send, ask, wait, fetch, write."""
        many, operator = state.many, self._consortium.with_role(Role.OPERATOR)[0]
        link = self._channel.blobs(self._consortium.chain, operator.identity, self._call)
        if state.sealed is None or not await self._is_known(many.query):
            await send_batch(link, files, many, on_step)
            state = await self._register_many(files, state)
        on_step("waiting", 0, 0)
        async with aclosing(self._channel.follow(self._call(FOLLOW, many.query), self._life_s(state))) as states:
            async for progress in states:
                on_step(progress.state.name.lower(), 0, 0)
                if _is_enough(progress, wait_audit=progress.mode is not AuditMode.OFF):
                    break
        answer = await self._settle(many.query)
        if self._files.load(answer.query).result_secret is not None:
            answer = await self._open_many(files, state, out, link, on_step)
        if self._files.load(answer.query).result_secret is None:
            files.forget()  # else the operator told no more than this, and there is something to go on with
        return answer

    async def _is_known(self, query: QueryId) -> bool:
        try:
            await self._channel.receipt(self._call(GET_RECEIPT, query), CALL_MS / 1000)
        except CallerError as refused:
            if refused.code is not ErrorCode.UNKNOWN_QUERY:
                raise
            return False
        return True

    async def _register_many(self, files: BatchFiles, state: BatchState) -> BatchState:
        """Ask; a request that may still be under way is sent again as it is, and only one that is too late replaced."""
        sealed = state.sealed
        if sealed is not None and read_request(sealed.statement).contribute_by > self._clock.now_ms() - GRACE_MS:
            await self._register_or_drop(files, state, sealed, CALL_MS / 1000)
            return state
        listed, subjects, now = self._model(state.model), state.many.subjects, self._clock.now_ms()
        self._panels[listed.model] = await self._channel.panel(self._call(GET_PANEL, listed.model), CALL_MS / 1000)
        question = Question(
            model=listed,
            purpose=state.purpose,
            consent=state.consent.encode(),
            contribute_by=Millis(now + self._profile.contribute_by_ms + subjects * CONTRIBUTE_THOUSAND_MS // 1000),
            deadline=Millis(now + min(self._profile.deadline_ms + subjects * LIFE_THOUSAND_MS // 1000, LIFE_MS_MAX)),
            panel=self._panels[listed.model],
        )
        prepared = prepare(self._consortium, self._key, about_many(state.many), question, random_bytes)
        self._keep_pending(prepared, listed, f"{subjects} subjects", now)
        state = with_request(state, prepared.sealed)
        files.keep(state)
        await self._register_or_drop(files, state, prepared.sealed, self._patience_s(prepared.request.deadline))
        return state

    async def _register_or_drop(
        self, files: BatchFiles, state: BatchState, sealed: SealedRequest, timeout_s: float
    ) -> None:
        """Ask; what can never be registered is not what to go on with."""
        try:
            await self._channel.ask(sealed, timeout_s)
        except CallerError as refused:
            if refused.code is ErrorCode.PANEL_STALE:
                files.keep(with_request(state, None))
            if refused.code is not ErrorCode.QUERY_EXISTS:
                raise
            # the desk has an earlier one, which was not registered in time and never will be
            query = state.many.query.hex()
            files.forget()
            self._files.forget(query)
            raise RequestError(f"query {query}: was not registered in time; ask anew", refused.code) from refused

    async def _open_many(
        self, files: BatchFiles, state: BatchState, out: Path, link: BlobLink, on_step: OnStep
    ) -> Answer:
        """Fetch the answers, open and write them; only then the result key is gone."""
        kept = self._files.load(state.many.query.hex())
        view = view_of_receipt(self._files.receipt(kept.answer.query), self._consortium)
        if kept.result_secret is None or not view.is_released:
            return kept.answer
        key = OpeningKey(kept.result_secret)
        supervisor = self._consortium.with_role(Role.SUPERVISOR)[0].identity
        model = load_model(self._consortium, self._consortium.model(kept.answer.model))
        with self._told_what_to_do(kept.answer):
            references = result_references(view, key, supervisor)
            await fetch_batch(link, files, state.many.query, references, on_step)
            bodies = partial(body_of, files)
            found, places = await asyncio.to_thread(open_outcomes, view, model, key, supervisor, bodies)
        await asyncio.to_thread(write_answers, out, files.identifiers(state.many), found, places)
        answer = updated(
            kept.answer,
            state=AnswerState.ANSWERED,
            answered_ms=self._clock.now_ms(),
            undecodable=int(np.array([outcome is None for outcome in found])[places].sum()),
        )
        self._files.keep(Kept(answer=answer, result_secret=None, consent_salt=kept.consent_salt))
        return answer

    async def _register(self, prepared: Prepared) -> None:
        await self._channel.ask(prepared.sealed, self._patience_s(prepared.request.deadline))

    def _prepare(self, model: str, subject: str, purpose: str | None, consent: str) -> Prepared:
        now, listed = self._clock.now_ms(), self._model(model)
        chosen = self._purpose(listed, purpose)
        question = Question(
            model=listed,
            purpose=chosen,
            consent=consent.encode(),
            contribute_by=Millis(now + self._profile.contribute_by_ms),
            deadline=Millis(now + self._profile.deadline_ms),
            panel=self._panels.get(listed.model, EVERYBODY),
        )
        asked = about_one(subject, self._subject_key, random_bytes)
        prepared = prepare(self._consortium, self._key, asked, question, random_bytes)
        self._keep_pending(prepared, listed, subject, now)
        return prepared

    def _keep_pending(self, prepared: Prepared, listed: ListedModel, subject: str, now: Millis) -> None:
        """Keep what opens the answer, before the request leaves."""
        answer = pending(
            prepared.request.query,
            model=listed.name,
            subject=subject,
            purpose=prepared.request.purpose,
            asked_ms=now,
            audit=listed.audit.name.lower().replace("_", " "),
            correlations=self._consortium.correlations,
        )
        secret = prepared.result_key.secret()
        self._files.keep(Kept(answer=answer, result_secret=secret, consent_salt=prepared.consent_salt))

    def _model(self, name: str) -> ListedModel:
        known = {listed.name: listed for listed in self._consortium.models}
        if name not in known:
            raise RequestError(f"model: expected one of {', '.join(known)}, got {name!r}", ErrorCode.UNKNOWN_MODEL)
        return known[name]

    def _purpose(self, listed: ListedModel, purpose: str | None) -> str:
        chosen = purpose or self._profile.purpose
        if chosen is None:
            raise RequestError(
                f"purpose: expected one of {', '.join(listed.purposes)}, got none", ErrorCode.PURPOSE_NOT_ALLOWED
            )
        check_purpose(listed, chosen)
        return chosen

    async def show(self, query: str, *, wait_audit: bool = False) -> Answer:
        """Return a kept answer, after asking the operator for what it does not know yet.

        Args:
            query: the query's id in hex, or its beginning.
            wait_audit: return only when the supervisor has attested.
        """
        kept = self._files.load(self._files.find(query))
        answer = kept.answer
        is_audited = answer.audit == "off" or answer.verdict in FINAL_VERDICTS
        if kept.result_secret is None and (is_audited or answer.state in ENDED.values()):
            return answer
        now = self._clock.now_ms()
        return await self._follow(QueryId(bytes.fromhex(answer.query)), now, wait_audit=wait_audit, on_progress=None)

    async def _follow(
        self, query: QueryId, deadline: Millis, *, wait_audit: bool, on_progress: OnProgress | None
    ) -> Answer:
        """Follow a query until its answer is open (and attested); open it as soon as it is on the ledger."""
        call = self._call(FOLLOW, query)
        async with aclosing(self._channel.follow(call, self._patience_s(deadline))) as states:
            async for progress in states:
                if on_progress is not None:
                    on_progress(progress)
                if _is_enough(progress, wait_audit=wait_audit):
                    break
        return await self._settle(query)

    async def _settle(self, query: QueryId) -> Answer:
        """Fetch and verify the receipt, open what it proves, and keep both."""
        receipt = await self._channel.receipt(self._call(GET_RECEIPT, query), CALL_MS / 1000)
        view = view_of_receipt(receipt, self._consortium)
        if view.query != query or not view.asked_by(self._key.public):
            # under the own id somebody else may have asked about another subject, with the answer sealed to the own key
            raise RequestError(f"query {query.hex()}: expected the receipt of the own", ErrorCode.RECEIPT_INVALID)
        kept = self._files.load(query.hex())
        self._files.keep_receipt(kept.answer.query, receipt)  # also of an answer that does not open: it shows why
        answer, secret = self._described(kept.answer, view), kept.result_secret
        if view.state in ENDED:
            secret = None  # there will never be anything to open
        elif view.is_released and secret is not None and view.terms.subjects == 1:
            model = load_model(self._consortium, self._consortium.model(answer.model))
            supervisor = self._consortium.with_role(Role.SUPERVISOR)[0].identity
            with self._told_what_to_do(answer):
                outcome = open_outcome(view, model, OpeningKey(secret), supervisor)
            answer, secret = (
                updated(
                    answer,
                    state=AnswerState.ANSWERED if outcome.sufficient else AnswerState.INSUFFICIENT,
                    grade=outcome.grade,
                    coverage_band=outcome.coverage_band,
                    answered_ms=self._clock.now_ms(),
                ),
                None,
            )
        self._files.keep(Kept(answer=answer, result_secret=secret, consent_salt=kept.consent_salt))
        return answer

    @contextmanager
    def _told_what_to_do(self, answer: Answer) -> Iterator[None]:
        """Say with a result that does not open what its inquirer can do: the key and the receipt are still here."""
        try:
            yield
        except ResultError as error:
            audited = f"the audit says {answer.verdict}" if answer.verdict else "no verdict of an audit yet"
            receipt = self._files.receipt_path(answer.query)
            why = f"{error}; {audited}. Do not use it: ask anew, and show the supervisor the receipt, {receipt}"
            raise ResultError(why, error.code) from error

    def _described(self, answer: Answer, view: QueryView) -> Answer:
        """Fill in what a verified view says in public."""
        verdict = None if view.verdict is None else Verdict(view.verdict).name
        return updated(
            answer,
            state=ENDED.get(view.state, answer.state),
            attempt=int(view.attempt),
            contributed=self._names(view.committed),
            silent=self._names(view.panel & ~view.committed),
            verdict=verdict,
            reason=view.end_reason.name.lower().replace("_", " ") if view.state in ENDED else None,
            waited=self._names(view.waited),
        )

    def _names(self, bits: int) -> tuple[str, ...]:
        """Names of a set of members; whoever fails or ends a query may name members that do not exist."""
        known = self._consortium.members
        return tuple(known[member].name for member in members_of(bits) if member < len(known))

    def _call(self, method: str, payload: bytes) -> SignedCall:
        return sign_call(
            self._key,
            self._consortium.chain,
            method=method,
            nonce=random_bytes(NONCE_BYTES),
            expiry_ms=Millis(self._clock.now_ms() + CALL_MS),
            payload=payload,
        )

    def _life_s(self, state: BatchState) -> float:
        """How long a query that was asked may still be waited for."""
        now = self._clock.now_ms()
        return self._patience_s(now if state.sealed is None else read_request(state.sealed.statement).deadline)

    def _patience_s(self, deadline: Millis) -> float:
        return (max(0, deadline - self._clock.now_ms()) + GRACE_MS) / 1000


def _is_enough(progress: Progress, *, wait_audit: bool) -> bool:
    """Whether the ledger holds everything that is waited for."""
    if progress.state is QueryState.ANSWERED and progress.mode is not AuditMode.BEFORE_RELEASE:
        return not wait_audit or progress.verdict is not None
    return progress.state is QueryState.RELEASED or progress.state in ENDED
