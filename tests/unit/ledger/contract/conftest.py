"""A consortium that every test gets for itself: genesis is executed once, forks cost nothing."""

import pytest

from tests.support.contracts import World, standard


@pytest.fixture(scope="session")
def base() -> World:
    return World(genesis=standard())


@pytest.fixture
def world(base: World) -> World:
    return base.fork()
