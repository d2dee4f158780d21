"""A chain in memory and its JSON-RPC endpoint."""

import pytest

from tests.support.stored_world import StoredWorld, stored_world


@pytest.fixture(scope="module")
def world() -> StoredWorld:
    return stored_world()


@pytest.fixture(scope="module")
def endpoint(world):
    return world.endpoint()
