"""The shell of a replica: one task owns the consensus core, one worker thread owns disk and contract."""

from ledger.replica.outcomes import CommittedBlock, ReplicaStatus, TxOutcome
from ledger.replica.replica import Replica
from ledger.replica.standing import registered_key

__all__ = ["CommittedBlock", "Replica", "ReplicaStatus", "TxOutcome", "registered_key"]
