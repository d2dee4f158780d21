"""Pin every package that the project uses, with hashes, for Python 3.11 to 3.13: `python -m scripts.lock`.

Writes configs/requirements.lock, whose names come from setup.cfg (what it needs to run, and its `dev` extra),
configs/fast.lock, its `fast` extra, configs/vyper.lock, the compiler of the contracts, configs/web3.lock, an Ethereum
client for tests, configs/fuzz.lock, the fuzzer, and configs/peers/*.lock, systems to compare with. The resolver is uv,
because pip's own cannot resolve for several Python versions at once; only wheels are admitted, so installing needs no
compiler.
"""

import argparse
import configparser
import subprocess
from pathlib import Path

from scripts.compile_contracts import COMPILER_LOCK, VYPER_VERSION

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "configs" / "requirements.lock"
CLIENT_LOCK = ROOT / "configs" / "web3.lock"
WEB3_VERSION = "8.0.0"
FAST_LOCK = ROOT / "configs" / "fast.lock"
FUZZ_LOCK = ROOT / "configs" / "fuzz.lock"
ATHERIS_VERSION = "3.0.0"
PEER_LOCKS = ROOT / "configs" / "peers"
HEADER = """\
# {what}, pinned with its hashes, for Python 3.11 to 3.13 (`make lock` writes this file).
# pip installs it with --require-hashes: anything else is refused.
"""


def wanted() -> tuple[str, str]:
    """Return the requirements of setup.cfg, one in a line: what it needs with the extra `dev`, and the extra `fast`."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    needs = config["options"]["install_requires"] + extras["dev"]
    return needs.strip() + "\n", extras["fast"].strip() + "\n"


def resolve(uv: str, requirements: str, lock: Path, *, upgrade: bool) -> list[str]:
    """Pin requirements and return the lock's lines; versions already in the lock are kept unless `upgrade`.

    What is installed beside the environment takes the environment's versions.
    """
    command = [uv, "pip", "compile", "-", "--output-file", str(lock), "--universal", "--python-version", "3.11"]
    command += ["--fork-strategy", "fewest", "--only-binary", ":all:", "--generate-hashes"]
    command += ["--system-certs", "--no-header", "--no-annotate", "--quiet"]
    if upgrade:
        command.append("--upgrade")
    if lock == FAST_LOCK:
        command += ["--constraints", str(LOCK)]
    subprocess.run(command, input=requirements, text=True, check=True, stdout=subprocess.DEVNULL)
    return [line for line in lock.read_text().splitlines() if not line.startswith("# ")]


def main() -> None:
    """Write all locks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv program")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of keeping the pinned")
    args = parser.parse_args()
    environment, fast = wanted()
    for lock, what, requirements in (
        (LOCK, "Every package of the environment", environment),
        (FAST_LOCK, "Numba, the extra `fast`, and what it needs", fast),
        (COMPILER_LOCK, "The compiler of the contracts and what it needs", f"vyper=={VYPER_VERSION}\n"),
        (CLIENT_LOCK, "An Ethereum client for `make test-system` and what it needs", f"web3=={WEB3_VERSION}\n"),
        (FUZZ_LOCK, "The fuzzer of `make fuzz`", f"atheris=={ATHERIS_VERSION}\n"),
        (PEER_LOCKS / "mpyc.lock", "MPyC for `make bench-peers`", "mpyc==0.11\ngmpy2\nnumpy\nuvloop\n"),
        (PEER_LOCKS / "spu.lock", "SPU for `make bench-peers`, on Python 3.11 only", "spu==0.9.5\n"),
    ):
        pinned = resolve(args.uv, requirements, lock, upgrade=args.upgrade)
        lock.write_text(HEADER.format(what=what) + "".join(f"{line}\n" for line in pinned))
        print(f"{lock.relative_to(ROOT)}: {sum('==' in line for line in pinned)} packages")


if __name__ == "__main__":
    main()
