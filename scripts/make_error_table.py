"""Write docs/errors.md from the catalogue, or check it: `python scripts/make_error_table.py [--check]`."""

import argparse
import sys
from pathlib import Path

from mpcnode.errors import CATALOGUE, Exit

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
HEAD = """\
# Errors

Made from the catalogue in `mpcnode/errors/catalogue.py` by `scripts/make_error_table.py`; do not edit. A code has one
meaning for ever. Whoever asked learns the code and the text; what exactly was expected and found stands in the daemon's
log. Codes that the contract reverts with are the same words.
"""
EXITS = """
## Exit codes

0 done, 1 an error inside the program, 2 wrong usage, 10-19 the query, 20-29 ledger and receipts, 30-39 daemon and
configuration, 40-49 network. A supervisor of processes should not restart after 30-39.

| exit | name |
|--:|---|
"""


def page() -> str:
    """Return the whole page."""
    lines = [HEAD, "| code | gRPC status | HTTP | exit | text |", "|---|---|--:|--:|---|"]
    lines += [
        f"| `{code}` | {entry.grpc} | {entry.http} | {int(entry.exit)} | {entry.public} |"
        for code, entry in CATALOGUE.items()
    ]
    exits = "".join(f"| {int(code)} | {code.name.lower().replace('_', ' ')} |\n" for code in Exit)
    return "\n".join(lines) + "\n" + EXITS + exits


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    wanted = page()
    if parser.parse_args().check:
        if PAGE.read_text(encoding="utf-8") != wanted:
            print(f"{PAGE.name} differs from the catalogue; run scripts/make_error_table.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
