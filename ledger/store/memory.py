"""A store that forgets everything with its process; for tests and simulations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ledger.consensus.messages import Record
from ledger.encoding import block_hash, encode_vote
from ledger.errors import StorageError
from ledger.ports import Children, Compaction, Decision, Equivocation, FoundLog, Place
from ledger.store.audit import Counts
from ledger.store.compaction import reach
from ledger.store.evidence import EVIDENCE_PER_KEY_MAX, EvidenceKey, evidence_key, ordered
from ledger.store.rows import check_node
from ledger.store.scratch import Scratch
from ledger.store.votes import check_above, check_consistent
from ledger.types import Address, BlockHash, FinalBlock, Header, Height, Receipt, TxId, Validator, Vote, VoteKind


@dataclass(slots=True)
class MemoryStore:
    """Keeps the contract of `ledger.ports.Store` in dictionaries."""

    fresh: bool = True
    """Whether it never voted, as far as is known."""
    _decisions: list[Decision] = field(default_factory=list)
    _places: dict[TxId, Place] = field(default_factory=dict)
    _nodes: dict[bytes, bytes] = field(default_factory=dict)
    _states_from: Height = Height(0)
    _records: list[Record] = field(default_factory=list)
    _votes: dict[tuple[int, int, VoteKind], Vote] = field(default_factory=dict)
    _rejoins: dict[Height, bytes] = field(default_factory=dict)
    _evidence: dict[EvidenceKey, Equivocation] = field(default_factory=dict)

    def height(self) -> Height | None:
        """Height of the newest block."""
        return Height(len(self._decisions) - 1) if self._decisions else None

    def header(self, height: Height) -> Header | None:
        """Header of a block."""
        found = self._decision(height)
        return found.final.block.header if found else None

    def final(self, height: Height) -> FinalBlock | None:
        """Block and certificate."""
        found = self._decision(height)
        return found.final if found else None

    def find_block(self, block: BlockHash) -> Height | None:
        """Height of the block with this hash."""
        headers = (decision.final.block.header for decision in self._decisions)
        return next((header.height for header in headers if block_hash(header) == block), None)

    def receipts(self, height: Height) -> tuple[Receipt, ...]:
        """Receipts of a block."""
        found = self._decision(height)
        return found.receipts if found else ()

    def validators(self, height: Height) -> tuple[Validator, ...]:
        """Set that decides the height after this block."""
        found = self._decision(height)
        return found.validators if found else ()

    def locate(self, tx_id: TxId) -> Place | None:
        """Where a transaction is."""
        return self._places.get(tx_id)

    def find_logs(
        self, first: Height, last: Height, address: Address | None = None, topic: bytes | None = None
    ) -> tuple[FoundLog, ...]:
        """Events of some blocks."""
        return tuple(
            FoundLog(height=Height(height), tx_index=tx_index, log_index=log_index, log=log)
            for height in range(max(first, 0), min(last + 1, len(self._decisions)))
            for tx_index, receipt in enumerate(self._decisions[height].receipts)
            for log_index, log in enumerate(receipt.logs)
            if address in {None, log.address} and topic in {None, *log.topics[:1]}
        )

    def read_node(self, key: bytes) -> bytes | None:
        """Return a node of the state."""
        value = self._nodes.get(key)
        if value is not None:
            check_node(key, value)
        return value

    def commit(self, decision: Decision) -> None:
        """Append a block."""
        header = decision.final.block.header
        if header.height != len(self._decisions):
            raise StorageError(f"commit: expected height {len(self._decisions)}, got {header.height}")
        if self._decisions and header.previous != block_hash(self._decisions[-1].final.block.header):
            raise StorageError(f"commit: expected a block on the newest one, got one on {header.previous.hex()}")
        if any(tx_id in self._places for tx_id in decision.tx_ids):
            raise StorageError("commit: expected new transactions, got one of an earlier block")
        self._decisions.append(decision)
        self._places |= {tx_id: Place(header.height, index) for index, tx_id in enumerate(decision.tx_ids)}
        self._nodes |= decision.nodes
        self._records = [record for record in self._records if record.height > header.height]

    def states_from(self) -> Height:
        """Lowest height from which on every block's state is there."""
        return self._states_from

    def compact(self, children: Children, states: int) -> Compaction:
        """Remove what the newest states do not reach, all at once."""
        states_from = max(self._states_from, len(self._decisions) - states)
        roots = [decision.final.block.header.state_root for decision in self._decisions[states_from:]]
        kept: set[bytes] = set()
        for key in reach(roots, self.read_node, children, lambda key: key not in kept):
            kept.add(key)
        removed = len(self._nodes) - len(kept)
        self._nodes = {key: self._nodes[key] for key in kept}
        self._states_from = Height(states_from)
        return Compaction(kept=len(kept), removed=removed, states_from=self._states_from, done=True)

    def check_nodes(self, after: bytes) -> bytes | None:
        """Check the nodes after a key, all at once."""
        keys = sorted(key for key in self._nodes if key > after)
        for key in keys:
            check_node(key, self._nodes[key])
        return keys[-1] if keys else None

    def wants_compaction(self, states: int) -> bool:  # noqa: ARG002
        """Memory ends with its process."""
        return False

    def append(self, records: Sequence[Record]) -> None:
        """Keep records."""
        for record in records:
            if not isinstance(record, Vote):
                self._records.append(record)
                continue
            self.fresh = False
            if check_consistent(record, self._votes.get):
                self._votes[record.height, record.view, record.kind] = record

    def records(self, height: Height) -> tuple[Record, ...]:
        """All records of a height: own votes, then the others."""
        votes = (vote for place, vote in sorted(self._votes.items()) if place[0] == height)
        return (*votes, *(record for record in self._records if record.height == height))

    def newest_vote(self) -> Vote | None:
        """The own vote of the highest height and view."""
        return self._votes[max(self._votes)] if self._votes else None

    def has_never_voted(self) -> bool:
        """Whether this store is new."""
        return self.fresh

    def rejoin(self, whole_from: Height, grounds: bytes) -> None:
        """Keep from where on the log is whole."""
        check_above(whole_from, self.whole_from(), self.newest_vote())
        self._rejoins[whole_from] = grounds

    def whole_from(self) -> Height:
        """Return from where on the log is whole."""
        return max(self._rejoins, default=Height(0))

    def accuse(self, proof: Equivocation) -> bool:
        """Keep a proof."""
        proof = ordered(proof)
        held = sum(other.key == proof.key for other in self._evidence.values())
        if evidence_key(proof) in self._evidence or held >= EVIDENCE_PER_KEY_MAX:
            return False
        self._evidence[evidence_key(proof)] = proof
        return True

    def evidence(self) -> tuple[Equivocation, ...]:
        """Every proof, in order."""
        return tuple(proof for _, proof in sorted(self._evidence.items()))

    def maintain(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to give back."""

    def counts(self) -> Counts:
        """Count what verification compares."""
        logs = sum(len(receipt.logs) for decision in self._decisions for receipt in decision.receipts)
        written = sum(len(decision.nodes) for decision in self._decisions)
        return Counts(blocks=len(self._decisions), txs=len(self._places), logs=logs, written=written)

    def scan_nodes(self) -> Iterator[tuple[bytes, bytes]]:
        """Every node of the state."""
        yield from self._nodes.items()

    def scan_votes(self) -> Iterator[tuple[tuple[int, int, int], bytes]]:
        """Every own vote, in order."""
        yield from ((place, encode_vote(vote)) for place, vote in sorted(self._votes.items()))

    def scratch(self) -> Scratch:
        """Room in memory."""
        return Scratch(None)

    def check_structure(self) -> None:
        """Nothing that could break."""

    def _decision(self, height: Height) -> Decision | None:
        return self._decisions[height] if 0 <= height < len(self._decisions) else None
