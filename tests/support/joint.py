"""A committee in one process: deal, run every node's session, join the outputs."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import numpy as np

from ledger.types import Digest
from mpcnode.mpc import (
    Bits,
    Correlation,
    Finished,
    Material,
    Party,
    Payload,
    Program,
    Protocol,
    Row,
    RowContext,
    RowShape,
    Session,
    Words,
    deal,
    expand,
    expand_share,
    join_output,
    keystream,
    split_row,
)
from mpcnode.types import Attempt, MemberIndex, QueryId, Rank, SessionId

T = TypeVar("T")

Tamper = Callable[[int, int, int, bytes], bytes]
"""(sender, receiver, round, payload) -> payload"""


def seed(name: str) -> bytes:
    """32 bytes that depend on a name only."""
    return hashlib.sha256(name.encode()).digest()


def session_id(name: str) -> SessionId:
    return SessionId(seed(f"session {name}"))


def seeds_for(name: str, parties: int) -> list[bytes]:
    return [seed(f"{name} dealer {i}") for i in range(parties)]


@dataclass(frozen=True)
class Run:
    output: bytes
    shares: tuple[bytes, ...]
    transcripts: tuple[Digest, ...]
    sent: tuple[tuple[bytes, ...], ...]
    """By round, by node."""


def dealt(program: Program, name: str) -> list[Material]:
    """Every node's material of a session of this name."""
    seeds = seeds_for(name, program.parties)
    corrections = deal(program, session_id(name), seeds)
    last = program.parties - 1
    return [
        expand(program, session_id(name), Rank(i), seeds[i], corrections if i == last else None)
        for i in range(program.parties)
    ]


def run_joint(
    program: Program,
    name: str,
    rows: Sequence[Sequence[bytes | None]],
    tamper: Tamper | None = None,
    materials: Sequence[Material] | None = None,
) -> Run:
    """Run a session; rows are by node, then by participant; materials are dealt if there are none."""
    materials = materials or dealt(program, name)
    nodes = [Session(program, session_id(name), Rank(i), list(rows[i]), materials[i]) for i in range(program.parties)]
    pending: dict[int, Payload] = {i: node.start() for i, node in enumerate(nodes)}
    finished: dict[int, Finished] = {}
    sent: list[tuple[bytes, ...]] = []
    while pending:
        now, pending = pending, {}
        sent.append(tuple(now[i].data for i in range(program.parties)))
        for sender, payload in now.items():
            for receiver, node in enumerate(nodes):
                if receiver == sender:
                    continue
                data = tamper(sender, receiver, payload.round, payload.data) if tamper else payload.data
                for step in node.receive(Rank(sender), payload.round, data):
                    if isinstance(step, Finished):
                        finished[receiver] = step
                    else:
                        pending[receiver] = step
    shares = tuple(finished[i].output for i in range(program.parties))
    transcripts = tuple(finished[i].transcript for i in range(program.parties))
    return Run(join_output(shares), shares, transcripts, tuple(sent))


def share_rows(
    program: Program, name: str, rows: Sequence[bytes | None], *, chunk: int = 0
) -> list[list[bytes | None]]:
    """Split rows in clear among the nodes: by node, then by participant."""
    nodes = [MemberIndex(100 + i) for i in range(program.parties)]
    shared: list[list[bytes | None]] = [[] for _ in nodes]
    for seat, (row, shape) in enumerate(zip(rows, program.body.rows, strict=True)):
        context = RowContext(query=QueryId(seed(name)), attempt=Attempt(1), participant=MemberIndex(seat), chunk=chunk)
        seeds = [seed(f"{name} row {seat} node {i}") for i in range(program.parties - 1)]
        sent = split_row(row, shape, context, nodes, seeds) if row is not None else [None] * len(nodes)
        for i, (part, node) in enumerate(zip(sent, nodes, strict=True)):
            is_last = i == len(nodes) - 1
            shared[i].append(None if part is None else expand_share(part, shape, context, node, is_last=is_last))
    return shared


@dataclass(frozen=True, kw_only=True)
class Gadgets:
    """Correlations without a program around them."""

    correlations: tuple[Correlation, ...]
    rows: tuple[RowShape, ...] = ()
    output_bytes: int = 0

    def run(self, party: Party, rows: Sequence[Row]) -> Protocol[Bits]:
        raise AssertionError("expected to be dealt for only, got a run")

    def mask(self, party: Party) -> Bits:
        raise AssertionError("expected to be dealt for only, got a question for its mask")


def run_gadgets(
    parties: int,
    name: str,
    correlations: tuple[Correlation, ...],
    protocol: Callable[[Party, int], Protocol[T]],
    spoil: Callable[[list[Material]], None] | None = None,
) -> tuple[list[T], list[tuple[Words, ...]]]:
    """Run one protocol between parties; their results, and what was opened in each round."""
    program = Program(parties=parties, body=Gadgets(correlations=correlations), rounds=())
    materials = dealt(program, name)
    if spoil:
        spoil(materials)
    return run_protocols([protocol(Party(is_first=i == 0, material=materials[i]), i) for i in range(parties)])


def run_protocols(protocols: Sequence[Protocol[T]]) -> tuple[list[T], list[tuple[Words, ...]]]:
    """Run the parties' sides of a protocol in step."""
    asked = [next(side) for side in protocols]
    rounds: list[tuple[Words, ...]] = []
    while True:
        opened = tuple(shares[0].width.join(share.reduced() for share in shares) for shares in zip(*asked, strict=True))
        rounds.append(opened)
        results: list[T] = []
        asked = []
        for side in protocols:
            try:
                asked.append(side.send(opened))
            except StopIteration as stop:
                results.append(stop.value)
        if results:
            assert not asked, "all parties must end in the same round"
            return results, rounds


def share_integers(values: Words, parties: int, name: str) -> list[Words]:
    """Additive shares mod 2^64."""
    masks = [keystream(seed(f"{name} share {i}"), values.size * 8).view(np.uint64) for i in range(parties - 1)]
    shares = [mask.reshape(values.shape) for mask in masks]
    return [*shares, reduce(np.subtract, shares, values)]


def share_bits(row: Words, parties: int, name: str) -> list[Words]:
    """XOR shares."""
    masks = [keystream(seed(f"{name} share {i}"), row.size * 8).view(np.uint64) for i in range(parties - 1)]
    shares = [mask.reshape(row.shape) for mask in masks]
    return [*shares, reduce(np.bitwise_xor, shares, row)]
