"""A daemon's channels and listeners: who is dialled with which certificate, and what is served where."""

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from ledger.rpc import PeerAddress
from ledger.types import ReplicaId
from mpcnode.adapters.keystore import Keystore
from mpcnode.config.node import Address, NodeConfig
from mpcnode.errors import ErrorCode, LocalError
from mpcnode.rpc.tls import (
    CONTROL_BYTES_MAX,
    INQUIRY_BYTES_MAX,
    PeerDirectory,
    channel_options,
    inquiry_server_credentials,
    peer_channel_credentials,
    peer_server_credentials,
    server_options,
)
from mpcnode.types import MemberIndex


def pem_certificates(config: NodeConfig) -> tuple[bytes, ...]:
    """Every member's certificate, PEM, by index."""
    return tuple(ssl.DER_cert_to_PEM_cert(der).encode("ascii") for der in config.consortium.certificates)


def peer_directory(config: NodeConfig) -> PeerDirectory:
    """Who owns which certificate."""
    consortium = config.consortium
    fingerprints = (hashlib.sha256(der).digest() for der in consortium.certificates)
    return PeerDirectory(dict(zip(fingerprints, (m.index for m in consortium.members), strict=True)))


def open_channels(config: NodeConfig, keys: Keystore) -> Mapping[MemberIndex, grpc.aio.Channel]:
    """A channel to every other member; each trusts exactly that member's certificate. Nothing is dialled yet."""
    certificates = pem_certificates(config)
    return {
        member: grpc.aio.secure_channel(
            str(address),
            peer_channel_credentials(keys.tls.key, keys.tls.certificate, certificates[member]),
            options=channel_options(config.consortium.members[member].name),
        )
        for member, address in config.peers.items()
    }


def peer_addresses(config: NodeConfig, keys: Keystore) -> tuple[PeerAddress, ...]:
    """Where the ledger's network finds the other replicas."""
    certificates = pem_certificates(config)
    return tuple(
        PeerAddress(
            replica=ReplicaId(member),
            target=str(address),
            credentials=peer_channel_credentials(keys.tls.key, keys.tls.certificate, certificates[member]),
            options=tuple(
                option
                for option in channel_options(config.consortium.members[member].name)
                if "message" not in option[0]
            ),
        )
        for member, address in config.peers.items()
    )


@dataclass(frozen=True, slots=True)
class Listeners:
    """Servers that have a port but do not answer yet."""

    peers: grpc.aio.Server
    inquiry: grpc.aio.Server | None


def make_listeners(config: NodeConfig, keys: Keystore) -> Listeners:
    """Make the listeners and bind their ports.

    Raises:
        LocalError: a port is taken or may not be used.
    """
    credentials = peer_server_credentials(keys.tls.key, keys.tls.certificate, pem_certificates(config))
    peers = _listen(config, config.listen_peers, credentials, CONTROL_BYTES_MAX)
    if config.listen_inquiry is None:
        return Listeners(peers, None)
    inquiry_credentials = inquiry_server_credentials(keys.tls.key, keys.tls.certificate)
    return Listeners(peers, _listen(config, config.listen_inquiry, inquiry_credentials, INQUIRY_BYTES_MAX))


def _listen(
    config: NodeConfig, address: Address, credentials: grpc.ServerCredentials, received_max: int
) -> grpc.aio.Server:
    server = grpc.aio.server(options=server_options(received_max), maximum_concurrent_rpcs=config.limits.calls_max)
    try:
        server.add_secure_port(str(address), credentials)
    except RuntimeError as error:
        raise LocalError(
            f"{config.path}: expected to listen on {address}, but it is taken or not allowed", ErrorCode.CONFIG
        ) from error
    return server
