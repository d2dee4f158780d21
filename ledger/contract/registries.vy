# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Registries
@notice What holds at present: models and who approved them, inquirers and their quotas, fees, the supervisor's key
        epochs, participants' OPRF keys (docs/ledger.md, Registries).
@dev Models and inquirers have an index each, append-only: a query stores indices, not hashes and addresses.
"""

interface Members:
    def seat(who: address) -> uint256: view
    def by_index(index: uint8) -> address: view
    def role(role: uint256) -> uint256: view
    def suppliers(classes: uint256) -> uint256: view
    def supplying_companies(classes: uint256) -> uint256: view
    def company_count() -> uint256: view

struct Epoch:
    audit_key: bytes32
    archive_key: bytes32
    since: uint256

struct Oprf:
    # state (8 bits) | threshold << 8 | budget << 16 (64 bits)
    head: uint256
    holders: uint256
    # holders that have yet to commit, then those that have yet to reveal
    waiting: uint256

event ModelPublished:
    model: indexed(bytes32)
    index: uint16
    classes: uint256
    minimum: uint8
    mode: uint8
    purposes: DynArray[bytes32, 16]
    reach: uint8
    share: uint16

event ModelApproved:
    model: indexed(bytes32)
    participant: indexed(uint8)
    approved: bool

event ModelRetired:
    model: indexed(bytes32)

event IsolationChanged:
    reach_max: uint8
    share_max: uint16
    spare: uint8

event InquirerAdded:
    who: indexed(address)
    index: uint32
    company: uint8
    quota: uint32

event QuotaChanged:
    who: indexed(address)
    quota: uint32

event InquirerSuspended:
    who: indexed(address)

event InquirerResumed:
    who: indexed(address)

event InquirerRotated:
    who: indexed(address)
    successor: indexed(address)

event FeesChanged:
    model: indexed(bytes32)
    since: uint64
    asked: uint64
    contributed: uint64
    computed: uint64

event EpochBegan:
    number: indexed(uint32)
    audit_key: bytes32
    archive_key: bytes32

event OprfOpened:
    participant: indexed(uint8)
    version: indexed(uint32)
    holders: uint256
    threshold: uint8
    budget: uint64

event OprfCommitted:
    participant: indexed(uint8)
    version: indexed(uint32)
    holder: uint8
    digest: bytes32

event OprfRevealed:
    participant: indexed(uint8)
    version: indexed(uint32)
    holder: uint8
    point: bytes32
    proof: Bytes[128]

event OprfChanged:
    participant: indexed(uint8)
    version: indexed(uint32)
    state: uint8

MEMBERS: constant(address) = 0x0000000000000000000000000000000000000100
GOVERNANCE: constant(address) = 0x0000000000000000000000000000000000000103
ROLE_MPC: constant(uint256) = 2
ROLE_PARTICIPANT: constant(uint256) = 4
SEAT_MPC: constant(uint256) = 2 << 16
SEAT_PARTICIPANT: constant(uint256) = 4 << 16
SEAT_SUPERVISOR: constant(uint256) = 8 << 16
SEAT_ACTIVE: constant(uint256) = 1 << 24

MODES: constant(uint256) = 3
PURPOSES_MAX: constant(uint256) = 64
MODEL_PURPOSES_MAX: constant(uint256) = 16
KNOWN: constant(uint256) = 1 << 224
RETIRED: constant(uint256) = 1 << 225
REACH: constant(uint256) = 226
SHARE: constant(uint256) = 234
PERMILLE: constant(uint256) = 1000
ACTIVE: constant(uint256) = 1
INQUIRER: constant(uint256) = 1 << 80
FEES_MAX: constant(uint256) = 1024
FEES_STEPS: constant(uint256) = 11

# States of an OPRF key.
COMMITTING: constant(uint256) = 1
REVEALING: constant(uint256) = 2
SERVING: constant(uint256) = 3
RETIRED_KEY: constant(uint256) = 4

MASK_128: constant(uint256) = 2**128 - 1
MASK_64: constant(uint256) = 2**64 - 1
MASK_48: constant(uint256) = 2**48 - 1
MASK_32: constant(uint256) = 2**32 - 1

# hash -> classes (128 bits) | minimum << 128 | mode << 136 | index << 144 | purposes (64 bits) << 160 | KNOWN | RETIRED
# | reach << 226 (8 bits) | share << 234 (10 bits)
models: HashMap[bytes32, uint256]
model_at: public(HashMap[uint256, bytes32])
model_count: public(uint256)
# hash -> participants that answer queries for this model
approvals: HashMap[bytes32, uint256]
# text -> its bit, bit -> its text
purpose_bits: HashMap[bytes32, uint256]
purpose_texts: HashMap[uint256, bytes32]
purpose_count: uint256
# What a new model must keep to: reach (8 bits) | share << 8 (16 bits) | spare << 24 (8 bits)
isolation_limits: uint256
# address -> ACTIVE | company << 8 | quota a day << 16 (32 bits) | index << 48 (32 bits) | INQUIRER, always
inquirers: HashMap[address, uint256]
inquirer_at: public(HashMap[uint256, address])
inquirer_count: public(uint256)
# model's index << 32 | number -> since (48 bits) | asked << 48 | contributed << 112 | computed << 176
fee_words: HashMap[uint256, uint256]
fee_counts: HashMap[uint256, uint256]
epoch_number: uint256
epochs: HashMap[uint256, Epoch]
# participant -> newest version; participant << 32 | version -> the key; that << 8 | holder -> its digest, later its point
oprf_versions: HashMap[uint256, uint256]
oprf_keys: HashMap[uint256, Oprf]
oprf_words: HashMap[uint256, bytes32]


@internal
@view
def _governed():
    assert (msg.sender == empty(address) and block.number == 0) or msg.sender == GOVERNANCE, "GOVERNED"


@internal
@view
def _seat(role: uint256) -> uint256:
    """
    @return The sender's seat, 0 unless it is active and has the role.
    """
    seat: uint256 = staticcall Members(MEMBERS).seat(msg.sender, skip_contract_check=True)
    if seat & SEAT_ACTIVE == 0 or seat & role == 0:
        return 0
    return seat


@internal
@pure
def _count(members: uint256) -> uint256:
    rest: uint256 = members
    found: uint256 = 0
    for i: uint256 in range(256):
        if rest == 0:
            break
        rest &= unsafe_sub(rest, 1)
        found = unsafe_add(found, 1)
    return found


# ---------------------------------------------------------------- models


@external
def publish_model(
    model: bytes32,
    classes: uint256,
    minimum: uint256,
    mode: uint256,
    purposes: DynArray[bytes32, MODEL_PURPOSES_MAX],
    reach: uint256,
    share: uint256,
):
    """
    @notice Add a model. It asks nobody who has not approved it; the companies that found a chain approve theirs.
    @param reach The most output classes that one supplier alone can choose among; 0 at genesis: not stated.
    @param share The largest share that one supplier has of the range of points, in permille; 0 at genesis: not stated.
    """
    self._governed()
    assert model != empty(bytes32), "MODEL_HASH"
    assert self.models[model] == 0, "MODEL_EXISTS"
    assert 0 < classes and classes < 1 << 128, "CLASSES"
    assert 0 < minimum and minimum <= 128, "MINIMUM"
    assert 0 < mode and mode <= MODES, "MODE"
    assert reach < 256 and share <= PERMILLE, "ISOLATION"
    index: uint256 = self.model_count
    assert index < 1 << 16, "MODELS_FULL"
    if block.number == 0:
        self.approvals[model] = staticcall Members(MEMBERS).role(ROLE_PARTICIPANT, skip_contract_check=True)
    else:
        self._check_isolation(classes, minimum, reach, share)
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
    self.models[model] = (
        classes | minimum << 128 | mode << 136 | index << 144 | allowed << 160 | KNOWN | reach << REACH | share << SHARE
    )
    self.model_at[index] = model
    self.model_count = index + 1
    log ModelPublished(
        model=model,
        index=convert(index, uint16),
        classes=classes,
        minimum=convert(minimum, uint8),
        mode=convert(mode, uint8),
        purposes=purposes,
        reach=convert(reach, uint8),
        share=convert(share, uint16),
    )


@internal
@view
def _check_isolation(classes: uint256, minimum: uint256, reach: uint256, share: uint256):
    """
    @notice No supplier's data stands out of an answer: it alone chooses among few outputs, moves part of the points
            only, and is not needed for there to be enough of them.
    """
    limits: uint256 = self.isolation_limits
    assert 0 < reach and reach <= limits & 255, "ISOLATION"
    assert 0 < share and share <= (limits >> 8) & 65535, "ISOLATION"
    companies: uint256 = staticcall Members(MEMBERS).supplying_companies(classes, skip_contract_check=True)
    assert self._count(companies) >= minimum + (limits >> 24), "SUPPLIERS_TOO_FEW"


@external
def retire_model(model: bytes32):
    """
    @notice No more queries for it; those that run go on.
    """
    self._governed()
    word: uint256 = self.models[model]
    assert word != 0, "UNKNOWN_MODEL"
    assert word & RETIRED == 0, "MODEL_RETIRED"
    self.models[model] = word | RETIRED
    log ModelRetired(model=model)


@external
def set_isolation(reach_max: uint256, share_max: uint256, spare: uint256):
    """
    @notice What models published from now on must keep to.
    @param spare How many more companies than the minimum must supply a class.
    """
    self._governed()
    assert 0 < reach_max and reach_max < 256 and 0 < share_max and share_max <= PERMILLE, "ISOLATION"
    assert spare < 128, "ISOLATION"
    self.isolation_limits = reach_max | share_max << 8 | spare << 24
    log IsolationChanged(
        reach_max=convert(reach_max, uint8), share_max=convert(share_max, uint16), spare=convert(spare, uint8)
    )


@external
def approve_model(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    model: bytes32 = empty(bytes32)
    approved: bool = False
    model, approved = abi_decode(args, (bytes32, bool))
    seat: uint256 = self._seat(SEAT_PARTICIPANT)
    assert seat != 0, "PARTICIPANT_ONLY"
    word: uint256 = self.models[model]
    assert word != 0, "UNKNOWN_MODEL"
    assert not approved or word & RETIRED == 0, "MODEL_RETIRED"
    bit: uint256 = 1 << (seat & 255)
    assert (self.approvals[model] & bit != 0) != approved, "APPROVAL_SAME"
    self.approvals[model] ^= bit
    log ModelApproved(model=model, participant=convert(seat & 255, uint8), approved=approved)


# ---------------------------------------------------------------- inquirers


@external
def add_inquirer(who: address, company: uint256, quota: uint256):
    """
    @notice Add somebody who may ask, at most `quota` queries a day (UTC).
    """
    self._governed()
    assert who != empty(address) and self.inquirers[who] == 0, "INQUIRER_EXISTS"
    assert company < staticcall Members(MEMBERS).company_count(skip_contract_check=True), "UNKNOWN_COMPANY"
    assert quota < 1 << 32, "QUOTA"
    index: uint256 = self.inquirer_count
    assert index < 1 << 32, "INQUIRERS_FULL"
    self.inquirers[who] = ACTIVE | company << 8 | quota << 16 | index << 48 | INQUIRER
    self.inquirer_at[index] = who
    self.inquirer_count = index + 1
    log InquirerAdded(
        who=who, index=convert(index, uint32), company=convert(company, uint8), quota=convert(quota, uint32)
    )


@external
def set_quota(who: address, quota: uint256):
    """
    @notice How many queries a day an inquirer may ask, today's included.
    """
    word: uint256 = self._inquirer(who)
    assert quota < 1 << 32, "QUOTA"
    self.inquirers[who] = word & ~(MASK_32 << 16) | quota << 16
    log QuotaChanged(who=who, quota=convert(quota, uint32))


@external
def suspend_inquirer(who: address):
    """
    @notice An inquirer that may not ask for now.
    """
    word: uint256 = self._inquirer(who)
    assert word & ACTIVE != 0, "NOT_ACTIVE"
    self.inquirers[who] = word ^ ACTIVE
    log InquirerSuspended(who=who)


@external
def resume_inquirer(who: address):
    """
    @notice End a suspension.
    """
    word: uint256 = self._inquirer(who)
    assert word & ACTIVE == 0, "ACTIVE"
    self.inquirers[who] = word ^ ACTIVE
    log InquirerResumed(who=who)


@external
def rotate_inquirer(who: address, successor: address):
    """
    @notice Another key for an inquirer; the old one is never anybody's again.
    """
    word: uint256 = self._inquirer(who)
    assert successor != empty(address) and self.inquirers[successor] == 0, "INQUIRER_EXISTS"
    self.inquirers[successor] = word
    self.inquirers[who] = word & ~ACTIVE
    self.inquirer_at[(word >> 48) & MASK_32] = successor
    log InquirerRotated(who=who, successor=successor)


@internal
@view
def _inquirer(who: address) -> uint256:
    """
    @return The word of an inquirer whose key was not replaced, for governance only.
    """
    self._governed()
    word: uint256 = self.inquirers[who]
    assert word != 0 and self.inquirer_at[(word >> 48) & MASK_32] == who, "UNKNOWN_INQUIRER"
    return word


# ---------------------------------------------------------------- fees


@external
def set_fees(model: bytes32, since: uint256, asked: uint256, contributed: uint256, computed: uint256):
    """
    @notice What an answered query costs whoever asked, and what is due to each participant that contributed and to
            each node that computed; in the unit that the companies settle in. It holds for queries registered at
            `since` (ms) or later, or from this block on if that is past. Fees that are yet to come are replaced.
    """
    self._governed()
    word: uint256 = self.models[model]
    assert word != 0, "UNKNOWN_MODEL"
    assert since <= MASK_48 and asked <= MASK_64 and contributed <= MASK_64 and computed <= MASK_64, "FEES"
    index: uint256 = ((word >> 144) & 65535) << 32
    number: uint256 = self.fee_counts[index]
    if number == 0 or self.fee_words[index | number - 1] & MASK_48 <= block.timestamp:
        assert number < FEES_MAX, "FEES_FULL"
        self.fee_counts[index] = number + 1
    else:
        number -= 1
    start: uint256 = max(since, block.timestamp)
    self.fee_words[index | number] = start | asked << 48 | contributed << 112 | computed << 176
    log FeesChanged(
        model=model,
        since=convert(start, uint64),
        asked=convert(asked, uint64),
        contributed=convert(contributed, uint64),
        computed=convert(computed, uint64),
    )


# ---------------------------------------------------------------- the supervisor's keys


@external
def set_epoch(number: uint256, audit_key: bytes32, archive_key: bytes32):
    """
    @notice Another archive key of the supervisor, and with it another audit key.
    """
    self._governed()
    assert number < 1 << 32 and number > self.epoch_number, "EPOCH"
    self._begin_epoch(number, audit_key, archive_key)


@external
def rotate_audit_key(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    number: uint256 = 0
    audit_key: bytes32 = empty(bytes32)
    number, audit_key = abi_decode(args, (uint256, bytes32))
    assert self._seat(SEAT_SUPERVISOR) != 0, "SUPERVISOR_ONLY"
    assert number < 1 << 32 and number == self.epoch_number + 1, "EPOCH"
    self._begin_epoch(number, audit_key, self.epochs[self.epoch_number].archive_key)


@internal
def _begin_epoch(number: uint256, audit_key: bytes32, archive_key: bytes32):
    assert audit_key != empty(bytes32) and archive_key != empty(bytes32), "EPOCH"
    assert audit_key != archive_key and audit_key != self.epochs[self.epoch_number].audit_key, "EPOCH"
    self.epoch_number = number
    self.epochs[number] = Epoch(audit_key=audit_key, archive_key=archive_key, since=block.timestamp)
    log EpochBegan(number=convert(number, uint32), audit_key=audit_key, archive_key=archive_key)


# ---------------------------------------------------------------- OPRF keys of participants


@external
def open_oprf(participant: uint256, holders: uint256, threshold: uint256, budget: uint256):
    """
    @notice Let MPC members make another key for a participant's pseudonyms, shared among them. A version that was not
            finished is given up; one that serves goes on until the participant retires it.
    @param budget How often each holder may evaluate it.
    """
    self._governed()
    assert participant < 128, "UNKNOWN_MEMBER"
    bit: uint256 = 1 << participant
    assert staticcall Members(MEMBERS).role(ROLE_PARTICIPANT, skip_contract_check=True) & bit != 0, "UNKNOWN_MEMBER"
    nodes: uint256 = staticcall Members(MEMBERS).role(ROLE_MPC, skip_contract_check=True)
    assert holders & ~nodes == 0, "HOLDERS"
    assert 1 < threshold and threshold <= self._count(holders), "THRESHOLD"
    assert budget <= MASK_64, "BUDGET"
    version: uint256 = self.oprf_versions[participant]
    assert version < MASK_32, "OPRF_FULL"
    before: uint256 = self.oprf_keys[participant << 32 | version].head & 255
    if before == COMMITTING or before == REVEALING:
        self._set_oprf_state(participant, version, RETIRED_KEY)
    version += 1
    self.oprf_versions[participant] = version
    self.oprf_keys[participant << 32 | version] = Oprf(
        head=COMMITTING | threshold << 8 | budget << 16, holders=holders, waiting=holders
    )
    log OprfOpened(
        participant=convert(participant, uint8),
        version=convert(version, uint32),
        holders=holders,
        threshold=convert(threshold, uint8),
        budget=convert(budget, uint64),
    )


@external
def commit_oprf(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    participant: uint256 = 0
    version: uint256 = 0
    digest: bytes32 = empty(bytes32)
    participant, version, digest = abi_decode(args, (uint256, uint256, bytes32))
    assert digest != empty(bytes32), "COMMITMENTS"
    holder: uint256 = self._holder(participant, version, COMMITTING)
    self.oprf_words[(participant << 32 | version) << 8 | holder] = digest
    log OprfCommitted(
        participant=convert(participant, uint8),
        version=convert(version, uint32),
        holder=convert(holder, uint8),
        digest=digest,
    )
    self._oprf_step(participant, version, holder, REVEALING)


@external
def reveal_oprf(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    participant: uint256 = 0
    version: uint256 = 0
    point: bytes32 = empty(bytes32)
    salt: bytes32 = empty(bytes32)
    proof: Bytes[128] = b""
    participant, version, point, salt, proof = abi_decode(args, (uint256, uint256, bytes32, bytes32, Bytes[128]))
    holder: uint256 = self._holder(participant, version, REVEALING)
    place: uint256 = (participant << 32 | version) << 8 | holder
    digest: bytes32 = sha256(
        concat(
            convert(participant, bytes32), convert(version, bytes32), convert(holder, bytes32), point, salt, proof
        )
    )
    assert point != empty(bytes32) and self.oprf_words[place] == digest, "COMMITMENTS"
    self.oprf_words[place] = point
    log OprfRevealed(
        participant=convert(participant, uint8),
        version=convert(version, uint32),
        holder=convert(holder, uint8),
        point=point,
        proof=proof,
    )
    self._oprf_step(participant, version, holder, SERVING)


@external
def retire_oprf(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    version: uint256 = abi_decode(args, uint256)
    seat: uint256 = self._seat(SEAT_PARTICIPANT)
    assert seat != 0, "PARTICIPANT_ONLY"
    assert version <= MASK_32, "WRONG_STATE"
    assert self.oprf_keys[(seat & 255) << 32 | version].head & 255 == SERVING, "WRONG_STATE"
    self._set_oprf_state(seat & 255, version, RETIRED_KEY)


@internal
@view
def _holder(participant: uint256, version: uint256, state: uint256) -> uint256:
    """
    @return The sender's index, if it is its turn to commit or reveal.
    """
    seat: uint256 = self._seat(SEAT_MPC)
    assert seat != 0 and participant < 128 and version <= MASK_32, "NOT_A_HOLDER"
    key: Oprf = self.oprf_keys[participant << 32 | version]
    bit: uint256 = 1 << (seat & 255)
    assert key.holders & bit != 0, "NOT_A_HOLDER"
    assert key.head & 255 == state, "WRONG_STATE"
    assert key.waiting & bit != 0, "ALREADY_CONTRIBUTED"
    return seat & 255


@internal
def _oprf_step(participant: uint256, version: uint256, holder: uint256, following: uint256):
    """
    @notice One holder fewer to wait for; after the last one the next state, with all of them to wait for again.
    """
    place: uint256 = participant << 32 | version
    waiting: uint256 = self.oprf_keys[place].waiting ^ (1 << holder)
    if waiting == 0:
        waiting = self.oprf_keys[place].holders
        self._set_oprf_state(participant, version, following)
    self.oprf_keys[place].waiting = waiting


@internal
def _set_oprf_state(participant: uint256, version: uint256, state: uint256):
    place: uint256 = participant << 32 | version
    self.oprf_keys[place].head = (self.oprf_keys[place].head >> 8) << 8 | state
    log OprfChanged(
        participant=convert(participant, uint8), version=convert(version, uint32), state=convert(state, uint8)
    )


# ---------------------------------------------------------------- for the other contracts


@external
@view
def admit(who: address, model: bytes32, purpose: bytes32) -> (uint256, uint256, uint256, uint256):
    """
    @notice What a registration needs.
    @return The inquirer's word, the model's, epoch << 1 | whether the model may be asked for that purpose, and the
            participants that approved the model.
    """
    word: uint256 = self.models[model]
    allowed: uint256 = 0
    if (word >> 160) & MASK_64 & self.purpose_bits[purpose] != 0:
        allowed = 1
    return self.inquirers[who], word, self.epoch_number << 1 | allowed, self.approvals[model]


# ---------------------------------------------------------------- for readers


@external
@view
def model(
    model: bytes32,
) -> (bool, uint256, uint256, uint8, uint8, DynArray[bytes32, MODEL_PURPOSES_MAX], bool, uint256, uint8, uint16):
    """
    @return Known, index, classes, minimum, mode, purposes, retired, participants that approved it, reach, share.
    """
    word: uint256 = self.models[model]
    purposes: DynArray[bytes32, MODEL_PURPOSES_MAX] = []
    rest: uint256 = (word >> 160) & MASK_64
    for i: uint256 in range(MODEL_PURPOSES_MAX):
        if rest == 0:
            break
        bit: uint256 = rest & unsafe_add(~rest, 1)
        purposes.append(self.purpose_texts[bit])
        rest ^= bit
    return (
        word & KNOWN != 0,
        (word >> 144) & 65535,
        word & MASK_128,
        convert((word >> 128) & 255, uint8),
        convert((word >> 136) & 255, uint8),
        purposes,
        word & RETIRED != 0,
        self.approvals[model],
        convert((word >> REACH) & 255, uint8),
        convert((word >> SHARE) & 1023, uint16),
    )


@external
@view
def panel(model: bytes32) -> uint256:
    """
    @return The participants that a query for this model asks now: active, with a class of it, and they approved it.
    """
    classes: uint256 = self.models[model] & MASK_128
    return staticcall Members(MEMBERS).suppliers(classes, skip_contract_check=True) & self.approvals[model]


@external
@view
def isolation() -> (uint8, uint16, uint8):
    """
    @return Largest reach, largest share in permille, companies beyond the minimum.
    """
    limits: uint256 = self.isolation_limits
    return convert(limits & 255, uint8), convert((limits >> 8) & 65535, uint16), convert(limits >> 24, uint8)


@external
@view
def inquirer(who: address) -> (uint8, bool, uint256):
    """
    @return Company, active, queries a day.
    """
    word: uint256 = self.inquirers[who]
    return convert((word >> 8) & 255, uint8), word & ACTIVE != 0, (word >> 16) & MASK_32


@external
@view
def fees(model: bytes32, at: uint256) -> (uint64, uint64, uint64, uint64):
    """
    @param at Time in ms: of a query's registration, say.
    @return Since when these fees hold, for the query, for each contribution, for each computing node; all zero where
            none were set.
    """
    index: uint256 = ((self.models[model] >> 144) & 65535) << 32
    # how many begin at that time or before: they are in order of time
    begun: uint256 = 0
    above: uint256 = self.fee_counts[index]
    if self.models[model] == 0:
        above = 0
    for step: uint256 in range(FEES_STEPS):
        if begun == above:
            break
        middle: uint256 = (begun + above) // 2
        if self.fee_words[index | middle] & MASK_48 <= at:
            begun = middle + 1
        else:
            above = middle
    if begun == 0:
        return 0, 0, 0, 0
    word: uint256 = self.fee_words[index | begun - 1]
    return (
        convert(word & MASK_48, uint64),
        convert((word >> 48) & MASK_64, uint64),
        convert((word >> 112) & MASK_64, uint64),
        convert((word >> 176) & MASK_64, uint64),
    )


@external
@view
def epoch() -> (uint256, bytes32, bytes32):
    """
    @return Number, audit key, archive key.
    """
    found: Epoch = self.epochs[self.epoch_number]
    return self.epoch_number, found.audit_key, found.archive_key


@external
@view
def epoch_at(number: uint256) -> (bytes32, bytes32, uint64):
    """
    @return Audit key, archive key, block time from which they held; all zero if there was no such epoch.
    """
    found: Epoch = self.epochs[number]
    return found.audit_key, found.archive_key, convert(found.since, uint64)


@external
@view
def oprf(participant: uint8, version: uint32) -> (uint8, uint256, uint256, uint8, uint64):
    """
    @return State (0 none, 1 committing, 2 revealing, 3 serving, 4 retired), holders, those waited for, threshold,
            budget.
    """
    key: Oprf = self.oprf_keys[convert(participant, uint256) << 32 | convert(version, uint256)]
    state: uint256 = key.head & 255
    waiting: uint256 = key.waiting
    if state >= SERVING:
        waiting = 0
    return (
        convert(state, uint8),
        key.holders,
        waiting,
        convert((key.head >> 8) & 255, uint8),
        convert((key.head >> 16) & MASK_64, uint64),
    )


@external
@view
def oprf_version(participant: uint8) -> uint256:
    """
    @return The newest version of a participant's key; 0 if there is none.
    """
    return self.oprf_versions[convert(participant, uint256)]


@external
@view
def oprf_share(participant: uint8, version: uint32, holder: uint8) -> bytes32:
    """
    @return The public point of a holder's share; before it is revealed, the digest that it committed to.
    """
    place: uint256 = convert(participant, uint256) << 32 | convert(version, uint256)
    return self.oprf_words[place << 8 | convert(holder, uint256)]
