"""Messages that are joined with their data are those that generated code would have sent."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.types import Signature
from mpcnode.rpc.wire import corrections_bytes, flush_bytes, frame_parts, serialized
from mpcnode.types import SessionId
from mpcnode.v1 import peer_pb2

NUMBERS = st.integers(0, 2**32 - 1)
DATA = st.one_of(st.binary(max_size=300), st.sampled_from([1, 127, 128, 16_383, 16_384, 3 << 20]).map(bytes))
SESSIONS = st.binary(min_size=32, max_size=32).map(SessionId)
SIGNATURES = st.binary(min_size=64, max_size=64).map(Signature)


@given(st.integers(0, 2**64 - 1), st.lists(st.tuples(SESSIONS, NUMBERS, NUMBERS, DATA), max_size=4), SIGNATURES)
def test_a_flush_is_the_message_of_its_frames(number, frames, signature):
    encoded = flush_bytes(number, [frame_parts(*frame) for frame in frames], signature)
    for kind in (peer_pb2.RoundsRequest, peer_pb2.RoundsResponse):
        whole = [
            peer_pb2.Frame(session=session, chunk=chunk, round=place, data=data)
            for session, chunk, place, data in frames
        ]
        assert kind.FromString(encoded) == kind(number=number, frames=whole, signature=signature)


@given(SESSIONS, NUMBERS, DATA, st.one_of(st.just(b""), SIGNATURES))
def test_corrections_are_the_message_of_their_data(session, chunk, data, signature):
    expected = peer_pb2.CorrectionsResponse(session=session, chunk=chunk, data=data, signature=signature)
    encoded = corrections_bytes(session, chunk, memoryview(data), signature)
    assert peer_pb2.CorrectionsResponse.FromString(encoded) == expected
    assert serialized(encoded) == encoded
    assert peer_pb2.CorrectionsResponse.FromString(serialized(expected)) == expected
