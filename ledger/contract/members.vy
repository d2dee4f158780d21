# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Members
@notice Companies, daemons, roles, data classes, anchors, validators; panel and committee rules (docs/protocol.md 6.1, 6.2).
        Genesis fills it; afterwards the companies change it, through `governance`.
@dev Sets of members are bitmaps. Maps over sets are keyed by the bit itself, so that a loop over a set needs no
     logarithm: `set & (~set + 1)` is its lowest bit, and the key.
"""

MEMBERS_MAX: constant(uint256) = 128
COMMITTEE_MAX: constant(uint256) = 8
COMMITTEE_COMPANIES: constant(uint256) = 3
ROLES_ALL: constant(uint256) = 15
ROLE_MPC: constant(uint256) = 2
ROLE_PARTICIPANT: constant(uint256) = 4
ACTIVE: constant(uint256) = 1 << 24
REMOVED: constant(uint256) = 1 << 25
GOVERNANCE: constant(address) = 0x0000000000000000000000000000000000000103
# With fewer validators no fault is tolerated: a network that has them does not give them up.
VALIDATORS_MIN: constant(uint256) = 4
VALIDATORS_MAX: constant(uint256) = 64
NOBODY: constant(uint256) = 255

# Status of a committee, in the top byte of its word.
ORDER_WRONG: constant(uint256) = 1 << 248
TOO_SMALL: constant(uint256) = 2 << 248

struct Validator:
    key: bytes32
    index: uint8

event MemberAdded:
    index: indexed(uint8)
    who: address
    company: uint8
    roles: uint8

event MemberSuspended:
    index: indexed(uint8)

event MemberResumed:
    index: indexed(uint8)

event MemberRemoved:
    index: indexed(uint8)

event IdentityRotated:
    index: indexed(uint8)
    who: address

event SupplyChanged:
    index: indexed(uint8)
    classes: uint256
    anchors: uint256

event ValidatorChanged:
    index: indexed(uint8)
    vote_key: bytes32

event CommitteeCompaniesChanged:
    minimum: uint8

company_count: public(uint256)
companies_min: uint256
member_count: uint256
# address -> index (8 bits) | company << 8 | roles << 16 | ACTIVE | REMOVED (also for an identity that was replaced)
words: HashMap[address, uint256]
addresses: HashMap[uint256, address]
# 32 members in a word, one byte each
companies: uint256[4]
# role bit -> active members
by_role: HashMap[uint256, uint256]
# class bit -> members that supply it
by_class: HashMap[uint256, uint256]
# participants with an anchor list; member bit -> its anchors
anchored: uint256
anchors: HashMap[uint256, uint256]
validating: uint256
validating_companies: uint256
vote_keys: HashMap[uint256, bytes32]
# Changes with every change of the set, and differs between any two histories of it: hosts cache the set under it.
validators_digest: bytes32
# vote key -> index + 1 of the only member that may ever vote with it
vote_key_owners: HashMap[bytes32, uint256]
# height << 64 | validators before it << 32 | changes in it: of the last block that changed the set
set_changes: uint256
validator_count: uint256
# member bit -> the classes that it supplies
supplied: HashMap[uint256, uint256]


@internal
@view
def _system_only():
    assert msg.sender == empty(address) and block.number == 0, "SYSTEM_ONLY"


@internal
@view
def _governed():
    assert (msg.sender == empty(address) and block.number == 0) or msg.sender == GOVERNANCE, "GOVERNED"


@external
def set_up(company_count: uint256, companies_min: uint256):
    """
    @notice Genesis, first of all: how many companies there are, and how many a committee must span.
    """
    self._system_only()
    assert 0 < company_count and company_count <= MEMBERS_MAX, "COMPANY_COUNT"
    self.company_count = company_count
    self._set_companies_min(companies_min)


# ---------------------------------------------------------------- what the companies decide


@external
def add(who: address, company: uint256, roles: uint256, classes: uint256, anchors: uint256, vote_key: bytes32):
    """
    @notice Add the next member, after genesis also of the next company. Classes and anchors count for participants
            only.
    """
    self._governed()
    index: uint256 = self.member_count
    assert index < MEMBERS_MAX, "MEMBERS_FULL"
    assert who != empty(address) and self.words[who] == 0, "MEMBER_EXISTS"
    if company == self.company_count and block.number != 0 and company < MEMBERS_MAX:
        self.company_count = company + 1
    assert company < self.company_count, "UNKNOWN_COMPANY"
    assert 0 < roles and roles <= ROLES_ALL, "ROLES"
    self.member_count = index + 1
    self.words[who] = index | company << 8 | roles << 16 | ACTIVE
    self.addresses[index] = who
    self.companies[index >> 5] |= company << ((index & 31) << 3)
    self._set_roles(index, roles, True)
    if roles & ROLE_PARTICIPANT != 0:
        self._set_supply(index, classes, anchors)
    log MemberAdded(
        index=convert(index, uint8), who=who, company=convert(company, uint8), roles=convert(roles, uint8)
    )
    if vote_key != empty(bytes32):
        self._set_vote_key(index, company, vote_key)


@external
def suspend(index: uint256):
    """
    @notice A member that may do nothing for now: no role, no transaction. Its seat as validator is another matter.
    """
    word: uint256 = self._present(index)
    assert word & ACTIVE != 0, "NOT_ACTIVE"
    self._set_active(index, word, False)
    log MemberSuspended(index=convert(index, uint8))


@external
def resume(index: uint256):
    """
    @notice End a suspension.
    """
    word: uint256 = self._present(index)
    assert word & ACTIVE == 0, "ACTIVE"
    self._set_active(index, word, True)
    log MemberResumed(index=convert(index, uint8))


@external
def remove(index: uint256):
    """
    @notice A member that is gone for good. Its index and its address are never given to anybody else.
    """
    word: uint256 = self._present(index)
    assert self.vote_keys[index] == empty(bytes32), "STILL_VALIDATOR"
    self._set_active(index, word | REMOVED, False)
    log MemberRemoved(index=convert(index, uint8))


@external
def rotate_identity(index: uint256, who: address):
    """
    @notice Give a member another identity key; the old one is worth nothing from the next transaction on.
    """
    word: uint256 = self._present(index)
    assert who != empty(address) and self.words[who] == 0, "MEMBER_EXISTS"
    self.words[self.addresses[index]] = (word | REMOVED) & ~ACTIVE
    self.words[who] = word
    self.addresses[index] = who
    log IdentityRotated(index=convert(index, uint8), who=who)


@external
def set_supply(index: uint256, classes: uint256, anchors: uint256):
    """
    @notice Which data classes a participant supplies, and which MPC nodes it wants to see in every committee.
    """
    word: uint256 = self._present(index)
    assert word & (ROLE_PARTICIPANT << 16) != 0, "ROLES"
    self._set_supply(index, classes, anchors)
    log SupplyChanged(index=convert(index, uint8), classes=classes, anchors=anchors)


@external
def set_vote_key(index: uint256, vote_key: bytes32):
    """
    @notice Make a member a validator, give it another vote key, or (zero) take the seat away.
    """
    word: uint256 = self._present(index)
    assert self.vote_keys[index] != vote_key, "VOTE_KEY_SAME"
    self._set_vote_key(index, (word >> 8) & 255, vote_key)


@external
def set_committee_companies_min(minimum: uint256):
    """
    @notice How many companies a committee must span.
    """
    self._governed()
    self._set_companies_min(minimum)
    log CommitteeCompaniesChanged(minimum=convert(minimum, uint8))


@internal
@view
def _present(index: uint256) -> uint256:
    """
    @return The word of a member that is still one, for governance only.
    """
    self._governed()
    assert index < self.member_count, "UNKNOWN_MEMBER"
    word: uint256 = self.words[self.addresses[index]]
    assert word & REMOVED == 0, "UNKNOWN_MEMBER"
    return word


@internal
def _set_companies_min(minimum: uint256):
    assert minimum == 2 or minimum == COMMITTEE_COMPANIES, "COMPANIES_MIN"
    self.companies_min = minimum


@internal
def _set_active(index: uint256, word: uint256, active: bool):
    changed: uint256 = word & ~ACTIVE
    if active:
        changed = word | ACTIVE
    self.words[self.addresses[index]] = changed
    self._set_roles(index, (word >> 16) & 255, active)


@internal
def _set_roles(index: uint256, roles: uint256, active: bool):
    """
    @notice Enter a member under its roles, or strike it out there.
    """
    bit: uint256 = 1 << index
    for at: uint256 in range(4):
        role: uint256 = 1 << at
        if roles & role != 0:
            if active:
                self.by_role[role] |= bit
            else:
                self.by_role[role] &= ~bit


@internal
def _set_supply(index: uint256, classes: uint256, anchors: uint256):
    bit: uint256 = 1 << index
    changed: uint256 = self.supplied[bit] ^ classes
    for i: uint256 in range(256):
        if changed == 0:
            break
        kind: uint256 = changed & unsafe_add(~changed, 1)
        self.by_class[kind] ^= bit
        changed ^= kind
    self.supplied[bit] = classes
    if anchors != self.anchors[bit]:
        self.anchors[bit] = anchors
        if anchors == 0:
            self.anchored &= ~bit
        else:
            self.anchored |= bit


@internal
def _set_vote_key(index: uint256, company: uint256, vote_key: bytes32):
    """
    @notice Change the validator set: at most max(1, f) changes in a block, one validator per company, a key for one
            member ever, and never from 4 or more to fewer than 4 (docs/ledger.md, Governance).
    """
    bit: uint256 = 1 << index
    self._count_change()
    if vote_key == empty(bytes32):
        assert self.validator_count != VALIDATORS_MIN and self.validator_count > 1, "VALIDATORS_MIN"
        self.validating &= ~bit
        self.validating_companies &= ~(1 << company)
        self.validator_count -= 1
    else:
        owner: uint256 = self.vote_key_owners[vote_key]
        assert owner == 0 or owner == index + 1, "VOTE_KEY_USED"
        self.vote_key_owners[vote_key] = index + 1
        if self.validating & bit == 0:
            assert self.validating_companies & (1 << company) == 0, "ONE_VALIDATOR_PER_COMPANY"
            assert self.validator_count < VALIDATORS_MAX, "VALIDATORS_FULL"
            self.validating |= bit
            self.validating_companies |= 1 << company
            self.validator_count += 1
    self.vote_keys[index] = vote_key
    self.validators_digest = keccak256(abi_encode(self.validators_digest, vote_key, index))
    log ValidatorChanged(index=convert(index, uint8), vote_key=vote_key)


@internal
def _count_change():
    if block.number == 0:
        return
    changes: uint256 = self.set_changes
    if changes >> 64 != block.number:
        changes = block.number << 64 | self.validator_count << 32
    before: uint256 = (changes >> 32) & (1 << 32) - 1
    assert changes & (1 << 32) - 1 < max(1, (before - 1) // 3), "VALIDATORS_CHANGED"
    self.set_changes = changes + 1


# ---------------------------------------------------------------- for the other contracts


@external
@view
def seat(who: address) -> uint256:
    """
    @return index | company << 8 | roles << 16 | ACTIVE; 0 if nobody.
    """
    return self.words[who]


@external
@view
def seats(sender: address, signers: DynArray[address, COMMITTEE_MAX]) -> uint256:
    """
    @return The sender's index in byte 0, the signers' in bytes 1, 2 …; NOBODY for who is no active MPC member.
    """
    packed: uint256 = self._mpc_index(sender)
    at: uint256 = 8
    for signer: address in signers:
        packed |= self._mpc_index(signer) << at
        at = unsafe_add(at, 8)
    return packed


@internal
@view
def _mpc_index(who: address) -> uint256:
    word: uint256 = self.words[who]
    if word & (ACTIVE | ROLE_MPC << 16) != ACTIVE | ROLE_MPC << 16:
        return NOBODY
    return word & 255


@external
@view
def plan(
    sender: address, classes: uint256, approved: uint256, query: bytes32, order: DynArray[uint256, MEMBERS_MAX]
) -> (uint256, uint256, uint256):
    """
    @notice What a registration needs, if those participants approved the model.
    @return The sender's seat, the panel, the committee of attempt 1 (see `_committee`).
    """
    panel: uint256 = self._suppliers(classes) & approved
    return self.words[sender], panel, self._committee(query, 1, self.by_role[ROLE_MPC], panel, order)


@external
@view
def next_committee(
    query: bytes32, attempt: uint256, panel: uint256, excluded: uint256, order: DynArray[uint256, MEMBERS_MAX]
) -> (uint256, uint256):
    """
    @notice What a further attempt needs.
    @return The committee (see `_committee`), and the exclusions that remain: all or none.
    """
    everyone: uint256 = self.by_role[ROLE_MPC]
    pool: uint256 = everyone & ~excluded
    if pool == everyone or self._sufficient(pool, panel):
        return self._committee(query, attempt, pool, panel, order), excluded
    return self._committee(query, attempt, everyone, panel, order), 0


@internal
@view
def _suppliers(classes: uint256) -> uint256:
    found: uint256 = 0
    rest: uint256 = classes
    for i: uint256 in range(256):
        if rest == 0:
            break
        kind: uint256 = rest & unsafe_add(~rest, 1)
        found |= self.by_class[kind]
        rest ^= kind
    return found & self.by_role[ROLE_PARTICIPANT]


@internal
@view
def _sufficient(pool: uint256, panel: uint256) -> bool:
    """
    @return Whether a pool spans enough companies and holds an anchor of every panel member that has a list.
    """
    missing: uint256 = self.companies_min
    seen: uint256 = 0
    rest: uint256 = pool
    for index: uint256 in range(MEMBERS_MAX):
        if rest == 0:
            break
        if rest & 1 != 0:
            company: uint256 = 1 << ((self.companies[index >> 5] >> ((index & 31) << 3)) & 255)
            if seen & company == 0:
                seen |= company
                if missing > 0:
                    missing = unsafe_sub(missing, 1)
        rest = rest >> 1
    if missing > 0:
        return False
    rest = panel & self.anchored
    for i: uint256 in range(MEMBERS_MAX):
        if rest == 0:
            break
        participant: uint256 = rest & unsafe_add(~rest, 1)
        if self.anchors[participant] & pool == 0:
            return False
        rest ^= participant
    return True


@internal
@view
def _committee(
    query: bytes32, attempt: uint256, pool: uint256, panel: uint256, order: DynArray[uint256, MEMBERS_MAX]
) -> uint256:
    """
    @notice Verify the order of the pool and take the committee from it.
    @return Members' indices by rank in bytes 0 to 7, their number in byte 8; or ORDER_WRONG, or TOO_SMALL.
    """
    packed: uint256 = 0
    count: uint256 = 0
    chosen: uint256 = 0
    companies: uint256 = 0
    page: uint256 = self.companies[0]
    rest: uint256 = pool
    last: uint256 = 0
    for index: uint256 in order:
        bit: uint256 = 1 << index
        rank: uint256 = convert(keccak256(abi_encode(query, attempt, index)), uint256)
        if rest & bit == 0 or rank <= last:
            return ORDER_WRONG
        rest ^= bit
        last = rank
        if count < COMMITTEE_COMPANIES:
            company: uint256 = 0
            if index < 32:
                company = 1 << ((page >> (index << 3)) & 255)
            else:
                company = 1 << ((self.companies[index >> 5] >> ((index & 31) << 3)) & 255)
            if companies & company == 0:
                companies |= company
                chosen |= bit
                packed |= index << (count << 3)
                count = unsafe_add(count, 1)
    if rest != 0:
        return ORDER_WRONG
    if count < COMMITTEE_COMPANIES and count < self.companies_min:
        return TOO_SMALL
    wanting: uint256 = panel & self.anchored
    if wanting == 0:
        return packed | count << 64
    return self._with_anchors(chosen, count, wanting, order)


@internal
@view
def _with_anchors(
    first: uint256, first_count: uint256, wanting: uint256, order: DynArray[uint256, MEMBERS_MAX]
) -> uint256:
    chosen: uint256 = first
    count: uint256 = first_count
    rest: uint256 = wanting
    for i: uint256 in range(MEMBERS_MAX):
        if rest == 0:
            break
        participant: uint256 = rest & unsafe_add(~rest, 1)
        rest ^= participant
        wanted: uint256 = self.anchors[participant]
        if wanted & chosen == 0:
            found: uint256 = 0
            for index: uint256 in order:
                found = wanted & (1 << index)
                if found != 0:
                    break
            if found == 0 or count == COMMITTEE_MAX:
                return TOO_SMALL
            chosen |= found
            count = unsafe_add(count, 1)
    packed: uint256 = 0
    at: uint256 = 0
    for index: uint256 in order:
        if chosen & (1 << index) != 0:
            packed |= index << at
            at = unsafe_add(at, 8)
    return packed | count << 64


@external
@view
def voice(who: address) -> (uint256, uint256):
    """
    @notice Who speaks for a company: its validator if that is active, else its active member of the lowest index.
    @return The company for which somebody speaks as its bit, 0 if for none; and all companies that have a voice.
    """
    word: uint256 = self.words[who]
    own: uint256 = (word >> 8) & 255
    speaks: bool = word & ACTIVE != 0
    seen: uint256 = 0
    # every member has a role
    active: uint256 = self.by_role[1] | self.by_role[2] | self.by_role[4] | self.by_role[8]
    for index: uint256 in range(self.member_count, bound=128):
        if active & (1 << index) == 0:
            continue
        company: uint256 = (self.companies[index >> 5] >> ((index & 31) << 3)) & 255
        if company == own and index != word & 255:
            if self.validating & (1 << index) != 0:
                speaks = False
            elif seen & (1 << company) == 0 and self.validating & (1 << (word & 255)) == 0:
                speaks = False
        seen |= 1 << company
    if not speaks:
        return 0, seen
    return 1 << own, seen


# ---------------------------------------------------------------- for readers


@external
@view
def member(who: address) -> (uint8, uint8, uint256, bool):
    """
    @return Index, company, roles, active; all zero if nobody.
    """
    word: uint256 = self.words[who]
    return (
        convert(word & 255, uint8),
        convert((word >> 8) & 255, uint8),
        (word >> 16) & 255,
        word & ACTIVE != 0,
    )


@external
@view
def by_index(index: uint8) -> address:
    return self.addresses[convert(index, uint256)]


@external
@view
def role(role: uint256) -> uint256:
    """
    @return Active members with that role (1 operator, 2 mpc, 4 participant, 8 supervisor).
    """
    return self.by_role[role]


@external
@view
def suppliers(classes: uint256) -> uint256:
    """
    @return Active participants with one of these classes.
    """
    return self._suppliers(classes)


@external
@view
def supplying_companies(classes: uint256) -> uint256:
    """
    @return Companies of the active participants with one of these classes.
    """
    found: uint256 = 0
    rest: uint256 = self._suppliers(classes)
    for index: uint256 in range(MEMBERS_MAX):
        if rest == 0:
            break
        if rest & 1 != 0:
            found |= 1 << ((self.companies[index >> 5] >> ((index & 31) << 3)) & 255)
        rest = rest >> 1
    return found


@external
@view
def anchors_of(index: uint8) -> uint256:
    return self.anchors[1 << convert(index, uint256)]


@external
@view
def committee_companies_min() -> uint256:
    return self.companies_min


@external
@view
def validators() -> DynArray[Validator, MEMBERS_MAX]:
    found: DynArray[Validator, MEMBERS_MAX] = []
    bits: uint256 = self.validating
    for index: uint256 in range(MEMBERS_MAX):
        if bits & (1 << index) != 0:
            found.append(Validator(key=self.vote_keys[index], index=convert(index, uint8)))
    return found
