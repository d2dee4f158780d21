# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Registries as they might be one day
@notice For tests of new code: the storage of today's up to `model_count`, one more word, and other functions.
"""

models: HashMap[bytes32, uint256]
model_at: public(HashMap[uint256, bytes32])
model_count: uint256
doubled: uint256


@external
def migrate():
    """
    @notice The system, once: needs a model to work on.
    """
    assert msg.sender == empty(address), "SYSTEM_ONLY"
    assert self.model_count != 0, "NO_MODELS"
    self.doubled = 2 * self.model_count


@external
def note(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    """
    @notice A transaction that the code before did not know.
    """
    self.doubled += 1


@external
@view
def counts() -> (uint256, uint256):
    """
    @return Models as the code before counted them, and what the migration made of it.
    """
    return self.model_count, self.doubled
