"""Options of channels and listeners fit together: a listener closes a connection that pings it too often."""

from mpcnode.rpc.tls import CONTROL_BYTES_MAX, channel_options, server_options


def test_a_silent_channel_pings_half_as_often_as_its_listener_bears():
    channel, listener = dict(channel_options("member-1")), dict(server_options(CONTROL_BYTES_MAX))
    assert channel["grpc.http2.max_pings_without_data"] == 0, "else a silent stream that broke is noticed late"
    assert int(channel["grpc.keepalive_time_ms"]) >= 2 * listener["grpc.http2.min_ping_interval_without_data_ms"]
