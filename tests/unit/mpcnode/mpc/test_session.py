"""Sessions of the small credit model: rounds, transcript, replay, and what is refused from peers."""

import hashlib
import itertools

import pytest

from ledger.encoding import digest
from mpcnode.errors import CorrelationReuseError, SessionError, ShareError
from mpcnode.mpc import Finished, Party, Payload, Program, Session, chunk_hash, deal, join_output, replay
from mpcnode.scorecard import Contribution, compile_model, encode_output, evaluate
from mpcnode.types import Rank
from tests.support.joint import Run, dealt, run_joint, run_protocols, seeds_for, session_id, share_rows
from tests.support.models import BANK, INSURER, SAVINGS, credit_layout, credit_rows

SUBJECT = {
    BANK: Contribution(known=True, values=(200_000, None)),
    INSURER: Contribution(known=True, values=(2,)),
    SAVINGS: Contribution(known=True, values=(-100_001,)),
}
LAYOUT = credit_layout()
ROWS = credit_rows(LAYOUT, SUBJECT)


def program(parties: int = 3) -> Program:
    return compile_model(LAYOUT, parties)


def run(name: str = "one", parties: int = 3, **more) -> Run:
    compiled = program(parties)
    return run_joint(compiled, name, share_rows(compiled, name, ROWS), **more)


@pytest.mark.parametrize("parties", [2, 3, 5, 8])
def test_replay_of_an_honest_session_agrees(parties: int) -> None:
    real = run(parties=parties)
    again = replay(program(parties), session_id("one"), seeds_for("one", parties), ROWS)
    assert set(real.transcripts) == {again.transcript}
    assert real.output == again.output == encode_output(LAYOUT.model, evaluate(LAYOUT, SUBJECT))


def test_programs_are_equal_wherever_they_are_compiled() -> None:
    assert program() == program()
    assert program() != program(4)
    assert program().round_bytes == (24, 129, 48, 16, 2, 24)
    assert [len(sent[0]) for sent in run().sent] == list(program().round_bytes)


def test_transcript_is_the_documented_chain() -> None:
    """docs/protocol.md 3.1, from the payloads alone: openings of bits are XORs, of integers sums."""
    compiled, real = program(), run()
    link = digest("mpcnode/chunk/1", session_id("one"), bytes(4))
    for number, (widths, payloads) in enumerate(zip(compiled.rounds, real.sent, strict=True), start=1):
        opened, at = b"", 0
        for width in widths:
            size = width.element_bytes
            for place in range(at, at + width.size, size):
                shares = [int.from_bytes(payload[place : place + size], "little") for payload in payloads]
                value = sum(shares) % (1 << width.bits) if width.bits else shares[0] ^ shares[1] ^ shares[2]
                opened += value.to_bytes(size, "little")
            at += width.size
        link = digest("mpcnode/round/1", link, number.to_bytes(4, "big"), hashlib.sha256(opened).digest())
    assert real.transcripts[0] == link


def test_payloads_and_shares_depend_on_the_session_only_through_randomness() -> None:
    one, other = run("one"), run("two")
    assert one.output == other.output
    assert one.transcripts[0] != other.transcripts[0]
    assert all(a != b for a, b in zip(one.shares, other.shares, strict=True))
    assert run("one") == one


@pytest.mark.parametrize("round_number", [1, 2, 3, 4, 5, 6])
def test_flipped_opening_changes_the_transcript(round_number: int) -> None:
    def flip(sender: int, receiver: int, number: int, payload: bytes) -> bytes:
        return bytes([payload[0] ^ 1]) + payload[1:] if (sender, number) == (1, round_number) else payload

    honest = replay(program(), session_id("one"), seeds_for("one", 3), ROWS).transcript
    spoiled = run(tamper=flip).transcripts
    assert spoiled[0] == spoiled[2] != honest


def test_absent_participant_is_a_row_of_zeros() -> None:
    some = {member: SUBJECT[member] for member in (BANK, SAVINGS)}
    rows = credit_rows(LAYOUT, some)
    assert rows[1] is None
    real = run_joint(program(), "absent", share_rows(program(), "absent", rows))
    assert real.output == encode_output(LAYOUT.model, evaluate(LAYOUT, some))


def one_node(rank: int = 0) -> tuple[Session, list[Run]]:
    compiled = program()
    rows = share_rows(compiled, "one", ROWS)
    return Session(compiled, session_id("one"), Rank(rank), rows[rank], dealt(compiled, "one")[rank]), [run()]


def test_payloads_may_come_a_round_early_and_in_any_order() -> None:
    session, (real,) = one_node()
    assert session.start() == Payload(1, real.sent[0][0])
    assert session.receive(Rank(2), 1, real.sent[0][2]) == ()
    assert session.receive(Rank(2), 2, real.sent[1][2]) == ()
    assert session.receive(Rank(1), 1, real.sent[0][1]) == (Payload(2, real.sent[1][0]),)
    assert session.receive(Rank(1), 2, real.sent[1][1]) == (Payload(3, real.sent[2][0]),)
    steps: list[Payload | Finished] = []
    for number, rank in itertools.product(range(3, 7), (1, 2)):
        steps.extend(session.receive(Rank(rank), number, real.sent[number - 1][rank]))
    end = steps[-1]
    assert isinstance(end, Finished)
    assert (end.output, end.transcript) == (real.shares[0], real.transcripts[0])
    assert len(end.rounds) == len(program().round_bytes)
    assert chunk_hash(session_id("one"), 0, end.rounds) == end.transcript


def test_two_steps_follow_at_once_if_a_whole_round_came_early() -> None:
    session, (real,) = one_node()
    session.start()
    for rank, number in itertools.product((1, 2), (1, 2)):
        if (rank, number) != (2, 1):
            session.receive(Rank(rank), number, real.sent[number - 1][rank])
    steps = session.receive(Rank(2), 1, real.sent[0][2])
    assert steps == (Payload(2, real.sent[1][0]), Payload(3, real.sent[2][0]))


@pytest.mark.parametrize(
    ("rank", "number", "change", "message"),
    [
        (1, 1, lambda data: data[1:], "node 1, chunk 0, round 1: expected 24 bytes, got 23"),
        (2, 2, lambda data: data + b"x", "node 2, chunk 0, round 2: expected 129 bytes, got 25"),
        (1, 3, lambda data: data, "node 1, chunk 0, round 3: expected round 1 or the next of 6"),
        (1, 0, lambda data: data, "node 1, chunk 0, round 0: expected round 1 or the next"),
        (0, 1, lambda data: data, "node 0, chunk 0, round 1: expected another node of 3, got rank 0"),
        (3, 1, lambda data: data, "node 3, chunk 0, round 1: expected another node of 3, got rank 3"),
        (-1, 1, lambda data: data, "node -1, chunk 0, round 1: expected another node"),
    ],
)
def test_payload_that_no_honest_node_sends(rank: int, number: int, change, message: str) -> None:
    session, (real,) = one_node()
    session.start()
    with pytest.raises(SessionError, match=message):
        session.receive(Rank(rank), number, change(real.sent[0][1]))


def test_second_payload_of_a_round_is_refused() -> None:
    session, (real,) = one_node()
    session.start()
    session.receive(Rank(1), 1, real.sent[0][1])
    with pytest.raises(SessionError, match="node 1, chunk 0, round 1: expected one payload, got another"):
        session.receive(Rank(1), 1, real.sent[0][1])


def test_payloads_before_the_start_and_after_the_end_are_refused() -> None:
    session, (real,) = one_node()
    with pytest.raises(SessionError, match="node 1, chunk 0, round 1: expected a payload of a running chunk"):
        session.receive(Rank(1), 1, real.sent[0][1])
    session.start()
    for number, rank in itertools.product(range(1, 7), (1, 2)):
        session.receive(Rank(rank), number, real.sent[number - 1][rank])
    with pytest.raises(SessionError, match="node 1, chunk 0, round 6: expected a payload of a running chunk"):
        session.receive(Rank(1), 6, real.sent[5][1])


def test_session_is_started_once_and_its_material_is_used_once() -> None:
    session, _ = one_node()
    session.start()
    with pytest.raises(CorrelationReuseError, match="chunk 0: expected to be started once"):
        session.start()
    compiled = program()
    material = dealt(compiled, "one")[0]
    rows = share_rows(compiled, "one", ROWS)[0]
    Session(compiled, session_id("one"), Rank(0), rows, material).start()
    with pytest.raises(CorrelationReuseError):
        Session(compiled, session_id("one"), Rank(0), rows, material).start()


def test_row_of_another_length_is_refused() -> None:
    compiled = program()
    with pytest.raises(ShareError, match="row: expected 5 bytes, got 8"):
        Session(compiled, session_id("one"), Rank(0), [None, bytes(8), None], dealt(compiled, "one")[0])


def test_all_shares_are_needed() -> None:
    real = run()
    assert join_output(real.shares) == real.output
    assert join_output(real.shares[:2]) != real.output


def test_every_correlation_is_used() -> None:
    compiled = program()
    materials = dealt(compiled, "one")
    rows = share_rows(compiled, "one", ROWS)
    run_protocols(
        [
            compiled.body.run(
                Party(is_first=i == 0, material=materials[i]),
                [shape.decode(row) for shape, row in zip(compiled.body.rows, rows[i], strict=True) if row],
            )
            for i in range(3)
        ]
    )
    assert [repr(material) for material in materials] == ["Material(0 left)"] * 3


def test_bytes_are_frozen() -> None:
    """Corrections, transcript and output shares as another implementation must make them."""
    corrections = deal(program(), session_id("one"), seeds_for("one", 3))
    assert hashlib.sha256(corrections).hexdigest() == "7ef9c8bc1ea611a3a8f0d9a9d1053536fd8ae1e5998f09e2a7a26eb69baa5ec9"
    assert run().transcripts[0].hex() == "4c6485dcad0fb4b6018b68be85b4f1fa4dad30eb382c0332eb4f267b358a73e8"
    assert [share.hex() for share in run().shares] == ["21", "18", "0a"]
