"""What every test shares: hypothesis profiles, short temporary paths, one worker for all tests that start daemons."""

import os
import shutil
import tempfile

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

SHORT = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary paths short, because a unix socket's has at most 107 characters."""
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        config.stash[SHORT] = config.option.basetemp = tempfile.mkdtemp(prefix="t")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave temporary files only of a session that failed."""
    if exitstatus == 0 and SHORT in session.config.stash:
        shutil.rmtree(session.config.stash[SHORT], ignore_errors=True)


class OneNetwork(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Keep the tests that start daemons on one worker, in order: they share the machine's two cores.

    xdist's own groups (3.8) are not seen by pytest 9.2, which has no place any more for the names that they rewrite.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "network" if nodeid.startswith("tests/network/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneNetwork:
    """Share out the tests."""
    return OneNetwork(config, log)
