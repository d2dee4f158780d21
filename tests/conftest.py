"""What every test shares: hypothesis profiles, short temporary paths, one worker for all tests that start daemons."""

import os
import shutil
import tempfile

import pytest
from hypothesis import settings

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that start daemons on one worker: they share ports and the machine's two cores."""
    for item in items:
        if item.get_closest_marker("network"):
            item.add_marker(pytest.mark.xdist_group("network"))
