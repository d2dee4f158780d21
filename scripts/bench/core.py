"""The cores by themselves, in one process: bytes, signatures, clear and joint evaluation of the demo's model."""

from pathlib import Path

from nacl.signing import SigningKey

from ledger.encoding import (
    decode_block,
    decode_transaction,
    encode_block,
    encode_transaction,
    transaction_id,
    transaction_statement,
)
from ledger.merkle import root
from ledger.types import Block, BlockHash, ChainId, Digest, Header, Height, Millis, PublicKey, Signature, Transaction
from mpcnode.mpc import Finished, Payload, Program, Session, deal, expand, replay
from mpcnode.scorecard import Contribution, Layout, PanelMember, evaluate, lay_out, parse
from mpcnode.scorecard.compile import compile_model
from mpcnode.types import MemberIndex, Rank, SessionId
from scripts.bench.registry import Measurement, Parameter, benchmark, seconds_per_call

MODEL = Path(__file__).resolve().parents[2] / "configs" / "demo" / "models" / "credit-rating.toml"
ARGS_BYTES = 1024
BLOCK_TXS = 30
NODES = 3
SESSION = SessionId(bytes([5] * 32))
SEEDS = [bytes([node] * 32) for node in range(NODES)]
ANY = bytes([7] * 32)


@benchmark("core")
def core() -> list[Measurement]:
    """Measure every core that a query goes through."""
    return [*_bytes_and_signatures(), *_evaluation()]


def _signed_transaction(key: SigningKey, number: int) -> Transaction:
    unsigned = Transaction(
        chain=ChainId(ANY),
        sender=PublicKey(bytes(key.verify_key)),
        expiry_ms=Millis(1),
        unique=number.to_bytes(16, "big"),
        method="queries.commit_input",
        args=bytes(ARGS_BYTES),
        signature=Signature(bytes(64)),
    )
    signature = key.sign(transaction_statement(unsigned)).signature
    return Transaction(
        chain=unsigned.chain,
        sender=unsigned.sender,
        expiry_ms=unsigned.expiry_ms,
        unique=unsigned.unique,
        method=unsigned.method,
        args=unsigned.args,
        signature=Signature(signature),
    )


def _block(txs: tuple[bytes, ...]) -> Block:
    header = Header(
        chain=ChainId(ANY),
        height=Height(1),
        previous=BlockHash(ANY),
        timestamp_ms=Millis(1),
        proposer=PublicKey(ANY),
        tx_root=Digest(ANY),
        receipts_root=Digest(ANY),
        state_root=Digest(ANY),
        history_root=Digest(ANY),
        validators_hash=Digest(ANY),
        next_validators_hash=Digest(ANY),
    )
    return Block(header=header, txs=txs)


def _bytes_and_signatures() -> list[Measurement]:
    key = SigningKey(ANY)
    tx = _signed_transaction(key, 0)
    encoded, stated = encode_transaction(tx), transaction_statement(tx)
    txs = tuple(encode_transaction(_signed_transaction(key, number)) for number in range(BLOCK_TXS))
    block = _block(txs)
    encoded_block = encode_block(block)
    one: dict[str, Parameter] = {"bytes": len(encoded)}
    many: dict[str, Parameter] = {"transactions": BLOCK_TXS, "bytes": len(encoded_block)}
    return [
        Measurement("tx_encode_per_s", 1 / seconds_per_call(lambda: encode_transaction(tx)), "1/s", one),
        Measurement("tx_decode_per_s", 1 / seconds_per_call(lambda: decode_transaction(encoded)), "1/s", one),
        Measurement("tx_id_per_s", 1 / seconds_per_call(lambda: transaction_id(tx)), "1/s", one),
        Measurement("sign_per_s", 1 / seconds_per_call(lambda: key.sign(stated)), "1/s", {"bytes": len(stated)}),
        Measurement(
            "verify_per_s",
            1 / seconds_per_call(lambda: key.verify_key.verify(stated, tx.signature)),
            "1/s",
            {"bytes": len(stated)},
        ),
        Measurement("block_decode_ms", 1000 * seconds_per_call(lambda: decode_block(encoded_block)), "ms", many),
        Measurement("tx_root_ms", 1000 * seconds_per_call(lambda: root(txs)), "ms", many),
    ]


def _layout() -> Layout:
    model = parse(MODEL.read_bytes())
    panel = [PanelMember(member=MemberIndex(i), classes=frozenset({held})) for i, held in enumerate(model.classes)]
    return lay_out(model, panel)


def _evaluation() -> list[Measurement]:
    layout = _layout()
    given = {
        seated.member: Contribution(known=True, values=tuple(layout.model.attributes[i].minimum for i in row))
        for seated, row in zip(layout.members, layout.rows, strict=True)
    }
    program = compile_model(layout, NODES)
    corrections = deal(program, SESSION, SEEDS)
    rows = [bytes(shape.size) for shape in program.body.rows]
    thresholds = sum(len(attribute.thresholds) for attribute in layout.model.attributes)
    of: dict[str, Parameter] = {"attributes": len(layout.model.attributes), "thresholds": thresholds}
    joint: dict[str, Parameter] = {**of, "nodes": NODES, "rounds": len(program.rounds)}
    last = Rank(NODES - 1)
    return [
        Measurement("clear_evaluation_us", 1e6 * seconds_per_call(lambda: evaluate(layout, given)), "us", of),
        Measurement("compile_ms", 1000 * seconds_per_call(lambda: compile_model(layout, NODES)), "ms", joint),
        Measurement("deal_ms", 1000 * seconds_per_call(lambda: deal(program, SESSION, SEEDS)), "ms", joint),
        Measurement(
            "expand_ms",
            1000 * seconds_per_call(lambda: expand(program, SESSION, last, SEEDS[last], corrections)),
            "ms",
            joint,
        ),
        Measurement(
            "joint_ms_per_node",
            1000 / NODES * seconds_per_call(lambda: _run_jointly(program, corrections)),
            "ms",
            joint,
        ),
        Measurement("replay_ms", 1000 * seconds_per_call(lambda: replay(program, SESSION, SEEDS, rows)), "ms", joint),
        Measurement("deal_bytes", len(corrections), "bytes", joint),
        Measurement(
            "round_bytes", sum(program.round_bytes), "bytes", {**joint, "from": "a node to another, all rounds"}
        ),
    ]


def _run_jointly(program: Program, corrections: bytes) -> list[bytes]:
    """Run the sessions of all nodes, expansion included; returns their output shares."""
    rows = [bytes(shape.size) for shape in program.body.rows]
    nodes = []
    for rank in map(Rank, range(NODES)):
        corrected = corrections if rank == NODES - 1 else None
        nodes.append(Session(program, SESSION, rank, rows, expand(program, SESSION, rank, SEEDS[rank], corrected)))
    pending: list[tuple[int, Payload]] = [(sender, node.start()) for sender, node in enumerate(nodes)]
    outputs: list[bytes] = []
    while pending:
        sender, payload = pending.pop(0)
        for receiver, node in enumerate(nodes):
            if receiver == sender:
                continue
            for step in node.receive(Rank(sender), payload.round, payload.data):
                if isinstance(step, Finished):
                    outputs.append(step.output)
                else:
                    pending.append((receiver, step))
    return outputs
