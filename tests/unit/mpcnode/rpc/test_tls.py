"""Options of channels and listeners fit together: a listener closes a connection that pings it too often."""

import re
from pathlib import Path

from mpcnode.mpc import WINDOW
from mpcnode.rpc import corrections, deliveries, rounds
from mpcnode.rpc.tls import CONTROL_BYTES_MAX, channel_options, server_options

PROTOCOL = Path(__file__).resolve().parents[4] / "docs" / "protocol.md"
MIB = 1024 * 1024


def test_a_silent_channel_pings_half_as_often_as_its_listener_bears():
    channel, listener = dict(channel_options("member-1")), dict(server_options(CONTROL_BYTES_MAX))
    assert channel["grpc.http2.max_pings_without_data"] == 0, "else a silent stream that broke is noticed late"
    assert int(channel["grpc.keepalive_time_ms"]) >= 2 * listener["grpc.http2.min_ping_interval_without_data_ms"]


def test_both_sides_have_the_limits_that_the_protocol_lists():
    """One table names them all (docs/protocol.md 7); what gRPC would choose is nowhere relied on."""
    table = PROTOCOL.read_text().split("**Limits and keepalive**")[1].split("\n\n")[1]
    rows = re.findall(r"^\| ([^|]+) \| ([0-9][^|]*) \|", table, re.MULTILINE)
    listed = {what.split(":")[-1].strip(): value.strip() for what, value in rows}
    channel, listener = dict(channel_options("member-1")), dict(server_options(CONTROL_BYTES_MAX))
    for side in (channel, listener):
        assert side["grpc.max_receive_message_length"] == side["grpc.max_send_message_length"] == 4 * MIB + 64 * 1024
        assert side["grpc.max_metadata_size"] == 8 * 1024
        assert side["grpc.keepalive_time_ms"] == side["grpc.keepalive_timeout_ms"] == 20_000
    assert listener["grpc.max_concurrent_streams"] == 64
    assert listener["grpc.http2.min_ping_interval_without_data_ms"] == 10_000
    assert (rounds.WAITING_BYTES_MAX, rounds.FRAMES_WAITING_MAX) == (40 * MIB, 4_096)
    assert listed == {
        "message": "4 MiB + 64 KiB",
        "a frame's data": "3 MiB",
        "frames of a flush": "256",
        "data of a session that may wait for it, from one peer": "40 MiB, 4,096 frames",
        "pulls of corrections that one node may have open": "1,024",
        "headers": "8 KiB",
        "messages of a peer that are worked on, or whose answers wait to leave, at a time": "64",
        "streams of a connection": "64",
        "a side pings every": "20 s",
        "a side that does not answer a ping is gone after": "20 s",
        "a listener bears a ping every": "10 s",
    }
    assert (corrections.PULLS_MAX, rounds.FLUSH_FRAMES_MAX, deliveries.IN_WORK_MAX) == (1_024, 256, 64)


def test_flushes_fit_into_messages_and_a_window_of_frames_into_what_may_wait():
    assert rounds.FRAME_BYTES_MAX == 3 * MIB
    assert rounds.FLUSH_BYTES_MAX + rounds.FRAME_BYTES_MAX <= CONTROL_BYTES_MAX - 64 * 1024
    assert 3 * WINDOW * rounds.FRAME_BYTES_MAX <= rounds.WAITING_BYTES_MAX
