# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Registries
@notice Models, inquirers, the supervisor's key epoch.
@dev Models and inquirers have an index each, append-only: a query stores indices, not hashes and addresses.
"""

MODES: constant(uint256) = 3
PURPOSES_MAX: constant(uint256) = 64
MODEL_PURPOSES_MAX: constant(uint256) = 16
KNOWN: constant(uint256) = 1 << 224
ACTIVE: constant(uint256) = 1

# hash -> classes (128 bits) | minimum << 128 | mode << 136 | index << 144 | purposes (64 bits) << 160 | KNOWN
models: HashMap[bytes32, uint256]
model_at: public(HashMap[uint256, bytes32])
model_count: uint256
# text -> its bit, bit -> its text
purpose_bits: HashMap[bytes32, uint256]
purpose_texts: HashMap[uint256, bytes32]
purpose_count: uint256
# address -> ACTIVE | company << 8 | quota a day << 16 (32 bits) | index << 48 (32 bits)
inquirers: HashMap[address, uint256]
inquirer_at: public(HashMap[uint256, address])
inquirer_count: uint256
epoch_number: uint256
audit_key: bytes32
archive_key: bytes32


@internal
@view
def _system_only():
    assert msg.sender == empty(address) and block.number == 0, "SYSTEM_ONLY"


@external
def set_epoch(number: uint256, audit_key: bytes32, archive_key: bytes32):
    """
    @notice Genesis: the supervisor's keys.
    """
    self._system_only()
    assert number < 1 << 32, "EPOCH"
    self.epoch_number = number
    self.audit_key = audit_key
    self.archive_key = archive_key


@external
def add_model(
    model: bytes32, classes: uint256, minimum: uint256, mode: uint256, purposes: DynArray[bytes32, MODEL_PURPOSES_MAX]
):
    """
    @notice Genesis: add a model.
    """
    self._system_only()
    assert self.models[model] == 0, "MODEL_EXISTS"
    assert 0 < classes and classes < 1 << 128, "CLASSES"
    assert 0 < minimum and minimum <= 128, "MINIMUM"
    assert 0 < mode and mode <= MODES, "MODE"
    index: uint256 = self.model_count
    assert index < 1 << 16, "MODELS_FULL"
    allowed: uint256 = 0
    for purpose: bytes32 in purposes:
        assert purpose != empty(bytes32), "PURPOSE"
        bit: uint256 = self.purpose_bits[purpose]
        if bit == 0:
            assert self.purpose_count < PURPOSES_MAX, "PURPOSES_FULL"
            bit = 1 << self.purpose_count
            self.purpose_count += 1
            self.purpose_bits[purpose] = bit
            self.purpose_texts[bit] = purpose
        allowed |= bit
    self.models[model] = classes | minimum << 128 | mode << 136 | index << 144 | allowed << 160 | KNOWN
    self.model_at[index] = model
    self.model_count = index + 1


@external
def add_inquirer(who: address, company: uint256, quota: uint256):
    """
    @notice Genesis: add somebody who may ask, at most `quota` queries a day (UTC).
    """
    self._system_only()
    assert who != empty(address) and self.inquirers[who] == 0, "INQUIRER_EXISTS"
    assert company < 128, "UNKNOWN_COMPANY"
    assert quota < 1 << 32, "QUOTA"
    index: uint256 = self.inquirer_count
    assert index < 1 << 32, "INQUIRERS_FULL"
    self.inquirers[who] = ACTIVE | company << 8 | quota << 16 | index << 48
    self.inquirer_at[index] = who
    self.inquirer_count = index + 1


@external
@view
def admit(who: address, model: bytes32, purpose: bytes32) -> (uint256, uint256, uint256):
    """
    @notice What a registration needs.
    @return The inquirer's word, the model's, and epoch << 1 | whether the model may be asked for that purpose.
    """
    word: uint256 = self.models[model]
    allowed: uint256 = 0
    if (word >> 160) & self.purpose_bits[purpose] != 0:
        allowed = 1
    return self.inquirers[who], word, self.epoch_number << 1 | allowed


@external
@view
def model(model: bytes32) -> (bool, uint256, uint256, uint8, uint8, DynArray[bytes32, MODEL_PURPOSES_MAX]):
    """
    @return Known, index, classes, minimum, mode, purposes.
    """
    word: uint256 = self.models[model]
    purposes: DynArray[bytes32, MODEL_PURPOSES_MAX] = []
    rest: uint256 = (word >> 160) & (1 << PURPOSES_MAX) - 1
    for i: uint256 in range(MODEL_PURPOSES_MAX):
        if rest == 0:
            break
        bit: uint256 = rest & unsafe_add(~rest, 1)
        purposes.append(self.purpose_texts[bit])
        rest ^= bit
    return (
        word & KNOWN != 0,
        (word >> 144) & 65535,
        word & (1 << 128) - 1,
        convert((word >> 128) & 255, uint8),
        convert((word >> 136) & 255, uint8),
        purposes,
    )


@external
@view
def inquirer(who: address) -> (uint8, bool, uint256):
    """
    @return Company, active, queries a day.
    """
    word: uint256 = self.inquirers[who]
    return convert((word >> 8) & 255, uint8), word & ACTIVE != 0, (word >> 16) & (1 << 32) - 1


@external
@view
def epoch() -> (uint256, bytes32, bytes32):
    """
    @return Number, audit key, archive key.
    """
    return self.epoch_number, self.audit_key, self.archive_key
