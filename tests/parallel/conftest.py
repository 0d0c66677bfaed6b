"""Ranks for the tests of several processes."""

from collections.abc import Iterator

import pytest

from tests.ranks import Crew


@pytest.fixture(scope="session")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    made = Crew(4, tmp_path_factory.mktemp("crew"))
    yield made
    made.close()
