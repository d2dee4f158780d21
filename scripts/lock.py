"""Pin every package that the project uses, with hashes, for Python 3.11 to 3.13: writes configs/requirements.lock.

The names come from setup.cfg (what it needs to run, and its `dev` extra). The resolver is uv, because pip's own cannot
resolve for several Python versions at once; only wheels are admitted, so installing needs no compiler.
"""

import argparse
import configparser
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "configs" / "requirements.lock"
HEADER = """\
# Every package of the environment, pinned with its hashes, for Python 3.11 to 3.13 (`make lock` writes this file).
# pip installs it with --require-hashes: anything else is refused.
"""


def wanted() -> str:
    """Return the requirements of setup.cfg, one in a line."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needs = config["options"]["install_requires"] + config["options.extras_require"]["dev"]
    return needs.strip() + "\n"


def resolve(uv: str, requirements: str, *, upgrade: bool) -> str:
    """Return the pinned requirements; versions already in the lock are kept unless `upgrade`."""
    command = [uv, "pip", "compile", "-", "--output-file", str(LOCK), "--universal", "--python-version", "3.11"]
    command += ["--fork-strategy", "fewest", "--only-binary", ":all:", "--generate-hashes"]
    command += ["--system-certs", "--no-header", "--no-annotate", "--quiet"]
    if upgrade:
        command.append("--upgrade")
    subprocess.run(command, input=requirements, text=True, check=True)
    return LOCK.read_text()


def main() -> None:
    """Write the lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv program")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of keeping the pinned")
    args = parser.parse_args()
    pinned = resolve(args.uv, wanted(), upgrade=args.upgrade)
    LOCK.write_text(HEADER + "".join(f"{line}\n" for line in pinned.splitlines() if not line.startswith("# ")))
    print(f"{LOCK.relative_to(ROOT)}: {sum('==' in line for line in pinned.splitlines())} packages")


if __name__ == "__main__":
    main()
