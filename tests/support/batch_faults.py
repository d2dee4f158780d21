"""Queries about thousands of subjects over real daemons, while something happens to one of them."""

import asyncio
import csv
import itertools
import re
import stat
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpcnode.client import Answer, AnswerState, Inquirer
from mpcnode.config.node import load_node
from mpcnode.devnet import processes
from mpcnode.errors import UnavailableError
from mpcnode.query.committee import choose_committee
from mpcnode.scorecard import Outcome
from mpcnode.types import NO_MEMBERS, QueryId
from tests.support.devnet import MODEL, PURPOSE, Devnet

OnStep = Callable[[str, int, int], None]
"""Told what the client does, how much of it is done, and how much there is."""

REASONS = {"attempts exhausted", "no committee", "no time left", "deadline", "insufficient contributors"}
"""Why a query may end without an answer where a daemon fails."""

PEAK_MIB = 400
"""The most memory that a daemon may ever have taken; that of a million subjects is 190."""


@dataclass
class Asked:
    """A query about many subjects."""

    query: str = ""
    answer: Answer | None = None
    error: UnavailableError | None = None
    """Why the client gave up, if it did: then there is no answer yet."""


class Batches:
    """Asks a running network about the same many subjects, again and again."""

    def __init__(self, net: Devnet, subjects: int, directory: Path, profile: Path) -> None:
        """Take the network, how many subjects, a directory for their files, and the inquirer's profile."""
        self.net, self._profile = net, profile
        truth = net.truth()
        known = itertools.cycle(truth.subjects())
        asked = [f"DE-Q{place:07d}" if place % 97 == 0 else next(known) for place in range(subjects)]
        clear = {subject: truth.expect(subject).outcome for subject in set(asked)}
        rows = {subject: [subject, *_said(outcome)] for subject, outcome in clear.items()}
        self._clear = [rows[subject] for subject in asked]
        self.file, self.out = directory / "subjects", directory / "answers.csv"
        self.file.write_text("\n".join(asked))
        self._single = next(subject for subject in truth.subjects() if len(truth.expect(subject).known_to) == 3)
        self._grade = truth.expect(self._single).outcome.grade

    def ask(self, on_step: OnStep = lambda *_: None) -> Asked:
        """Ask; the client may give up."""
        self.out.unlink(missing_ok=True)
        asked = Asked()

        def told(step: str, done: int, total: int) -> None:
            if re.fullmatch(r"[0-9a-f]{64}", step):
                asked.query = step
            on_step(step, done, total)

        async def run() -> Answer:
            async with Inquirer.open(self._profile) as inquirer:
                return await inquirer.ask_many(MODEL, self.file, self.out, purpose=PURPOSE, on_step=told)

        try:
            asked.answer = asyncio.run(run())
        except UnavailableError as error:
            asked.error = error
        assert asked.error is None or f"--resume {asked.query[:12]}" in str(asked.error)
        assert asked.error is None or not self.out.exists()
        return asked

    def resume(self, asked: Asked) -> None:
        """Take up a query that the client gave up, if it did."""

        async def run() -> Answer:
            async with Inquirer.open(self._profile) as inquirer:
                return await inquirer.resume_many(asked.query, self.out)

        if asked.answer is None:
            asked.answer = asyncio.run(run())

    def check(self, asked: Asked) -> bool:
        """Return whether a query was answered: then every answer is right. Else it ended by name, and wrote none."""
        answer = asked.answer
        assert answer is not None
        if answer.state is not AnswerState.ANSWERED:
            assert answer.state in {AnswerState.ABORTED, AnswerState.EXPIRED, AnswerState.REFUSED}, answer
            assert answer.reason in REASONS, answer
            assert not self.out.exists()
            return False
        assert (answer.verdict, answer.silent) == ("MATCH", ())
        with self.out.open(newline="") as file:
            assert list(csv.reader(file))[1:] == self._clear
        assert stat.S_IMODE(self.out.stat().st_mode) == 0o600
        assert not list(self.out.parent.glob(f".{self.out.name}*"))
        return True

    def check_network(self) -> None:
        """All daemons are well: one head, memory within its bound, an answer to a query about one subject."""
        self.net.wait_ready()
        answer = self.net.ask(self._single, wait_audit=True)
        assert (answer.state, answer.grade, answer.verdict) == (AnswerState.ANSWERED, self._grade, "MATCH")
        self.net.equal_heads()
        assert {name: peak for name, peak in self.peaks_mib().items() if peak > PEAK_MIB} == {}

    def committee(self, query: str) -> Sequence[str]:
        """Names of the first attempt's committee, in rank order."""
        members = load_node(self.net.layout.node("operator").config).consortium.members
        named = QueryId(bytes.fromhex(query))
        chosen = choose_committee(named, 1, members, panel=NO_MEMBERS, excluded=NO_MEMBERS, companies_min=3)
        return [members[member].name for member in chosen.members]

    def peaks_mib(self) -> dict[str, float]:
        """The most memory that each running daemon has taken since it started."""
        found = {}
        for name in self.net.names:
            process = processes.running(self.net.layout.node(name))
            assert process is not None, name
            stated = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", stated)
            found[name] = int(peak) / 1024
        return found


def _said(outcome: Outcome) -> tuple[str, str]:
    band = "" if outcome.coverage_band is None else str(outcome.coverage_band)
    return outcome.grade or "insufficient", band


def when(holds: Callable[[], bool], then: Callable[[], None], *, within_s: float = 60.0) -> threading.Thread:
    """Do something in a thread as soon as something holds; nothing if it does not in time."""

    def watch() -> None:
        end = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > end:
                return
            time.sleep(0.002)
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread
