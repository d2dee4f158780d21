"""What a replica can prove against validators, told with their names."""

from typing import Any

from ledger.ports import Store
from ledger.types import Height, PublicKey, Vote
from mpcnode.config.consortium import Consortium


def describe_evidence(store: Store, consortium: Consortium) -> list[dict[str, Any]]:
    """Describe every proof of double voting: who, where, and both votes with their signatures."""
    return [
        {
            "member": _name(store, consortium, proof.first.height, proof.key),
            "key": proof.key.hex(),
            "height": proof.first.height,
            "view": proof.first.view,
            "votes": [_describe_vote(vote) for vote in (proof.first, proof.second)],
        }
        for proof in store.evidence()
    ]


def _describe_vote(vote: Vote) -> dict[str, Any]:
    return {"kind": vote.kind.name, "block": vote.block_hash.hex(), "signature": vote.signature.hex()}


def _name(store: Store, consortium: Consortium, height: Height, key: PublicKey) -> str | None:
    """Name of the member that voted with a key at a height; None if the consortium document does not list it."""
    replicas = {validator.key: validator.replica for validator in store.validators(Height(height - 1))}
    replica = replicas.get(key)
    return None if replica is None or replica >= len(consortium.members) else consortium.members[replica].name
