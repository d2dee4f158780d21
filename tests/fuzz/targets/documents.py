"""Files that a person or another company wrote: the consortium document, models, keys."""

import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ledger.contract import ContractHost
from ledger.errors import InvalidError
from ledger.types import ChainId, Genesis, Millis
from mpcnode.config.consortium import load_consortium
from mpcnode.devnet.creation import create, demo_files
from mpcnode.errors import ConfigError, KeyFileError, ModelError
from mpcnode.scorecard import model_hash, parse
from mpcnode.sealing.keyfile import KeyKind, StoredKey, decode_key_file, encode_key_file
from tests.fuzz.json_mutation import mutate_json
from tests.fuzz.target import Target, expect
from tests.fuzz.targets.contracts import MACHINE_BYTES
from tests.support.models import CREDIT

NOW = Millis(1_800_000_000_000)
TOML = (
    b"[[member]]\n",
    b"[[company]]\n",
    b"[[model]]\n",
    b" = true\n",
    b" = 1e9\n",
    b"'''",
    b'"""',
    b"= [[[[",
    b"1979-05-27",
)


@lru_cache(maxsize=64)
def _check_genesis(genesis: Genesis) -> None:
    """A document that was read means a state, or breaks a rule of the contracts."""
    nodes: dict[bytes, bytes] = {}
    try:
        done = ContractHost(genesis.chain, nodes.get).genesis(genesis)
    except InvalidError:
        return
    expect(done.validators == genesis.validators(), "expected the contracts to know the document's validators")


def consortium() -> Target:
    """A document is refused with its mistake, or has a genesis that the contracts take or refuse."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    path = folder / "consortium.toml"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        try:
            found = load_consortium(path)
        except ConfigError:
            return
        _check_genesis(replace(found.genesis(), chain=ChainId(bytes(32))))

    document = create(folder / "network", demo_files(), NOW).consortium.read_bytes()
    return Target(check=check, seeds=(document,), words=TOML, size_max=24 << 10, memory_bytes=MACHINE_BYTES)


def model() -> Target:
    """A model document has a hash, or is refused with its mistake."""

    def check(data: bytes) -> None:
        try:
            found = parse(data)
        except ModelError:
            return
        expect(len(model_hash(found)) == 32, "expected a hash of everything that is read")

    head, _, rest = CREDIT.partition("bins = ")
    earning = f'{head}points = "value"\n{rest.partition(chr(10))[2]}'.encode()
    return Target(
        check=check,
        seeds=(CREDIT.encode(), earning),
        words=(*TOML, b"[[attribute]]\n", b'points = "value"\n'),
        size_max=8 << 10,
    )


def key_file() -> Target:
    """A key file without a passphrase; behind one there is argon2id, which is slow on purpose."""
    kinds = (KeyKind.IDENTITY, KeyKind.TLS)

    def check_kind(data: bytes, kind: KeyKind) -> None:
        try:
            found = decode_key_file(data, kind, None)
        except KeyFileError:
            return
        again = decode_key_file(encode_key_file(found, None), kind, None)
        expect(again == found, f"expected a {kind} key to be written and read")

    def check(data: bytes) -> None:
        for kind in kinds:
            check_kind(data, kind)

    stored = [StoredKey(kind=kind, public=b"\1" * 32, secret=b"\2" * 32) for kind in kinds]
    seeds = tuple(encode_key_file(each, None) for each in stored)
    return Target(check=check, seeds=seeds, size_max=2048, mutate=mutate_json)
