"""What a replica is in a validator set: a validator, or an observer that follows. Sets change, so it is asked anew."""

from collections.abc import Sequence

from ledger.types import PublicKey, ReplicaId, Validator


def registered_key(replica: ReplicaId, validators: Sequence[Validator]) -> PublicKey | None:
    """Return the vote key that a set has for a replica; None if it is no validator."""
    return next((validator.key for validator in validators if validator.replica == replica), None)


def is_validator(replica: ReplicaId, key: PublicKey | None, validators: Sequence[Validator]) -> bool:
    """Whether a replica that holds this vote key votes in a set: the set must have this very key for it.

    After the key was changed in the contract, a daemon that still holds the old one observes; and a key that moved to
    another daemon votes only there, else two daemons could contradict each other in its name.
    """
    return key is not None and registered_key(replica, validators) == key
