"""One network for each module that asks for `devnet`; when a test fails, the ends of its daemons' logs are shown."""

from collections.abc import Generator, Iterator

import pytest

from tests.support.devnet import Devnet


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A network that was set up and does not run yet."""
    net = Devnet(tmp_path_factory.mktemp("net") / "n")
    try:
        yield net
    finally:
        net.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the daemons' logs to the report of a failure."""
    del call
    made = yield
    found = getattr(item, "funcargs", {}).get("devnet")
    if made.failed and isinstance(found, Devnet):
        made.sections += [(f"log of {name}", text) for name, text in found.last_lines().items()]
    return made
