"""Correlations from oblivious transfer instead of a dealer: three nodes in one process make those of `scorecard`."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from mpcnode.adapters.randomness import random_bytes
from mpcnode.mpc.joint import Messages, Talk
from mpcnode.mpc.providers import transfer_provider
from mpcnode.scorecard import compile_model, lay_out
from mpcnode.types import AuditMode, Rank, SessionId
from scripts.bench.registry import Measurement
from scripts.bench.works import ModelWork

T = TypeVar("T")

NODES = 3


def transfers(subject_attributes: int) -> Measurement:
    """Measure what all nodes together make in a second of one core, set-up left out.

    A subject-attribute is a value with 6 thresholds and its points; its share of what is made for the score is in it.
    """
    layout = ModelWork("scorecard", 1).layout
    attributes = len(layout.model.attributes)
    subjects = max(1, subject_attributes // attributes)
    # without an audit: a mask that one party knows is nothing that nodes could make
    unaudited = lay_out(replace(layout.model, audit=AuditMode.OFF), layout.members)
    program = compile_model(unaudited, NODES, subjects)
    context, session = random_bytes(32), SessionId(random_bytes(32))
    providers, _ = _run([transfer_provider(Rank(rank), NODES, context, random_bytes) for rank in range(NODES)])
    started = time.process_time()
    _, sent = _run([provider.provide(program, session) for provider in providers])
    rate = subjects * attributes / (time.process_time() - started)
    of = {"nodes": NODES, "subjects": subjects, "attributes": attributes}
    return Measurement(
        "ot_subject_attributes_per_s", rate, "1/s", {**of, "bytes_each": round(sent / (subjects * attributes), 1)}
    )


def _run(talks: Sequence[Talk[T]]) -> tuple[list[T], int]:
    """Run all nodes' sides in step; their results, and the bytes that they sent."""
    received: list[Messages | None] = [None for _ in talks]
    bytes_sent = 0
    while True:
        results: list[T] = []
        sent: list[Messages] = []
        for talk, messages in zip(talks, received, strict=True):
            try:
                sent.append(next(talk) if messages is None else talk.send(messages))
            except StopIteration as stop:
                results.append(stop.value)
        if results:
            return results, bytes_sent
        bytes_sent += sum(len(data) for of_node in sent for data in of_node.values())
        received = [
            {Rank(peer): of_peer[Rank(rank)] for peer, of_peer in enumerate(sent) if peer != rank}
            for rank in range(len(talks))
        ]
