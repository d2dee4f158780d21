"""What roles hear of the replica's troubles: may be tried again, or never."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

import ledger.errors
from ledger.types import ChainId, Height, Millis, Receipt
from mpcnode.adapters.ledger_link import LedgerLink
from mpcnode.errors import ErrorCode, RevertedError, UnavailableError
from mpcnode.roles.context import settle
from mpcnode.roles.ports import Call
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import Epoch, EpochKeys, QueryId, SealingKey

NOW = Millis(1_800_000_000_000)
CALL = Call(method="queries.expire", values=(bytes(32), 0), expiry_ms=Millis(NOW + 60_000))


class Replica:
    """Answers the submissions in turn."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    async def submit(self, data):
        self.sent.append(data)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(height=Height(0), receipt=answer)


def receipt(reason=""):
    return Receipt(ok=not reason, gas=1, reason=reason, logs=())


def link(replica: Any) -> LedgerLink:
    return LedgerLink(
        replica=replica,
        chain=ChainId(bytes(32)),
        modes={},
        epoch=EpochKeys(epoch=Epoch(1), audit=SealingKey(bytes(32)), archive=SealingKey(bytes(32))),
        key=SigningKey(b"\x01" * 32),
        clock=SimpleNamespace(now_ms=lambda: NOW),
        random=bytes,
    )


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (ledger.errors.ExpiredError("late"), ErrorCode.TRANSACTION_EXPIRED),
        (ledger.errors.UnavailableError("mempool full"), ErrorCode.UNAVAILABLE),
    ],
)
def test_what_may_pass_is_unavailable(raised, code):
    with pytest.raises(UnavailableError) as caught:
        asyncio.run(link(Replica(raised)).submit(CALL))
    assert caught.value.code is code


def test_a_revert_has_the_contracts_code():
    with pytest.raises(RevertedError) as caught:
        asyncio.run(link(Replica(receipt("TOO_EARLY"))).submit(CALL))
    assert caught.value.code is ErrorCode.TOO_EARLY


def test_a_full_mempool_does_not_end_a_role_s_work_on_a_query():
    """The replica has an error of its own for it, which once ended the query's task for good."""
    replica = Replica(ledger.errors.UnavailableError("full"), ledger.errors.ExpiredError("late"), receipt())
    context: Any = SimpleNamespace(
        ledger=link(replica), clock=SimpleNamespace(now_ms=lambda: NOW), timing=SimpleNamespace(retry=1)
    )
    assert asyncio.run(settle(context, CALL, QueryId(bytes(32)), set())) == 0
    assert len(replica.sent) == 3
