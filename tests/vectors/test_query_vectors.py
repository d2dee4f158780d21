"""The vectors, made a second time from docs/protocol.md alone: hashlib, struct, nacl and AES, none of the program.

Seeds are SHAKE-256 of a name. Whatever an independent implementation must reproduce is derived here step by step.
"""

import hashlib
import hmac
import json
import struct
from pathlib import Path

import nacl.public
import nacl.secret
import nacl.signing
import pytest
from Crypto.Cipher import AES
from Crypto.Hash import keccak

from scripts.make_vectors import page

FILE = Path(__file__).parent / "query.json"
V = json.loads(FILE.read_text(encoding="ascii"))
NOW = 1_800_000_000_000
CHAIN = hashlib.sha256(b"the consortium document of the vectors").digest()
MODEL = hashlib.sha256(b"the model document of the vectors").digest()
VALUES = {4: (-5, None, 2**40), 5: (None,)}


def seed(name, size=32):
    return hashlib.shake_256(f"mpcnode vectors: {name}".encode()).digest(size)


def sha(data):
    return hashlib.sha256(data).digest()


def word(value):
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    return value.encode().ljust(32, b"\0") if isinstance(value, str) else value


def stated(domain, *values):
    return b"".join(word(value) for value in (domain, CHAIN, *values))


def prefixed(*fields):
    return b"".join(struct.pack(">I", len(item)) + item for item in fields)


def digest(domain, *fields):
    return sha(prefixed(domain.encode()) + struct.pack(">I", len(fields)) + prefixed(*fields))


def tree(leaves):
    """RFC 9162 section 2.1.1, as it stands there."""
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return sha(b"\0" + leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha(b"\1" + tree(leaves[:k]) + tree(leaves[k:]))


def keccak256(data):
    return keccak.new(digest_bits=256, data=data).digest()


def ed25519(name):
    return nacl.signing.SigningKey(seed(name))


def sign(name, data):
    return ed25519(name).sign(data).signature


def x25519(name):
    return bytes(nacl.public.PrivateKey(seed(name)).public_key)


def box(plain, to, ephemeral):
    private = nacl.public.PrivateKey(ephemeral)
    public = bytes(private.public_key)
    nonce = hashlib.blake2b(public + to, digest_size=24).digest()
    return public + nacl.public.Box(private, nacl.public.PublicKey(to)).encrypt(plain, nonce).ciphertext


def envelope(plain, secrets):
    content_key, e1, e2 = secrets[:32], secrets[32:64], secrets[64:]
    wraps = box(content_key, x25519("audit key"), e1) + box(content_key, x25519("archive key"), e2)
    content = nacl.secret.SecretBox(content_key).encrypt(e2 + plain, bytes(24)).ciphertext
    return struct.pack(">Q", 7) + wraps + content


QUERY = seed("query id")
INQUIRER = bytes(ed25519("inquirer key").verify_key)
COMMITTEE = sorted((1, 2, 3), key=lambda member: keccak256(QUERY + word(1) + word(member)))


def test_the_file_is_what_the_program_makes():
    assert FILE.read_text(encoding="ascii") == page()


def test_the_committee_is_the_mpc_members_by_rank():
    assert V["query"] == QUERY.hex()
    assert V["consortium"]["committee"] == V["consortium"]["pool_order"] == COMMITTEE
    assert V["consortium"]["panel"] == f"{0b110000:x}"
    for member in V["consortium"]["members"]:
        identity = bytes(ed25519(f"identity {member['index']}").verify_key)
        assert member["identity"] == identity.hex()
        assert member["address"] == keccak256(identity)[-20:].hex()
        assert member["sealing"] == x25519(f"sealing {member['index']}").hex()
    certificate = word("mpcnode/tls/1") + bytes(32) + seed("certificate")
    assert V["consortium"]["certificate_statement"] == certificate.hex()


def subject():
    identifier = "AB-1972\u00c9".encode()
    pseudonym = hmac.new(seed("subject key"), struct.pack(">I", len(identifier)) + identifier, "sha256").digest()
    binding = hashlib.blake2b(
        prefixed(b"mpcnode/subject/1", CHAIN, QUERY, INQUIRER, pseudonym, seed("nonce")), digest_size=32
    ).digest()
    return identifier, pseudonym, binding


def tokens():
    _, pseudonym, _ = subject()
    plain = QUERY + INQUIRER + struct.pack(">Q", 7) + pseudonym + seed("nonce") + bytes(16)
    return [box(plain, x25519(f"sealing {member}"), seed(f"token ephemeral {member}")) for member in (4, 5)]


def supervisor_copy():
    return envelope(subject()[0].ljust(64, b"\0") + seed("nonce"), seed("supervisor copy", 96))


def request():
    return stated(
        "mpcnode/request/1",
        QUERY,
        MODEL,
        0b110000,
        "credit",
        digest("mpcnode/consent/1", seed("consent salt"), b"consent 2026/17"),
        NOW + 10_000,
        NOW + 60_000,
        x25519("result key"),
        "keyed",
        subject()[2],
        sha(supervisor_copy()),
        tree(tokens()),
        7,
        1,
        bytes(32),
        bytes(32),
    )


def test_the_request_and_what_travels_with_it():
    identifier, pseudonym, binding = subject()
    found = V["request"]
    assert found["normalised"] == identifier.hex()
    assert (found["pseudonym"], found["binding"]) == (pseudonym.hex(), binding.hex())
    assert found["tokens"] == [token.hex() for token in tokens()]
    assert {len(token) for token in tokens()} == {200}
    assert found["supervisor_copy"] == supervisor_copy().hex()
    assert len(supervisor_copy()) == 312
    assert found["statement"] == request().hex()
    assert len(request()) == 576
    assert found["signature"] == sign("inquirer key", request()).hex()
    assert found["request_hash"] == sha(request()).hex()


def row(participant, values=None, signed="q"):
    values = values or VALUES[participant]
    known = any(value is not None for value in values)
    bits = sum(bit << place for place, bit in enumerate([known, *(value is not None for value in values)]))
    return b"".join(struct.pack("<" + signed, value or 0) for value in values) + bytes([bits])


def split(participant, values=None, signed="q"):
    """Section 4: streams for all nodes but the last, which gets the row less the streams."""
    clear, count = row(participant, values, signed), len(values or VALUES[participant])
    size, form = count * struct.calcsize(signed), f"<{count}{signed.upper()}"
    sent, words, tail = [], list(struct.unpack(form, clear[:size])), clear[size:]
    for node in COMMITTEE[:-1]:
        share_seed = seed(f"share seed {participant} {node}")
        label = QUERY + bytes([1, participant, node, 0, 0, 0, 0])
        key = hashlib.blake2b(label, digest_size=32, key=share_seed, person=b"mpc-input").digest()
        stream = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=0).encrypt(bytes(len(clear)))
        words = [
            (value - part) % 256 ** struct.calcsize(signed)
            for value, part in zip(words, struct.unpack(form, stream[:size]), strict=True)
        ]
        tail = bytes(a ^ b for a, b in zip(tail, stream[size:], strict=True))
        sent.append(share_seed)
    return [*sent, struct.pack(form, *words) + tail]


def commitments(participant):
    return [
        hashlib.blake2b(
            prefixed(
                b"mpcnode/share/1",
                CHAIN,
                QUERY,
                b"\x01",
                bytes([participant]),
                bytes([node]),
                sent,
                seed(f"share salt {participant} {node}"),
            ),
            digest_size=32,
        ).digest()
        for node, sent in zip(COMMITTEE, split(participant), strict=True)
    ]


def audit_envelope(participant):
    plain = QUERY + bytes([1, participant]) + MODEL + sha(request()) + row(participant)
    for node in COMMITTEE:
        share_seed = bytes(32) if node == COMMITTEE[-1] else seed(f"share seed {participant} {node}")
        plain += share_seed + seed(f"share salt {participant} {node}")
    return envelope(plain, seed(f"envelope {participant}", 96))


@pytest.mark.parametrize("participant", [4, 5])
def test_a_contribution(participant):
    (found,) = [item for item in V["contributions"] if item["participant"] == participant]
    assert found["row"] == row(participant).hex()
    assert found["sent"] == [sent.hex() for sent in split(participant)]
    assert found["commitments"] == [item.hex() for item in commitments(participant)]
    assert found["envelope"] == audit_envelope(participant).hex()
    for place, (node, commitment) in enumerate(zip(COMMITTEE, commitments(participant), strict=True)):
        share = stated("mpcnode/shares/1", QUERY, 1, participant, node, commitment)
        assert found["shares_statements"][place] == share.hex()
        assert found["shares_signatures"][place] == sign(f"identity {participant}", share).hex()


@pytest.mark.parametrize(("participant", "values"), [(4, (-5, None, 2**31 - 1)), (5, (-(2**31),))])
def test_a_row_of_values_of_32_bits(participant, values):
    (found,) = [item for item in V["rows_of_32_bits"] if item["participant"] == participant]
    assert found["row"] == row(participant, values, "i").hex()
    assert found["sent"] == [sent.hex() for sent in split(participant, values, "i")]


def session():
    root = tree([*commitments(4), *commitments(5)])
    height = struct.pack(">Q", 41)
    return digest("mpcnode/session/1", CHAIN, QUERY, b"\x01", MODEL, bytes(COMMITTEE), root, height)


def deal():
    hashes = [
        digest("mpcnode/seed/1", session(), bytes([node]), seed(f"deal seed {node}"), seed(f"deal salt {node}"))
        for node in COMMITTEE
    ]
    return stated("mpcnode/deal/1", session(), digest("mpcnode/seeds/1", *hashes), 1, COMMITTEE[-1])


def test_session_deal_corrections_accept_and_flush():
    found = V["session"]
    assert found["session"] == session().hex()
    assert found["deal_statement"] == deal().hex()
    assert found["deal_signature"] == sign("identity 6", deal()).hex()
    accept = stated("mpcnode/accept/1", session(), sha(deal()))
    assert found["accept_statement"] == accept.hex()
    assert found["accept_signatures"] == [sign(f"identity {node}", accept).hex() for node in COMMITTEE]
    corrections = stated("mpcnode/corrections/1", session(), 0, sha(seed("corrections", 100)))
    assert found["corrections_statement"] == corrections.hex()
    assert found["corrections_signature"] == sign("identity 6", corrections).hex()
    frames = [
        digest("mpcnode/frame/1", session(), struct.pack(">I", chunk), struct.pack(">I", number), sha(data))
        for chunk, number, data in ((0, 1, seed("frame", 20)), (1, 2, b""))
    ]
    flush = stated("mpcnode/flush/1", COMMITTEE[0], COMMITTEE[1], 1, tree(frames))
    assert found["flush_statement"] == flush.hex()


def end(node):
    share, salt = seed(f"output share {node}", 3), seed(f"output salt {node}")
    plain = QUERY + session() + bytes([node]) + salt + share
    boxes = (
        box(plain, x25519("result key"), seed(f"inquirer box {node}")),
        envelope(plain, seed(f"supervisor box {node}", 96)),
    )
    committed = digest("mpcnode/output/1", session(), bytes([node]), share, salt)
    said = stated(
        "mpcnode/end/1",
        QUERY,
        1,
        session(),
        sha(deal()),
        seed("transcript hash"),
        committed,
        sha(boxes[0]),
        sha(boxes[1]),
    )
    return said, *boxes


def test_ends_and_boxes():
    for node, found in zip(COMMITTEE, V["session"]["ends"], strict=True):
        said, inquirer_box, supervisor_box = end(node)
        assert found["node"] == node
        assert (found["inquirer_box"], found["supervisor_box"]) == (inquirer_box.hex(), supervisor_box.hex())
        assert found["statement"] == said.hex()
        assert len(said) == 320
        assert found["signature"] == sign(f"identity {node}", said).hex()


def test_the_inquirer_opens_its_boxes_with_plain_libsodium():
    opener = nacl.public.SealedBox(nacl.public.PrivateKey(seed("result key")))
    for found in V["session"]["ends"]:
        assert opener.decrypt(bytes.fromhex(found["inquirer_box"])) == bytes.fromhex(found["output"])


def test_the_release_and_its_mask():
    found, end_of = V["release"], V["session"]
    shares = [seed(f"output share {node}", 3) for node in COMMITTEE]
    masked = bytes(a ^ b ^ c for a, b, c in zip(*shares, strict=True))
    assert found["masked_output"] == masked.hex()
    session, salt = bytes.fromhex(end_of["session"]), seed("release salt")
    masked_hash = digest("mpcnode/masked/1", session, masked, salt)
    said = stated("mpcnode/release/1", QUERY, 1, session, seed("transcript hash"), masked_hash)
    assert (found["statement"], len(said)) == (said.hex(), 224)
    assert found["signature"] == sign("identity 6", said).hex()
    plain, secrets = said + sign("identity 6", said) + salt + seed("mask", 3), seed("release secrets", 128)
    sealed = prefixed(box(plain, x25519("result key"), secrets[:32]), envelope(plain, secrets[32:]))
    assert found["release"] == sealed.hex()


def abi(*values):
    """ABI encoding of (bytes | list of int or words | int or word): heads, then tails."""
    head, tail = b"", b""
    for value in values:
        if isinstance(value, int):
            head += word(value)
        elif isinstance(value, tuple):
            (fixed,) = value
            head += fixed
        else:
            head += word(32 * len(values) + len(tail))
            if isinstance(value, bytes):
                tail += word(len(value)) + value + bytes(-len(value) % 32)
            else:
                tail += word(len(value)) + b"".join(word(item) for item in value)
    return head + tail


def transaction(sender, method, args, cosigners=()):
    key, unique = bytes(ed25519(f"identity {sender}").verify_key), seed(f"unique {method} {sender}", 16)
    expiry = struct.pack(">Q", NOW + 60_000)
    name = digest(
        "ledger/tx/1",
        CHAIN,
        key,
        expiry,
        unique,
        method.encode(),
        args,
        *(cosigner + said for cosigner, said, _ in cosigners),
    )
    data = CHAIN + key + expiry + unique + bytes([len(method)]) + method.encode() + prefixed(args)
    data += struct.pack(">I", len(cosigners))
    for cosigner, said, signature in cosigners:
        data += cosigner + prefixed(said) + signature
    return name, data + sign(f"identity {sender}", stated("ledger/tx/1", name))


def transactions():
    inquirer = (INQUIRER, request(), sign("inquirer key", request()))
    made = {"register": transaction(0, "queries.register", abi(supervisor_copy(), COMMITTEE), [inquirer])}
    for member in (4, 5):
        args = abi((QUERY,), 1, commitments(member), audit_envelope(member))
        made[f"commit_input {member}"] = transaction(member, "queries.commit_input", args)
    ends = [end(node) for node in COMMITTEE]
    nodes = [
        (bytes(ed25519(f"identity {node}").verify_key), said, sign(f"identity {node}", said))
        for node, (said, _, _) in zip(COMMITTEE, ends, strict=True)
    ]
    boxes = [b"".join(item[kind] for item in ends) for kind in (1, 2)]
    made["post_result"] = transaction(COMMITTEE[0], "queries.post_result", abi((QUERY,), 1, *boxes), nodes)
    made["attest"] = transaction(6, "queries.attest", abi((QUERY,), 1, 1, 255, 0, 0, b""))
    return made


def test_transactions_and_their_ids():
    assert list(V["transactions"]) == list(transactions())
    for name, (tx_id, data) in transactions().items():
        assert V["transactions"][name] == {"bytes": data.hex(), "id": tx_id.hex()}, name


def test_block_vote_and_certificate():
    found = V["block"]
    txs = [data for _, data in transactions().values()]
    receipts = [b"\x01" + struct.pack(">Q", 100_000 + place) + b"\0" + bytes(4) for place in range(len(txs))]
    names = {bytes(ed25519(f"vote {index}").verify_key): f"vote {index}" for index in range(4)}
    keys = sorted(names)
    header = stated(
        "ledger/block/1",
        41,
        seed("previous block"),
        NOW + 5_000,
        keys[0],
        tree(txs),
        tree(receipts),
        seed("state root"),
        tree([seed(f"block {height}") for height in range(41)]),
        digest("ledger/validators/1", *keys),
        digest("ledger/validators/1", *keys),
    )
    assert found["header"] == header.hex()
    assert found["block_hash"] == sha(header).hex()
    assert found["receipts"] == [receipt.hex() for receipt in receipts]
    block = header + struct.pack(">I", len(txs)) + prefixed(*txs)
    assert found["block_sha256"] == sha(block).hex()
    voted = stated("ledger/vote/1", 3, 41, 2, sha(header))
    about = bytes([3]) + struct.pack(">QI", 41, 2) + sha(header)
    assert found["vote"] == (about + struct.pack(">H", 1) + sign(names[keys[1]], voted)).hex()
    signed = b"".join(sign(names[keys[place]], voted) for place in (0, 2, 3))
    assert found["certificate"] == (about + struct.pack(">IHHH", 3, 0, 2, 3) + signed).hex()


def test_message_and_call():
    message = stated("mpcnode/message/1", "shares", 4, COMMITTEE[0], sha(seed("payload", 50)))
    assert V["message"]["signature"] == sign("identity 4", message).hex()
    call = stated("mpcnode/call/1", "Follow", seed("call nonce"), NOW + 60_000, sha(QUERY))
    assert V["call"]["signature"] == sign("inquirer key", call).hex()
