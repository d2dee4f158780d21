"""The journal's contract: put once, durable before it says so, oldest first, whatever ends the process."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys

import pytest

from mpcnode.adapters.journal import Journal, JournalFile
from mpcnode.errors import ErrorCode, StorageError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


def run(path, work):
    async def opened():
        journal = await Journal.open(path)
        try:
            return await work(journal)
        finally:
            await journal.close()

    return asyncio.run(opened())


def test_an_entry_is_put_once(path):
    async def work(journal):
        assert await journal.put_once("share", b"q", b"one") is True
        assert await journal.put_once("share", b"q", b"two") is False
        assert await journal.put_once("order", b"q", b"three") is True
        return await journal.get("share", b"q"), await journal.get("order", b"q"), await journal.get("share", b"r")

    assert run(path, work) == (b"one", b"three", None)


def test_entries_outlive_the_process_and_come_oldest_first(path):
    async def put(journal):
        for key in (b"c", b"a", b"b"):
            await journal.put_once("order", key, key * 2)
        await journal.put_once("other", b"x", b"")

    run(path, put)
    assert run(path, lambda journal: journal.items("order")) == [(b"c", b"cc"), (b"a", b"aa"), (b"b", b"bb")]


def test_many_at_once_share_flushes_and_all_are_answered(path):
    async def work(journal):
        answers = await asyncio.gather(*(journal.put_once("k", bytes([i % 50]), bytes([i])) for i in range(200)))
        return answers, await journal.items("k")

    answers, items = run(path, work)
    assert answers == [True] * 50 + [False] * 150
    assert items == [(bytes([i]), bytes([i])) for i in range(50)]


def test_a_cancelled_put_harms_nobody(path):
    async def work(journal):
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(journal.put_once("k", b"1", b""))
            second = tasks.create_task(journal.put_once("k", b"2", b""))
            await asyncio.sleep(0)
            second.cancel()
        return first.result(), await journal.put_once("k", b"3", b"")

    assert run(path, work) == (True, True)


def test_entries_neither_change_nor_go(path):
    with_entry = JournalFile(path)
    with_entry.put_once("k", b"1", b"one")
    with_entry.close()
    other = sqlite3.connect(path)
    for statement in ("UPDATE entries SET value = x'00'", "DELETE FROM entries"):
        with pytest.raises(sqlite3.IntegrityError, match="entries"):
            other.execute(statement)
    other.close()


def test_others_cannot_read_it(path):
    old = os.umask(0)
    try:
        journal = JournalFile(path)
        journal.put_once("k", b"1", b"one")
        files = list(path.parent.glob("journal.sqlite*"))
        journal.close()
    finally:
        os.umask(old)
    assert len(files) == 3
    assert {stat.S_IMODE(mode) for mode in [path.stat().st_mode]} == {0o600}


def test_another_file_is_refused(path):
    path.write_bytes(b"not a database, and longer than a header would be " * 100)
    with pytest.raises(StorageError, match=r"journal\.sqlite: expected a journal"):
        JournalFile(path)


def test_another_format_is_refused(path):
    JournalFile(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 9")
    other.close()
    with pytest.raises(StorageError, match="expected a journal of format 1, got format 9"):
        JournalFile(path)


def test_a_failing_disk_is_told_to_everybody_who_waits(path):
    async def work(journal):
        await asyncio.wrap_future(journal._worker.submit(journal._file._db.execute, "PRAGMA query_only = 1"))
        puts = (journal.put_once("k", bytes([i]), b"") for i in range(5))
        return await asyncio.gather(*puts, return_exceptions=True)

    answers = run(path, work)
    assert len(answers) == 5
    assert all(isinstance(answer, StorageError) for answer in answers)


def test_a_full_disk_has_a_code_of_its_own(path):
    async def work(journal):
        await asyncio.wrap_future(journal._worker.submit(journal._file._db.execute, "PRAGMA max_page_count = 1"))
        puts = (journal.put_once("k", bytes([i]), bytes(9_000)) for i in range(2))
        return await asyncio.gather(*puts, return_exceptions=True)

    assert [answer.code for answer in run(path, work)] == [ErrorCode.DISK_FULL] * 2


def test_after_a_failure_nothing_is_tried_again_and_the_daemon_hears_of_it(path):
    async def work(journal):
        watch = asyncio.ensure_future(journal.watch())
        assert await journal.put_once("k", b"before", b"") is True
        assert not watch.done()
        await asyncio.wrap_future(journal._worker.submit(journal._file._db.execute, "PRAGMA query_only = 1"))
        with pytest.raises(StorageError):
            await journal.put_once("k", b"lost", b"")
        await asyncio.wrap_future(journal._worker.submit(journal._file._db.execute, "PRAGMA query_only = 0"))
        with pytest.raises(StorageError):
            await journal.put_once("k", b"after", b"")
        with pytest.raises(StorageError):
            await asyncio.wait_for(watch, 5)

    run(path, work)
    assert run(path, lambda journal: journal.items("k")) == [(b"before", b"")]


WRITER = """
import asyncio, pathlib, sys
from mpcnode.adapters.journal import Journal

async def main():
    journal = await Journal.open(pathlib.Path(sys.argv[1]))
    async def lane(lane):
        for number in range(100_000):
            key = f"{lane}:{number}".encode()
            await journal.put_once("k", key, key * 20)
            print(key.decode(), flush=True)
    async with asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(lane(number))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 40, 150])
def test_nothing_acknowledged_is_lost_to_a_kill(path, lines):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(lines)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [line.strip() for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    writer.wait()
    writer.stdout.close()
    assert len(acknowledged) >= lines
    journal = JournalFile(path)
    kept = dict(journal.items("k"))
    assert all(kept.get(key.encode()) == key.encode() * 20 for key in acknowledged)
    assert journal.put_once("k", acknowledged[0].encode(), b"again") is False
    journal.close()
