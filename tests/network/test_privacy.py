"""What nobody but its recipient may learn is in no file and no log line of anybody else: planted values, searched.

One network for all tests: three subjects with planted identifiers and values of 13 digits and more, asked about with
logs at debug, a hit, a miss, somebody unknown to all, and an attempt that fails.
"""

import asyncio
import base64
import os
import re
import signal
import sqlite3
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from ledger.contract.abi import decode_log
from ledger.receipts import verify_receipt
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.keystore import load_key
from mpcnode.client import Answer, Inquirer
from mpcnode.config.profile import load_profile
from mpcnode.devnet import processes
from mpcnode.devnet.control import bring_up, report, take_down
from mpcnode.devnet.creation import create
from mpcnode.devnet.plan import Layout
from mpcnode.sealing.keyfile import KeyKind
from mpcnode.sealing.keys import verify
from mpcnode.sealing.pseudonyms import make_pseudonym, normalise
from tests.support.abuse import abuse
from tests.support.planted import Plant, byte_forms, contents, files, findings, number_forms, text_forms

pytestmark = pytest.mark.network

MODEL = """
[model]
name = "wealth"
title = "Wealth"
version = 1
minimum_coverage = 2
audit = "before release"
purposes = ["credit-application"]
grades = [{ grade = "A", from = 20 }, { grade = "B", from = 5 }, { grade = "C" }]
coverage_bands = [2, 3]
"""
ATTRIBUTE = """
[[attribute]]
name = "{name}"
title = "{name}"
class = "{data_class}"
unit = "cents"
scale = 2
min = 0
max = 9_000_000_000_000_000
weight = 1
missing = 1
bins = [{{ points = 0 }}, {{ from = 1_000_000_000_000, points = 4 }}, {{ from = 5_000_000_000_000_000, points = 9 }}]
"""
COLUMNS = {"bank": ("assets", "accounts"), "insurer": ("insured", "property"), "telecom": ("turnover", "contracts")}

KNOWN, HALF, ONCE, NEVER = (
    "ERIKA-MUSTERMANN-47112",
    "KONRAD-ADENAUER-183475",
    "LISE-MEITNER-19682710",
    "NOBODY-AT-ALL-9999",
)
VALUES = {
    ("bank", KNOWN): 7_345_912_684_037_125,
    ("insurer", KNOWN): 2_918_374_650_911_237,
    ("telecom", KNOWN): 8_123_409_576_123_461,
    ("insurer", HALF): 6_671_239_845_509_313,
    ("telecom", HALF): 4_452_198_370_965_229,
    ("telecom", ONCE): 3_388_127_459_061_177,
}
NOT_ASKED = {subject: 4_915_112_345_600 + place for place, subject in enumerate((KNOWN, HALF, ONCE))}
"""A telephone number of each, which no model asks."""

EXPECTED = {KNOWN: ("answered", 3), HALF: ("answered", 2), ONCE: ("insufficient", None), NEVER: ("insufficient", None)}
"""State and contributors that know the subject."""

PRIVATE_KEYS = (KeyKind.IDENTITY, KeyKind.SEALING, KeyKind.VOTE, KeyKind.AUDIT, KeyKind.DEALER, KeyKind.TLS)


@dataclass
class Run:
    """The network after its queries: answers, and secrets that only its processes held."""

    layout: Layout
    answers: dict[str, Answer] = field(default_factory=dict)
    failed: Answer | None = None
    """Of the query one of whose attempts failed."""
    secrets: dict[str, bytes] = field(default_factory=dict)
    abused: dict[str, set[grpc.StatusCode]] = field(default_factory=dict)
    """What each daemon said to bytes that make no sense."""
    ready: dict[str, bool] = field(default_factory=dict)
    """Who was ready after that."""
    last: Answer | None = None
    """Of the query after that."""
    live: dict[Path, bytes] = field(default_factory=dict)
    """All files while the daemons still ran: write-ahead logs hold what is not in the databases yet."""


def write_demo(root: Path) -> Path:
    (root / "models").mkdir(parents=True)
    attributes = "".join(ATTRIBUTE.format(name=name, data_class=kind) for name, kind in COLUMNS.values())
    (root / "models" / "wealth.toml").write_text(MODEL + attributes)
    for company, (column, _) in COLUMNS.items():
        rows = [(subject, value) for (of, subject), value in VALUES.items() if of == company]
        lines = [f"subject,{column},telephone", *(f"{who},{value},{NOT_ASKED[who]}" for who, value in rows)]
        (root / f"{company}.csv").write_text("\n".join(lines) + "\n")
    return root


async def ask_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Inquirer._prepare

    def prepare(self, *args):
        prepared = made(self, *args)
        run.secrets[f"result secret {len(run.secrets)}"] = prepared.result_key.secret()
        return prepared

    monkeypatch.setattr(Inquirer, "_prepare", prepare)
    async with Inquirer.open(run.layout.profile) as inquirer:
        for subject in EXPECTED:
            run.answers[subject] = await inquirer.ask("wealth", subject, consent="consent-4711", wait_audit=True)
        run.failed = await ask_with_a_failed_attempt(run, inquirer)


async def ask_with_a_failed_attempt(run: Run, inquirer: Inquirer) -> Answer:
    """Hold a node of the committee until its attempt has failed."""
    node = processes.running(run.layout.node("notary-mpc"))
    assert node is not None
    os.kill(node.pid, signal.SIGSTOP)

    def seen(progress):
        if progress.attempt == 2:
            os.kill(node.pid, signal.SIGCONT)

    try:
        return await inquirer.ask("wealth", KNOWN, wait_audit=True, on_progress=seen)
    finally:
        with suppress(ProcessLookupError):
            os.kill(node.pid, signal.SIGCONT)


async def ask_after_abuse(run: Run) -> None:
    """Try everything that a member can send to the others; then ask again."""
    run.abused = await abuse(run.layout, "bank-mpc")
    run.ready = {daemon.name: daemon.ready for daemon in await report(run.layout)}
    async with Inquirer.open(run.layout.profile) as inquirer:
        run.last = await inquirer.ask("wealth", KNOWN, wait_audit=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("p")
    layout = create(root / "n", write_demo(root / "demo"), SystemClock().now_ms())
    for name in layout.daemons():
        config = layout.node(name).config
        text = config.read_text().replace('level = "info"', 'level = "debug"')
        config.write_text(re.sub(r"preparation_ms = \d+", "preparation_ms = 1500", text))
    done = Run(layout)
    try:
        asyncio.run(bring_up(layout, lambda _: None))
        with pytest.MonkeyPatch.context() as monkeypatch:
            asyncio.run(ask_all(done, monkeypatch))
            asyncio.run(ask_after_abuse(done))
        done.live = dict(files([layout.nodes]))
    finally:
        outcome = asyncio.run(take_down(layout))
    assert set(outcome.values()) == {"stopped"}, outcome
    return done


def plants(run: Run) -> list[Plant]:
    """Everything that was planted, with the places of its owners."""
    layout = run.layout
    inquirer, offline = layout.inquirer, layout.offline
    records = {company: layout.node(f"{company}-data").data / f"{company}.csv" for company in COLUMNS}
    subject_key = load_key(inquirer / "subject.key", KeyKind.SUBJECT).secret
    found = [
        Plant(f"{subject}'s value of {company}", number_forms(value), (records[company],))
        for (company, subject), value in VALUES.items()
    ]
    for subject in EXPECTED:
        knowing = tuple(records[company] for company, who in VALUES if who == subject)
        found.append(Plant(f"identifier {subject}", text_forms(subject), (*knowing, inquirer)))
        if subject in NOT_ASKED:
            found.append(Plant(f"telephone of {subject}", number_forms(NOT_ASKED[subject]), knowing))
        pseudonym = make_pseudonym(subject_key, normalise(subject))
        found.append(Plant(f"pseudonym of {subject}", byte_forms(pseudonym)))
    found.append(Plant("consent reference", text_forms("consent-4711"), (inquirer,)))
    holders = tuple(layout.node(name).keys for name in (*(f"{company}-data" for company in COLUMNS), "regulator"))
    found.append(Plant("subject key", byte_forms(subject_key), (*holders, inquirer)))
    for name in layout.daemons():
        keys = layout.node(name).keys
        for kind in PRIVATE_KEYS:
            if (keys / f"{kind}.key").exists():
                secret = load_key(keys / f"{kind}.key", kind).secret
                if kind is KeyKind.TLS:  # PEM: one whole line of it
                    secret = secret.splitlines()[2]
                found.append(Plant(f"{kind} key of {name}", byte_forms(secret), (keys,)))
    inquirer_secret = load_key(inquirer / "inquirer.key", KeyKind.INQUIRER).secret
    found.append(Plant("the inquirer's key", byte_forms(inquirer_secret), (inquirer / "inquirer.key",)))
    archive = load_key(offline / "archive.key", KeyKind.ARCHIVE).secret
    found.append(Plant("archive key", byte_forms(archive), (offline,)))
    found += [Plant(name, byte_forms(secret)) for name, secret in run.secrets.items()]
    return found


def test_the_queries_ended_as_planted(run):
    """Else the search below would search what never happened."""
    for subject, (state, coverage) in EXPECTED.items():
        answer = run.answers[subject]
        assert (answer.state, answer.verdict) == (state, "MATCH"), answer
        assert answer.coverage_band == (None if coverage is None else coverage - 1)
    assert run.failed is not None
    assert (run.failed.state, run.failed.verdict, run.failed.attempt) == ("answered", "MATCH", 2)
    logs = b"".join(run.layout.node(name).log.read_bytes() for name in run.layout.daemons())
    assert b'"level": "debug"' in logs
    assert b"attempt.failed" in logs


@pytest.mark.parametrize("when", ["while the daemons run", "after their end"])
def test_planted_values_are_nowhere(run, when):
    found = run.live if when == "while the daemons run" else files([run.layout.root])
    names = {path.name for path in found}
    assert {"log", "journal.sqlite", "ledger.sqlite"} <= names, names
    if when == "while the daemons run":
        assert any(name.endswith("-wal") for name in names), names
    assert findings(found, plants(run)) == []


def test_the_search_finds_what_is_there(run, tmp_path):
    """Every kind of plant, in every form, in a log, a database and a write-ahead log."""
    allowed = [plant for plant in plants(run) if plant.allowed]
    everywhere = [Plant(plant.name, plant.forms) for plant in allowed]
    found = files([run.layout.root])
    seen = {line.split(" in /")[0] for line in findings(found, everywhere)}
    kept_raw = {plant.name for plant in allowed if not plant.name.startswith("consent")}
    assert kept_raw <= seen, kept_raw - seen

    value, secret = VALUES["bank", KNOWN], next(iter(run.secrets.values()))
    written = [
        f'{{"event": "oops", "value": {value}}}'.encode(),
        b"...." + value.to_bytes(8, "little") + b"....",
        b"...." + value.to_bytes(8, "big") + b"....",
        *(base64.b64encode(bytes(shift) + value.to_bytes(8, "little") + b"rest") for shift in range(3)),
        *(base64.urlsafe_b64encode(b"x" * shift + secret + b"rest") for shift in range(3)),
        secret.hex().encode(),
    ]
    hunted = [Plant("value", number_forms(value)), Plant("secret", byte_forms(secret))]
    for number, data in enumerate(written):
        assert findings({Path("log"): b"before" + data + b"after"}, hunted), number

    path = tmp_path / "db.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x BLOB)")
        connection.execute("INSERT INTO t VALUES (?)", (bytes(4070) + secret + bytes(9000),))
        connection.commit()
        assert findings({path: contents(path)}, hunted), "a value that is cut by a page's border"
    connection.close()


def test_no_bytes_end_or_hang_a_daemon(run):
    """Every RPC of every daemon, with a member's certificate and with none: a status, and the next query an answer."""
    assert set(run.abused) == set(run.layout.daemons())
    for name, said in run.abused.items():
        assert grpc.StatusCode.UNIMPLEMENTED in said, name
        assert grpc.StatusCode.UNAVAILABLE in said, f"{name} talked to somebody without a certificate"
    assert set(run.ready.values()) == {True}, run.ready
    assert run.last is not None
    assert (run.last.state, run.last.verdict) == ("answered", "MATCH")


# --------------------------------------------------------------------------- equal sizes


def shapes(run: Run, answer: Answer) -> dict[tuple[str, int], list[tuple[int, ...]]]:
    """Sizes of every transaction's arguments and cosigners and of every event, by method and sender."""
    profile = load_profile(run.layout.profile)
    receipt = (profile.answers_dir / f"{answer.query}.receipt").read_bytes()
    verified = verify_receipt(receipt, profile.consortium.genesis(), verify)
    found: dict[tuple[str, int], list[tuple[int, ...]]] = defaultdict(list)
    for proven in verified.transactions:
        tx, member = proven.transaction, profile.consortium.member_by_identity(proven.transaction.sender)
        assert member is not None
        sender = member.index if tx.method in {"queries.register", "queries.commit_input", "queries.attest"} else -1
        signed = tuple(len(cosigner.statement) for cosigner in tx.cosigners)
        found[tx.method, sender].append((len(tx.args), *signed))
        for log in proven.receipt.logs:
            event = decode_log(log).event
            # whoever happens to be the last of the panel causes Computing
            of = -1 if event == "Computing" else sender
            found[f"event {event}", of].append((len(log.topics), len(log.data)))
    return dict(found)


def test_hit_miss_and_insufficient_look_alike_on_the_ledger(run):
    sizes = {subject: shapes(run, run.answers[subject]) for subject in EXPECTED}
    assert {method for method, _ in sizes[KNOWN] if "event" not in method} == {
        "queries.register",
        "queries.commit_input",
        "queries.post_result",
        "queries.attest",
    }
    assert len([key for key in sizes[KNOWN] if key[0] == "queries.commit_input"]) == len(COLUMNS)
    for subject in (HALF, ONCE, NEVER):
        assert sizes[subject] == sizes[KNOWN], subject


def test_the_participants_journals_do_not_tell_a_hit_from_a_miss(run):
    """What an own administrator can see of the encrypted contributions."""
    for company in COLUMNS:
        path = run.layout.node(f"{company}-data").data / "journal.sqlite"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        rows = connection.execute("SELECT kind, length(value) FROM entries").fetchall()
        connection.close()
        assert len({size for kind, size in rows if kind == "contribution"}) == 1
        assert len({size for kind, size in rows if kind == "order"}) == 1
