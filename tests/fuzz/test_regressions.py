"""Every target holds for its seeds and for what was found once; the laws themselves can fail."""

import re
import subprocess
import sys
import time

import pytest

from ledger.encoding import Reader, Writer
from ledger.errors import DecodeError
from tests.fuzz.regressions import CORPUS
from tests.fuzz.target import Finding, Target, codec, measured
from tests.fuzz.targets import TARGETS
from tests.support.tools import ROOT


def test_seeds_and_regressions_hold():
    command = [sys.executable, "-m", "tests.fuzz.regressions"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = re.findall(r"^(\w+): ([1-9]\d*) seeds and (\d+) regressions hold$", ran.stdout, re.MULTILINE)
    assert [name for name, _, _ in told] == list(TARGETS)
    assert sum(int(kept) for _, _, kept in told) == len([*CORPUS.glob("*/*")]) > 10


def test_regressions_belong_to_targets():
    assert {folder.name for folder in CORPUS.iterdir()} <= set(TARGETS)


def decode_word(data: bytes) -> int:
    reader = Reader(data, "word")
    value = reader.uint(2)
    reader.end()
    return value


def encode_word(value: int) -> bytes:
    return Writer().uint(value, 2).bytes()


def test_codec_holds_for_values_and_refusals():
    check = codec(decode_word, encode_word, (DecodeError,))
    check(b"\1\2")
    check(b"\1")
    check(b"\1\2\3")


def test_codec_finds_a_second_encoding():
    with pytest.raises(Finding, match="one encoding"):
        codec(lambda data: decode_word(data[:2]), encode_word, (DecodeError,))(b"\1\2\3")


def test_codec_lets_other_errors_out():
    with pytest.raises(IndexError):
        codec(lambda data: data[0], lambda value: bytes([value]), (DecodeError,))(b"")


def test_memory_beyond_the_bound_is_found():
    def greedy(data: bytes) -> None:
        bytearray(int.from_bytes(data, "big"))

    target = Target(check=greedy, seeds=())
    measured(target, (1 << 18).to_bytes(4, "big"))
    with pytest.raises(Finding, match="bytes of memory for 4 of input"):
        measured(target, (1 << 22).to_bytes(4, "big"))


def test_time_beyond_the_bound_is_found(monkeypatch):
    monkeypatch.setattr("tests.fuzz.target.CPU_S", 0.05)

    def slow(data: bytes) -> None:
        until = time.process_time() + data[0] / 100
        while time.process_time() < until:
            pass

    measured(Target(check=slow, seeds=()), b"\0")
    with pytest.raises(Finding, match="CPU time"):
        measured(Target(check=slow, seeds=()), b"\x14")
