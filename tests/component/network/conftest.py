import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.component.network import lab as labs


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[labs.Lab]:
    if os.geteuid():
        pytest.skip("makes network namespaces: needs root")
    async with labs.lab(tmp_path) as world:
        yield world
