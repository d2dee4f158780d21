"""keccak256 is the one written in C, for py-evm as well, and equals another implementation's."""

import sys

import pytest
import sha3
from Crypto.Hash import keccak as other
from eth.vm.logic import sha3 as instruction
from eth_hash.backends import pysha3

from ledger.contract import storage


@pytest.mark.parametrize("user", [instruction, storage, sys.modules["eth.db.account"]])
def test_everybody_hashes_fast(user):
    assert user.keccak.hasher == pysha3.keccak256


@pytest.mark.parametrize("size", [0, 1, 32, 64, 135, 136, 137, 5_000])
def test_it_is_keccak256(size):
    data = bytes(index % 251 for index in range(size))
    assert sha3.keccak_256(data).digest() == other.new(digest_bits=256, data=data).digest()
