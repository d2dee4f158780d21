"""Bytes that no program of ours sends, to every RPC of running daemons, with a member's certificate and with none."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from ledger.v1 import replica_pb2
from mpcnode.adapters.keystore import key_path, load_key
from mpcnode.config.node import NodeConfig, load_node
from mpcnode.daemon.network import pem_certificates
from mpcnode.devnet.plan import Layout
from mpcnode.sealing.keyfile import KeyKind
from mpcnode.v1 import inquiry_pb2, node_pb2, peer_pb2

GARBAGE = (b"", b"\xff" * 9, b"\x0a\xff\xff\xff\xff\x0f", b"\x12" + b"\x80" * 11, b"\x0b" * 50_000, bytes(100_000))
METHODS = tuple(
    (service.full_name, method.name, method.client_streaming, method.server_streaming)
    for module in (replica_pb2, peer_pb2, inquiry_pb2, node_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
"""Every RPC that there is, wherever it is served."""


@dataclass(frozen=True)
class Door:
    """A listening socket and somebody who knocks."""

    name: str
    target: str
    credentials: grpc.ChannelCredentials
    authority: str


def doors(layout: Layout, member: str) -> Iterator[Door]:
    """Every socket of every daemon, as this member, as a stranger with its own certificate, and as nobody."""
    own = load_node(layout.node(member).config)
    key = load_key(key_path(own.keys_dir, KeyKind.TLS), KeyKind.TLS).secret
    certificate = pem_certificates(own)[own.member.index]
    for name in layout.daemons():
        config: NodeConfig = load_node(layout.node(name).config)
        trusted = pem_certificates(own)[config.member.index]
        nobody = grpc.ssl_channel_credentials(trusted)
        if name != member:
            yield Door(name, str(config.listen_peers), grpc.ssl_channel_credentials(trusted, key, certificate), name)
        yield Door(name, str(config.listen_peers), nobody, name)
        if config.listen_inquiry is not None:
            yield Door(name, str(config.listen_inquiry), nobody, name)
        local = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
        yield Door(name, f"unix:{config.control}", local, "")


async def knock(door: Door) -> list[grpc.StatusCode]:
    """Send everything to every method; return what was said."""
    options = [("grpc.ssl_target_name_override", door.authority)] if door.authority else []
    async with grpc.aio.secure_channel(door.target, door.credentials, options=options) as channel:
        return [
            await _call(channel, f"/{service}/{method}", data, sends=sends, receives=receives)
            for service, method, sends, receives in METHODS
            for data in GARBAGE
        ]


async def _call(channel: Any, path: str, data: bytes, *, sends: bool, receives: bool) -> grpc.StatusCode:
    timeout = 10.0
    if sends:
        call = channel.stream_stream(path)(timeout=timeout)
        try:
            await call.write(data)
            await call.done_writing()
            while await call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]  # not in the stubs
                pass  # a call ends for its client when it has read everything
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # refused before it could be said
    else:
        call = (channel.unary_stream if receives else channel.unary_unary)(path)(data, timeout=timeout)
    code: grpc.StatusCode = await call.code()
    return code


async def flood_handshakes(target: str, count: int) -> None:
    """Connections that say nothing, or no TLS."""
    host, port = target.rsplit(":", 1)
    for number in range(count):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write((b"", b"\x16\x03\x01\xff\xff", b"GET / HTTP/1.1\r\n\r\n", bytes(2_000))[number % 4])
        writer.close()


async def abuse(layout: Layout, member: str) -> dict[str, set[grpc.StatusCode]]:
    """Knock at every door; return what each daemon said."""
    said: dict[str, set[grpc.StatusCode]] = {}
    for door in doors(layout, member):
        if not door.target.startswith("unix:"):
            await flood_handshakes(door.target, 20)
        said.setdefault(door.name, set()).update(await knock(door))
    return said
