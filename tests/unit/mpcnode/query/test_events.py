"""Events are made of decoded logs, and of nothing else."""

import dataclasses
from typing import Any

import pytest

from mpcnode.errors import MalformedMessageError
from mpcnode.query.events import event_of
from mpcnode.types import EndReason, QueryState, Verdict
from tests.support.queries import (
    attested,
    committed,
    computing,
    ended,
    failed,
    posted,
    refused,
    registered,
    rejected,
)

EVENTS = (
    registered(),
    committed(4),
    refused(5),
    computing(),
    posted(),
    attested(Verdict.INCOMPLETE),
    failed(1, (1, 2, 3), waited=2**200, contribute_by=5),
    rejected(4),
    ended(QueryState.ABORTED, EndReason.NO_COMMITTEE, waited=2**255),
)


def values_of(event) -> dict[str, Any]:
    """As a log is decoded: plain numbers, bytes and sequences."""
    plain = {}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        plain[field.name] = int(value) if isinstance(value, int) else value
    return plain


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_made_of_its_name_and_values(event):
    assert event_of(type(event).__name__, values_of(event)) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_missing_or_wrong_field_is_refused_by_name(event):
    for name in values_of(event):
        for wrong in (None, "text", -1, 1.5, b"short", True, ["x"], 2**300):
            if name == "query" or not (wrong == b"short" and isinstance(values_of(event)[name], bytes)):
                with pytest.raises(MalformedMessageError, match=f"expected {name} to be"):
                    event_of(type(event).__name__, values_of(event) | {name: wrong})


@pytest.mark.parametrize(
    ("event", "name", "wrong"),
    [
        (refused(4), "code", 3),
        (computing(), "committed", 2**128),
        (attested(Verdict.MATCH), "verdict", 0),
        (failed(1, ()), "reason", 6),
        (rejected(4), "participant", 128),
        (ended(QueryState.EXPIRED), "state", 8),
        (ended(QueryState.EXPIRED), "reason", 7),
        (committed(4), "commitments", [b"short"]),
    ],
)
def test_numbers_that_mean_nothing_are_refused(event, name, wrong):
    with pytest.raises(MalformedMessageError, match=f"expected {name} to be"):
        event_of(type(event).__name__, values_of(event) | {name: wrong})


def test_an_unknown_event_is_refused():
    with pytest.raises(MalformedMessageError, match="got 'Paused'"):
        event_of("Paused", {})
