"""Mutual TLS with pinned certificates: a channel trusts exactly its peer, a server looks its client up on every call.

There is no certificate authority. gRPC verifies that a certificate is one of the members' and that its owner holds the
key; who that is follows from the certificate's fingerprint alone, never from a name in it. Every certificate needs a
subject of its own: BoringSSL finds issuers by name.
"""

import hashlib
import ssl
from collections.abc import Iterable, Mapping

import grpc

from mpcnode.errors import UnknownPeerError
from mpcnode.types import MemberIndex

KEEPALIVE_MS = 20_000
"""Between two pings of either side."""

KEEPALIVE_TIMEOUT_MS = 20_000
"""A peer that does not answer a ping for so long is gone."""

PING_INTERVAL_MS = 10_000
"""A listener bears a ping this often, though no call is under way: half of what any honest side sends."""

STREAMS_MAX = 64
"""Calls of one connection at a time. Messages, rounds, corrections and blobs take one each for as long as they last."""

METADATA_BYTES_MAX = 8 * 1024

CONTROL_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024
"""The widest message is a flush of frames. What is larger travels in pieces: corrections, blobs."""

INQUIRY_BYTES_MAX = 64 * 1024
"""What an inquirer may send at once: a request with the tokens of 128 members takes 27 KiB."""

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", CONTROL_BYTES_MAX),
    ("grpc.max_send_message_length", CONTROL_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),
)

_SERVER_OPTIONS = (
    ("grpc.max_send_message_length", CONTROL_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_MAX),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.so_reuseport", 0),
)


def server_options(received_max: int) -> list[tuple[str, int]]:
    """Options of every listener: limits on messages, metadata, streams and pings.

    Args:
        received_max: bytes of a message that it takes.
    """
    return [("grpc.max_receive_message_length", received_max), *_SERVER_OPTIONS]


def channel_options(name: str) -> list[tuple[str, str | int]]:
    """Options of a channel to the member of that name, which its certificate carries; its address does not matter."""
    return [*_CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", name)]


def peer_server_credentials(key: bytes, certificate: bytes, members: Iterable[bytes]) -> grpc.ServerCredentials:
    """Credentials of the peers' listener: own key and certificate, and the members' certificates, all PEM."""
    roots = b"\n".join(members)
    return grpc.ssl_server_credentials([(key, certificate)], root_certificates=roots, require_client_auth=True)


def inquiry_server_credentials(key: bytes, certificate: bytes) -> grpc.ServerCredentials:
    """Credentials of the operator's listener for inquirers, who pin its certificate and sign every call."""
    return grpc.ssl_server_credentials([(key, certificate)])


def peer_channel_credentials(key: bytes, certificate: bytes, peer: bytes) -> grpc.ChannelCredentials:
    """Credentials of a channel to one peer; all PEM."""
    return grpc.ssl_channel_credentials(root_certificates=peer, private_key=key, certificate_chain=certificate)


def inquiry_channel_credentials(operator: bytes) -> grpc.ChannelCredentials:
    """Credentials of an inquirer's channel: it trusts the operator's certificate (PEM) and nothing else."""
    return grpc.ssl_channel_credentials(root_certificates=operator)


class PeerDirectory:
    """Who owns which certificate."""

    def __init__(self, fingerprints: Mapping[bytes, MemberIndex]) -> None:
        """Take SHA-256 fingerprints of the members' DER certificates."""
        self._fingerprints = dict(fingerprints)

    def peer_of(self, context: grpc.aio.ServicerContext[object, object]) -> MemberIndex:
        """Return the member on the other side of a call.

        Raises:
            UnknownPeerError: the certificate is no active member's.
        """
        presented = list(context.auth_context().get("x509_pem_cert", ()))
        if not presented:
            raise UnknownPeerError("expected a member's certificate, got none")
        der = ssl.PEM_cert_to_DER_cert(bytes(presented[0]).decode("ascii"))
        fingerprint = hashlib.sha256(der).digest()
        member = self._fingerprints.get(fingerprint)
        if member is None:
            raise UnknownPeerError(f"expected a member's certificate, got one with SHA-256 {fingerprint.hex()}")
        return member
