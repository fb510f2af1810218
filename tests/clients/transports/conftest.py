from collections.abc import AsyncIterator, Callable

import pytest

from clients.transports import HttpxWire, PyreqwestWire, Wire, WireOptions
from tests.testkit.certificates import Certificates, make_certificates

MakeWire = Callable[..., Wire]


@pytest.fixture(params=[PyreqwestWire, HttpxWire])
async def make_wire(request: pytest.FixtureRequest) -> AsyncIterator[MakeWire]:
    """Builds wires of one kind and closes them; the suite runs once for each kind."""
    made: list[Wire] = []

    def make(**options: object) -> Wire:
        made.append(request.param(WireOptions(**options)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for wire in made:
        await wire.aclose()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))
