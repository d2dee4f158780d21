"""What every test shares: hypothesis profiles, and one worker for all tests that start daemons."""

import os

import pytest
from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that start daemons on one worker: they share ports and the machine's two cores."""
    for item in items:
        if item.get_closest_marker("network"):
            item.add_marker(pytest.mark.xdist_group("network"))
