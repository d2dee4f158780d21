"""The demo from start to end. Exit code 0: every answer was right, every audit agreed, all heads are equal."""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ledger.receipts import verify_receipt
from mpcnode.client import Inquirer
from mpcnode.config.node import load_node
from mpcnode.config.profile import load_profile
from mpcnode.devnet.control import DaemonReport, open_layout, report
from mpcnode.devnet.plan import Layout
from mpcnode.errors import NodeError
from mpcnode.sealing.keys import verify
from mpcnode.types import Role
from scripts.demo.expectation import Expectation, Truth
from scripts.demo.showing import Asked, show_answers, show_heads, show_outsider

ROOT = Path("build/demo")
NETWORK = ROOT / "net"
MODEL = "credit-rating"
PURPOSE = "credit-application"
QUERIES = 24
EQUAL_HEADS_S = 20.0


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the network running")
    keep = parser.parse_args().keep
    console = Console(width=None if sys.stdout.isatty() else 120)
    began = time.monotonic()
    if NETWORK.exists():
        _mpcnode("devnet", "down", str(NETWORK))
        shutil.rmtree(NETWORK)
    _mpcnode("devnet", "new", str(NETWORK))
    _mpcnode("devnet", "up", str(NETWORK))
    console.print(f"8 daemons of 6 companies are up after {time.monotonic() - began:.1f} s\n", highlight=False)
    try:
        ok = asyncio.run(_demonstrate(console, open_layout(NETWORK)))
    finally:
        if not keep:
            _mpcnode("devnet", "down", str(NETWORK))
    console.print(f"\n{'everything is right' if ok else 'SOMETHING IS WRONG'}: {ROOT / 'report.json'}", highlight=False)
    if keep:
        profile = open_layout(NETWORK).profile.relative_to(Path.cwd())
        console.print(
            f"it keeps running; ask more:\n  .venv/bin/mpcnode query ask --profile {profile} --model {MODEL} "
            f"--purpose {PURPOSE} --subject DE-Q00V07JF\nstop it:\n  .venv/bin/mpcnode devnet down {NETWORK}",
            highlight=False,
            soft_wrap=True,
        )
    return 0 if ok else 1


def _mpcnode(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "mpcnode", *arguments], check=True, stdout=subprocess.DEVNULL)


async def _demonstrate(console: Console, layout: Layout) -> bool:
    profile = load_profile(layout.profile)
    consortium = profile.consortium
    participants = [load_node(layout.node(member.name).config) for member in consortium.with_role(Role.PARTICIPANT)]
    data = {node.member.name: node.records.file for node in participants if node.records is not None}
    truth = Truth(consortium, MODEL, profile.inquirer.company, data)
    asked = await _ask(console, layout, _choose(truth))
    show_answers(console, asked)
    reports, equal = await _equal_heads(layout)
    console.print()
    show_heads(console, reports)
    console.print()
    receipt = (profile.answers_dir / f"{asked[0].answer.query}.receipt").read_bytes()
    show_outsider(console, verify_receipt(receipt, consortium.genesis(), verify), consortium)
    ok = equal and all(item.right for item in asked)
    _write_report(asked, reports, ok=ok)
    return ok


def _choose(truth: Truth) -> Sequence[Expectation]:
    """Pick subjects so that hits, misses at each company, and insufficient ones all show."""
    everybody = [truth.expect(subject) for subject in truth.subjects()]
    by_kind: dict[tuple[str, ...], list[Expectation]] = {}
    for item in everybody:
        by_kind.setdefault(item.known_to, []).append(item)
    chosen = [truth.expect(f"DE-Q{number:07d}") for number in range(2)]
    chosen += [item for known_to, items in sorted(by_kind.items()) if len(known_to) < 3 for item in items[:2]]
    full = [item for known_to, items in by_kind.items() if len(known_to) == 3 for item in items]
    return chosen + full[: QUERIES - len(chosen)]


async def _ask(console: Console, layout: Layout, chosen: Sequence[Expectation]) -> list[Asked]:
    async with Inquirer.open(layout.profile) as inquirer:
        answers = []
        for number, item in enumerate(chosen, 1):
            console.print(f"asking {number} of {len(chosen)}", end="\r" if console.is_terminal else "\n")
            answers.append(await inquirer.ask(MODEL, item.subject, purpose=PURPOSE, consent=f"consent {number}"))
        settled = [await inquirer.show(answer.query, wait_audit=True) for answer in answers]
    return [Asked(item, answer) for item, answer in zip(chosen, settled, strict=True)]


async def _equal_heads(layout: Layout) -> tuple[tuple[DaemonReport, ...], bool]:
    end = time.monotonic() + EQUAL_HEADS_S
    while True:
        reports = await report(layout)
        heads = {(item.status.height, item.status.head) if item.status else None for item in reports}
        equal = len(heads) == 1 and None not in heads
        if equal or time.monotonic() > end:
            return reports, equal
        await asyncio.sleep(0.2)


def _write_report(asked: Sequence[Asked], reports: Sequence[DaemonReport], *, ok: bool) -> None:
    document = {
        "queries": [
            {
                "subject": item.answer.subject,
                "expected": item.expected,
                "answer": item.got,
                "verdict": item.answer.verdict,
                "audit": item.answer.audit,
                "latency_ms": item.answer.latency_ms,
            }
            for item in asked
        ],
        "replicas": {
            item.name: {"height": item.status.height, "hash": item.status.head.hex()} for item in reports if item.status
        },
        "ok": ok,
    }
    ROOT.mkdir(parents=True, exist_ok=True)
    (ROOT / "report.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NodeError, subprocess.CalledProcessError) as error:
        sys.exit(f"demo: {error}")
