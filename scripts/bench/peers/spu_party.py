"""One party of SPU: ABY3 (three parties, an honest majority, no dealer) or semi2k (one of the three is the dealer).

    python -m scripts.bench.peers.spu_party WORK SUBJECTS RUNS RANK PORT PROTOCOL

A run is all: every owner shares its values and sends the shares, the compiled program runs, the grades are opened.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import spu
from spu import libspu
from spu.experimental.reveal_impl import reveal
from spu.utils import frontend

from scripts.bench.peers.timing import loopback_bytes, report, sent_since
from scripts.bench.peers.work import OWNERS, WEIGHTS, expected, thresholds, values

PROTOCOLS = {"aby3": libspu.ProtocolKind.ABY3, "semi2k": libspu.ProtocolKind.SEMI2K}
NAMES = [f"known{owner}" for owner in range(OWNERS)]


def program(work: str) -> Callable[..., Any]:
    """Return the work as a function of all owners' arrays, 32-bit integers throughout."""
    steps = np.array(thresholds(work), np.int32)

    def grades(*known: Any) -> Any:  # noqa: ANN401 - traced
        if work == "score":
            weighted = [
                (part * np.array(weights, np.int32)[:, None]).sum(0, dtype=np.int32)
                for part, weights in zip(known, WEIGHTS, strict=True)
            ]
            result = weighted[0] + weighted[1] + weighted[2]
        else:
            result = jnp.maximum(jnp.maximum(known[0], known[1]), known[2])
        return reveal((result[:, None] >= steps[None]).astype(np.int32).sum(1, dtype=np.int32))

    return grades


def encode_share(share: Any) -> bytes:  # noqa: ANN401 - SPU's own type
    """Encode a share: length of its description, description, content."""
    (content,) = share.share_chunks  # a second one begins at 128 MB
    return b"".join((len(share.meta).to_bytes(4, "little"), share.meta, content))


def decode_share(data: bytes) -> Any:  # noqa: ANN401 - SPU's own type
    """Decode a share."""
    end = 4 + int.from_bytes(data[:4], "little")
    share = libspu.Share()
    share.meta, share.share_chunks = data[4:end], [data[end:]]
    return share


class Party:
    """One process of three."""

    def __init__(self, rank: int, port: int, protocol: str) -> None:
        description = libspu.link.Desc()
        description.recv_timeout_ms = 100_000
        for other in range(OWNERS):
            description.add_party(f"party{other}", f"127.0.0.1:{port + other}")
        config = libspu.RuntimeConfig(protocol=PROTOCOLS[protocol], field=libspu.FieldType.FM32)
        self.rank = rank
        self.link = libspu.link.create_brpc(description, rank)
        self.runtime = spu.Runtime(self.link, config)
        self.io = spu.Io(OWNERS, config)

    def run(self, executable: Any, known: list[Any]) -> Any:  # noqa: ANN401 - SPU's own types
        """Share this party's values, take the others' shares, run, and return the grades."""
        mine = self.io.make_shares(known[self.rank], libspu.Visibility.VIS_SECRET, -1)
        for other in range(OWNERS):
            if other != self.rank:
                self.link.send_async(other, encode_share(mine[other]))
        for owner, name in enumerate(executable.input_names):
            share = mine[owner] if owner == self.rank else decode_share(self.link.recv(owner))
            self.runtime.set_var(name, share)
        self.runtime.run(executable)
        opened = self.runtime.get_var(executable.output_names[0])
        return self.io.reconstruct([opened] * OWNERS)  # opened inside the program: the same at every party


def main() -> None:
    """Run, check and report."""
    work, subjects, runs, rank, port, protocol = sys.argv[1], *map(int, sys.argv[2:6]), sys.argv[6]
    jax.config.update("jax_enable_x64", True)
    known = values(subjects)
    given = [
        np.ascontiguousarray(known[owner] if work == "score" else known[owner, 0], np.int32) for owner in range(OWNERS)
    ]
    visible = [libspu.Visibility.VIS_SECRET] * OWNERS
    executable, _ = frontend.compile(
        frontend.Kind.JAX,
        program(work),
        given,
        {},
        NAMES,
        visible,
        lambda outputs: [f"out{i}" for i, _ in enumerate(outputs)],
    )
    party = Party(rank, port, protocol)
    wanted = expected(work, known)
    seconds = []
    sent = None
    for _ in range(runs + 1):
        party.link.barrier()
        before, started = loopback_bytes(), time.perf_counter()
        grades = party.run(executable, given)
        seconds.append(time.perf_counter() - started)
        party.link.barrier()
        sent = sent_since(before)
        if not np.array_equal(np.asarray(grades), wanted):
            raise SystemExit(f"{work}: expected the grades of the clear evaluation, got others")
    if rank == 0:
        report(work, subjects, seconds[1:], sent)  # the first warms up
    party.link.barrier()
    party.link.stop_link()
    sys.stdout.flush()
    os._exit(0)  # SPU's threads do not end by themselves


main()
