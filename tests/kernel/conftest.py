"""For the kernel's tests: a provider under which the state root takes the board's way."""

import pytest

from shared_kernel import primitives
from tests.kernel.world import Incremental


@pytest.fixture(scope="module")
def incremental():
    before = {each: getattr(primitives, each) for each in primitives.NAMES + ("whole", "name")}
    primitives.use(Incremental)
    yield
    vars(primitives).update(before)
