"""Four replicas over gRPC with mutual TLS on the real contracts: final everywhere, through crashes and strangers."""

import asyncio
import contextlib
from contextlib import aclosing
from functools import partial

import grpc
import pytest

from ledger.contract import ContractHost
from ledger.ports import Place
from ledger.receipts import verify_receipt
from ledger.rpc.network import STREAMS_BURST, STREAMS_PER_SECOND
from ledger.store import SqliteStore, verify_store
from ledger.types import Height, ReplicaId
from ledger.v1 import replica_pb2, replica_pb2_grpc
from tests.support.chains import transaction, verify
from tests.support.ledger_grpc import Fleet, make_certificate, query_genesis, registration
from tests.support.networks import WallClock, gone, until

ALL = (0, 1, 2, 3)


@pytest.fixture
def fleet(tmp_path):
    return Fleet(query_genesis(4), tmp_path)


def now():
    return WallClock().now_ms()


async def at_height(fleet, height, indices=ALL):
    for index in indices:
        async with aclosing(fleet.replica(index).subscribe(Height(height))) as blocks:
            await asyncio.wait_for(anext(blocks), 20)


async def register(fleet, numbers, replicas=ALL):
    return await asyncio.gather(
        *(
            fleet.replica(replicas[number % len(replicas)]).submit(
                registration(fleet.genesis, number, now(), sender=replicas[number % len(replicas)])
            )
            for number in numbers
        )
    )


async def same(fleet, indices=ALL):
    heads = [(await fleet.replica(index).head()).header for index in indices]
    return len(set(heads)) == 1


def test_transactions_are_final_on_all_with_equal_state(fleet):
    async def run():
        async with fleet.running(*ALL):
            await until(lambda: all(fleet.replica(index).is_ready() for index in ALL), 20)
            outcomes = await register(fleet, range(12))
            assert all(outcome.receipt.ok for outcome in outcomes), [o.receipt.reason for o in outcomes]
            refused = await fleet.replica(1).submit(transaction(99, sender=1, expiry_ms=now() + 30_000))
            assert not refused.receipt.ok
            await at_height(fleet, refused.height)
            assert await same(fleet)
            (listed,) = await fleet.replica(2).view("members.validators")
            assert len(listed) == 4
            file = await fleet.replica(3).receipt([Place(outcome.height, outcome.index) for outcome in outcomes])
            proved = verify_receipt(file, fleet.genesis, verify).transactions
            assert [tx.receipt for tx in proved] == [outcome.receipt for outcome in outcomes]

    asyncio.run(run())


def test_one_is_stopped_and_catches_up(fleet):
    async def run():
        async with fleet.running(*ALL):
            await register(fleet, range(4))
            await fleet.daemons[0].stop()
            await until(lambda: all(gone(fleet.replica(index)) == {0} for index in (1, 2, 3)), 20)
            outcomes = await register(fleet, range(4, 10), (1, 2, 3))
            await fleet.daemons[0].start()
            await at_height(fleet, max(outcome.height for outcome in outcomes))
            await until(fleet.replica(0).is_ready, 20)
            assert await same(fleet)
            assert not gone(fleet.replica(1))
            outcomes = await register(fleet, range(10, 12))
            await at_height(fleet, max(outcome.height for outcome in outcomes))
            assert await same(fleet)
        for index in ALL:
            store = SqliteStore(fleet.directory(index))
            report = verify_store(store, partial(ContractHost, fleet.genesis.chain), fleet.genesis, verify)
            store.close()
            assert report.failure is None
            assert report.verified is not None
            assert report.verified >= max(outcome.height for outcome in outcomes)

    asyncio.run(run())


def test_a_flipped_byte_on_disk_is_found_with_its_height(fleet):
    async def run():
        async with fleet.running(*ALL):
            await register(fleet, range(4))
            await register(fleet, range(4, 8))

    asyncio.run(run())
    path = fleet.directory(2)
    store = SqliteStore(path)
    final = store.final(Height(2))
    store.close()
    assert final is not None
    signature = final.block.txs[0][-60:]
    file = path / "ledger.sqlite"
    data = file.read_bytes()
    assert signature in data
    file.write_bytes(data.replace(signature, bytes([signature[0] ^ 1]) + signature[1:]))
    store = SqliteStore(path)
    report = verify_store(store, partial(ContractHost, fleet.genesis.chain), fleet.genesis, verify)
    store.close()
    assert report.verified == 1
    assert report.failure is not None
    assert report.failure.height == 2


def dial(fleet, own, *, to=3):
    address = fleet.address(to, own)
    return grpc.aio.secure_channel(address.target, address.credentials, options=address.options)


async def end_of(call):
    """Read a stream to its end and return why it ended."""
    try:
        while isinstance(await call.read(), replica_pb2.ExchangeResponse):
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return await call.code()


@pytest.mark.parametrize("stranger", ["unknown", "higher", "itself"])
def test_whoever_does_not_dial_is_refused(fleet, stranger):
    own = {"unknown": make_certificate("nobody.test"), "higher": fleet.certificates[3], "itself": fleet.certificates[2]}

    async def run():
        async with fleet.running(2, 3):
            await until(lambda: fleet.daemons[2].network.peers() == {3}, 20)
            async with dial(fleet, own[stranger], to=2) as channel:
                call = replica_pb2_grpc.ReplicaServiceStub(channel).Exchange(None, timeout=3)
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call.read()
            allowed = {grpc.StatusCode.UNAVAILABLE} if stranger == "unknown" else {grpc.StatusCode.PERMISSION_DENIED}
            assert refused.value.code() in allowed
            assert fleet.daemons[2].network.peers() == {3}

    asyncio.run(run())


def test_a_peer_that_sends_junk_loses_its_stream_and_harms_nobody(fleet):
    async def run():
        async with fleet.running(1, 2, 3):
            async with dial(fleet, fleet.certificates[0]) as channel:
                call = replica_pb2_grpc.ReplicaServiceStub(channel).Exchange(None, wait_for_ready=True)
                await call.initial_metadata()
                await until(lambda: ReplicaId(0) in fleet.daemons[3].network.peers())
                await call.write(replica_pb2.ExchangeRequest(items=[b"\xffjunk"]))
                assert await end_of(call) is grpc.StatusCode.INVALID_ARGUMENT
            await until(lambda: ReplicaId(0) not in fleet.daemons[3].network.peers())
            assert (await register(fleet, range(3), (1, 2, 3)))[0].receipt.ok

    asyncio.run(run())


def test_a_peer_that_opens_stream_after_stream_is_made_to_wait(fleet):
    async def run():
        async with fleet.running(1, 2, 3), dial(fleet, fleet.certificates[0]) as channel:
            began = asyncio.get_running_loop().time()
            codes: list[grpc.StatusCode] = []
            while codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) < 20:
                call = replica_pb2_grpc.ReplicaServiceStub(channel).Exchange(None, wait_for_ready=True)
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await call.write(replica_pb2.ExchangeRequest(items=[b"\xff" * 1_000]))
                codes.append(await end_of(call))
            seconds = asyncio.get_running_loop().time() - began
            assert codes.count(grpc.StatusCode.INVALID_ARGUMENT) >= STREAMS_BURST
            assert len(codes) - 20 <= STREAMS_BURST + STREAMS_PER_SECOND * seconds + 1
            assert (await register(fleet, range(3), (1, 2, 3)))[0].receipt.ok
            await asyncio.sleep(1 / STREAMS_PER_SECOND)
            call = replica_pb2_grpc.ReplicaServiceStub(channel).Exchange(None, wait_for_ready=True)
            await call.initial_metadata()
            await until(lambda: ReplicaId(0) in fleet.daemons[3].network.peers())

    asyncio.run(run())


def test_a_second_stream_of_a_peer_takes_the_place_of_the_first(fleet):
    async def run():
        async with fleet.running(2, 3), dial(fleet, fleet.certificates[0]) as channel:
            calls = []
            for _ in range(2):
                calls.append(replica_pb2_grpc.ReplicaServiceStub(channel).Exchange(None, wait_for_ready=True))
                await calls[-1].initial_metadata()
            assert await end_of(calls[0]) is grpc.StatusCode.OK
            assert not calls[1].done()
            assert ReplicaId(0) in fleet.daemons[3].network.peers()

    asyncio.run(run())
