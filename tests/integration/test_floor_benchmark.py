"""The floor of one subject, in small: every figure comes out, and its messages are what nodes send, signed."""

import asyncio
import math

import pytest

from mpcnode.errors import WrongSignatureError
from mpcnode.v1 import peer_pb2
from scripts.bench.floor import VARIANTS, Extent, measure
from scripts.bench.floor_member import Frame, Link
from scripts.bench.registry import Measurement


def links(sent, *, signed=True):
    """Both ends of a stream from member 0 to member 1, which carries what is in a list."""

    async def read():
        return sent.pop(0)

    async def write(flush):
        sent.append(flush)

    return (Link(me, 1 - me, signed=signed, read=read, write=write) for me in range(2))


@pytest.mark.parametrize("size", [12, 129, 2000])
def test_a_message_is_a_flush_of_one_frame_and_carries_its_sender_s_signature(size):
    sent: list[bytes] = []
    sender, receiver = links(sent)
    for number in (1, 2):
        asyncio.run(sender.send(Frame(7, 3, size)))
        flush = peer_pb2.RoundsRequest.FromString(sent[0])
        (frame,) = flush.frames
        assert (flush.number, frame.session, frame.round, len(frame.data)) == (number, bytes([*[0] * 31, 7]), 3, size)
        asyncio.run(receiver.receive(Frame(7, 3, size)))
    assert not sent


@pytest.mark.parametrize("place", ["signature", "data"])
def test_what_was_not_signed_is_found(place):
    sent: list[bytes] = []
    sender, receiver = links(sent)
    asyncio.run(sender.send(Frame(1, 1, 48)))
    at = -1 if place == "data" else sent[0].index(peer_pb2.RoundsRequest.FromString(sent[0]).signature)
    changed = bytearray(sent[0])
    changed[at] ^= 1
    sent[0] = bytes(changed)
    with pytest.raises(WrongSignatureError):
        asyncio.run(receiver.receive(Frame(1, 1, 48)))


def test_a_message_of_another_round_is_found():
    sender, receiver = links([])
    asyncio.run(sender.send(Frame(1, 1, 48)))
    with pytest.raises(WrongSignatureError):
        asyncio.run(receiver.receive(Frame(1, 2, 48)))


def test_without_signatures_as_many_bytes_are_sent():
    signed: list[bytes] = []
    unsigned: list[bytes] = []
    for sent, kind in ((signed, True), (unsigned, False)):
        sender, _ = links(sent, signed=kind)
        asyncio.run(sender.send(Frame(1, 1, 48)))
    assert [len(flush) for flush in signed] == [len(flush) for flush in unsigned]
    assert not any(peer_pb2.RoundsRequest.FromString(unsigned[0]).signature)


@pytest.mark.bench
def test_every_figure_is_measured(tmp_path):
    ours = Measurement("score_n1_ms", 30.0, "ms", {"audit": "off"})
    figures = {figure.name: figure for figure in measure(Extent(warm_up=1, sessions=3), tmp_path / "floor", ours)}
    assert set(figures) == {"score_n1_floor_ms", "score_n1_floor_ratio"}
    floor = figures["score_n1_floor_ms"]
    assert figures["score_n1_floor_ratio"].value == pytest.approx(30.0 / floor.value)
    spent = {f"{what}_ms{name}" for name in VARIANTS for what in ("p50", "cpu")}
    assert spent < set(floor.params)
    for value in (floor.value, *(floor.params[name] for name in spent)):
        assert isinstance(value, float)
        assert math.isfinite(value)
        assert value > 0
    assert not (tmp_path / "floor").exists()
