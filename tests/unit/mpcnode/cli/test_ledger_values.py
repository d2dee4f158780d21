"""Values of a proposed call as text: every method that can be decided can be typed, and is shown in words."""

import pytest
from click import UsageError
from nacl.signing import SigningKey

from ledger.contract.abi import address_of
from ledger.contract.proposals import GOVERNED, decode_proposal, encode_proposal, parameters
from ledger.encoding import word
from ledger.errors import InvalidError
from ledger.types import Address, PublicKey
from mpcnode.cli.ledger.values import FORMS, read_arguments, show_arguments
from mpcnode.cli.ledger.vocabulary import Vocabulary

KEY = PublicKey(SigningKey(bytes(32)).verify_key.encode())
MODEL = b"\x07" * 32
DESK = Address(b"\x05" * 20)
SAMPLES = {
    "uint256": ("258", 258),
    "address": ("a1" * 20, Address(b"\xa1" * 20)),
    "bytes32": ("c3" * 32, b"\xc3" * 32),
    "bytes": ("00ff", b"\x00\xff"),
    "bool": ("yes", True),
    "uint256[]": ("0,0x10", (0, 16)),
    "bytes32[]": ("text:a," + "c3" * 32, (word("a"), b"\xc3" * 32)),
}
MEMBERS = {"bank-data": 0, "bank-mpc": 1, "insurer-mpc": 2}
WORDS = Vocabulary(
    numbers={"members.index": MEMBERS, "members.company": {"bank": 0}, "governance.targets": {"members": 0}},
    sets={"members.roles": {"mpc": 2, "participant": 4}, "members.anchors": {"bank-mpc": 2, "insurer-mpc": 4}},
    addresses={"lender-desk": DESK},
    hashes={"credit-rating": MODEL},
)
NOBODY = Vocabulary(numbers={}, sets={}, addresses={}, hashes={})


@pytest.mark.parametrize("method", GOVERNED)
def test_every_method_that_can_be_decided_can_be_typed(method):
    kinds = parameters(method)
    texts = [f"{name}={SAMPLES[kind][0]}" for name, kind in kinds.items()]
    values = read_arguments(method, texts[::-1], NOBODY)
    assert values == tuple(SAMPLES[kind][1] for kind in kinds.values())
    call = decode_proposal(*encode_proposal(method, *values))
    assert (call.method, tuple(call.arguments.values())) == (method, values)
    assert list(show_arguments(call, NOBODY)) == list(kinds)


def test_every_type_that_is_taken_is_explained():
    kinds = {kind for method in GOVERNED for kind in parameters(method).values()}
    explained = {kind for kind, _ in FORMS}
    assert {kind.removesuffix("[]") for kind in kinds} <= explained
    assert {"uint256", "address", "bytes32", "uint256[]"} <= kinds


def test_names_are_taken_for_numbers_sets_and_keys():
    texts = ("who=lender-desk", "company=bank", "roles=mpc,participant", "classes=3", "anchors=none", "vote_key=none")
    assert read_arguments("members.add", texts, WORDS) == (DESK, 0, 6, 3, 0, bytes(32))
    assert read_arguments("members.suspend", ("index=insurer-mpc",), WORDS) == (2,)
    assert read_arguments("registries.retire_model", ("model=credit-rating",), WORDS) == (MODEL,)
    code = ("height=9", "targets=members,3", "codes=text:x,none")
    assert read_arguments("governance.schedule_code", code, WORDS) == (9, (0, 3), (word("x"), bytes(32)))


def test_a_key_stands_for_its_address():
    (_, who) = read_arguments("members.rotate_identity", ("index=0", f"who={KEY.hex()}"), WORDS)
    assert who == address_of(KEY)
    for prefix in ("", "0x"):
        (_, who) = read_arguments("members.rotate_identity", ("index=0", f"who={prefix}{'A1' * 20}"), WORDS)
        assert who == b"\xa1" * 20


def test_an_empty_array_is_one():
    texts = ("height=9", "targets=", "codes=")
    assert read_arguments("governance.schedule_code", texts, WORDS) == (9, (), ())


@pytest.mark.parametrize(
    ("method", "texts", "message"),
    [
        ("members.suspend", (), "expected index (uint256) as well, got nothing for it"),
        ("members.suspend", ("index",), "expected NAME=VALUE with index (uint256), got 'index'"),
        ("members.suspend", ("member=1",), "expected NAME=VALUE with index (uint256), got 'member=1'"),
        ("members.suspend", ("index=1", "index=1"), "expected index once, got it twice"),
        ("governance.cancel_code", ("x=1",), "expected NAME=VALUE with no arguments, got 'x=1'"),
        (
            "members.suspend",
            ("index=-1",),
            "index: expected a number from 0 to 2^256 - 1, or one of bank-data, bank-mpc",
        ),
        ("members.suspend", ("index=1_0",), "got '1_0'"),
        ("members.suspend", ("index=",), "got ''"),
        ("members.suspend", (f"index={1 << 256}",), "index: expected a number from 0 to 2^256 - 1"),
        ("members.suspend", ("index=0xzz",), "got '0xzz'"),
        (
            "members.set_supply",
            ("index=0", "classes=0", "anchors=bank-data"),
            "anchors: expected none or some of bank-mpc",
        ),
        ("members.set_supply", ("index=0", "classes=0", "anchors=bank-mpc,bank-mpc"), "anchors: expected none or some"),
        ("members.set_supply", ("index=0", "classes=a", "anchors=0"), "classes: expected a number from 0"),
        ("members.rotate_identity", ("index=0", "who=abc"), "who: expected an Ed25519 key (64 hex digits), an address"),
        ("members.rotate_identity", ("index=0", f"who={'00' * 32}"), "who: expected an Ed25519 public key"),
        ("members.set_vote_key", ("index=0", "vote_key=00"), "vote_key: expected one of 64 hex digits, text:"),
        ("members.set_vote_key", ("index=0", "vote_key=text:"), "got 'text:'"),
        ("members.set_vote_key", ("index=0", f"vote_key=text:{'x' * 33}"), "1 to 32 ASCII characters"),
        ("members.set_vote_key", ("index=0", "vote_key=text:é"), "1 to 32 ASCII characters"),
        ("governance.schedule_code", ("height=1", "targets=1,,2", "codes="), "targets: expected a number"),
    ],
)
def test_bad_input_names_the_argument_and_what_was_expected(method, texts, message):
    with pytest.raises(UsageError) as caught:
        read_arguments(method, texts, WORDS)
    assert caught.value.message.startswith(f"{method}: ")
    assert message in caught.value.message


def test_an_unknown_method_is_refused():
    with pytest.raises(InvalidError, match=r"expected one of .*members.add.*, got 'members.voice'"):
        read_arguments("members.voice", (), WORDS)


def shown(method, *values, words=WORDS):
    return show_arguments(decode_proposal(*encode_proposal(method, *values)), words)


def test_a_call_is_shown_in_words():
    assert shown("members.add", DESK, 0, 6, 0b101, 0, bytes(32)) == {
        "who": f"{DESK.hex()} (lender-desk)",
        "company": "0 (bank)",
        "roles": "mpc, participant",
        "classes": "5",
        "anchors": "none",
        "vote_key": "none",
    }
    assert shown("members.suspend", 2) == {"index": "2 (insurer-mpc)"}
    assert shown("members.suspend", 9) == {"index": "9"}
    assert shown("members.set_supply", 0, 0, 0b1010) == {
        "index": "0 (bank-data)",
        "classes": "0",
        "anchors": "bank-mpc, bit 3",
    }
    assert shown("registries.retire_model", MODEL) == {"model": f"{MODEL.hex()} (credit-rating)"}
    assert shown("governance.schedule_code", 9, (0, 7), ()) == {
        "height": "9",
        "targets": "0 (members), 7",
        "codes": "none",
    }


@pytest.mark.parametrize("text", ["a, text:b", "a b", "a\0b", "a\n"])
def test_text_that_could_look_like_something_else_is_shown_as_bytes(text):
    value = text.encode().ljust(32, b"\0")
    assert shown("members.set_vote_key", 0, value)["vote_key"] == value.hex()


def test_text_is_shown_as_it_is_typed():
    (_, value) = read_arguments("members.set_vote_key", ("index=0", "vote_key=text:credit-application"), WORDS)
    assert shown("members.set_vote_key", 0, value)["vote_key"] == "text:credit-application"


def test_bytes_come_from_hexadecimal_or_from_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("mpcnode.cli.ledger.values.parameters", lambda _: {"code": "bytes", "sure": "bool"})
    file = tmp_path / "code"
    file.write_bytes(b"\x01\x02")
    assert read_arguments("m.f", (f"code=@{file}", "sure=no"), WORDS) == (b"\x01\x02", False)
    assert read_arguments("m.f", ("code=0x0102", "sure=yes"), WORDS) == (b"\x01\x02", True)
    for texts, message in (
        ((f"code=@{file}2", "sure=no"), "code: expected a file to read, got "),
        (
            ("code=012", "sure=no"),
            "code: expected an even number of hex digits, or @ and the name of a file, got '012'",
        ),
        (("code=01", "sure=true"), "sure: expected yes or no, got 'true'"),
    ):
        with pytest.raises(UsageError) as caught:
            read_arguments("m.f", texts, WORDS)
        assert message in caught.value.message


def test_a_type_that_nobody_foresaw_is_named(monkeypatch):
    monkeypatch.setattr("mpcnode.cli.ledger.values.parameters", lambda _: {"x": "int8"})
    with pytest.raises(UsageError) as caught:
        read_arguments("m.f", ("x=1",), WORDS)
    assert caught.value.message == "m.f: x: this program cannot read a value of type int8"
