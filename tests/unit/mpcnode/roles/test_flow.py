"""A query from the request to the attested answer."""

import pytest

from mpcnode.types import QueryState, Verdict
from tests.support.consortium import ALICE, BOB
from tests.support.flow import Flow
from tests.support.virtual_time import run


@pytest.mark.parametrize("subject", [ALICE, BOB])
def test_a_query_is_answered_and_attested(subject):
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(subject)
            view = await flow.settled(asked)
            assert (view.state, view.verdict, view.attempt) == (QueryState.ANSWERED, Verdict.MATCH, 1)
            assert await flow.opened(asked) == flow.clear(subject)

    run(scenario())
